"""A job of two ranks that is killed and hindered goes on to the history of the undisturbed run."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from itertools import cycle

import pytest

from tests.support.faults.library import Fault
from tests.support.torture.places import RENAMES, TRAINING, WRITE
from tests.support.torture.plan import NAMED, Disturbance
from tests.support.torture.rounds import STOPPED_BY_FAULT, Torture

pytestmark = pytest.mark.host

KILLS = (
    "job killed inside a write",
    "job killed while it computes",
    "job killed after a rename",
    "rank killed inside a write",
    "job killed while it computes",
    "rank killed while it computes",
    "job killed after a rename",
    "job killed before a call",
    "job killed while it computes",
    "job killed at any moment",
)
# Random moments may miss a place: then there are a few kills more.
MOST_KILLS, MOST_CHAINS = 100, 20
N_CHECKPOINTS = 5
# Each strikes at the next checkpoint.
FAULTS = {
    "a write fails": Fault(0, "write", "checkpoint/000002*", 2, "fail", errno.EIO),
    "disk full from a write on": Fault(1, "write", "checkpoint/000003*", 3, "fail-from", errno.ENOSPC),
    "a flush fails": Fault(0, "sync", "checkpoint/000004*", 1, "fail", errno.EIO),
    "a rename fails": Fault(0, "rename", "checkpoint/000005*", 1, "fail", errno.EACCES),
    "no room on the disk": Fault(0, "allocate", "checkpoint/000006*", 1, "fail", errno.ENOSPC),
}


@pytest.fixture(scope="module")
def torture(tmp_path_factory: pytest.TempPathFactory) -> Torture:
    """A workplace with the undisturbed run."""
    return Torture(tmp_path_factory.mktemp("torture"), n_ranks=2, seed=1)


def test_ten_kills_at_random_moments(torture: Torture) -> None:
    """Inside a write, between renames, inside training; the job goes on from five checkpoints or more."""
    first = len(torture.results.rounds)

    def is_enough() -> bool:
        found = torture.results.rounds[first:]
        places = {round.place for round in found}
        return (
            len(found) >= len(KILLS)
            and {WRITE, RENAMES, TRAINING} <= places
            and len(torture.results.restarted_from()) >= N_CHECKPOINTS
        )

    def kills() -> Iterator[Disturbance]:
        for _, name in zip(range(MOST_KILLS), cycle(KILLS), strict=False):
            if is_enough():
                return
            yield torture.plan.draw((NAMED[name],), "checkpoint/")

    remaining = kills()
    for _ in range(MOST_CHAINS):
        if not is_enough():
            torture.chain(remaining)
    assert not torture.results.faults and is_enough()


def test_a_disk_that_fails_loses_nothing(torture: Torture) -> None:
    first = len(torture.results.rounds)
    torture.chain(Disturbance(NAMED[name], fault) for name, fault in FAULTS.items())
    assert not torture.results.faults
    found = torture.results.rounds[first:]
    assert [(r.outcome, r.newest_after) for r in found] == [(STOPPED_BY_FAULT, n) for n in range(1, len(FAULTS) + 1)]
