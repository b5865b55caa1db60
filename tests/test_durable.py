"""Files that two processes write at once, what killed writers leave, and what is said when the disk fails."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest

import hpcgauge as hg
from hpcgauge.comm.world import World
from hpcgauge.io.checkpoint import write_checkpoint
from hpcgauge.io.container import Contents, verify_container, write_container
from hpcgauge.io.distributed import Distributed
from hpcgauge.io.durable import DAY, beside, publish, put_text
from hpcgauge.io.gauge.links import read_links, write_links
from tests.support.faults.library import Fault, compiled, events, variables
from tests.support.ranks import ROOT, SECONDS_OF_A_HANG, agree, clean_environment

pytestmark = pytest.mark.hdf5
KINDS = ("text", "container", "ildg", "hdf5")
JOBS = [(kind, 1) for kind in KINDS] + [("container", 2), ("ildg", 2)]
# Waits before the file gets its name until the other process, too, has written all of it.
MEETING = """
import sys, time
from pathlib import Path
from hpcgauge.comm.world import World
from hpcgauge.io import container, durable
from hpcgauge.io.gauge import writer
from tests.test_durable import write
publish, folder = durable.publish, Path(sys.argv[2]).parent
def met(path, **given):
    (folder.parent / f"ready.{sys.argv[3]}").touch()
    while len(list(folder.parent.glob("ready.*"))) < 2: time.sleep(0.01)
    assert len(list(folder.glob("*.part"))) == 2 or path.exists()
    publish(path, **given)
durable.publish = container.publish = writer.publish = met
write(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), World())
"""
PLAIN = """
import sys
from pathlib import Path
from hpcgauge.comm.world import World
from tests.test_durable import write
try:
    write(sys.argv[1], Path(sys.argv[2]), 2, World())
except OSError as error:
    print(f"said: {error}")
