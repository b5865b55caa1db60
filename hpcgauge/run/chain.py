"""One chain in its folder: phases, history, checkpoints, measurements; resumed by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import numpy

from hpcgauge.config import Run
from hpcgauge.errors import ConfigError
from hpcgauge.fields.field import Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.io.agreement import on_root
from hpcgauge.io.checkpoint import LATEST
from hpcgauge.io.durable import make_folder
from hpcgauge.io.record import BEGINNING, History, read_history
from hpcgauge.observables.condensate import condensate
from hpcgauge.observables.loops import polyakov_loop, wilson_loop
from hpcgauge.report.progress import Progress
from hpcgauge.run import build, stored, trained
from hpcgauge.run.stopping import Stopping
from hpcgauge.sampler.chain import Chain, ChainState, Hooks, Phase
from hpcgauge.sampler.hmc import State
from hpcgauge.training.fit import fit
from hpcgauge.training.proposal import Proposal
from hpcgauge.training.train import Learned


def phase_lengths(run: Run, label: str = "") -> dict[str, int]:
    """The trajectories of each phase of a chain that has any, by the name that the progress display shows."""
    lengths = {name: getattr(run.chain, name) for name in ("thermalise", "train", "produce")}
    return {f"{label} {name}".strip(): length for name, length in lengths.items() if length}


@final
class ChainRun:
    """A chain of a configuration in a folder. `label`: its name in the progress display."""

    def __init__(self, run: Run, folder: Path, lattice: Lattice, progress: Progress, label: str = ""):
        self.config, self.folder, self.lattice = run, folder, lattice
        self.checkpoints = folder / "checkpoint"
        self._is_new = not on_root(lattice.world, self.checkpoints.is_dir)
        self.progress, self.label = progress, label
        on_root(lattice.world, lambda: make_folder(self.checkpoints))
        guide = build.guide_of(run)
        if guide is not None:
            guide = trained.started(guide, run, lattice, folder, progress.note)
        self.plain = build.sampler_of(run, None)
        self.hmc = self.plain if guide is None else build.sampler_of(run, guide)
        self.trainable = None if guide is None else build.trainable_of(run, guide)
        self.is_recorded = run.training is not None and run.training.source == "recorded"
        self.phase = ""
        self.history = History(folder / "history.jsonl", lattice.world)

    def run(self, start: Callable[[], Field], stopping: Stopping) -> ChainState:
        """The chain's state at its end, or where it was stopped.

        It goes on from the newest checkpoint; only without one `start` is asked for the first links. Collective.
        """
        now, mark, messages = stored.load_state(self.checkpoints, self.lattice)
        for message in messages:
            self.progress.note(message)
        if now is None:
            self._refuse_lost_checkpoints(messages)
        self.history.truncate_to(mark or BEGINNING)
        if now is None:
            now = ChainState(State(start(), self.config.chain.seed))
        else:
            self.progress.note(f"{self.label or 'main'} chain: goes on after trajectory {now.state.trajectory}")
        return self._chain(stopping).run(now)

    def _refuse_lost_checkpoints(self, messages: list[str]) -> None:
        """Nothing; ConfigError when there is a history whose checkpoints are gone, or damaged, all of them.

        The folder of checkpoints is made before the first line of the history, and the first checkpoint leaves a name
        in it: without that name the run ended before its first checkpoint.
        """
        done = on_root(self.lattice.world, lambda: len(read_history(self.folder / "history.jsonl")))
        had_one = on_root(self.lattice.world, (self.checkpoints / LATEST).exists)
        if done and not (messages or had_one or self._is_new):
            self.progress.note(f"it ended before its first checkpoint: {done} trajectories are made again")
        elif done or messages:
            raise ConfigError(
                f"{self.folder} has {done} trajectories in history.jsonl but no whole checkpoint to go on from; put "
                "checkpoint/ back, or give another folder (--out DIR)" + "".join(f" ({text})" for text in messages)
            )

    def _chain(self, stopping: Stopping) -> Chain:
        chain, trainable = self.config.chain, self.trainable
        learner = None if trainable is None else build.learner_of(self.config, self.plain.target, trainable)
        phases = [
            Phase("thermalise", chain.thermalise, sampler=self.plain, finish=self._after_thermalisation),
            Phase(
                "train",
                chain.train,
                trains=not self.is_recorded,
                sampler=self.plain if self.is_recorded else None,
                finish=self._after_training,
            ),
            Phase("produce", chain.produce, is_physics=True),
        ]
        hooks = Hooks(
            record=self._record,
            measure=self._measure,
            checkpoint=self._checkpoint,
            proposal=self._keep,
            is_stopping=stopping.is_asked,
            every=self.config.checkpoint.every,
        )
        return Chain(self.hmc, [phase for phase in phases if phase.trajectories], learner, hooks)

    def _record(self, line: dict[str, Any]) -> None:
        self.history.append(line)
        if line["phase"] != self.phase:
            self.phase = line["phase"]
            done = line["trajectory"] - 1 - self._before(self.phase)
            self.progress.start_phase(
                f"{self.label} {self.phase}".strip(), getattr(self.config.chain, self.phase), done
            )
        self.progress.update(line)

    def _measure(self, state: State) -> dict[str, Any]:
        section = self.config.measure
        found: dict[str, Any] = {}
        since = state.trajectory - self._before("produce")
        if section.condensate is not None and since % section.condensate.every == 0:
            fermion, sources = self.config.action.fermion, section.condensate.sources
            assert fermion is not None
            seed, number = state.seed, state.trajectory
            of_links = condensate(
                state.U, fermion.mass, sources, seed, number, fermion.boundary, self.config.solver.tolerance
            )
            found["condensate"] = of_links.value
        if section.loops is not None and since % section.loops.every == 0:
            sides = range(1, section.loops.largest + 1)
            found["wilson_loops"] = {f"{r}x{t}": wilson_loop(state.U, r, t) for r in sides for t in sides}
            line = polyakov_loop(state.U)
            found["polyakov_loop"] = [line.real, line.imag]
        return found

    def _checkpoint(self, now: ChainState) -> None:
        mark, section = self.history.mark(), self.config.checkpoint
        stored.save_state(self.folder / "checkpoint", self.lattice, now, mark, section)

    def _keep(self, phase: str, proposal: Proposal) -> None:
        if phase == "train" and self.is_recorded:
            stored.record_proposal(self.folder / "trajectories", proposal)

    def _after_thermalisation(self, now: ChainState) -> ChainState:
        stored.save_links(self.folder / "thermalised.h5", now.state.U)
        return now

    def _after_training(self, now: ChainState) -> ChainState:
        if self.trainable is None:
            return now
        if self.is_recorded:
            learned, history = self._fitted()
            now = replace(now, learned=learned)
        else:
            history = trained.live_history(self.history.path, self.lattice.world)
        assert now.learned is not None
        path, vector = self.folder / "network.h5", now.learned.vector
        trained.save_guide(path, self.config, self.lattice, self.trainable, vector, history)
        told = ", ".join(f"{name} {value:.4g}" for name, value in zip(self.trainable.names, vector, strict=True))
        self.progress.note(f"{self.label or 'guide'}: trained {told}")
        return now

    def _fitted(self) -> tuple[Learned, dict[str, numpy.ndarray]]:
        section, trainable = self.config.training, self.trainable
        assert section is not None and section.recorded is not None and trainable is not None
        proposals = stored.read_proposals(self.folder / "trajectories", self.lattice, section.recorded.trajectories)
        optimiser = "lbfgs" if section.optimiser == "lbfgs" else build.optimiser_of(self.config, trainable)
        fitted = fit(proposals, self.plain.target, trainable, optimiser, section.recorded.epochs, section.loss)
        if fitted.means:
            first, last = fitted.means[0], fitted.means[-1]
            self.progress.note(f"fit to {len(proposals)} trajectories: mean loss {first:.4g}, at the end {last:.4g}")
        return fitted.learned, {"loss": numpy.array(fitted.means)}

    def _before(self, phase: str) -> int:
        chain = self.config.chain
        return {"thermalise": 0, "train": chain.thermalise, "produce": chain.thermalise + chain.train}[phase]
