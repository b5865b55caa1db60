"""The world of ranks: questions to all, messages, and how a job ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from hpcgauge.comm.world import World, launcher_size
from hpcgauge.errors import ConfigError, DeviceError, FileFormatError, PhysicsError, exit_code
from tests.support.ranks import SECONDS_OF_A_HANG, agree, clean_environment, run_job

JOB = """
import sys
from hpcgauge.comm.world import World
from hpcgauge.errors import ConfigError, PhysicsError
world = World()
with world.guard():
    {body}
    world.barrier()
"""
# The rank that tells does not end the job before the other one does, which comes when that has told.
LATE = """
import time
from pathlib import Path
from hpcgauge.comm import world as module
from hpcgauge.errors import ConfigError
module.SECONDS_TO_BE_ENDED = 0
world, told = module.World(), Path({told!r})
def never(self, code):
    told.touch()
    time.sleep(600)
if world.rank == {first}:
    module.World.abort = never
with world.guard():
    while world.rank != {first} and not told.exists():
        time.sleep(0.01)
    raise ConfigError("beta = -1 must be positive")
"""
UNGUARDED = """
import sys
from hpcgauge.comm.world import World
World.alone(), World()
world = World()
{body}
world.barrier()
"""


@pytest.mark.ranks
def test_questions_to_all_ranks(world: World) -> None:
    last = world.rank == world.size - 1
    agree(world, world.any(last) and not world.any(False), "any")
    agree(world, world.all(True) and world.all(last) == (world.size == 1), "all")
    agree(world, world.broadcast({"from": world.rank}, root=world.size - 1) == {"from": world.size - 1}, "broadcast")
    agree(world, world.allgather(world.rank**2) == [rank**2 for rank in range(world.size)], "allgather")
    agree(world, 0 <= world.local_rank < world.local_size <= world.size, "local ranks")
    world.barrier()


@pytest.mark.ranks
def test_integer_sum_is_exact_and_in_place(world: World) -> None:
    array = numpy.array([2**53 + world.rank, -1, 2**40], dtype=numpy.int64)
    same = world.allreduce_int64(array)
    expected = [world.size * 2**53 + world.size * (world.size - 1) // 2, -world.size, world.size * 2**40]
    agree(world, same is array and array.tolist() == expected, str(array))
    for wrong in (numpy.zeros(3), numpy.zeros((4, 4), dtype=numpy.int64).T[1:, :2]):
        with pytest.raises(ValueError, match="int64"):
            world.allreduce_int64(wrong)


@pytest.mark.ranks
def test_gathered_arrays_keep_shape_and_type(world: World) -> None:
    local = numpy.full((world.rank + 1, 2), world.rank + 1j)
    pieces = world.gather_arrays(local)
    good = [bool((piece == rank + 1j).all()) and piece.shape == (rank + 1, 2) for rank, piece in enumerate(pieces)]
    agree(world, all(good) and len(good) == world.size and pieces[0].dtype == local.dtype, str(good))


@pytest.mark.ranks
def test_gathered_arrays_of_two_types_are_refused_everywhere(world: World) -> None:
    local = numpy.zeros(3, dtype="float32" if world.rank == 0 else "float64")
    if world.size == 1:
        agree(world, world.gather_arrays(local)[0].dtype == numpy.float32)
        return
    with pytest.raises(ValueError, match="number type"):
        world.gather_arrays(local)


def run_alone(program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The finished Python program, started without a launcher but with these variables."""
    command = [sys.executable, "-c", program]
    environment = clean_environment(**variables)
    limit = SECONDS_OF_A_HANG
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=limit)


def test_one_rank_never_loads_mpi() -> None:
    answer = run_alone(
        "import sys; from hpcgauge.comm.world import World; World(); World.alone(); print('mpi4py' in sys.modules)"
    )
    assert answer.stdout.strip() == "False", answer.stderr


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, 4),
        ({"PMI_SIZE": "3", "MPI_LOCALNRANKS": "3"}, 3),
        ({"PMIX_RANK": "0"}, 0),
        ({"SLURM_NTASKS": "8", "SLURM_JOB_ID": "7"}, None),
        ({"SLURM_NTASKS": "8", "SLURM_STEP_ID": "0"}, 8),
        ({"SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_ID": "1"}, 2),
        ({"SLURM_NTASKS": "8", "SLURM_STEP_ID": "4294967290"}, None),
    ],
)
def test_launcher_is_recognised(environment: dict[str, str], expected: int | None) -> None:
    assert launcher_size(environment) == expected


