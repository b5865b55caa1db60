"""The orders in which gauge files hold their links: where a part of the lattice lies in the file, and what lies where.

A unit is what the file keeps together: a site with its four links, or one link. A row is so many units in a piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import NamedTuple

import numpy

from hpcgauge.io.gauge.header import DIRECTIONS, Extent, Layout

X, Y, Z, T = range(DIRECTIONS)
# Units of one batch: the tables stay small, and the calls few.
UNITS_AT_ONCE = 32768
# Rows come in multiples of so many, which fill whole blocks of fields.
ALIGNED_ROWS = 32
LINKS_OF_A_POINT = 2 * DIRECTIONS
# enum Pairs of sites.h.
NO_PAIRS, PAIRS_OF_NEIGHBOURS, PAIRS_OF_ROWS = range(3)
# Units of one site.
UNITS: dict[Layout, int] = {"sites": 1, "points": DIRECTIONS, "odd points": DIRECTIONS, "planes": DIRECTIONS}


@dataclass(frozen=True)
class Region:
    """A box of a lattice, which may go on over its end. Its sites are counted with x fastest."""

    whole: Extent
    origin: Extent
    local: Extent

    @cached_property
    def strides(self) -> tuple[int, ...]:
        """The distance of neighbouring sites in each direction."""
        return tuple(prod(self.local[:mu]) for mu in range(DIRECTIONS))

    def index(self, mu: int, coordinate: numpy.ndarray) -> numpy.ndarray:
        """What a coordinate of the lattice adds to the number of a site; hugely negative outside."""
        inside = (coordinate - self.origin[mu]) % self.whole[mu]
        return numpy.where(inside < self.local[mu], inside * self.strides[mu], -(2**60))

    def axis(self, mu: int) -> numpy.ndarray:
        """The coordinates in a direction, on the lattice."""
        return (self.origin[mu] + numpy.arange(self.local[mu])) % self.whole[mu]

    def beside(self, mu: int, distance: int) -> Region:
        """The slice, one site thick, at this distance from the corner."""
        origin, local = list(self.origin), list(self.local)
        origin[mu], local[mu] = (self.origin[mu] + distance) % self.whole[mu], 1
        return Region(self.whole, tuple(origin), tuple(local))  # type: ignore[arg-type]

    def coordinates(self, site: int) -> tuple[int, ...]:
        """The place on the lattice of a site of this number."""
        inside = (site // self.strides[mu] % self.local[mu] for mu in range(DIRECTIONS))
        return tuple((o + i) % n for o, i, n in zip(self.origin, inside, self.whole, strict=True))


class Batch(NamedTuple):
    """Some rows: the number of the first unit of each. Of each unit the number of its site in memory, its parity, the
    direction of its (first) link, arrays that broadcast to (n, units). `pairs`: which units follow x, as in
    sites.h; `has_holes`: there are sites of negative number, which lie nowhere."""

    rows: numpy.ndarray
    row_units: int
    sites: numpy.ndarray
    parities: numpy.ndarray
    mu: numpy.ndarray | int
    pairs: int = NO_PAIRS
    has_holes: bool = False

    @property
    def n_units(self) -> int:
        """Units of all rows."""
        return len(self.rows) * self.row_units

    def link(self, unit: int) -> tuple[int, int]:
        """Site and direction of a unit."""
        sites, mu = (a.reshape(-1)[unit] for a in numpy.broadcast_arrays(self.sites, self.mu))
        return int(sites), int(mu)


def n_units(layout: Layout, extent: Extent) -> int:
    """The units of a whole file."""
    return prod(extent) * UNITS[layout]


def links_of_unit(layout: Layout) -> int:
    """Links of one unit."""
    return DIRECTIONS // UNITS[layout]


def slabs(layout: Layout, region: Region, unit_bytes: int, limit: int) -> Iterator[Region]:
    """The region in pieces along the slowest directions of the file, of at most so many bytes where that can be."""
    second = Z if layout in ("sites", "planes") else X
    of_slice = prod(region.local[:T]) * UNITS[layout] * unit_bytes
    steps = {T: max(1, limit // of_slice), second: region.local[second]}
    if of_slice > limit:
        steps[second] = max(1, limit * region.local[second] // of_slice)
    for t in range(0, region.local[T], steps[T]):
        for start in range(0, region.local[second], steps[second]):
            origin, local = list(region.origin), list(region.local)
            for mu, first in ((T, t), (second, start)):
                origin[mu] += first
                local[mu] = min(steps[mu], region.local[mu] - first)
            yield Region(region.whole, tuple(origin), tuple(local))  # type: ignore[arg-type]


Axes = tuple[int, ...]


def box_in_file(layout: Layout, region: Region) -> tuple[Axes, Axes, Axes]:
    """The axes of the file, the last one counting units, and the place and lengths of a part of it."""

    def axes(extent: Extent, first: tuple[int, ...]) -> Axes:
        x, y, z, t = extent
        if layout in ("sites", "planes"):
            return *first, t, z, y, x
        return t, x, y, (z // 2 * LINKS_OF_A_POINT if layout == "odd points" else z * DIRECTIONS)

    planes, corner = ((DIRECTIONS,), (0,)) if layout == "planes" else ((), ())
    return axes(region.whole, planes), axes(region.origin, corner), axes(region.local, planes)


def reading(layout: Layout, memory: Region) -> Iterator[Batch]:
    """The batches that hold every link of a part of the lattice, each once."""
    if layout == "points":
        yield from _points(memory, memory, is_reading=True)
    elif layout != "odd points":
        yield from writing(layout, memory, memory)
    else:
        yield from _odd_points(memory, memory, is_reading=True)
        for mu in range(DIRECTIONS):
            if memory.local[mu] < memory.whole[mu]:
                yield from _odd_points(memory.beside(mu, memory.local[mu]), memory, mu)


def below(region: Region, mu: int, memory: Region) -> Iterator[Batch]:
    """The batches of odd points of a region whose backward links of one direction lie in another memory."""
    yield from _odd_points(region, memory, mu)


def writing(layout: Layout, region: Region, memory: Region) -> Iterator[Batch]:
    """The batches that make up a part of the file, their links lying in a memory that holds at least this part."""
    if layout == "odd points":
        yield from _odd_points(region, memory)
    else:
        yield from {"sites": _sites, "points": _points, "planes": _planes}[layout](region, memory)


def _pieces(shape: tuple[int, ...], row_units: int) -> Iterator[tuple[numpy.ndarray, ...]]:
    """The indices of some rows at once, axis by axis, until all of this shape are done."""
    n = max(1, UNITS_AT_ONCE // row_units)
    n = n // ALIGNED_ROWS * ALIGNED_ROWS or n
    for first in range(0, prod(shape), n):
        yield numpy.unravel_index(numpy.arange(first, min(first + n, prod(shape))), shape)


def _lexicographic(extent: Extent, *coordinates: numpy.ndarray) -> numpy.ndarray:
    """Numbers of the rows of sites, given t, z and y."""
    t, z, y = coordinates
    return ((t * extent[Z] + z) * extent[Y] + y) * extent[X]


def _sites(region: Region, memory: Region) -> Iterator[Batch]:
    """t, z, y, x, each site with its links."""
    for it, iz, iy in _pieces((region.local[T], region.local[Z], region.local[Y]), region.local[X]):
        yield _along_x(region, memory, (region.axis(T)[it], region.axis(Z)[iz], region.axis(Y)[iy]), 0)


def _planes(region: Region, memory: Region) -> Iterator[Batch]:
    """mu, t, z, y, x."""
    for mu in range(DIRECTIONS):
        for it, iz, iy in _pieces((region.local[T], region.local[Z], region.local[Y]), region.local[X]):
            yield _along_x(region, memory, (region.axis(T)[it], region.axis(Z)[iz], region.axis(Y)[iy]), mu)


def _along_x(region: Region, memory: Region, row: tuple[numpy.ndarray, ...], mu: int) -> Batch:
    """Rows along x at t, z, y."""
    t, z, y = row
    x = region.axis(X)
    first = memory.index(T, t) + memory.index(Z, z) + memory.index(Y, y)
    rows = _lexicographic(region.whole, t, z, y) + region.origin[X] + mu * prod(region.whole)
    parities = ((t + z + y)[:, None] + x) & 1
    return Batch(
        rows, len(x), first[:, None] + memory.index(X, x), parities, mu, NO_PAIRS if len(x) % 2 else PAIRS_OF_NEIGHBOURS
    )


def _along_z(region: Region, row_units: int, is_reading: bool) -> Iterator[tuple[numpy.ndarray, ...]]:
    """t, x and y of some rows along z: as in the file, where y follows, or as in memory, where x does."""
    t, x, y = (region.axis(mu) for mu in (T, X, Y))
    if is_reading:
        for it, iy, ix in _pieces((len(t), len(y), len(x)), row_units):
            yield t[it], x[ix], y[iy]
    else:
        for it, ix, iy in _pieces((len(t), len(x), len(y)), row_units):
            yield t[it], x[ix], y[iy]


def _points(region: Region, memory: Region, is_reading: bool = False) -> Iterator[Batch]:
    """t, x, y, z, each with its links t, x, y, z."""
    whole, z = region.whole, region.axis(Z)
    mu = (numpy.arange(DIRECTIONS) + T) % DIRECTIONS
    pairs = PAIRS_OF_ROWS if is_reading and region.local[X] % 2 == 0 else NO_PAIRS
    for t, x, y in _along_z(region, len(z) * DIRECTIONS, is_reading):
        first = memory.index(T, t) + memory.index(X, x) + memory.index(Y, y)
        rows = (((t * whole[X] + x) * whole[Y] + y) * whole[Z] + region.origin[Z]) * DIRECTIONS
        sites, parities = first[:, None] + memory.index(Z, z), ((t + x + y)[:, None] + z) & 1
        yield Batch(rows, len(z) * DIRECTIONS, sites[..., None], parities[..., None], mu, pairs)


def _odd_points(region: Region, memory: Region, only: int | None = None, is_reading: bool = False) -> Iterator[Batch]:
    """t, x, y, z of odd points, each with the links of t, x, y, z, forward before backward: U_mu of an even x is the
    backward link of x + mu. `only`: nothing but the backward links of this direction belongs somewhere.

    Along z the region is even in place and length, or one site.
    """
    whole, n_points = region.whole, max(1, region.local[Z] // 2)
    slots = numpy.arange(LINKS_OF_A_POINT)
    pairs = PAIRS_OF_ROWS if is_reading and region.local[X] % 2 == 0 else NO_PAIRS
    for t, x, y in _along_z(region, n_points * LINKS_OF_A_POINT, is_reading):
        start = numpy.full(t.shape, region.origin[Z] % whole[Z])
        if region.local[Z] == 1:
            t, x, y, start = (a[(t + x + y + start) % 2 == 1] for a in (t, x, y, start))
        if not len(t):
            continue
        rows = (((t * whole[X] + x) * whole[Y] + y) * (whole[Z] // 2) + start // 2) * LINKS_OF_A_POINT
        z = start[:, None] // 2 * 2 + (1 - (t + x + y) % 2)[:, None] + 2 * numpy.arange(n_points)
        point = {T: t[:, None], X: x[:, None], Y: y[:, None], Z: z}
        sites = _sites_of_slots(memory, point, only)
        units = n_points * LINKS_OF_A_POINT
        yield Batch(rows, units, sites, (slots + 1) % 2, (slots // 2 + T) % DIRECTIONS, pairs, True)


def _sites_of_slots(memory: Region, point: dict[int, numpy.ndarray], only: int | None) -> numpy.ndarray:
    """The sites in memory of the links of points, the last axis counting slots: x itself forward, x - mu backward."""
    here = {mu: memory.index(mu, a) for mu, a in point.items()}
    site = here[T] + here[X] + here[Y] + here[Z]
    nothing, slots = numpy.full(site.shape, -1), []
    for mu, a in point.items():
        below = site - here[mu] + memory.index(mu, a - 1) if only in (None, mu) else nothing
        slots += [site if only is None else nothing, below]
    return numpy.maximum(numpy.stack(slots, axis=-1), -1)
