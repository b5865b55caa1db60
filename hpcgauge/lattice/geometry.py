"""The sites of one rank: their order in memory, their coordinates."""

from __future__ import annotations

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
    def local_coordinates(self) -> numpy.ndarray:
        """int64 (local volume, dimensions): every true site in the order of memory, from the rank's corner."""
        axes = numpy.meshgrid(*(numpy.arange(n) for n in reversed(self.local_extent)), indexing="ij")
        lexicographic = numpy.stack([axis.ravel() for axis in reversed(axes)], axis=1)
        parity = lexicographic.sum(axis=1) % 2
        return numpy.concatenate([lexicographic[parity == 0], lexicographic[parity == 1]])

    @cached_property
    def positions(self) -> numpy.ndarray:
        """int64 (local volume,): where every true site lies, counted in sites with padding."""
        half = numpy.arange(self.local_volume // 2)
        return numpy.concatenate([half, self.parity_sites + half])

    @cached_property
    def position_of(self) -> numpy.ndarray:
        """int64 (local volume,): the place in memory of the site with a lexicographic local number (x fastest)."""
        table = numpy.empty(self.local_volume, dtype=numpy.int64)
        table[ravel(self.local_coordinates, self.local_extent)] = self.positions
        return table

    @cached_property
    def coordinates(self) -> numpy.ndarray:
        """int32 (n_sites, dimensions + 1): global coordinates, and the global number (-1: padding)."""
        table = numpy.zeros((self.n_sites, self.dimensions + 1), dtype=numpy.int32)
        table[:, -1] = -1
        globally = self.local_coordinates + numpy.array(self.origin)
        table[self.positions, :-1] = globally
        table[self.positions, -1] = ravel(globally, self.extent)
        return table


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
