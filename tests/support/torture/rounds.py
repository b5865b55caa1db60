"""Rounds of torture: chains that are disturbed and restarted until they are done, and what became of each round."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from hpcgauge.io.record import read_history
from tests.support.faults.library import compiled
from tests.support.jobs import lines_of
from tests.support.torture.job import TRAJECTORIES, Ended, Workplace
from tests.support.torture.places import has_pointer, place_of
from tests.support.torture.plan import Disturbance, Plan
from tests.support.torture.states import State, manners, restarted_from, state_of

STOPPED_BY_FAULT, UNHARMED = "stopped, exit code 4", "went on unharmed"
# A run that is disturbed more often than this has no chance to get done: something is wrong.
MOST_STARTS = 60
MOST_BROKEN_CHAINS = 5


@dataclass(frozen=True)
class Round:
    """One disturbed start: what was done, where it struck, what happened, and what is wrong."""

    number: int
    disturbance: str
    kind: str
    place: str
    outcome: str
    restarted_from: int
    newest_after: int
    wrong: list[str] = field(default_factory=list)


@dataclass
class Results:
    """All rounds, the chains that were completed and compared, and what is wrong with these."""

    rounds: list[Round] = field(default_factory=list)
    late: int = 0
    chains: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """Everything that is wrong, in words."""
        return [f"round {r.number}, {r.disturbance}: {text}" for r in self.rounds for text in r.wrong] + self.wrong

    def counts(self) -> dict[str, Counter[str]]:
        """For each kind of disturbance, how often it struck where and what happened."""
        table: dict[str, Counter[str]] = {}
        for found in self.rounds:
            what = found.outcome if found.outcome != "killed" else found.place
            table.setdefault(found.kind, Counter())[what] += 1
        return table

    def restarted_from(self) -> list[int]:
        """The trajectories after which some start went on."""
        return sorted({found.restarted_from for found in self.rounds} - {0})

    def plain(self) -> dict[str, Any]:
        """The results for machines."""
        return {
            "good": not self.faults,
            "rounds": [asdict(found) for found in self.rounds],
            "counts": {kind: dict(counter) for kind, counter in self.counts().items()},
            "came too late": self.late,
            "chains compared": self.chains,
            "restarted from": self.restarted_from(),
            "faults": self.faults,
        }


class Torture:
    """The undisturbed run in a workplace, and rounds against it."""

    def __init__(self, folder: Path, n_ranks: int, seed: int) -> None:
        self.place = Workplace(folder, compiled(folder), n_ranks)
        undisturbed = self.place.start(folder / "undisturbed")
        if undisturbed.code != 0:
            raise RuntimeError(f"the undisturbed run ended with {undisturbed.code}: {undisturbed.said}")
        self.reference = lines_of(folder / "undisturbed")
        assert len(self.reference) == TRAJECTORIES
        self.has_pointer = has_pointer(undisturbed.logs[0])
        seconds = [record["seconds"] for record in read_history(folder / "undisturbed" / "history.jsonl")]
        self.plan = Plan(undisturbed.logs, median(seconds), seed)
        self.results = Results()

    def run(self, n_rounds: int, say: Callable[[str], None] = print) -> Results:
        """The results of so many rounds, on as many chains as that takes."""
        while len(self.results.rounds) < n_rounds and len(self.results.wrong) < MOST_BROKEN_CHAINS:
            self.chain(self._drawn(n_rounds), say)
        return self.results

    def _drawn(self, n_rounds: int) -> Iterator[Disturbance]:
        while len(self.results.rounds) < n_rounds:
            yield self.plan.draw()

    def chain(self, disturbances: Iterator[Disturbance], say: Callable[[str], None] = print) -> None:
        """One chain, disturbed until the disturbances are at their end or it is done, then compared.

        Where something is wrong it gets one undisturbed start more.
        """
        run = self.place.folder / f"chain-{self.results.chains}"
        before, n_faults = State(0, 0, []), len(self.results.faults)
        for _ in range(MOST_STARTS):
            disturbance = next(disturbances, None) if len(self.results.faults) == n_faults else None
            if disturbance is None:
                ended = self.place.start(run)
            else:
                ended = self.place.start(run, disturbance.fault, disturbance.kill_after)
            after = state_of(run, self.reference)
            if disturbance is not None:
                self._note(disturbance, ended, run, (before, after), say)
            before = after
            if ended.code == 0 or disturbance is None:
                break
        self.results.chains += 1
        if ended.code != 0:
            self.results.wrong.append(f"{run.name} cannot be completed ({ended.code}): {ended.said[-600:]}")
        elif lines_of(run) != self.reference:
            self.results.wrong.append(f"{run.name}: its history is not that of the undisturbed run")
        elif len(self.results.faults) == n_faults:
            shutil.rmtree(run)

    def _note(
        self, disturbance: Disturbance, ended: Ended, run: Path, states: tuple[State, State], say: Callable[[str], None]
    ) -> None:
        """Enters the round, or one disturbance more that came too late."""
        before, after = states
        kind = disturbance.kind
        has_struck = ended.is_faulty or (disturbance.kill_after is not None and ended.code != 0)
        wrong = [*after.wrong, *manners(ended, run, kind.is_kill and has_struck)]
        if after.newest < before.newest:
            wrong.append(f"the newest checkpoint was {before.newest}, now it is {after.newest}")
        if not has_struck and not wrong:
            self.results.late += 1
            return
        if kind.is_kill:
            outcome = "killed"
        else:
            outcome = UNHARMED if ended.code == 0 else STOPPED_BY_FAULT if not wrong else f"exit code {ended.code}"
        place = place_of(ended.logs, after.n_lines, self.has_pointer)
        found = Round(
            len(self.results.rounds) + 1,
            str(disturbance),
            kind.name,
            place,
            outcome,
            restarted_from(ended.said),
            after.newest,
            wrong,
        )
        self.results.rounds.append(found)
        say(f"{found.number:3d}  {found.disturbance}: {found.outcome}, {place}, newest checkpoint {found.newest_after}")
        for text in wrong:
            say(f"     WRONG: {text}")
