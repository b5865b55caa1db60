"""All ranks write their blocks of distributed arrays into one existing file, each at its place.

One rank does so with the calls of the system, several through HDF5 where h5py has MPI, else through MPI-IO.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy

from hpcgauge.comm.file import Block, write_together
from hpcgauge.comm.world import World
from hpcgauge.errors import FileFormatError
from hpcgauge.io import hdf5
from hpcgauge.io.agreement import on_every_rank
from hpcgauge.io.distributed import WORD_BYTES, Distributed
from hpcgauge.io.durable import write_fully

# Words that stay in the second cache until they are summed.
WORDS_AT_ONCE = 1 << 16
# Arrays by name, each with its offset in the file.
Placed = Mapping[str, tuple[int, Distributed]]


def write_blocks(path: Path, world: World, named: Placed) -> None:
    """Writes each array into its dataset, row-major and little-endian, down to the disk. Collective."""
    if world.communicator is not None and world.all(hdf5.is_parallel()):
        on_every_rank(world, lambda: _try(path))
        hdf5.write_collectively(path, world, {name: part for name, (_, part) in named.items()})
    else:
        write_at(path, world, list(named.values()))


def write_at(path: Path, world: World, placed: Sequence[tuple[int, Distributed]]) -> None:
    """Writes each array at its offset in a file of any kind, row-major and little-endian, to the disk. Collective."""
    if world.communicator is None:
        _write_alone(path, placed)
    else:
        on_every_rank(world, lambda: _try(path))
        blocks = [Block(offset, part.global_shape, part.origin_index, _bytes(part)) for offset, part in placed]
        write_together(world, path, blocks)


def _try(path: Path) -> None:
    """Nothing, if this rank can open the file: where one cannot, a collective opening would never end."""
    os.close(os.open(path, os.O_WRONLY))


def read_block(path: Path, offset: int, part: Distributed) -> Distributed:
    """The block, filled from the array at this offset of a file. FileFormatError where the file ends before."""
    if part.local.ndim == 0:
        read_array(path, offset, part.local)
        return part
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for at, run in _runs(part, part.local):
            _read_fully(path, descriptor, run, offset + at * part.local.dtype.itemsize)
    finally:
        os.close(descriptor)
    return part


def read_array(path: Path, offset: int, array: numpy.ndarray) -> numpy.ndarray:
    """The contiguous array, filled from this offset of a file. FileFormatError where the file ends before."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _read_fully(path, descriptor, array, offset)
    finally:
        os.close(descriptor)
    return array


def read_words(path: Path, offset: int, part: slice) -> Iterator[tuple[int, numpy.ndarray]]:
    """A part of the words that begin at this offset of a file: some at once and the number of the first of them, in
    memory that the next ones take. FileFormatError where the file ends before."""
    room = numpy.empty(min(WORDS_AT_ONCE, part.stop - part.start), "<u8")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for first in range(part.start, part.stop, WORDS_AT_ONCE):
            words = room[: part.stop - first]
            _read_fully(path, descriptor, words, offset + first * WORD_BYTES)
            yield first, words
    finally:
        os.close(descriptor)


def _read_fully(path: Path, descriptor: int, target: numpy.ndarray, offset: int) -> None:
    """Fills a contiguous array from an open file."""
    if target.size == 0:
        return
    room = target.reshape(-1).view(numpy.uint8).data
    while room:
        done = os.preadv(descriptor, [room], offset)
        if done == 0:
            raise FileFormatError(f"{path}: ends before byte {offset}, inside its numbers: it was cut")
        room, offset = room[done:], offset + done


def _bytes(part: Distributed) -> numpy.ndarray:
    """The block as contiguous little-endian numbers."""
    return numpy.ascontiguousarray(part.local, dtype=part.local.dtype.newbyteorder("<"))


def _write_alone(path: Path, placed: Sequence[tuple[int, Distributed]]) -> None:
    """Writes with the calls of the system."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        for offset, part in placed:
            data, item = _bytes(part), part.local.dtype.itemsize
            for at, run in _runs(part, data):
                write_fully(descriptor, run.reshape(-1).view(numpy.uint8).data, offset + at * item)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _runs(part: Distributed, data: numpy.ndarray) -> Iterator[tuple[int, numpy.ndarray]]:
    """The pieces of the block that are contiguous in the global array, with the number of their first element."""
    whole = len(part.global_shape)
    while whole > 0 and part.local.shape[whole - 1] == part.global_shape[whole - 1]:
        whole -= 1
    cut = max(whole - 1, 0)
    strides = [
        int(numpy.prod(part.global_shape[axis + 1 :], dtype=numpy.int64)) for axis in range(len(part.global_shape))
    ]
    base = sum(start * stride for start, stride in zip(part.origin_index, strides, strict=True))
    for index in product(*(range(n) for n in part.local.shape[:cut])):
        yield base + sum(i * stride for i, stride in zip(index, strides[:cut], strict=True)), data[index]
