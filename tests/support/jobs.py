"""Whole jobs of small size: configurations, runs in this process, jobs of their own, and what they wrote."""

from __future__ import annotations

import fcntl
import io
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from hpcgauge.comm.world import World
from hpcgauge.config import Run, load
from hpcgauge.io.record import read_history
from hpcgauge.run import run
from tests.support.ranks import ROOT, SECONDS_OF_A_HANG, clean_environment, run_job

QUICKSTART = ROOT / "configs" / "quickstart.yaml"
# One trajectory, one update, two trajectories of physics.
ONE_ONE_TWO = ("chain.thermalise=1", "chain.train=1", "chain.produce=2", "integrator.steps=2", "control=none")
# The same of a second or less: heavy quarks, one layer of reach 1, a checkpoint after each trajectory.
SMALL = (
    *ONE_ONE_TWO,
    "action.fermion.mass=1.0",
    "guide.fermion.0.mass=1.1",
    "guide.fermion.0.network={kind: cask, layers: 1, reach: 1, start_scale: 0.01}",
    "checkpoint.every=1",
    "lattice.threads=1",
)
# All controls, the reference and all measurements
EVERYTHING = (
    *SMALL,
    "chain.train=2",
    "chain.produce=3",
    "control={which: [nothing, weight, stout, network_alone], reference: {thermalise: 1, produce: 3}}",
    "measure.condensate={every: 2, sources: 2}",
    "measure.loops={every: 1, largest: 2}",
)
PLAIN = ("guide=null", "training=null", "chain.train=0")


@dataclass(frozen=True)
class Finished:
    """The results of a job and what it said."""

    results: dict[str, Any]
    said: str


def described(*changes: str, config: Path = QUICKSTART) -> Run:
    """The configuration with changes."""
    return load(config, changes)


def run_here(configuration: Run, folder: Path, world: World, fresh: bool = False) -> Finished:
    """A finished job on the ranks of `world`, in this process. Collective."""
    said = io.StringIO()
    results = run(configuration, folder, fresh, Console(file=said, width=400), world)
    return Finished(results, said.getvalue())


def on_rank_0(world: World, configuration: Run, folder: Path) -> None:
    """Nothing, once rank 0 has run the configuration alone. Collective."""
    if world.rank == 0:
        run_here(configuration, folder, World.alone())
    world.barrier()


def lines_of(folder: Path) -> list[dict[str, Any]]:
    """The history without its times."""
    records = read_history(folder / "history.jsonl")
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records]


def arguments(folder: Path, *changes: str, config: Path = QUICKSTART) -> list[str]:
    """The arguments of `hpcgauge` for this job."""
    return ["run", str(config), "--out", str(folder), *(item for change in changes for item in ("--set", change))]


def start_job(n_ranks: int, folder: Path, *changes: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """The finished job `hpcgauge run` on ranks of its own, after the Python lines `before` on each of them."""
    code = f"{before}\nfrom hpcgauge.__main__ import main\nmain()"
    command = [sys.executable, "-c", code, *arguments(folder, *changes)]
    if n_ranks > 1:
        job = run_job(n_ranks, command)
        wait_for_the_last(folder)
        return job
    limit = SECONDS_OF_A_HANG
    return subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=limit, check=False)


def wait_for_the_last(folder: Path) -> None:
    """Returns when no rank of an ended job holds the folder: a launcher that kills its ranks may end before them."""
    if (folder / "lock").is_file():
        with (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)


def told_once(job: subprocess.CompletedProcess[str], n_ranks: int) -> str:
    """The sentence of the job's failure, which is told by one rank."""
    sentences = re.findall(r"hpcgauge: \w+.*: .*", job.stderr)  # the launcher's words may stand on the same line
    assert len(sentences) == 1, job.stderr
    assert (f"of {n_ranks})" in sentences[0]) == (n_ranks > 1)
    return sentences[0]
