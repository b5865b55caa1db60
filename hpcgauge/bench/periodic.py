"""A kernel's fields on a lattice of any size whose oracle is affordable: a small tile, repeated in all directions.

A kernel that draws random numbers sees the global number of a site: its formula is evaluated on the first time slices,
and compared there.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import final

import numpy

from hpcgauge.bench.case import TOLERANCE, Case, on_parity
from hpcgauge.bench.formulas import SUMS
from hpcgauge.comm.world import World
from hpcgauge.fields.device import Device
from hpcgauge.fields.field import Field, Kind
from hpcgauge.fields.lattice import Lattice
from hpcgauge.lattice.geometry import ravel

# A tile is as long as the lattice in x up to here, so that blocks of sites differ; the other lengths are at least 4.
LONGEST_TILE = 16
# Draws are compared on so many sites, in whole time slices.
DRAWN_SITES = 16**4
CHUNK_BLOCKS = 4096


def tile_extent(extent: tuple[int, ...]) -> tuple[int, ...]:
    """The extents of the tile of a lattice: even divisors of its own."""
    smallest = (LONGEST_TILE, *[4] * (len(extent) - 1))
    return tuple(
        next(part for part in range(min(least, length), length + 1) if length % part == 0 and part % 2 == 0)
        for length, least in zip(extent, smallest, strict=True)
    )


def drawn_extent(extent: tuple[int, ...]) -> tuple[int, ...]:
    """The extents of the time slices on which draws are compared."""
    slices = max(2, DRAWN_SITES // prod(extent[:-1]) // 2 * 2)
    return (*extent[:-1], min(extent[-1], slices))


@final
class Periodic:
    """The inputs of a kernel of the catalogue on a lattice, and what its formula makes of them."""

    def __init__(self, name: str, lattice: Lattice, parity: str):
        kernel = Case(name, lattice.colors, lattice.precision, lattice.extent, n_rhs=1).entry.kernel
        self.is_drawn = any(number.name == "draw" for number in kernel.numbers)
        extent = drawn_extent(lattice.extent) if self.is_drawn else tile_extent(lattice.extent)
        periodic = (1,) * len(extent)
        self.case = Case(name, lattice.colors, lattice.precision, extent, n_rhs=1, boundary=periodic)
        self.lattice, self.parity = lattice, parity
        self.tile = Lattice(extent, lattice.colors, World.alone(), Device("cpu", threads=1))
        self._places, self._compared = self._find_places()
        before = {key: self._rounded(kind, self.case.inputs[key]) for key, kind in self.case.kinds.items()}
        self.inputs = {key: self._rows(self.case.kinds[key], array) for key, array in before.items()}
        expected = self.case.expected(before)
        self.written = [field.name for field in kernel.fields if field.access != "read"]
        self.expected = {key: self._rows(self.case.kinds[key], expected[key]) for key in self.written}
        chosen = on_parity(extent, parity)
        repeats = lattice.volume // self.tile.volume
        terms = expected.get(SUMS, numpy.zeros((0, *chosen.shape)))[:, chosen]
        self.sums = [(repeats * float(parts.sum()), repeats * float(abs(parts).sum())) for parts in terms]
        self._chosen = numpy.append(chosen.ravel(), False)[:, None]

    def _find_places(self) -> tuple[numpy.ndarray, numpy.ndarray]:
        """For every own site in the order of memory its place in the tile (the place after the last: padding), and if
        its outputs are compared."""
        table, extent = self.lattice.geometry.coordinates, numpy.array(self.tile.extent)
        coordinates, is_true = table[:, :-1], table[:, -1] >= 0
        places = numpy.where(is_true, ravel(coordinates % extent, self.tile.extent), self.tile.volume)
        is_inside = (coordinates < extent).all(axis=1) if self.is_drawn else True
        return places, is_true & is_inside

    def _rounded(self, kind: Kind, array: numpy.ndarray) -> numpy.ndarray:
        """The array as a field holds it, in the shape that formulas take."""
        field = Field(self.tile, kind, self.lattice.precision).set_global(array)
        return field.to_numpy().reshape(array.shape)

    def _rows(self, kind: Kind, array: numpy.ndarray) -> numpy.ndarray:
        """The real numbers of every site of the tile, lexicographic, and a row of zeros for padding."""
        field = Field(self.tile, kind, "double").set_global(array)
        rows = numpy.zeros((self.tile.volume + 1, field.components))
        rows[:-1] = field.by_site.reshape(-1, field.components)[self.tile.geometry.position_of]
        return rows

    def fields(self) -> dict[str, Field]:
        """New fields that hold the inputs."""
        made = {key: Field(self.lattice, kind) for key, kind in self.case.kinds.items()}
        for key in made:
            self.fill(made, key)
        return made

    def fill(self, fields: dict[str, Field], key: str) -> None:
        """Sets one of the fields to its input."""
        field = fields[key]
        for blocks, places, _ in self._chunks():
            field.set_blocks(blocks, self.inputs[key][places])

    def disagreement(self, fields: dict[str, Field], sums: tuple[float, ...]) -> str:
        """Empty if outputs and sums of one call agree with the formula within rounding on all ranks; else, on some
        rank, what does not."""
        limit, wrong = TOLERANCE[self.lattice.precision], []
        for key in self.written:
            scale = max(1.0, float(abs(self.expected[key]).max()))
            error = self._error(fields[key], numpy.where(self._chosen, self.expected[key], self.inputs[key])) / scale
            if not error <= limit:
                wrong.append(f"{key} is off by {error:.2g} of its size")
        for number, (total, (right, size)) in enumerate(zip(sums, self.sums, strict=True)):
            error = abs(total - right) / max(1.0, size)
            if not error <= limit:
                wrong.append(f"sum {number} is off by {error:.2g} of its size")
        return ", ".join(wrong)

    def _error(self, field: Field, rows: numpy.ndarray) -> float:
        """The largest difference on this rank, NaN if there is one."""
        worst = 0.0
        for blocks, places, compared in self._chunks():
            found = field.by_site[blocks].reshape(-1, field.components)[compared]
            if len(found):
                worst = float(numpy.maximum(worst, abs(found - rows[places[compared]]).max()))
        return worst

    def _chunks(self) -> Iterator[tuple[slice, numpy.ndarray, numpy.ndarray]]:
        """Blocks, the tile places of their sites, and which of them are compared."""
        lanes = self.lattice.lanes(self.lattice.precision)
        for start in range(0, len(self._places) // lanes, CHUNK_BLOCKS):
            sites = slice(start * lanes, (start + CHUNK_BLOCKS) * lanes)
            yield slice(start, start + CHUNK_BLOCKS), self._places[sites], self._compared[sites]
