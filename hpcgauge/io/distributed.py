"""Arrays of which each rank holds a block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy

WORD_BYTES = 8


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


def share(n: int, rank: int, size: int) -> slice:
    """A rank's share of n things."""
    return slice(n * rank // size, n * (rank + 1) // size)
