"""A disk that fills up, or is not to be written to: the job ends with one sentence, and goes on where there is room."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from hpcgauge.comm.world import World
from hpcgauge.io.checkpoint import newest_valid
from tests.support.disk import own_disk
from tests.support.jobs import SMALL, described, lines_of, run_here, start_job, told_once

pytestmark = pytest.mark.hdf5
DISK = 2 << 20
# Done on every rank at one moment of the run.
AFTER_TRAJECTORY = """
import os, resource
from pathlib import Path
from hpcgauge.run.chain import ChainRun
record = ChainRun._record
def fill(path, room):
    with open(path, "wb", 0) as file:
        while True:
            try:
                file.write(bytes(4096))
            except OSError:
                break
        os.ftruncate(file.fileno(), max(0, file.tell() - room))
def recorded(self, line):
    record(self, line)
    if line["trajectory"] == 3:
        {what}
ChainRun._record = recorded
"""
# Beside a filler on a disk of its own; elsewhere no file can grow.
FILL = "self.lattice.world.rank or fill({filler!r}, {room})"
LIMIT = "resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, resource.RLIM_INFINITY))"
# Root may write anywhere, so it becomes nobody.
FORBID = "os.chmod({folder!r}, 0o500); os.geteuid() or os.seteuid(65534)"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The history when nothing happens."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run_here(described(*SMALL), folder, World.alone())
    return lines_of(folder)


def ends_and_goes_on(
    n_ranks: int, folder: Path, code: str, undisturbed: list[dict[str, Any]], changes: tuple[str, ...] = ()
) -> str:
    """The sentence of a job that ends with exit code 4, its last checkpoint whole."""
    job = start_job(n_ranks, folder, *SMALL, *changes, before=code)
    assert job.returncode == 4, job.stderr
    newest = newest_valid(folder / "checkpoint", World.alone())
    assert newest.path is not None and newest.path.name == "000002.h5" and not newest.messages
    assert lines_of(folder)[:2] == undisturbed[:2]
    assert "Traceback" not in job.stderr
    return told_once(job, n_ranks)


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("room", [0, 20000, 70000])
def test_a_full_disk(tmp_path: Path, undisturbed: list[dict[str, Any]], room: int, n_ranks: int) -> None:
    """With no room, with room for a part of the checkpoint, and with room for all of it but the seal."""
    disk = tmp_path / "disk"
    with own_disk(disk, DISK) as is_mounted:
        filler = disk / "filler"
        what = FILL.format(filler=str(filler), room=room) if is_mounted else LIMIT.format(room=max(room, 4096))
        folder = disk / "run"
        said = ends_and_goes_on(n_ranks, folder, AFTER_TRAJECTORY.format(what=what), undisturbed)
        assert re.search(r"OSError.*checkpoint.*could not be written.*[Ff]ree space", said)
        assert not list((folder / "checkpoint").glob("*.part"))
        filler.unlink(missing_ok=True)
        run_here(described(*SMALL), folder, World.alone())
        assert lines_of(folder) == undisturbed


def test_a_history_that_has_no_room(tmp_path: Path, undisturbed: list[dict[str, Any]]) -> None:
    """The checkpoint after it is not written either; what is there of the torn line is dropped."""
    disk, changes = tmp_path / "disk", ("checkpoint.every=2",)
    with own_disk(disk, DISK) as is_mounted:
        filler, folder = disk / "filler", disk / "run"
        what = FILL.format(filler=str(filler), room=0) if is_mounted else LIMIT.format(room=700)
        code = AFTER_TRAJECTORY.format(what=what)
        long = "\nrecorded_line = ChainRun._record\ndef longer(self, line):\n    recorded_line(self, line | "
        code += long + "({'note': 'x' * 9000} if line['trajectory'] == 4 else {}))\nChainRun._record = longer\n"
        said = ends_and_goes_on(1, folder, code, undisturbed, changes)
        assert re.search(r"OSError.*history\.jsonl could not be written.*free space", said)
        filler.unlink(missing_ok=True)
        run_here(described(*SMALL, *changes), folder, World.alone())
        assert lines_of(folder) == undisturbed


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_a_folder_that_may_not_be_written_to(tmp_path: Path, undisturbed: list[dict[str, Any]], n_ranks: int) -> None:
    folder = tmp_path / "run"
    what = FORBID.format(folder=str(folder / "checkpoint"))
    said = ends_and_goes_on(n_ranks, folder, AFTER_TRAJECTORY.format(what=what), undisturbed)
    assert re.search(r"Error.*could not be written.*writable", said)
    (folder / "checkpoint").chmod(0o700)
    run_here(described(*SMALL), folder, World.alone())
    assert lines_of(folder) == undisturbed
