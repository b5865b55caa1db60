"""The door to HDF5: it lays files out, writes them collectively where h5py has MPI, and reads those without a seal.

HDF5 lays a file out in memory, so that errors of the disk are those of the system: it cannot itself give back a file
whose disk is full.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy

from hpcgauge.comm.world import World, without_starting_mpi
from hpcgauge.errors import FileFormatError
from hpcgauge.io.agreement import on_every_rank
from hpcgauge.io.distributed import Distributed, bytes_checksum
from hpcgauge.io.image import Image
from hpcgauge.io.seal import Entry, check_entry, refuse_overlaps

# Superblocks and headers of this version carry checksums, and none is written anew when a file is opened for writing.
VERSIONS = ("v108", "v110")
SUPERBLOCK = struct.Struct("<8sBBBBQQQQI")
SIGNATURE = b"\x89HDF\r\n\x1a\n"
SUPERBLOCK_VERSIONS = (2, 3)


def library() -> Any:
    """h5py, loaded without starting MPI."""
    with without_starting_mpi():
        import h5py

    return h5py


def is_parallel() -> bool:
    """True if this h5py writes collectively."""
    return bool(library().get_config().mpi)


def lay_out(
    path: Path,
    said: Mapping[str, Any],
    arrays: Mapping[str, tuple[Distributed, int]],
    replicated: Mapping[str, numpy.ndarray],
) -> dict[str, Entry]:
    """Makes the file with these attributes, room for distributed arrays (with their checksums) and the replicated ones;
    where each lies. OSError when the disk has no room."""
    h5py, image = library(), Image()
    with h5py.File(image, "w", libver=VERSIONS) as file:
        for name, value in said.items():
            file.attrs[name] = value
        for name, (part, checksum) in arrays.items():
            _dataset(file, name, part.global_shape, part.local.dtype, (checksum, True))
        for name, array in replicated.items():
            little = array.astype(array.dtype.newbyteorder("<"))
            _dataset(file, name, array.shape, array.dtype, (bytes_checksum(little.tobytes()), False))
            file[name][...] = little
        found = {name: _entry(file[name]) for name in (*arrays, *replicated)}
    image.save(path)
    return found


def _dataset(file: Any, name: str, shape: tuple[int, ...], dtype: numpy.dtype, said: tuple[int, bool]) -> None:
    """Makes a contiguous dataset whose place in the file is fixed at once."""
    h5py = library()
    place = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    place.set_layout(h5py.h5d.CONTIGUOUS)
    place.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    place.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    place.set_obj_track_times(False)
    kind = h5py.h5t.py_create(dtype.newbyteorder("<"), logical=True)
    _make_groups(file, name)
    made = h5py.Dataset(h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(shape), place))
    made.attrs["checksum"], made.attrs["distributed"] = f"{said[0]:016x}", said[1]


def _make_groups(file: Any, name: str) -> None:
    """Makes the groups that a dataset's name goes through, without the time of day."""
    h5py = library()
    for end, letter in enumerate(name):
        if letter == "/" and name[:end] not in file:
            timeless = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
            timeless.set_obj_track_times(False)
            h5py.h5g.create(file.id, name[:end].encode(), gcpl=timeless)


def _entry(dataset: Any) -> Entry:
    """Where a dataset of an open file lies."""
    checksum, distributed = int(dataset.attrs["checksum"], 16), bool(dataset.attrs["distributed"])
    return Entry(dataset.shape, dataset.dtype.newbyteorder("<"), checksum, distributed, dataset.id.get_offset() or 0)


def write_collectively(path: Path, world: World, arrays: Mapping[str, Distributed]) -> None:
    """Writes every rank's blocks into the file's datasets, down to the disk. OSError when that fails. Collective."""
    communicator = world.communicator
    file = _together(world, lambda: library().File(path, "r+", driver="mpio", comm=communicator, libver=VERSIONS))
    try:
        for name, part in arrays.items():
            _together(world, lambda name=name, part=part: _write_block(file[name].id, part))  # type: ignore[misc]
        _together(world, file.flush)
    finally:
        _together(world, file.close)


def _together(world: World, call: Callable[[], Any]) -> Any:
    """What a collective call of HDF5 returns; an OSError on every rank if it failed on any. Collective.

    A call may fail on one rank only; the others must not go on to the next one, where they would wait for ever.
    """

    def told() -> Any:
        try:
            return call()
        except RuntimeError as error:
            raise OSError(errno.EIO, f"HDF5: {error}") from error

    return on_every_rank(world, told)


def _write_block(dataset: Any, part: Distributed) -> None:
    """Writes this rank's block; a rank without numbers takes part. Collective."""
    h5py = library()
    there = dataset.get_space()
    data = numpy.ascontiguousarray(part.local, dtype=part.local.dtype.newbyteorder("<"))
    here = h5py.h5s.create_simple(data.shape or (1,))
    if data.size == 0:
        here.select_none()
        there.select_none()
    elif data.ndim:
        there.select_hyperslab(part.origin_index, data.shape)
    together = h5py.h5p.create(h5py.h5p.DATASET_XFER)
    together.set_dxpl_mpio(h5py.h5fd.MPIO_COLLECTIVE)
    dataset.write(here, there, data, dxpl=together)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A file without a seal, open for reading; whatever HDF5 finds wrong with it is a FileFormatError."""
    _refuse_torn(path)
    try:
        with library().File(path, "r", locking=False) as file:
            yield file
    except FileFormatError:
        raise
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _no_file(path, str(error)) from error


def _no_file(path: Path, what: str) -> FileFormatError:
    return FileFormatError(f"{path}: no whole HDF5 file of hpcgauge ({what}); use an older one, or start afresh")


def _refuse_torn(path: Path) -> None:
    """Nothing, if the file begins as HDF5 files of hpcgauge do and is as long as it says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(SUPERBLOCK.size)
    if len(start) < SUPERBLOCK.size or not start.startswith(SIGNATURE):
        raise _no_file(path, "it does not begin like one")
    _, version, offsets, lengths, _, base, _, end, _, _ = SUPERBLOCK.unpack(start)
    if version not in SUPERBLOCK_VERSIONS or (offsets, lengths, base) != (8, 8, 0):
        raise _no_file(path, "its superblock is not one that hpcgauge writes")
    if end != size:
        raise _no_file(path, f"{end} bytes were written, {size} are there: it is cut, or its seal is gone")


def entries_of(file: Any, path: Path) -> dict[str, Entry]:
    """The datasets of an open file without a seal, once each is known to lie in it."""
    size, found = path.stat().st_size, dict[str, Entry]()

    def note(name: str, item: Any) -> None:
        if not isinstance(item, library().Dataset):
            return
        if item.dtype.kind not in "fciuSb" or (prod(item.shape) and item.id.get_offset() is None):
            raise _no_file(path, f"dataset {name} is no plain array")
        entry = found[name] = _entry(item)
        check_entry(path, name, entry, size)

    file.visititems(note)
    refuse_overlaps(path, found)
    return found
