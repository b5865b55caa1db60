"""Files are believed by their seal alone: what damage and forgery come to, and what older and newer files are."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy
import pytest

from hpcgauge.comm.world import World
from hpcgauge.errors import FileFormatError, NewerFileError
from hpcgauge.io import unsealed
from hpcgauge.io.blocks import read_block
from hpcgauge.io.checkpoint import LATEST, keep_last, newest_valid, numbered, read_checkpoint, write_checkpoint
from hpcgauge.io.container import MAX_ATTRIBUTES, Contents, table_of
from hpcgauge.io.distributed import Distributed
from hpcgauge.io.seal import FOOTER, MAGIC, Table
from tests.support.ranks import ROOT, SECONDS_OF_A_HANG, agree

pytestmark = pytest.mark.hdf5
# Written by the program that knew schema 1 only.
SCHEMA_1 = ROOT / "tests" / "support" / "schema_1.h5"
LINKS = (numpy.arange(64) / 7 + 1j * numpy.arange(64) / 3).reshape(2, 2, 4, 2, 2)


def whole(_: str, shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(0, n) for n in shape)


def written(folder: Path) -> Path:
    """A checkpoint."""
    arrays = {"links": Distributed(LINKS.shape, (0,) * 5, LINKS)}
    return write_checkpoint(folder, 1, World.alone(), Contents(arrays, {"vector": numpy.ones(3)}, {"seed": 1}))


def forged(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes the description in a seal and seals it again."""
    data = path.read_bytes()
    _, n_text, n_file, _ = FOOTER.unpack(data[-FOOTER.size :])
    said = json.loads(data[n_file : n_file + n_text])
    change(said)
    text = json.dumps(said).encode()
    front = FOOTER.pack(MAGIC, len(text), n_file, bytes(32))[:-32]
    path.write_bytes(data[:n_file] + text + front + hashlib.sha256(text + front).digest())


@pytest.mark.ranks
def test_schema_1_is_read(world: World) -> None:
    found = read_checkpoint(SCHEMA_1, world, lambda name, shape: whole(name, shape) if world.rank == 0 else none(shape))
    agree(world, world.rank > 0 or numpy.array_equal(found.arrays["links"].local, LINKS), "links")
    agree(world, found.attributes == {"trajectory": 7, "seed": 5, "history": [0, "x"]}, f"{found.attributes}")
    agree(world, found.replicated["flags"].tolist() == [True, False, True], f"{found.replicated}")
    agree(world, found.replicated["memory.updates"] == 3 and found.replicated["vector"].tolist()[:2] == [0.1, -0.2])


def none(shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(0, 0) for _ in shape)


def test_a_newer_schema_is_refused_in_the_seal_and_without(tmp_path: Path) -> None:
    path = written(tmp_path)
    forged(path, lambda said: said.update(schema=3))
    with pytest.raises(FileFormatError, match="written in schema 3, this hpcgauge reads up to 2; install a newer"):
        table_of(path)
    with h5py.File(path, "r+") as file:
        file.attrs["schema"] = 4
    with pytest.raises(FileFormatError, match="written in schema 4, this hpcgauge reads up to 2; install a newer"):
        table_of(path)


def test_a_file_that_another_program_changed_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    with h5py.File(path, "r+") as file:
        file["links"][0] = 0
    with pytest.raises(FileFormatError, match="its seal is gone, another program has changed it"):
        table_of(path)


def test_another_kind_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    forged(path, lambda said: said.update(kind="network"))
    with pytest.raises(FileFormatError, match="holds 'network', not a checkpoint"):
        read_checkpoint(path, World.alone(), whole)


def line(number: int, value: Any) -> Callable[[dict[str, Any]], object]:
    """A change of one entry of the line of `links`: type, shape, offset, checksum, distributed."""
    return lambda said: said["datasets"]["links"].__setitem__(number, value)


@pytest.mark.parametrize(
    "change",
    [
        line(0, "|O"),
        line(0, "<f16"),
        line(0, "|S999999999"),
        line(0, 7),
        line(1, [2**40]),
        line(1, [2**62, 2**62, 0]),
        line(1, [-1, 4]),
        line(1, [1.5]),
        line(1, [True]),
        line(1, [1] * 40),
        line(1, 3),
        line(2, 2**63),
        line(2, -8),
        line(2, 7000),
        line(2, 48),
        line(3, "x"),
        line(3, None),
        line(4, 1),
        lambda said: said["datasets"].pop("attributes"),
        lambda said: said["datasets"].update(again=said["datasets"]["links"]),
        lambda said: said["datasets"].update(short=[1, 2]),
        lambda said: said["datasets"].update({f"d{k}": ["<f8", [0], 0, "0", True] for k in range(5000)}),
        lambda said: said.update(datasets=[]),
        lambda said: said.update(datasets=7),
        lambda said: said.update(schema="1"),
        lambda said: said.update(schema=float("-inf")),
        lambda said: said.update(sha256=None),
        lambda said: said.pop("kind"),
        lambda said: said.update(kind={}),
    ],
)
def test_forged_seals_are_refused(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = written(tmp_path)
    forged(path, change)
    with pytest.raises(FileFormatError):
        read_checkpoint(path, World.alone(), whole)


def test_a_seal_of_brackets_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    n_file = FOOTER.unpack(path.read_bytes()[-FOOTER.size :])[2]
    text = b"[" * 100_000
    front = FOOTER.pack(MAGIC, len(text), n_file, bytes(32))[:-32]
    path.write_bytes(path.read_bytes()[:n_file] + text + front + hashlib.sha256(text + front).digest())
    with pytest.raises(FileFormatError, match="cannot be read"):
        table_of(path)


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("while True: pass", "does not come to an end with it in 2 s"),
        ("import os; os.abort()", "exit -6"),
        ("import sys; sys.exit('bad symbol table')", "bad symbol table"),
        ("print('{}')", "cannot be read"),
    ],
)
def test_hdf5_may_hang_and_crash_over_a_file_without_seal(
    program: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unsealed, "PROGRAM", program)
    monkeypatch.setattr(unsealed, "SECONDS", 2)
    monkeypatch.setattr(unsealed, "PATIENCE", SECONDS_OF_A_HANG)
    with pytest.raises(FileFormatError, match=f"no whole HDF5 file of hpcgauge.*{sentence}"):
        table_of(SCHEMA_1)


