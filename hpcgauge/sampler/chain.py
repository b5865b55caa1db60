"""The chain: phases of trajectories one after the other, and what is done after each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

from hpcgauge.sampler.hmc import HMC, State
from hpcgauge.training.proposal import Proposal
from hpcgauge.training.train import Learned, Learner


@dataclass(frozen=True)
class Phase:
    """So many trajectories. `trains`: the guide is updated on each, otherwise it is frozen. `is_physics`: measured.
    `sampler`: what makes them, if not the chain's own.

    `finish`: the chain's state after the last one as another, such as one with a guide fitted to the phase's records.
    """

    name: str
    trajectories: int
    trains: bool = False
    is_physics: bool = False
    sampler: HMC | None = None
    finish: Callable[[ChainState], ChainState] | None = None


@dataclass(frozen=True)
class ChainState:
    """All that a chain goes on from: links, seed and number of trajectories, and what was learned (None: nothing)."""

    state: State
    learned: Learned | None = None


def _nothing(*_: Any) -> None:
    return None


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Hooks:
    """What is done after each trajectory; each is called on all ranks.

    `record`: given the line of the history. `measure`: given the state where it is physics; what it returns goes into
    the line. `checkpoint`: given the chain's state, after every `every` trajectories of the chain, at the end of a
    phase and on stopping. `proposal`: given each proposal with the name of its phase. `is_stopping`: true, on all ranks
    alike, to stop.
    """

    record: Callable[[dict[str, Any]], None] = _nothing
    measure: Callable[[State], dict[str, Any] | None] = _nothing
    checkpoint: Callable[[ChainState], None] = _nothing
    proposal: Callable[[str, Proposal], None] = _nothing
    is_stopping: Callable[[], bool] = _never
    every: int = 10


@final
class Chain:
    """Phases of trajectories of one sampler; with a learner, its guide is the one learned so far.

    ValueError when a phase trains without a learner.
    """

    def __init__(self, hmc: HMC, phases: Sequence[Phase], learner: Learner | None = None, hooks: Hooks | None = None):
        untaught = [phase.name for phase in phases if phase.trains and learner is None]
        if untaught:
            raise ValueError(f"phases {untaught} train, but there is no learner")
        self.hmc, self.phases, self.learner, self.hooks = hmc, tuple(phases), learner, hooks or Hooks()

    @property
    def trajectories(self) -> int:
        """The trajectories of all phases."""
        return sum(phase.trajectories for phase in self.phases)

    def phase_at(self, trajectory: int) -> Phase | None:
        """The phase of the trajectory after this many; None after the last."""
        for phase in self.phases:
            if trajectory < phase.trajectories:
                return phase
            trajectory -= phase.trajectories
        return None

    def run(self, start: ChainState) -> ChainState:
        """The state after the last phase, or where it was stopped. The number of trajectories done says where to begin.

        Collective.
        """
        now = start
        while (phase := self.phase_at(now.state.trajectory)) is not None:
            now = self._step(phase, now)
            ends = self.phase_at(now.state.trajectory) is not phase
            if ends and phase.finish is not None:
                now = phase.finish(now)
            is_stopping = self.hooks.is_stopping()
            if is_stopping or ends or now.state.trajectory % self.hooks.every == 0:
                self.hooks.checkpoint(now)
            if is_stopping:
                break
        return now

    def sampler(self, phase: Phase, now: ChainState) -> HMC:
        """The phase's own sampler, or the chain's with the guide learned so far."""
        if phase.sampler is not None:
            return phase.sampler
        if self.learner is None or now.learned is None:
            return self.hmc
        return self.hmc.with_guide(self.learner.guide(now.learned))

    def _step(self, phase: Phase, now: ChainState) -> ChainState:
        hmc, learned = self.sampler(phase, now), now.learned
        proposal = hmc.propose(now.state)
        self.hooks.proposal(phase.name, proposal)
        state, record = hmc.decide(now.state, proposal)
        line = {"trajectory": record.trajectory, "phase": phase.name} | record.as_dict()
        if phase.trains and self.learner is not None:
            learned, line["loss"] = self.learner.learn(learned or self.learner.start(), proposal)
        if phase.is_physics:
            line |= self.hooks.measure(state) or {}
        self.hooks.record(line)
        return ChainState(state, learned)
