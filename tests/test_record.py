"""The record of a run: every digit kept, never a torn or doubled line; and its folder: one run at a time."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcgauge.comm.world import World
from hpcgauge.errors import ConfigError, FileFormatError, PhysicsError
from hpcgauge.io.agreement import on_every_rank, on_root
from hpcgauge.io.folder import RunFolder
from hpcgauge.io.record import BEGINNING, History, read_history
from tests.support.disk import small_disk
from tests.support.ranks import SECONDS_OF_A_HANG, agree, clean_environment


@pytest.mark.ranks
def test_lines_are_appended_and_the_file_is_cut_to_a_mark(world: World, shared_tmp_path: Path) -> None:
    path = shared_tmp_path / "history.jsonl"
    history = History(path, world)
    records = [{"trajectory": i, "dH": numpy.float64(1) / (3 + i), "accepted": bool(i % 2)} for i in range(6)]
    for record in records[:3]:
        history.append(record)
    mark = history.mark()
    for record in records[3:5]:
        history.append(record)
    if world.rank == 0:
        with path.open("ab") as file:
            file.write(b'{"trajectory": 5, "dH": 0.')
    world.barrier()
    again = History(path, world)
    again.truncate_to(mark)
    agree(world, again.mark() == mark, "the mark after truncation")
    again.append(records[5])
    again.mark()
    agree(world, read_history(path) == [*records[:3], records[5]], f"{read_history(path)}")
    again.truncate_to(BEGINNING)
    agree(world, read_history(path) == [], "the beginning")


@pytest.mark.ranks
def test_a_changed_history_is_refused(world: World, shared_tmp_path: Path) -> None:
    path = shared_tmp_path / "history.jsonl"
    history = History(path, world)
    history.append({"trajectory": 1, "dH": 0.5})
    mark = history.mark()
    if world.rank == 0:
        path.write_bytes(path.read_bytes().replace(b"5", b"6"))
    world.barrier()
    for content in (None, b""):
        if world.rank == 0 and content is not None:
            path.write_bytes(content)
        world.barrier()
        with pytest.raises(FileFormatError, match=r"do not start with the 2\d bytes the checkpoint was written with"):
            History(path, world).truncate_to(mark)


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_floats_keep_all_their_digits(tmp_path: Path, value: float) -> None:
    path = tmp_path / "history.jsonl"
    path.unlink(missing_ok=True)
    History(path, World.alone()).append({"trajectory": 1, "dH": numpy.float64(value), "one": {"value": value}})
    [found] = read_history(path)
    assert repr(found["dH"]) == repr(value) and repr(found["one"]["value"]) == repr(value)


@pytest.mark.parametrize("value", [float("nan"), numpy.float64("inf"), {"value": float("nan")}])
def test_a_number_that_is_not_finite_is_lost_physics(tmp_path: Path, value: object) -> None:
    history = History(tmp_path / "history.jsonl", World.alone())
    with pytest.raises(PhysicsError, match=r"trajectory 7: dH = .*(nan|inf)"):
        history.append({"trajectory": 7, "dH": value})
    assert read_history(history.path) == []


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl", World.alone())
    history.append({"trajectory": 1})
    with (
        small_disk(20),
        pytest.raises(OSError, match=r"history.jsonl could not be written \(File too large\); free space"),
    ):
        history.append({"trajectory": 2})
    history.append({"trajectory": 2})
    assert read_history(history.path) == [{"trajectory": 1}, {"trajectory": 2}]


def test_a_torn_last_line_is_left_out_and_a_torn_line_before_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(b'{"trajectory": 1}\n{"traj')
    assert read_history(path) == [{"trajectory": 1}]
    path.write_bytes(b'{"trajectory": 1}\n{"traj\n{"trajectory": 3}\n')
    with pytest.raises(FileFormatError, match="line 2 is no JSON"):
        read_history(path)


@pytest.mark.ranks
def test_a_second_run_is_kept_out(world: World, shared_tmp_path: Path) -> None:
    path = shared_tmp_path / "runs" / "first"
    with RunFolder(path, world):
        second = RunFolder(path, world)
        with pytest.raises(ConfigError, match=r"is in use by process \d+ on .*; wait until that run has ended"):
            second.lock()
    # The rank that leaves the block first must not find the lock still held by rank 0.
    world.barrier()
    second.lock()
    second.unlock()
    agree(world, (path / "lock").is_file(), "the file stays")


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has locked the folder."""
    program = (
        "import os, sys; from hpcgauge.comm.world import World; from hpcgauge.io.folder import RunFolder\n"
        "RunFolder(sys.argv[1], World.alone()).lock(); print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(
        command, env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "locked\n"
        yield process


def test_the_lock_ends_with_its_process(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    folder = RunFolder(tmp_path, World.alone())
    with pytest.raises(ConfigError, match=f"is in use by process {other.pid} on "):
        folder.lock()
    other.kill()
    other.wait()
    folder.lock()
    folder.unlock()


def test_the_next_run_waits_for_the_end_of_the_last(
    tmp_path: Path, other: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpcgauge.io.folder.SECONDS_FOR_THE_LAST", SECONDS_OF_A_HANG)
    end = threading.Timer(0.5, other.kill)
    end.start()
    folder = RunFolder(tmp_path, World.alone())
    folder.lock()
    end.join()
    assert other.wait() == -signal.SIGKILL
    folder.unlock()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file; give a folder"):
        RunFolder(tmp_path / "file", World.alone())


@pytest.mark.ranks
@pytest.mark.parametrize("kind", [FileFormatError, ConfigError, PhysicsError, OSError])
def test_what_fails_on_one_rank_fails_on_all(world: World, kind: type[Exception]) -> None:
    last = world.size - 1

    def fail(rank: int) -> int:
        if world.rank == rank:
            raise kind("the reason")
        return world.rank

    with pytest.raises(kind, match="the reason"):
        on_every_rank(world, lambda: fail(last))
    with pytest.raises(kind, match="the reason"):
        on_root(world, lambda: fail(0))
    agree(world, on_root(world, lambda: 5 + world.rank) == 5, "what rank 0 returned")