@pytest.mark.parametrize("variable", ["PMI_SIZE", "FLUX_JOB_SIZE"])
def test_foreign_launcher_is_an_error_with_both_numbers(variable: str) -> None:
    """A process that a launcher counts among three, and whose MPI knows no other."""
    answer = run_alone("from hpcgauge.comm.world import World; World()", **{variable: "3"})
    assert answer.returncode != 0
    if "MPICH" not in answer.stderr:  # that one ends the process itself
        assert "DeviceError: the launcher started 3 processes, but MPI sees 1" in answer.stderr
        assert "tools/mpirun" in answer.stderr


def test_error_on_one_rank_ends_the_job_with_its_message(tmp_path: Path) -> None:
    program = tmp_path / "job.py"
    program.write_text(JOB.format(body="if world.rank == 1: raise PhysicsError('the action is NaN')"))
    job = run_job(2, ["python", program])
    assert job.returncode == 3, job.stderr
    assert "hpcgauge: PhysicsError (rank 1 of 2): the action is NaN" in job.stderr
    assert "Traceback" not in job.stderr


def test_bug_on_one_rank_shows_its_traceback(tmp_path: Path) -> None:
    program = tmp_path / "job.py"
    program.write_text(JOB.format(body="if world.rank == 0: raise KeyError('a bug')"))
    job = run_job(2, ["python", program])
    assert job.returncode == 1, job.stderr
    assert "Traceback" in job.stderr and "KeyError (rank 0 of 2)" in job.stderr


def test_error_of_all_ranks_is_told_once(tmp_path: Path) -> None:
    program = tmp_path / "job.py"
    program.write_text(JOB.format(body="raise ConfigError('beta = -1 must be positive')"))
    job = run_job(2, ["python", program])
    assert job.returncode == 2, job.stderr
    assert job.stderr.count("beta = -1 must be positive") == 1


@pytest.mark.parametrize("first", [0, 1])
def test_who_comes_first_tells_alone(tmp_path: Path, first: int) -> None:
    """The other rank knows, however late it comes and however long the end of the job takes."""
    program = tmp_path / "job.py"
    program.write_text(LATE.format(first=first, told=str(tmp_path / "told")))
    job = run_job(2, ["python", program])
    assert job.returncode == 2 and job.stderr.count("beta = -1") == 1, job.stderr
    assert f"hpcgauge: ConfigError (rank {first} of 2): beta = -1" in job.stderr


@pytest.mark.parametrize(
    ("error", "code"), [("ValueError('beta is gone')", 2), ("KeyboardInterrupt", 130), ("KeyError('a bug')", 1)]
)
def test_uncaught_error_of_a_program_ends_the_job(tmp_path: Path, error: str, code: int) -> None:
    """One rank raises while the other waits for it, without a guard."""
    program = tmp_path / "job.py"
    program.write_text(UNGUARDED.format(body=f"if world.rank == 1: raise {error}"))
    job = run_job(2, ["python", program])
    name = error.partition("(")[0]
    assert job.returncode == code, job.stderr
    assert "Traceback" in job.stderr and job.stderr.count(f"{name} (rank 1 of 2) ends the job") == 1
    assert "beta is gone" in job.stderr or code != 2


def test_program_of_several_ranks_leaves_in_peace(tmp_path: Path) -> None:
    program = tmp_path / "job.py"
    program.write_text(UNGUARDED.format(body="sys.exit(0 if sys.excepthook.former is sys.__excepthook__ else 9)"))
    job = run_job(2, ["python", program])
    assert job.returncode == 0 and "ends the job" not in job.stderr, job.stderr


def test_alone_leaves_the_hook_of_errors() -> None:
    before = sys.excepthook
    World.alone()
    assert sys.excepthook is before


def test_guard_alone_exits_with_the_code_of_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, World.alone().guard():
        raise DeviceError("no compiler: install g++")
    assert ended.value.code == 4
    assert capsys.readouterr().err == "hpcgauge: DeviceError: no compiler: install g++\n"
    with pytest.raises(SystemExit) as ended, World.alone().guard():
        raise SystemExit(75)
    assert ended.value.code == 75


def test_exit_codes() -> None:
    errors = [ConfigError(), FileFormatError(), ValueError(), PhysicsError(), DeviceError(), OSError(), KeyError()]
    assert [exit_code(error) for error in errors] == [2, 2, 2, 3, 4, 4, 1]
