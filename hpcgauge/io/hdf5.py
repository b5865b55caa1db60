"""The door to HDF5: it lays files out and writes them collectively where h5py has MPI. It is not read with.

HDF5 lays a file out in memory, so that errors of the disk are those of the system: it cannot itself give back a file
whose disk is full.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from hpcgauge.comm.world import World, without_starting_mpi
from hpcgauge.io.agreement import on_every_rank
from hpcgauge.io.checksum import bytes_checksum
from hpcgauge.io.distributed import Distributed
from hpcgauge.io.image import Image
from hpcgauge.io.seal import Entry

# Superblocks and headers of this version carry checksums, and none is written anew when a file is opened for writing.
VERSIONS = ("v108", "v110")


def library() -> Any:
    """h5py, loaded without starting MPI."""
    with without_starting_mpi():
        import h5py

    return h5py


def is_parallel() -> bool:
    """True if this h5py writes collectively."""
    return bool(library().get_config().mpi)


class Stored(NamedTuple):
    """An array of which the layout holds the room alone."""

    shape: tuple[int, ...]
    dtype: numpy.dtype
    checksum: int


def laid_out(
    said: Mapping[str, Any], arrays: Mapping[str, Stored], replicated: Mapping[str, numpy.ndarray]
) -> tuple[Image, dict[str, Entry]]:
    """A file with the replicated arrays, and room for the distributed ones; and where each dataset lies in it.

    `said`: the file's attributes. Where a distributed array lies does not depend on what is stored after it, nor on
    checksums.
    """
    h5py, image = library(), Image()
    with h5py.File(image, "w", libver=VERSIONS) as file:
        for name, value in said.items():
            file.attrs[name] = value
        for name, (shape, dtype, checksum) in arrays.items():
            _dataset(file, name, shape, dtype, (checksum, True))
        for name, array in replicated.items():
            little = array.astype(array.dtype.newbyteorder("<"))
            _dataset(file, name, array.shape, array.dtype, (bytes_checksum(little.tobytes()), False))
            file[name][...] = little
        found = {name: entry(file[name]) for name in (*arrays, *replicated)}
    return image, found


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


def entry(dataset: Any) -> Entry:
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
