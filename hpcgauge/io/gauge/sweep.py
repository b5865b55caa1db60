"""One pass over a gauge file, slab by slab along t, each rank its share: for files that no field holds."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from math import prod
from typing import final

import numpy

from hpcgauge.comm.world import World
from hpcgauge.io.agreement import on_every_rank
from hpcgauge.io.distributed import share
from hpcgauge.io.gauge.checksums import TRACE, Found, Tally, combined
from hpcgauge.io.gauge.compiled import Place, add_plaquettes
from hpcgauge.io.gauge.gaugefile import CHECKS, GaugeFile
from hpcgauge.io.gauge.header import BYTES, COMPLEX, DIRECTIONS, data_length
from hpcgauge.io.gauge.layouts import Region, T

# Bytes of a slab; one slice of t at least.
SLAB = 16 << 20


@dataclass(frozen=True)
class Slab:
    """Some slices of t, and their links with those of the slice below: (mu, t, z, y, x, row, column)."""

    region: Region
    memory: Region
    links: numpy.ndarray


@dataclass(frozen=True)
class Measurement:
    """What the numbers of a file give: means of Re tr / N."""

    found: Found
    link_trace: float
    plaquette: float


@final
class Sweep:
    """The slabs of this rank, and what was found in all that were passed: `names` are the checks that are made."""

    def __init__(self, world: World, file: GaugeFile, names: Collection[str] = CHECKS) -> None:
        self.world, self.file, self.names = world, file, names
        self.extent, self.colors = file.complete()
        self._share = share(self.extent[T], world.rank, world.size)
        self._tally, self._loops = Tally(), Tally()
        of_slice = data_length((*self.extent[:3], 1), self.colors, self.colors, BYTES[file.precision])
        self._thickness = max(1, SLAB // of_slice)

    @property
    def own(self) -> Region | None:
        """The slices of this rank; None if it has none."""
        n = self._share.stop - self._share.start
        return self._slices(self._share.start, n) if n else None

    @property
    def rounds(self) -> int:
        """The most slabs that any rank has."""
        most = -(-self.extent[T] // self.world.size)
        return -(-most // self._thickness)

    def _slices(self, t: int, n: int) -> Region:
        x, y, z, whole = self.extent
        return Region(self.extent, (0, 0, 0, t % whole), (x, y, z, n))

    def slabs(self) -> Iterator[Slab | None]:
        """The slabs of this rank, then None until every rank is done. Collective."""
        before: Slab | None = None
        for number in range(self.rounds):
            first = self._share.start + number * self._thickness
            n = max(0, min(self._thickness, self._share.stop - first))
            before = on_every_rank(self.world, lambda: self._slab(first, n, before) if n else None)  # noqa: B023
            yield before

    def _slab(self, first: int, n: int, before: Slab | None) -> Slab:
        x, y, z, _ = self.extent
        shape = (DIRECTIONS, n + 1, z, y, x, self.colors, self.colors)
        links: numpy.ndarray = numpy.empty(shape, COMPLEX[self.file.precision])
        if before is None:
            self.file.take(self._slices(first - 1, 1), Place.of_array(links[:, :1]), 0)
        else:
            links[:, 0] = before.links[:, -1]
        region = self._slices(first, n)
        self.file.take(region, Place.of_array(links[:, 1:]), self.file.checks(self.names) | TRACE, self._tally)
        add_plaquettes(links, self._loops.record)
        return Slab(region, self._slices(first - 1, n + 1), links)

    def measured(self) -> Measurement:
        """What was found, once all slabs are passed. Collective."""
        found = combined(self.world, self._tally)
        mean = combined(self.world, self._loops).trace / (prod(self.extent) * self.colors)
        return Measurement(found, self.file.link_trace(found), mean)


def measure(world: World, file: GaugeFile) -> Measurement:
    """What all numbers of a file give. Collective."""
    sweep = Sweep(world, file)
    for _ in sweep.slabs():
        pass
    return sweep.measured()


def verify(file: GaugeFile, measurement: Measurement, names: Collection[str], limit: float | None = None) -> None:
    """Nothing, if the file stores what its numbers give, and they are links up to `limit` (that of their precision)."""
    file.verify_found(measurement.found, names, limit)
    if "plaquette" in names:
        file.verify_fact("plaquette", measurement.plaquette)
