"""pytest as one rank of a job: python -m tests.support.one_rank FOLDER SECONDS [arguments of pytest].

Rank 0 prints; the others write to FOLDER. When a test takes longer than SECONDS, every rank shows where it stands, and
soon after it ends.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from pathlib import Path

import pytest

RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID")
SECONDS_TO_SHOW = 5.0


class Watch:
    """A plugin of pytest that limits the time of each test, and that before the first one."""

    def __init__(self, seconds: float) -> None:
        # pytest takes the descriptor 2 for itself.
        self.seconds, self.messages = seconds, os.dup(2)
        self.pytest_runtest_logstart()

    def pytest_runtest_logstart(self) -> None:
        """From here on the time counts anew."""
        faulthandler.dump_traceback_later(self.seconds, file=self.messages)
        # Later, as the first rank that ends takes the others with it.
        signal.setitimer(signal.ITIMER_REAL, self.seconds + SECONDS_TO_SHOW)


def main(folder: Path, seconds: float, arguments: list[str]) -> int:
    """The exit code of pytest."""
    rank = next((int(os.environ[name]) for name in RANK_VARIABLES if name in os.environ), 0)
    watch = Watch(seconds)
    if rank > 0:
        log = os.open(folder / f"rank-{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
    return int(pytest.main(arguments, plugins=[watch]))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
