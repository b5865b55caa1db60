"""The disturbances, and the drawing of them: what, on which rank, at which call or moment."""

from __future__ import annotations

import errno
import math
import random
from collections import Counter
from dataclasses import dataclass

from tests.support.faults.library import Event, Fault
from tests.support.torture.job import TRAJECTORIES

# A disturbance comes within so many trajectories, so that the chain goes on between two of them.
REACH = 2.0
SECONDS_OF_A_START = (0.3, 2.5)
MICROSECONDS_OF_A_TRAJECTORY = 60_000
# How much rarer than others are the calls that a whole run makes once.
RARE = 0.3
HISTORY = "history.jsonl"
ANY_CHANGE = ("write", "sync", "rename", "open", "truncate", "allocate", "unlink")


@dataclass(frozen=True)
class Kind:
    """A kind of disturbance: its name, how often it is drawn, calls and paths it may strike, what happens there."""

    name: str
    weight: float
    calls: tuple[str, ...] = ()
    action: str = ""
    errors: tuple[int, ...] = (0,)
    path: str = ""

    @property
    def is_kill(self) -> bool:
        """True if the job or a rank is killed."""
        return not self.action.startswith(("fail", "short"))


KINDS = (
    Kind("job killed at any moment", 2),
    Kind("job killed while it computes", 2, ("write",), "all-later", path=HISTORY),
    Kind("rank killed while it computes", 1, ("sync",), "kill-later"),
    Kind("job killed inside a write", 2, ("write",), "all-half"),
    Kind("rank killed inside a write", 2, ("write",), "kill-half"),
    Kind("job killed before a call", 2, ANY_CHANGE, "all-before"),
    Kind("rank killed before a call", 1, ANY_CHANGE, "kill-before"),
    Kind("job killed after a rename", 2, ("rename",), "all-after"),
    Kind("rank killed after a rename", 1, ("rename",), "kill-after"),
    Kind("disk full from a write on", 2, ("write",), "fail-from", (errno.ENOSPC, errno.EDQUOT)),
    Kind("a write fails", 2, ("write",), "fail", (errno.EIO, errno.ENOSPC)),
    Kind("a write is short", 1, ("write",), "short"),
    Kind("a flush fails", 2, ("sync",), "fail", (errno.EIO, errno.ENOSPC)),
    Kind("a rename fails", 2, ("rename",), "fail", (errno.EIO, errno.EACCES, errno.ENOSPC)),
    Kind("a file cannot be opened", 2, ("open",), "fail", (errno.EACCES, errno.EROFS, errno.EMFILE)),
    Kind("a file gets no size", 1, ("truncate",), "fail", (errno.EFBIG, errno.EIO)),
    Kind("no room on the disk", 1, ("allocate",), "fail", (errno.ENOSPC,)),
    Kind("room cannot be promised", 0.5, ("allocate",), "fail", (errno.EOPNOTSUPP,)),
    Kind("a file cannot be removed", 1, ("unlink",), "fail", (errno.EACCES, errno.EIO)),
)
KILLS = tuple(kind for kind in KINDS if kind.is_kill)


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

    def __init__(self, logs: list[list[Event]], seed: int) -> None:
        self._random = random.Random(seed)
        self._calls = Counter(
            (rank, event.call, event.kind)
            for rank, log in enumerate(logs)
            for event in log
            if event.word == "begin" and "locktest" not in event.path
        )

    def draw(self, kinds: tuple[Kind, ...] = KINDS) -> Disturbance:
        """The next disturbance, of one of these kinds."""
        kind = self._random.choices(kinds, [kind.weight for kind in kinds])[0]
        if not kind.calls:
            return Disturbance(kind, kill_after=self._random.uniform(*SECONDS_OF_A_START))
        sites = [site for site in self._calls if site[1] in kind.calls and site[2].startswith(kind.path)]
        weights = [1.0 if self._calls[site] >= TRAJECTORIES - 1 else RARE for site in sites]
        rank, call, pattern = self._random.choices(sites, weights)[0]
        number = self._number(self._calls[rank, call, pattern])
        return Disturbance(kind, Fault(rank, call, pattern, number, kind.action, self._argument(kind)))

    def _number(self, n_calls: int) -> int:
        """Which of these calls it is, within reach of the start."""
        return self._random.randint(1, max(1, math.ceil(min(n_calls, n_calls * REACH / TRAJECTORIES))))

    def _argument(self, kind: Kind) -> int:
        if kind.action.endswith("later"):
            return self._random.randrange(MICROSECONDS_OF_A_TRAJECTORY)
        return self._random.choice(kind.errors)
