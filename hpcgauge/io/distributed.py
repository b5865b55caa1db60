"""Arrays of which each rank holds a block, and a checksum that does not know the blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy

from hpcgauge.comm.world import World

WORD_BYTES = 8
MASK = 2**64 - 1
# splitmix64's finaliser (Steele, Lea, Flood 2014).
FIRST_FACTOR, SECOND_FACTOR = numpy.uint64(0xBF58476D1CE4E5B9), numpy.uint64(0x94D049BB133111EB)
SHIFTS = (numpy.uint64(30), numpy.uint64(27), numpy.uint64(31))
# The checksum works in pieces of about so many words, so that its memory stays small.
WORDS_AT_ONCE = 1 << 20


@final
@dataclass(frozen=True)
class Distributed:
    """A block of a global array, axes in the order (mu, t, z, y, x, row, column) or any other."""

    global_shape: tuple[int, ...]
    origin_index: tuple[int, ...]
    local: numpy.ndarray

    def __post_init__(self) -> None:
        shapes = self.global_shape, self.origin_index, self.local.shape
        inside = len({len(shape) for shape in shapes}) == 1 and all(
            0 <= start <= start + n <= whole for whole, start, n in zip(*shapes, strict=True)
        )
        if not inside:
            raise ValueError(
                f"the block of shape {self.local.shape} at {self.origin_index} does not lie in {self.global_shape}"
            )
        if self.local.dtype.kind not in "fciu" or self.local.dtype.itemsize % WORD_BYTES:
            raise ValueError(
                f"a distributed array has numbers of a multiple of {WORD_BYTES} bytes, not {self.local.dtype}"
            )

    @property
    def slices(self) -> tuple[slice, ...]:
        """The place of the block in the global array."""
        return tuple(slice(start, start + n) for start, n in zip(self.origin_index, self.local.shape, strict=True))


def mix64(word: numpy.ndarray) -> numpy.ndarray:
    """Well mixed 64-bit words, one for each given one (the given array is overwritten)."""
    word ^= word >> SHIFTS[0]
    word *= FIRST_FACTOR
    word ^= word >> SHIFTS[1]
    word *= SECOND_FACTOR
    word ^= word >> SHIFTS[2]
    return word


def local_checksum(part: Distributed) -> int:
    """The sum mod 2^64 of mix64(word xor mix64(global number of the word)) over this block's little-endian words."""
    if part.local.ndim == 0:
        return local_checksum(Distributed((1,), (0,), part.local.reshape(1)))
    return _sum(part.local, part.global_shape, part.origin_index, 0) & MASK


def _sum(block: numpy.ndarray, shape: tuple[int, ...], origin: tuple[int, ...], row: int) -> int:
    """The sum over a block of the array of this shape that is row number `row` of a larger one."""
    if block.size == 0:
        return 0
    first = row * shape[0] + origin[0]
    words_of_row = block[0].size * (block.dtype.itemsize // WORD_BYTES)
    if block.ndim > 1 and words_of_row > WORDS_AT_ONCE:
        return sum(_sum(block[i], shape[1:], origin[1:], first + i) for i in range(block.shape[0]))
    rows = max(1, WORDS_AT_ONCE // words_of_row)
    return sum(
        _sum_at_once(block[i : i + rows], shape[1:], origin[1:], first + i) for i in range(0, block.shape[0], rows)
    )


def _sum_at_once(block: numpy.ndarray, shape: tuple[int, ...], origin: tuple[int, ...], first: int) -> int:
    """The sum over some rows, the first of them number `first` of all rows; shape and origin are those inside a row."""
    numbers = numpy.arange(first, first + block.shape[0], dtype=numpy.uint64)
    for start, n, whole in zip(origin, block.shape[1:], shape, strict=True):
        numbers = numbers[..., None] * numpy.uint64(whole) + numpy.arange(start, start + n, dtype=numpy.uint64)
    words = block.dtype.itemsize // WORD_BYTES
    numbers = numbers[..., None] * numpy.uint64(words) + numpy.arange(words, dtype=numpy.uint64)
    little = numpy.ascontiguousarray(block, dtype=block.dtype.newbyteorder("<")).reshape(-1).view("<u8")
    return int(mix64(little.astype(numpy.uint64) ^ mix64(numbers.reshape(-1))).sum(dtype=numpy.uint64))


def checksum(world: World, part: Distributed) -> int:
    """The checksum of the whole array, the same for any blocks. Collective."""
    return sum(world.allgather(local_checksum(part))) & MASK


def bytes_checksum(data: bytes) -> int:
    """The checksum of bytes, filled up with zeros to whole words."""
    padded = data + bytes(-len(data) % WORD_BYTES)
    words = numpy.frombuffer(padded, "<u8")
    return local_checksum(Distributed(words.shape, (0,), words))


def share(n: int, rank: int, size: int) -> slice:
    """A rank's share of n things."""
    return slice(n * rank // size, n * (rank + 1) // size)
