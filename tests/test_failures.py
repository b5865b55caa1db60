"""What goes wrong ends the whole job: its exit code, one sentence, no rank that waits, the last checkpoint whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from hpcgauge.comm.world import World
from hpcgauge.errors import ConfigError, PhysicsError
from hpcgauge.io.checkpoint import newest_valid
from hpcgauge.io.folder import RunFolder
from tests.support.jobs import ONE_ONE_TWO, PLAIN, SMALL, described, lines_of, run_here, start_job, told_once
from tests.support.ranks import agree

AT = 3  # the trajectory at which something happens
# Done on one rank after that trajectory; that it came to this is noted.
AFTER_TRAJECTORY = """
import os, signal
from pathlib import Path
from hpcgauge.errors import PhysicsError
from hpcgauge.run.chain import ChainRun
record = ChainRun._record
def recorded(self, line):
    record(self, line)
    if line["trajectory"] == {at} and self.lattice.world.rank == {rank}:
        Path({moment!r}).touch()
        {what}
ChainRun._record = recorded
"""
# Done to the links of one rank at the end of that trajectory.
DAMAGED_LINKS = """
from pathlib import Path
import hpcgauge.sampler.hmc as hmc
integrate, done = hmc.integrate, []
def integrated(moves, U, P, gradients):
    integrate(moves, U, P, gradients)
    done.append(1)
    if len(done) == {at} and U.lattice.world.rank == {rank}:
        Path({moment!r}).touch()
        U.set_blocks(slice(0, 1), {what} * U.by_site[:1])
hmc.integrate = integrated
"""
FULL_DISK = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (40000, resource.RLIM_INFINITY))"
CAUSES = {
    "lost physics": (AFTER_TRAJECTORY, "raise PhysicsError('something is lost')", 3, "PhysicsError.*something is lost"),
    "a bug": (AFTER_TRAJECTORY, "1 / 0", 1, "ZeroDivisionError"),
    "a full disk": (AFTER_TRAJECTORY, FULL_DISK, 4, "OSError.*checkpoint.*"),
    "links off the group": (DAMAGED_LINKS, "1 + 1e-6", 3, "PhysicsError.*trajectory 3: links are off"),
    "links that are no numbers": (DAMAGED_LINKS, "float('nan')", 3, "PhysicsError.*nan"),
}


@pytest.fixture(scope="module")
def undisturbed(world: World, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The history of the small job when nothing happens."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run_here(described(*SMALL), folder, World.alone())
    return lines_of(folder)


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize(
    "cause", [pytest.param(name, marks=[pytest.mark.hdf5] if "disk" in name else []) for name in CAUSES]
)
def test_the_job_ends_and_can_go_on(
    tmp_path: Path, undisturbed: list[dict[str, Any]], cause: str, n_ranks: int
) -> None:
    code, what, exit_code, sentence = CAUSES[cause]
    folder, moment = tmp_path / "run", tmp_path / "moment"
    before = code.format(at=AT, rank=n_ranks - 1, what=what, moment=str(moment))
    job = start_job(n_ranks, folder, *SMALL, before=before)
    assert job.returncode == exit_code, job.stderr
    assert moment.is_file(), "nothing has happened"
    assert re.search(sentence, told_once(job, n_ranks))
    assert ("Traceback" in job.stderr) == (exit_code == 1)
    newest = newest_valid(folder / "checkpoint", World.alone())
    assert newest.path is not None and newest.path.name == "000002.h5" and not newest.messages
    assert lines_of(folder)[:2] == undisturbed[:2]
    run_here(described(*SMALL), folder, World.alone())
    assert lines_of(folder) == undisturbed


@pytest.mark.ranks
def test_an_unconverged_solver(world: World, shared_tmp_path: Path) -> None:
    """Too few steps are refused from the first force on; with enough of them the same folder serves."""
    few, enough = described(*SMALL, "solver.max_steps=3"), described(*SMALL)
    with pytest.raises(PhysicsError, match=r"residual 0\.\d+ in 3 steps, not 1e-12; raise solver\.max_steps"):
        run_here(few, shared_tmp_path, world)
    agree(world, not lines_of(shared_tmp_path))
    run_here(enough, shared_tmp_path, world)
    agree(world, len(lines_of(shared_tmp_path)) == 4)
    with pytest.raises(PhysicsError, match="in 3 steps"):
        run_here(described(*SMALL, "solver.max_steps=3", "chain.produce=3"), shared_tmp_path, world)
    agree(world, len(lines_of(shared_tmp_path)) == 4)


@pytest.mark.ranks
@pytest.mark.parametrize(
    "changes",
    [
        ("integrator.length=1e200",),
        ("integrator.length=1e200", *PLAIN, "action.fermion=null"),
        ("guide.fermion.0.weight=1e300",),
        ("guide.fermion.0.network={kind: covnet, layers: 1, parameters: [[1e200]]}",),
        ("training.rate=1e200", "training.weight_rate=1e200"),
    ],
)
def test_numbers_beyond_all_bounds(world: World, shared_tmp_path: Path, changes: tuple[str, ...]) -> None:
    with pytest.raises(PhysicsError):
        run_here(described(*SMALL, *changes), shared_tmp_path, world)
    agree(world, all(abs(line["dH"]) < 1e9 for line in lines_of(shared_tmp_path)))
    newest = newest_valid(shared_tmp_path / "checkpoint", world)
    agree(world, not newest.messages and (newest.path is not None) == bool(lines_of(shared_tmp_path)))


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("guide.fermion.0.mas=1", "guide.fermion.0.mass"),
        ("lattice.process_grid=[3, 1, 1, 1]", r"process_grid"),
        ("start=/dev/null", "/dev/null"),
    ],
)
def test_wrong_input(tmp_path: Path, change: str, sentence: str, n_ranks: int) -> None:
    job = start_job(n_ranks, tmp_path, *ONE_ONE_TWO, change)
    assert job.returncode == 2, job.stderr
    assert sentence in told_once(job, n_ranks) and "Traceback" not in job.stderr


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_a_folder_that_cannot_be_made(tmp_path: Path, n_ranks: int) -> None:
    job = start_job(n_ranks, Path("/proc/run"), *ONE_ONE_TWO)
    assert job.returncode == 4, job.stderr
    said = told_once(job, n_ranks)
    assert "/proc/run cannot be made" in said and "give another folder" in said and "Traceback" not in job.stderr


@pytest.mark.ranks
def test_folders_are_defended(world: World, shared_tmp_path: Path) -> None:
    """Against other physics, against a second run, and, with --fresh, against going on."""
    run_here(described(*SMALL), shared_tmp_path, world)
    before = lines_of(shared_tmp_path)
    other = described(*SMALL, "action.gauge.beta=2.6", "chain.seed=2", "chain.produce=1", "checkpoint.keep=5")
    values = r"action\.gauge\.beta \(2\.7, not 2\.6\), chain\.produce \(2, not 1\), chain\.seed \(1, not 2\);"
    with pytest.raises(ConfigError, match=f"started with another {values}"):
        run_here(other, shared_tmp_path, world)
    with pytest.raises(ConfigError, match="holds a checkpoint; --fresh wants a new folder"):
        run_here(described(*SMALL), shared_tmp_path, world, fresh=True)
    with RunFolder(shared_tmp_path, world), pytest.raises(ConfigError, match=r"is in use by process \d+ on .*--out"):
        run_here(described(*SMALL), shared_tmp_path, world)
    world.barrier()
    agree(world, lines_of(shared_tmp_path) == before)
    run_here(described(*SMALL), shared_tmp_path, world)
    agree(world, lines_of(shared_tmp_path) == before)