"""


def write(kind: str, path: Path, seed: int, world: World) -> None:
    """Writes a file of this kind, other contents for each seed. Collective."""
    if kind == "text":
        if world.rank == 0:
            put_text(path, f"{seed}\n")
    elif kind == "container":
        part = Distributed((16 * world.size,), (16 * world.rank,), numpy.full(16, float(seed)))
        write_container(path, world, "checkpoint", Contents({"numbers": part}))
    else:
        write_links(hg.Links.hot(hg.Lattice((4, 2, 4, 4), 2, world), seed), path, kind, overwrite=True)


def command(program: str, n_ranks: int, *words: object) -> list[str]:
    """A program of the texts above on so many ranks."""
    launched = [str(ROOT / "tools" / "mpirun"), "-n", str(n_ranks)] if n_ranks > 1 else []
    return [*launched, sys.executable, "-c", program, *map(str, words)]


@pytest.mark.parametrize(("kind", "n_ranks"), JOBS)
def test_two_processes_that_write_the_same_file(tmp_path: Path, kind: str, n_ranks: int) -> None:
    """Both end well, and the file is that of one of them, whole."""
    folder = tmp_path / "folder"
    folder.mkdir()
    path, pipe = folder / "file", subprocess.PIPE
    jobs = [
        subprocess.Popen(command(MEETING, n_ranks, kind, path, seed), env=clean_environment(), stderr=pipe)
        for seed in (1, 2)
    ]
    for job in jobs:
        _, said = job.communicate(timeout=SECONDS_OF_A_HANG)
        assert job.returncode == 0, said.decode()
    assert os.listdir(folder) == ["file"]
    if kind == "text":
        assert path.read_text() in ("1\n", "2\n")
    elif kind == "container":
        verify_container(path, World.alone(), "checkpoint")
    else:
        expected = [hg.Links.hot(hg.Lattice((4, 2, 4, 4), 2), seed).to_numpy() for seed in (1, 2)]
        assert any(numpy.array_equal(read_links(path).to_numpy(), links) for links in expected)


@pytest.mark.ranks
@pytest.mark.parametrize("kind", KINDS)
def test_what_dead_writers_left_is_removed_and_no_other(world: World, shared_tmp_path: Path, kind: str) -> None:
    """The next one that writes into the folder removes what belongs to no process that can be alive."""
    folder = shared_tmp_path
    alive = beside(folder / "field").name
    dead_process = subprocess.Popen([sys.executable, "-c", ""])
    dead_process.wait()
    dead = alive.replace(f"-{os.getpid()}-", f"-{dead_process.pid}-")
    elsewhere = alive.replace(os.uname().nodename, "elsewhere")
    long_ago, kept = alive.replace(os.uname().nodename, "long.ago"), ["mine.part", "field.2.part", alive, elsewhere]
    if world.rank == 0:
        for name in (*kept, dead, long_ago, f"{dead}.locktest.0"):
            (folder / name).write_bytes(b"a part")
        for name in ("mine.part", "field.2.part", long_ago):
            os.utime(folder / name, (0, time.time() - 1.01 * DAY))
        kept += ["file"]
    world.barrier()
    write(kind, folder / "file", 1, world)
    world.barrier()
    left = sorted(os.listdir(folder))
    agree(world, world.rank > 0 or left == sorted(kept), f"{left}")


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_removed_before_room_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Else it might be what fills the disk. What cannot be looked at does not keep the rest."""
    dead_process = subprocess.Popen([sys.executable, "-c", ""])
    dead_process.wait()
    name = beside(tmp_path / "field").name.replace(f"-{os.getpid()}-", f"-{dead_process.pid}-")
    dead = [tmp_path / f"{k}{name}" for k in range(8)]
    for path in dead[1:]:
        path.write_bytes(b"a part")
    dead[0].mkdir()  # cannot be unlinked
    left, really_open = [], os.open

    def opened(path: str | Path, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT and str(path).endswith(".part"):
            left.append([path for path in dead if path.exists()])
        return really_open(path, flags, *mode)

    monkeypatch.setattr(os, "open", opened)
    write(kind, tmp_path / "file", 1, World.alone())
    assert left == [dead[:1]]


@pytest.mark.ranks
def test_interrupted_writes_are_removed_before_the_next(
    world: World, shared_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever began them, from another machine too: they take the room that it needs."""
    left = shared_tmp_path / "000001.h5.hpcgauge-1-elsewhere-1.part"
    if world.rank == 0:
        left.write_bytes(b"interrupted")
    world.barrier()
    is_there = []
    monkeypatch.setattr(
        "hpcgauge.io.checkpoint.write_container",
        lambda *given: (is_there.append(left.exists()), write_container(*given)),
    )
    part = Distributed((16 * world.size,), (16 * world.rank,), numpy.ones(16))
    write_checkpoint(shared_tmp_path, 2, world, Contents({"numbers": part}))
    agree(world, is_there == [False], "gone before")


def test_what_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """Where an existing file is refused, it is so at the end too."""
    path = tmp_path / "file"
    beside(path).write_text("new")
    publish(path, is_new=True)
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["file"]
    beside(path).write_text("newer")
    with pytest.raises(FileExistsError):
        publish(path, is_new=True)
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("stays", [True, False])
def test_links_are_not_lost_silently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stays: bool) -> None:
    """Another job takes the name at the last moment, and may give it up again."""
    path, link = tmp_path / "file", os.link

    def linked(source: Path, target: Path) -> None:
        target.write_text("of another job")
        try:
            link(source, target)
        finally:
            if not stays:
                target.unlink()

    monkeypatch.setattr(os, "link", linked)
    with pytest.raises(ValueError, match=r"file exists; have it replaced \(overwrite=True"):
        write_links(hg.Links.unit(hg.Lattice((4, 2, 4, 4), 2)), path, "ildg")
    assert os.listdir(tmp_path) == (["file"] if stays else [])


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"could not be written.*Give a shorter name: [0-9]+ letters are added"):
        put_text(tmp_path / ("x" * 250), "text")


@pytest.mark.parametrize(("kind", "n_ranks"), JOBS)
@pytest.mark.parametrize("fault", ["flush of the file", "rename", "flush of the folder"])
def test_what_is_said_when_a_file_gets_its_name(tmp_path: Path, kind: str, fault: str, n_ranks: int) -> None:
    """Before the rename nothing has changed; after it the new file is there, and that is what is said."""
    folder, logs, path = tmp_path / "folder", tmp_path / "logs", tmp_path / "folder" / "file"
    folder.mkdir()
    logs.mkdir()
    write(kind, path, 1, World.alone())
    before = path.read_bytes()
    chosen = {
        "flush of the file": Fault(0, "sync", "folder/file.*.part", 1, "fail", errno.EIO),
        "rename": Fault(0, "rename", "folder/file", 1, "fail", errno.EACCES),
        "flush of the folder": Fault(0, "sync", "folder", 1, "fail", errno.EIO),
    }[fault]
    words = command(PLAIN, n_ranks, kind, path)
    at = words.index(sys.executable)
    words[at:at] = ["env", *variables(compiled(tmp_path), tmp_path, logs, chosen)]
    job = subprocess.run(
        words, env=clean_environment(), capture_output=True, text=True, timeout=SECONDS_OF_A_HANG, check=False
    )
    assert job.returncode == 0, job.stderr
    assert any(event.word == "fault" for event in events(logs, 0)), "the fault has come to pass"
    said = job.stdout.split("said: ")[1:]  # ranks print in any order, and into each other's lines
    assert len(said) == n_ranks, job.stdout
    assert os.listdir(folder) == ["file"]
    for line in said:
        assert str(path) in line
        is_new = f"{path} is new and whole, but its folder could not be brought to the disk" in line
        is_old = f"{path} could not be written" in line and "what was written before is whole" in line
        assert (is_new, is_old) == ((True, False) if fault == "flush of the folder" else (False, True)), line
    assert (path.read_bytes() == before) == (fault != "flush of the folder")
