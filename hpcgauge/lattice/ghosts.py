"""Neighbours and ghost lists of one offset set.

All ranks have equal local extents, so a ghost is known by its place relative to the rank's corner, and every rank can
name what it receives and what it sends without asking: what lies d ranks away for me, I am -d ranks away for another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy

from hpcgauge.lattice.geometry import Geometry, ravel, unravel
from hpcgauge.lattice.offsets import Offsets

# Neighbours that are looked at together: what is made on the way stays small on large lattices.
TOGETHER = 1 << 18


@dataclass(frozen=True)
class Message:
    """One message of an exchange: ghosts from rank `source` into sites [start, start + count), own `sites` to `target`.

    `sites`: int64, `count` entries, first `n_even` of even parity, then odd ones, both padded with repetitions to a
    multiple of 2 * lanes.
    """

    source: int
    target: int
    start: int
    count: int
    n_even: int
    sites: numpy.ndarray

    def part(self, parity: int) -> slice:
        """The places of a parity (0 even, 1 odd, 2 both) among `sites`."""
        return (slice(0, self.n_even), slice(self.n_even, self.count), slice(0, self.count))[parity]


@dataclass(frozen=True)
class Walk:
    """What lies the vectors of an offset set away from the sites of one rank."""

    geometry: Geometry
    offsets: Offsets

    @cached_property
    def vectors(self) -> list[tuple[int, ...]]:
        return self.offsets.vectors(self.geometry.dimensions)

    @cached_property
    def _steps(self) -> list[tuple[numpy.ndarray, numpy.ndarray]]:
        """For each direction, [step + reach, coordinate] what a step adds to the lexicographic local number of a site
        and to the number of ranks."""
        reach = max((abs(step) for vector in self.vectors for step in vector), default=0)
        geometry, steps = self.geometry, numpy.arange(-reach, reach + 1)[:, None]
        found = []
        for d, length in enumerate(geometry.local_extent):
            here = numpy.arange(length)
            ranks, there = numpy.divmod(here + steps, length)
            numbers = (there - here) * prod(geometry.local_extent[:d])
            away = ranks % geometry.grid[d] * prod(geometry.grid[:d])
            found.append((numbers.astype(numpy.int32), away.astype(numpy.int32)))
        return found

    def chunks(self, multiple: int) -> Iterator[slice]:
        """The sites of the rank, padding included, in parts of a multiple of so many sites."""
        size = max(1, TOGETHER // max(1, len(self.vectors)) // multiple) * multiple
        n_sites = self.geometry.n_sites
        return (slice(start, min(start + size, n_sites)) for start in range(0, n_sites, size))

    def reached(self, sites: slice) -> tuple[numpy.ndarray, numpy.ndarray]:
        """int32 (vectors, sites): the places on their own ranks of what lies the vectors away, and how far the ranks
        are, counted as in the process grid. Padding is where the first site is."""
        start = numpy.maximum(self.geometry.lexicographic[sites], 0)
        along = list(self.geometry.along(start))
        numbers = numpy.empty((len(self.vectors), len(start)), dtype=numpy.int32)
        numbers[:] = start
        far = numpy.zeros_like(numbers)
        for row, vector in enumerate(self.vectors):
            for d, step in enumerate(vector):
                if step:
                    added, away = (table[step + len(table) // 2] for table in self._steps[d])
                    numbers[row] += added[along[d]]
                    if self.geometry.grid[d] > 1:
                        far[row] += away[along[d]]
        return self.geometry.position_of[numbers], far


@dataclass(frozen=True)
class Ghosts:
    """Where the neighbours of an offset set lie on one rank, and the messages that fill its ghosts.

    Ghosts lie behind the n_sites own sites. `n_ghosts`: sites appended, padding included. `arrivals`: for ranks so far
    away the places there (ascending) and here.
    """

    walk: Walk
    n_ghosts: int
    messages: tuple[Message, ...]
    arrivals: dict[int, tuple[numpy.ndarray, numpy.ndarray]]

    @property
    def n_sites(self) -> int:
        return self.walk.geometry.n_sites

    @property
    def n_offsets(self) -> int:
        """Columns of the tables: one for each vector; where there is none, the site itself."""
        return max(1, len(self.walk.vectors))

    def neighbours(self, sites: slice) -> numpy.ndarray:
        """int32 (n_offsets, sites): places in memory; padding leads to itself."""
        own = numpy.arange(sites.start, sites.stop, dtype=numpy.int32)
        if not self.walk.vectors:
            return own[None]
        place, far = self.walk.reached(sites)
        for distance, (there, here) in self.arrivals.items():
            is_there = far == distance
            place[is_there] = here[numpy.searchsorted(there, place[is_there])]
        return numpy.where(self.walk.geometry.lexicographic[sites] >= 0, place, own)


def plan_ghosts(geometry: Geometry, offsets: Offsets) -> Ghosts:
    """Neighbours and messages for `offsets`; nothing is communicated."""
    walk = Walk(geometry, offsets)
    messages, arrivals, n_ghosts = [], {}, 0
    for distance, there in sorted(_wanted(walk).items()):
        message = _message(geometry, distance, geometry.n_sites + n_ghosts, there)
        is_even = there < geometry.parity_sites
        slots = numpy.arange(len(there)) + numpy.where(is_even, 0, message.n_even - is_even.sum())
        messages.append(message)
        arrivals[distance] = there, (message.start + slots).astype(numpy.int32)
        n_ghosts += message.count
    return Ghosts(walk, n_ghosts, tuple(messages), arrivals)


def _wanted(walk: Walk) -> dict[int, numpy.ndarray]:
    """For ranks so far away the places there, ascending, that are neighbours of own sites."""
    found = defaultdict(list)
    if max(walk.geometry.grid) > 1:
        for sites in walk.chunks(1):
            place, far = walk.reached(sites)
            for distance in numpy.unique(far[far != 0]).tolist():
                found[distance].append(numpy.unique(place[far == distance]))
    return {distance: numpy.unique(numpy.concatenate(parts)) for distance, parts in found.items()}


def _message(geometry: Geometry, far: int, start: int, sites: numpy.ndarray) -> Message:
    grid = numpy.array(geometry.grid)
    steps, place = numpy.array(unravel(far, geometry.grid)), numpy.array(geometry.place)
    is_even = sites < geometry.parity_sites
    even, odd = (_padded(chosen, 2 * geometry.lanes) for chosen in (sites[is_even], sites[~is_even]))
    padded = numpy.concatenate([even, odd], dtype=numpy.int64)
    return Message(
        source=int(ravel((place + steps) % grid, geometry.grid)),
        target=int(ravel((place - steps) % grid, geometry.grid)),
        start=start,
        count=len(padded),
        n_even=len(even),
        sites=padded,
    )


def _padded(sites: numpy.ndarray, chunk: int) -> numpy.ndarray:
    """The sites, with repetitions of the first to a multiple of `chunk`."""
    padded = numpy.resize(sites, -(-len(sites) // chunk) * chunk)
    padded[len(sites) :] = sites[:1]
    return padded
