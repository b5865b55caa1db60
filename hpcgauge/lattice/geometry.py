"""The sites of one rank: their order in memory, their coordinates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy

from hpcgauge.lattice.grid import Extent


@dataclass(frozen=True)
class Geometry:
    """One rank's part of a lattice.

    Sites of even parity come first, then odd; inside a parity lexicographic with x fastest. A parity is padded to a
    multiple of `2 * lanes` sites, so that a block of 2 * lanes floats is exactly two blocks of lanes doubles.
    `place` is the rank's place in the process grid; ranks count with x fastest.
    """

    extent: Extent
    grid: Extent
    rank: int
    lanes: int

    @property
    def dimensions(self) -> int:
        return len(self.extent)

    @cached_property
    def local_extent(self) -> Extent:
        return tuple(length // parts for length, parts in zip(self.extent, self.grid, strict=True))

    @cached_property
    def place(self) -> Extent:
        return unravel(self.rank, self.grid)

    @cached_property
    def origin(self) -> Extent:
        return tuple(place * length for place, length in zip(self.place, self.local_extent, strict=True))

    @property
    def volume(self) -> int:
        return prod(self.extent)

    @property
    def local_volume(self) -> int:
        return prod(self.local_extent)

    @property
    def parity_sites(self) -> int:
        """Sites of one parity, padding included."""
        chunk = 2 * self.lanes
        return -(-(self.local_volume // 2) // chunk) * chunk

    @property
    def n_sites(self) -> int:
        """Sites of both parities, padding included."""
        return 2 * self.parity_sites

    @cached_property
    def position_of(self) -> numpy.ndarray:
        """int32 (local volume,): the place in memory of the site with a lexicographic local number (x fastest)."""
        parity = numpy.zeros(1, dtype=numpy.uint8)
        for length in self.local_extent:
            parity = numpy.bitwise_xor.outer(numpy.arange(length, dtype=numpy.uint8) & 1, parity).ravel()
        table = numpy.empty(self.local_volume, dtype=numpy.int32)
        for start, of_parity in ((0, parity == 0), (self.parity_sites, parity == 1)):
            table[of_parity] = numpy.arange(start, start + self.local_volume // 2, dtype=numpy.int32)
        return table

    @cached_property
    def lexicographic(self) -> numpy.ndarray:
        """int32 (n_sites,): the lexicographic local number of the site at a place in memory; -1: padding."""
        table = numpy.full(self.n_sites, -1, dtype=numpy.int32)
        table[self.position_of] = numpy.arange(self.local_volume, dtype=numpy.int32)
        return table

    @property
    def coordinates(self) -> numpy.ndarray:
        """int32 (n_sites, dimensions + 1): global coordinates, and the global number (-1: padding)."""
        table = numpy.zeros((self.n_sites, self.dimensions + 1), dtype=numpy.int32)
        is_true, number = self.lexicographic >= 0, numpy.zeros(self.n_sites, dtype=numpy.int32)
        for d, along in enumerate(self.along(self.lexicographic)):
            table[:, d] = numpy.where(is_true, along + self.origin[d], 0)
            number += table[:, d] * prod(self.extent[:d])
        table[:, -1] = numpy.where(is_true, number, -1)
        return table

    def along(self, numbers: numpy.ndarray) -> Iterator[numpy.ndarray]:
        """The coordinate in each direction, from the rank's corner, of sites with these lexicographic local numbers."""
        for length in self.local_extent:
            yield numbers % length
            numbers = numbers // length


def ravel(coordinates: numpy.ndarray, extent: Extent) -> numpy.ndarray:
    """Lexicographic numbers, x fastest, of coordinates (..., dimensions)."""
    strides = numpy.cumprod([1, *extent[:-1]])
    return coordinates @ strides


def unravel(number: int, extent: Extent) -> Extent:
    """Coordinates of a lexicographic number, x fastest."""
    place = []
    for length in extent:
        place.append(number % length)
        number //= length
    return tuple(place)
