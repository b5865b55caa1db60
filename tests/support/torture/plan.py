"""The disturbances, and the drawing of them: what, on which rank, at which call or moment."""

from __future__ import annotations

import errno
import math
import random
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from tests.support.faults.library import Event, Fault
from tests.support.torture.job import TRAJECTORIES

# A disturbance comes within so many trajectories, so that the chain goes on between two of them.
REACH = 2.0
SECONDS_OF_A_START = (0.3, 2.5)
# How much rarer than others are the calls that a whole run makes once.
RARE = 0.1
# Calls that are missing after the first checkpoints: there is nothing old to remove.
KEPT = 3
HISTORY = "history.jsonl"
ANY_CHANGE = ("write", "sync", "rename", "open", "open-mpi", "truncate", "allocate", "unlink")


@dataclass(frozen=True)
class Kind:
    """A kind of disturbance: its name, how often it is drawn, calls and paths it may strike, what happens there."""

    name: str
    weight: float
    calls: tuple[str, ...] = ()
    action: str = ""
    errors: tuple[int, ...] = (0,)

    @property
    def is_kill(self) -> bool:
        """True if the job or a rank is killed."""
        return not self.action.startswith(("fail", "short"))


KINDS = (
    Kind("job killed at any moment", 2),
    Kind("job killed while it computes", 3, ANY_CHANGE, "all-later"),
    Kind("rank killed while it computes", 1, ANY_CHANGE, "kill-later"),
    Kind("job killed inside a write", 2, ("write",), "all-half"),
    Kind("rank killed inside a write", 2, ("write",), "kill-half"),
    Kind("job killed before a call", 2, ANY_CHANGE, "all-before"),
    Kind("rank killed before a call", 1, ANY_CHANGE, "kill-before"),
    Kind("job killed after a rename", 2, ("rename",), "all-after"),
    Kind("rank killed after a rename", 1, ("rename",), "kill-after"),
    Kind("disk full from a write on", 2, ("write",), "fail-from", (errno.ENOSPC, errno.EDQUOT)),
    Kind("a write fails", 2, ("write",), "fail", (errno.EIO, errno.ENOSPC)),
    Kind("a write is short", 0.5, ("write",), "short"),
    Kind("a flush fails", 2, ("sync",), "fail", (errno.EIO, errno.ENOSPC)),
    Kind("a rename fails", 2, ("rename",), "fail", (errno.EIO, errno.EACCES, errno.ENOSPC)),
    Kind("a file cannot be opened", 2, ("open",), "fail", (errno.EACCES, errno.EROFS, errno.EMFILE)),
    Kind("a file gets no size", 1, ("truncate",), "fail", (errno.EFBIG, errno.EIO)),
    Kind("no room on the disk", 1, ("allocate",), "fail", (errno.ENOSPC,)),
    Kind("room cannot be promised", 0.3, ("allocate",), "fail", (errno.EOPNOTSUPP,)),
    Kind("a file cannot be removed", 1, ("unlink",), "fail", (errno.EACCES, errno.EIO)),
)
NAMED = {kind.name: kind for kind in KINDS}


@dataclass(frozen=True)
class Disturbance:
    """One disturbance: a fault, or a kill of the whole job after so many seconds."""

    kind: Kind
    fault: Fault | None = None
    kill_after: float | None = None

    def __str__(self) -> str:
        return f"{self.kind.name} ({self.fault or f'after {self.kill_after:.2f} s'})"


class Plan:
    """Disturbances drawn from a seed, at the calls that the undisturbed job has made."""

    def __init__(self, logs: list[list[Event]], seconds: float, seed: int) -> None:
        """`seconds`: those of a trajectory there."""
        self._random, self._seconds = random.Random(seed), seconds
        made = [[e for e in log if e.word == "begin" and "locktest" not in e.path] for log in logs]
        self._calls = Counter((rank, event.call, event.kind) for rank, log in enumerate(made) for event in log)
        self._before_computing = _before_computing(made)

    def draw(self, kinds: tuple[Kind, ...] = KINDS, path: str = "") -> Disturbance:
        """The next disturbance, of one of these kinds, at files whose path begins so."""
        kind = self._random.choices(kinds, [kind.weight for kind in kinds])[0]
        if not kind.calls:
            return Disturbance(kind, kill_after=self._random.uniform(*SECONDS_OF_A_START))
        site, number = self._site(kind, path)
        if kind.action.endswith("later"):
            argument = int(1e6 * self._seconds * self._random.random())
        else:
            argument = self._random.choice(kind.errors)
        return Disturbance(kind, Fault(*site, number, kind.action, argument))

    def _site(self, kind: Kind, path: str) -> tuple[tuple[int, str, str], int]:
        """A call that this kind strikes, and which one of its kind it is, within reach of the start."""
        if kind.action.endswith("later"):
            sites = [self._before_computing[0 if kind.action.startswith("all") else -1]]
        else:
            sites = [site for site in self._calls if site[1] in kind.calls and site[2].startswith(path)]
        weights = [1.0 if self._calls[site] >= TRAJECTORIES - KEPT else RARE for site in sites]
        site = self._random.choices(sites, weights)[0]
        n_calls = self._calls[site]
        number = self._random.randint(1, max(1, math.ceil(min(n_calls, n_calls * REACH / TRAJECTORIES))))
        return site, number


def _before_computing(made: list[list[Event]]) -> list[tuple[int, str, str]]:
    """The call of each rank that comes last before most trajectories."""
    first = Counter((0, a.call, a.kind) for a, b in pairwise(made[0]) if b.path == HISTORY != a.path)
    others = [
        Counter((rank, a.call, a.kind) for a, b in pairwise(log) if "part" in b.path and a.path != b.path)
        for rank, log in enumerate(made[1:], start=1)
    ]
    return [counter.most_common(1)[0][0] for counter in (first, *others) if counter]
