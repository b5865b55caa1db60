"""Files of hpcgauge: the same bytes from any number of ranks, and never a damaged one taken for whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy
import pytest

from hpcgauge.comm.world import World
from hpcgauge.errors import FileFormatError
from hpcgauge.io import distributed, hdf5
from hpcgauge.io.checkpoint import (
    checkpoint_path,
    keep_last,
    newest_valid,
    numbered,
    read_checkpoint,
    write_checkpoint,
)
from hpcgauge.io.checksum import checksum, local_checksum
from hpcgauge.io.container import Contents
from hpcgauge.io.distributed import Distributed
from hpcgauge.io.network import NetworkFile, read_network, save_network
from hpcgauge.io.recorded import read_trajectory, record_trajectory, recorded_trajectories
from tests.support.disk import small_disk
from tests.support.ranks import agree, clean_environment

pytestmark = pytest.mark.hdf5
SHAPE = (4, 8, 2, 4, 4, 2, 2)


def block(world: World, shape: tuple[int, ...] = SHAPE, axes: tuple[int, int] = (1, 4)) -> tuple[slice, ...]:
    """This rank's block of an array that is cut along two axes."""
    cuts = {1: (1, 1), 2: (2, 1)}.get(world.size, (2, world.size // 2))
    slices = [slice(0, n) for n in shape]
    for axis, place, parts in zip(axes, divmod(world.rank, cuts[1]), cuts, strict=True):
        slices[axis] = distributed.share(shape[axis], place, parts)
    return tuple(slices)


def whole_links(seed: int = 1) -> numpy.ndarray:
    """A global array of random numbers."""
    random = numpy.random.default_rng(seed)
    return random.normal(size=SHAPE) + 1j * random.normal(size=SHAPE)


def cut(array: numpy.ndarray, slices: tuple[slice, ...]) -> Distributed:
    """The block of an array."""
    return Distributed(array.shape, tuple(part.start for part in slices), array[slices])


def contents(world: World, seed: int = 1) -> Contents:
    """A state like that of a chain."""
    links, pairs = whole_links(seed), numpy.arange(64, dtype=numpy.int64).reshape(8, 8)
    return Contents(
        {"links": cut(links, block(world)), "more/pairs": cut(pairs, block(world, pairs.shape, (0, 1)))},
        {
            "parameters": numpy.array([[0.1, -0.2, 1 / 3, 0.0]]),
            "flags": numpy.array([True, False, True]),
            "t": numpy.array(7),
        },
        {"seed": 2**63 + 5, "tau": 0.1 + 0.2, "phase": "thermalise", "nested": {"a": [1, 2.5]}, "none": None},
    )


def slices_of(world: World) -> dict[str, tuple[slice, ...]]:
    """What each rank reads: cut along other axes than it was written."""
    return {"links": block(world, axes=(3, 1)), "more/pairs": block(world, (8, 8), (1, 0))}


@pytest.mark.ranks
def test_an_h5py_with_mpi_is_used_where_it_was_asked_for(world: World) -> None:
    agree(world, hdf5.is_parallel() or "HPCGAUGE_PARALLEL_HDF5" not in os.environ, "the stock h5py was loaded")


def test_hdf5_does_not_start_mpi_on_one_rank(tmp_path: Path) -> None:
    program = (
        "import sys; from hpcgauge.io import hdf5; hdf5.library()\n"
        "MPI = sys.modules.get('mpi4py.MPI')\n"
        "sys.exit(MPI is not None and MPI.Is_initialized())"
    )
    assert subprocess.run([sys.executable, "-c", program], env=clean_environment(), check=False).returncode == 0


@pytest.mark.ranks
def test_what_was_written_is_read_with_other_blocks(world: World, shared_tmp_path: Path) -> None:
    written, slices = contents(world), slices_of(world)
    found = read_checkpoint(write_checkpoint(shared_tmp_path / "checkpoint", 12, world, written), world, slices)
    agree(world, numpy.array_equal(found.arrays["links"].local, whole_links()[slices["links"]]), "links")
    pairs = numpy.arange(64).reshape(8, 8)[slices["more/pairs"]]
    agree(world, numpy.array_equal(found.arrays["more/pairs"].local, pairs), "pairs")
    agree(world, found.attributes == written.attributes, f"{found.attributes}")
    for name, array in written.replicated.items():
        same = numpy.array_equal(found.replicated[name], array) and found.replicated[name].dtype == array.dtype
        agree(world, same, f"{name}: {found.replicated[name]}")


@pytest.mark.ranks
def test_the_file_has_the_same_bytes_from_any_number_of_ranks(world: World, shared_tmp_path: Path) -> None:
    path = write_checkpoint(shared_tmp_path / "together", 3, world, contents(world))
    alone = World.alone()
    ok = True
    if world.rank == 0:
        other = write_checkpoint(shared_tmp_path / "alone", 3, alone, contents(alone))
        ok = other.read_bytes() == path.read_bytes()
    agree(world, ok, "the files differ")


@pytest.mark.ranks
def test_a_foreign_reader_sees_the_global_arrays(world: World, shared_tmp_path: Path) -> None:
    path = write_checkpoint(shared_tmp_path, 3, world, contents(world))
    with h5py.File(path, "r", locking=False) as file:
        agree(world, numpy.array_equal(file["links"][()], whole_links()), "links")
        agree(world, file["links"].chunks is None and file["links"].id.get_offset() is not None, "contiguous")
        agree(world, file.attrs["schema"] == 2, "schema")


@pytest.mark.ranks
def test_the_checksum_does_not_know_the_blocks(world: World) -> None:
    array = whole_links()
    expected = local_checksum(Distributed(SHAPE, (0,) * 7, array))
    agree(world, checksum(world, cut(array, block(world))) == expected, "two axes")
    agree(world, checksum(world, cut(array, block(world, axes=(3, 2)))) == expected, "two other axes")
    array[1, 2, 1, 3, 0, 1, 1] += 1e-16j + 1e-12
    agree(world, checksum(world, cut(array, block(world))) != expected, "a changed number")


def mix(word: int) -> int:
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ word >> 27) * 0x94D049BB133111EB % 2**64
    return word ^ word >> 31


@pytest.mark.parametrize(
    "box",
    [
        (slice(0, 4), slice(0, 8), slice(0, 2), slice(0, 2)),
        (slice(0, 4), slice(3, 5), slice(0, 2), slice(1, 4)),
        (slice(2, 3), slice(1, 8), slice(1, 2), slice(0, 4)),
        (slice(1, 1), slice(0, 8), slice(0, 2), slice(0, 4)),
    ],
)
def test_the_checksum_is_its_formula(box: tuple[slice, ...]) -> None:
    """Over the words of a block, each with its number in the whole array, in any order in memory."""
    array = whole_links()[..., 0, 0, 0]
    numbers = numpy.arange(2 * array.size).reshape(*array.shape, 2)[box].reshape(-1).tolist()
    words = array[box].astype("<c16").reshape(-1).view("<u8").tolist()
    expected = sum(mix(word ^ mix(number)) for number, word in zip(numbers, words, strict=True)) % 2**64
    origin = tuple(part.start for part in box)
    for local in (array[box], array[box].copy(), array[box].copy(order="F"), array[box].astype(">c16")):
        assert local_checksum(Distributed(array.shape, origin, local)) == expected


def test_the_checksum_of_one_number_is_that_of_its_words() -> None:
    assert local_checksum(Distributed((), (), numpy.array(7))) == mix(7 ^ mix(0))


@pytest.mark.parametrize(
    ("shape", "origin", "dtype", "message"),
    [((4, 4), (2, 0), float, "does not lie in"), ((4,), (0,), numpy.float32, "multiple of 8 bytes, not float32")],
)
def test_impossible_blocks_are_refused(
    shape: tuple[int, ...], origin: tuple[int, ...], dtype: type, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Distributed(shape, origin, numpy.zeros(shape, dtype))


def damage(path: Path, name: str) -> None:
    """Flips one bit in the middle of a dataset."""
    with h5py.File(path, "r") as file:
        at = file[name].id.get_offset() + file[name].id.get_storage_size() // 2
    with path.open("r+b") as raw:
        raw.seek(at)
        byte = raw.read(1)[0]
        raw.seek(at)
        raw.write(bytes([byte ^ 4]))


@pytest.mark.ranks
@pytest.mark.parametrize("name", ["links", "parameters", "attributes"])
def test_the_newest_whole_checkpoint_is_found(world: World, shared_tmp_path: Path, name: str) -> None:
    folder = shared_tmp_path / "checkpoint"
    for trajectory in (1, 2, 3):
        write_checkpoint(folder, trajectory, world, contents(world))
    if world.rank == 0:
        damage(checkpoint_path(folder, 3), name)
        os.truncate(checkpoint_path(folder, 2), 3000)
    world.barrier()
    path, messages = newest_valid(folder, world)
    agree(world, path == checkpoint_path(folder, 1), f"{path}")
    agree(world, len(messages) == 2 and f"dataset {name} stores the checksum" in messages[0], f"{messages}")
    agree(world, "no whole HDF5 file" in messages[1] and "it is cut" in messages[1], f"{messages}")
    with pytest.raises(FileFormatError, match="stores the checksum"):
        read_checkpoint(checkpoint_path(folder, 3), world, slices_of(world))


@pytest.mark.ranks
def test_no_checkpoint_is_no_error(world: World, shared_tmp_path: Path) -> None:
    agree(world, newest_valid(shared_tmp_path / "nothing", world) == (None, []), "nothing found")


def test_every_cut_and_many_flipped_bytes_are_noticed(tmp_path: Path) -> None:
    alone = World.alone()
    path = write_checkpoint(tmp_path, 1, alone, contents(alone))
    good = path.read_bytes()
    random = numpy.random.default_rng(5)
    for length in random.integers(0, len(good), 40):
        path.write_bytes(good[:length])
        assert newest_valid(tmp_path, alone).path is None
    for at in random.integers(0, len(good), 200):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
        assert newest_valid(tmp_path, alone).path is None


@pytest.mark.ranks
def test_an_array_that_is_not_there_is_refused(world: World, shared_tmp_path: Path) -> None:
    path = write_checkpoint(shared_tmp_path, 1, world, contents(world))
    with pytest.raises(FileFormatError, match="has no array momenta"):
        read_checkpoint(path, world, {"momenta": block(world)})


@pytest.mark.ranks
@pytest.mark.parametrize("size", [0, 2000, 9000])
def test_a_full_disk_leaves_the_last_checkpoint_whole(world: World, shared_tmp_path: Path, size: int) -> None:
    write_checkpoint(shared_tmp_path, 1, world, contents(world))
    with small_disk(size), pytest.raises(OSError, match=r"could not be written .* Free space on the disk"):
        write_checkpoint(shared_tmp_path, 2, world, contents(world))
    agree(
        world,
        newest_valid(shared_tmp_path, world) == (checkpoint_path(shared_tmp_path, 1), []),
        "the last one is whole",
    )
    left = sorted(path.name for path in shared_tmp_path.iterdir())
    agree(world, left == ["000001.h5", "latest"], "nothing is left behind")
    write_checkpoint(shared_tmp_path, 2, world, contents(world, seed=2))
    agree(world, newest_valid(shared_tmp_path, world).path == checkpoint_path(shared_tmp_path, 2), "and it goes on")


@pytest.mark.ranks
def test_a_number_that_is_not_finite_is_not_stored(world: World, shared_tmp_path: Path) -> None:
    written = contents(world)
    with pytest.raises(ValueError, match="tau = nan is not finite"):
        write_checkpoint(shared_tmp_path, 1, world, Contents(written.arrays, {}, {"tau": float("nan")}))
    agree(world, list(shared_tmp_path.iterdir()) == [], "nothing is left behind")


@pytest.mark.ranks
def test_the_last_checkpoints_are_kept(world: World, shared_tmp_path: Path) -> None:
    for trajectory in range(2, 12):
        write_checkpoint(shared_tmp_path, trajectory, world, Contents(attributes={"trajectory": trajectory}))
    if world.rank == 0:
        (shared_tmp_path / "000012.h5.part").write_bytes(b"interrupted")
    keep_last(shared_tmp_path, world, 2, every=5)
    agree(world, list(numbered(shared_tmp_path)) == [11, 10, 5], f"{list(numbered(shared_tmp_path))}")
    agree(world, not list(shared_tmp_path.glob("*.part")), "the interrupted one is gone")
    with pytest.raises(ValueError, match="at least one checkpoint must be kept"):
        keep_last(shared_tmp_path, world, 0)


@pytest.mark.ranks
def test_networks_are_kept_with_their_description(world: World, shared_tmp_path: Path) -> None:
    path = shared_tmp_path / "network.h5"
    saved = NetworkFile({"parameters": numpy.array([[0.1, 0.2, 1 / 3, -1.0]])}, "hypercubic", 3, 2, {"beta": 2.7})
    save_network(path, world, saved)
    found = read_network(path, world, colors=2)
    agree(world, numpy.array_equal(found.parameters["parameters"], saved.parameters["parameters"]), "parameters")
    agree(world, (found.variant, found.reach, found.attributes) == ("hypercubic", 3, {"beta": 2.7}), "description")
    with pytest.raises(FileFormatError, match=r"one for SU\(2\), the lattice has SU\(3\)"):
        read_network(path, world, colors=3)


@pytest.mark.ranks
def test_trajectories_are_recorded_and_read_again(world: World, shared_tmp_path: Path) -> None:
    fields = {"start": whole_links(1), "end": whole_links(2), "phi0": whole_links(3)[0, ..., 0]}
    cuts = {name: block(world, array.shape, (1, 2)) for name, array in fields.items()}
    parts = {name: cut(array, cuts[name]) for name, array in fields.items()}
    for trajectory in (30, 4):
        record_trajectory(shared_tmp_path, trajectory, world, parts, {"dH": 0.25})
    agree(world, recorded_trajectories(shared_tmp_path, world) == [4, 30], "numbers")
    found = read_trajectory(shared_tmp_path, 30, world, lambda _, shape: block(world, shape, (2, 1)))
    for name, array in fields.items():
        same = numpy.array_equal(found.arrays[name].local, array[block(world, array.shape, (2, 1))])
        agree(world, same, name)
    agree(world, found.attributes == {"dH": 0.25, "trajectory": 30}, f"{found.attributes}")
    with pytest.raises(ValueError, match="needs the links 'start' and 'end'"):
        record_trajectory(shared_tmp_path, 5, world, {"start": parts["start"]}, {})