def test_a_busy_node_is_no_verdict_on_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsealed, "PROGRAM", "import time; time.sleep(60)")
    monkeypatch.setattr(unsealed, "SECONDS", 1)
    monkeypatch.setattr(unsealed, "PATIENCE", 1)
    with pytest.raises(OSError, match="could not be looked at in 1 s"):
        table_of(SCHEMA_1)


def test_damaged_files_of_schema_1_are_refused(tmp_path: Path) -> None:
    good, path = SCHEMA_1.read_bytes(), tmp_path / "000001.h5"
    random = numpy.random.default_rng(3)
    path.write_bytes(good[:-1])
    with pytest.raises(FileFormatError, match="it is cut"):
        table_of(path)
    for _ in range(10):
        data = bytearray(good)
        for at in random.integers(0, len(good), 200):
            data[at] ^= 1 << random.integers(0, 8)
        path.write_bytes(data)
        assert newest_valid(tmp_path, World.alone()).path is None


def test_attributes_beyond_the_limit_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"attributes of \d+ bytes; at most"):
        write_checkpoint(tmp_path, 1, World.alone(), Contents(attributes={"text": "x" * MAX_ATTRIBUTES}))
    assert not list(tmp_path.iterdir())


@pytest.mark.ranks
def test_the_pointer_follows_and_what_a_dropped_chain_left_is_removed(world: World, shared_tmp_path: Path) -> None:
    """A chain that goes on from an older checkpoint with `keep: 1` does not keep the damaged newer one instead."""
    for trajectory in (2, 4, 9):
        write_checkpoint(shared_tmp_path, trajectory, world, Contents())
        agree(world, (shared_tmp_path / LATEST).read_text() == f"{trajectory:06d}.h5\n")
    if world.rank == 0:
        (shared_tmp_path / "000009.h5").write_bytes(b"damaged")
        (shared_tmp_path / "000005.h5.part.locktest.0").write_bytes(b"")
    world.barrier()
    path, messages = newest_valid(shared_tmp_path, world)
    agree(world, path is not None and path.name == "000004.h5" and len(messages) == 1)
    write_checkpoint(shared_tmp_path, 5, world, Contents())
    keep_last(shared_tmp_path, world, 1, 2, newest=5)
    agree(world, list(numbered(shared_tmp_path)) == [5, 4, 2], f"{list(numbered(shared_tmp_path))}")
    agree(world, not list(shared_tmp_path.glob("*.part*")))
    agree(world, (shared_tmp_path / "000009.h5.damaged").read_bytes() == b"damaged", "set aside, not deleted")


@pytest.mark.ranks
def test_a_checkpoint_of_a_newer_program_is_not_passed_over(world: World, shared_tmp_path: Path) -> None:
    for trajectory in (2, 4):
        write_checkpoint(shared_tmp_path, trajectory, world, Contents())
    if world.rank == 0:
        forged(shared_tmp_path / "000004.h5", lambda said: said.update(schema=3))
    world.barrier()
    with pytest.raises(NewerFileError, match=r"000004\.h5: written in schema 3"):
        newest_valid(shared_tmp_path, world)


@pytest.mark.ranks
def test_a_file_that_is_cut_while_it_is_read_is_refused(world: World, shared_tmp_path: Path) -> None:
    """Never a signal, as a memory map would give."""
    path = shared_tmp_path / "numbers"
    if world.rank == 0:
        path.write_bytes(bytes(100))
    world.barrier()
    with pytest.raises(FileFormatError, match="numbers: ends before byte 104, inside its numbers"):
        read_block(path, 8, Distributed((4, 8), (0, 4), numpy.empty((4, 4))))


def test_h5dump_reads_it(tmp_path: Path) -> None:
    """With HDF5's own tool where it is installed, else with h5py."""
    path = written(tmp_path)
    try:
        told = subprocess.run(["h5dump", "-H", path], capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        with h5py.File(path) as file:
            told = " ".join(file)
    assert "links" in told and "attributes" in told
    assert isinstance(table_of(path), Table)
