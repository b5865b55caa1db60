"""The history of a run is the same, bit for bit, on any number of ranks and threads, also if the ranks change."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest

from hpcgauge.comm.world import World
from hpcgauge.run.chain import ChainRun
from tests.support.jobs import (
    ONE_ONE_TWO,
    PLAIN,
    SMALL,
    arguments,
    described,
    lines_of,
    on_rank_0,
    run_here,
    start_job,
)
from tests.support.ranks import ROOT, SECONDS_OF_A_HANG, agree, clean_environment

STOPPED = 75


@pytest.fixture(scope="module")
def alone(world: World, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The history of the quickstart on one rank and one thread, 1 + 1 + 2 trajectories. Collective."""
    folder = world.broadcast(tmp_path_factory.mktemp("alone"))
    on_rank_0(world, described(*ONE_ONE_TWO, "lattice.threads=1"), folder)
    return lines_of(folder)


@pytest.fixture(scope="module")
def small_alone(world: World, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The history of the small job on one rank. Collective."""
    folder = world.broadcast(tmp_path_factory.mktemp("small"))
    on_rank_0(world, described(*SMALL), folder)
    return lines_of(folder)


@pytest.mark.ranks
@pytest.mark.parametrize("threads", [1, 2])
def test_on_these_ranks(world: World, shared_tmp_path: Path, alone: list[dict[str, Any]], threads: int) -> None:
    """With two threads also on another process grid than the usual one."""
    grid = "auto" if threads == 1 else [min(2, world.size), max(1, world.size // 2), 1, 1]
    changes = (f"lattice.threads={threads}", f"lattice.process_grid={grid}")
    run_here(described(*ONE_ONE_TWO, *changes), shared_tmp_path, world)
    agree(world, [line["phase"] for line in alone] == ["thermalise", "train", "produce", "produce"])
    agree(world, lines_of(shared_tmp_path) == alone)


def test_threads_that_share_the_work(tmp_path: Path) -> None:
    """A lattice of that size keeps two threads busy; the quickstart's is too small for a second one."""
    changes = (*SMALL, *PLAIN, "chain.thermalise=0", "chain.produce=1", "lattice.extent=[8, 8, 8, 4]")
    for threads in (1, 2):
        run_here(described(*changes, f"lattice.threads={threads}"), tmp_path / str(threads), World.alone())
    assert lines_of(tmp_path / "1") == lines_of(tmp_path / "2") != []


def test_on_eight_ranks(tmp_path: Path, alone: list[dict[str, Any]]) -> None:
    job = start_job(8, tmp_path, *ONE_ONE_TWO)
    assert job.returncode == 0, job.stderr
    assert lines_of(tmp_path) == alone


@pytest.mark.ranks
@pytest.mark.parametrize("first_alone", [True, False])
def test_another_number_of_ranks_goes_on(
    world: World, shared_tmp_path: Path, alone: list[dict[str, Any]], first_alone: bool
) -> None:
    """Less production on one rank and more on all of them, or the other way round."""
    for produce in (1, 2):
        run = described(*ONE_ONE_TWO, f"chain.produce={produce}", "checkpoint.every=1")
        if (produce == 1) == first_alone:
            on_rank_0(world, run, shared_tmp_path)
        else:
            run_here(run, shared_tmp_path, world)
    agree(world, lines_of(shared_tmp_path) == alone)


@pytest.mark.ranks
@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_signal_to_one_rank_stops_all(
    world: World, shared_tmp_path: Path, small_alone: list[dict[str, Any]], after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last rank is asked in the middle of a phase or at its end; rank 0 alone goes on."""
    record = ChainRun._record

    def asked(self: ChainRun, line: dict[str, Any]) -> None:
        record(self, line)
        if line["trajectory"] == after and world.rank == world.size - 1:
            signal.raise_signal(signal.SIGUSR1)

    run = described(*SMALL)
    monkeypatch.setattr(ChainRun, "_record", asked)
    with pytest.raises(SystemExit) as stopped:
        run_here(run, shared_tmp_path, world)
    agree(world, stopped.value.code == STOPPED and lines_of(shared_tmp_path) == small_alone[:after])
    monkeypatch.setattr(ChainRun, "_record", record)
    on_rank_0(world, run, shared_tmp_path)
    agree(world, lines_of(shared_tmp_path) == small_alone)


@pytest.mark.parametrize(("n_ranks", "asking"), [(1, signal.SIGTERM), (2, signal.SIGUSR1)])
def test_a_job_that_is_asked_to_stop_exits_with_75(tmp_path: Path, n_ranks: int, asking: signal.Signals) -> None:
    """The signal goes to the process, or to the launcher, which passes it on."""
    folder, whole = tmp_path / "stopped", tmp_path / "whole"
    changes = (*SMALL, "chain.produce=5000", "checkpoint.every=1000")
    command = [sys.executable, "-m", "hpcgauge", *arguments(folder, *changes)]
    launcher = [str(ROOT / "tools" / "mpirun"), "-n", str(n_ranks)] if n_ranks > 1 else []
    with Popen([*launcher, *command], env=clean_environment(), stdout=PIPE, stderr=PIPE, text=True) as job:
        limit = time.monotonic() + SECONDS_OF_A_HANG
        while not (folder / "history.jsonl").exists() or len(lines_of(folder)) < 4:
            assert job.poll() is None and time.monotonic() < limit, job.communicate()[1]
            time.sleep(0.02)
        job.send_signal(asking)
        said = job.communicate(timeout=SECONDS_OF_A_HANG)[1]
    assert job.returncode == STOPPED, said
    done = len(lines_of(folder))
    assert f"stopped after trajectory {done}" in said and "Traceback" not in said
    assert (folder / "checkpoint" / f"{done:06d}.h5").is_file()
    run_here(described(*SMALL, f"chain.produce={done}"), whole, World.alone())
    assert lines_of(whole)[:done] == lines_of(folder)
