"""What tests on several ranks share: one verdict of all ranks, and jobs of their own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from hpcgauge.comm.world import World

ROOT = Path(__file__).resolve().parents[2]
# Reasons to skip that are no fault of the suite; the suite counts them and says them aloud.
NO_GPU = "no CUDA device on this machine"
NO_CONFIGURATIONS = "no folder with shared configurations"
# Whatever a test starts takes seconds; longer than this, on a machine however busy, only if it hangs.
SECONDS_OF_A_HANG = 600.0
LAUNCHER_VARIABLES = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "MPI_LOCAL", "HYD", "SLURM_")


def agree(world: World, ok: object, message: str = "") -> None:
    """Returns if `ok` is true on every rank; else all ranks fail together and say which said no. Collective."""
    answers = world.allgather((bool(ok), message))
    wrong = [f"rank {rank}: {text or 'not so'}" for rank, (good, text) in enumerate(answers) if not good]
    if wrong:
        raise AssertionError("; ".join(wrong))


def clean_environment(**extra: str) -> dict[str, str]:
    """This environment without the variables of a launcher, for a process that shall not belong to this job."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHER_VARIABLES)}
    kept["PYTHONPATH"] = os.pathsep.join(item for item in (str(ROOT), kept.get("PYTHONPATH", "")) if item)
    return kept | extra


def run_job(n_ranks: int, command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """The finished job of `command` on its own ranks, with exit code and texts."""
    return subprocess.run(
        [ROOT / "tools" / "mpirun", "-n", str(n_ranks), *command],
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS_OF_A_HANG,
        check=False,
    )
