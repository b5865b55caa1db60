"""Neighbour tables and ghost lists of one offset set.

All ranks have equal local extents, so a ghost is known by its place relative to the rank's corner, and every rank can
name what it receives and what it sends without asking: what lies d ranks away for me, I am -d ranks away for another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy

from hpcgauge.lattice.geometry import Geometry, ravel, unravel
from hpcgauge.lattice.offsets import Offsets

# Of a block's neighbours; the same names stand in kernels/site/lattice.h.
ONE_BLOCK, ANY_BLOCKS = -1, -2


@dataclass(frozen=True)
class Message:
    """One message of an exchange: ghosts from rank `source` into sites [start, start + count), own `sites` to `target`.

    `sites` has `count` entries, padded with repetitions to a multiple of 2 * lanes.
    """

    source: int
    target: int
    start: int
    count: int
    sites: numpy.ndarray


@dataclass(frozen=True)
class Ghosts:
    """The neighbour table of an offset set on one rank, and the messages that fill its ghosts.

    `neighbours`: int32 (n_sites, n_offsets), places in memory; ghosts lie behind the n_sites own sites.
    `n_ghosts`: sites appended, padding included.
    """

    offsets: Offsets
    neighbours: numpy.ndarray
    n_sites: int
    n_ghosts: int
    messages: tuple[Message, ...]


def plan_ghosts(geometry: Geometry, offsets: Offsets) -> Ghosts:
    """Neighbour table and messages for `offsets`; nothing is communicated."""
    vectors = offsets.vectors(geometry.dimensions)
    n_sites = geometry.n_sites
    neighbours = numpy.repeat(numpy.arange(n_sites, dtype=numpy.int32)[:, None], max(len(vectors), 1), axis=1)
    local, extent = numpy.array(geometry.local_extent), numpy.array(geometry.extent)
    displacements, places = [], []
    for vector in vectors:
        relative = (geometry.local_coordinates + numpy.array(vector)) % extent
        displacements.append(ravel(relative // local, geometry.grid))
        places.append(geometry.position_of[ravel(relative % local, geometry.local_extent)])
    messages, n_ghosts = [], 0
    if vectors:
        displacement, place = numpy.stack(displacements, axis=1), numpy.stack(places, axis=1)
        target = numpy.where(displacement == 0, place, -1)
        for far in numpy.unique(displacement[displacement != 0]):
            wanted = displacement == far
            sites, slots = numpy.unique(place[wanted], return_inverse=True)
            target[wanted] = n_sites + n_ghosts + slots
            message = _message(geometry, int(far), n_sites + n_ghosts, sites)
            messages.append(message)
            n_ghosts += message.count
        neighbours[geometry.positions] = target
    return Ghosts(offsets, neighbours, n_sites, n_ghosts, tuple(messages))


def _message(geometry: Geometry, far: int, start: int, sites: numpy.ndarray) -> Message:
    grid = numpy.array(geometry.grid)
    steps, place = numpy.array(unravel(far, geometry.grid)), numpy.array(geometry.place)
    chunk = 2 * geometry.lanes
    padded = numpy.resize(sites, -(-len(sites) // chunk) * chunk)
    padded[len(sites) :] = sites[0]
    return Message(
        source=int(ravel((place + steps) % grid, geometry.grid)),
        target=int(ravel((place - steps) % grid, geometry.grid)),
        start=start,
        count=len(padded),
        sites=padded,
    )


@dataclass(frozen=True)
class BlockTables:
    """A neighbour table cut into blocks of `lanes` sites, as kernels read it.

    `site`: int32 [block][offset][lane]; `blocks`: int32 [block][offset][2], the blocks that the neighbours of a block
    lie in (padding lanes may be anything): (a, ONE_BLOCK) where they are block a in order, (a, b) where all are of
    blocks a and b, else (a, ANY_BLOCKS). `interior[parity]`, `boundary[parity]`: int32 lists of blocks, parity 0 even,
    1 odd, 2 both.
    """

    site: numpy.ndarray
    blocks: numpy.ndarray
    interior: tuple[numpy.ndarray, ...]
    boundary: tuple[numpy.ndarray, ...]


def block_tables(geometry: Geometry, ghosts: Ghosts, lanes: int) -> BlockTables:
    """The tables of `ghosts` for blocks of `lanes` sites."""
    site = ghosts.neighbours.reshape(-1, lanes, ghosts.neighbours.shape[1]).transpose(0, 2, 1)
    true_lane = (geometry.coordinates[:, -1] >= 0).reshape(-1, 1, lanes)
    reaches_out = ((site >= ghosts.n_sites) & true_lane).any(axis=(1, 2))
    blocks = numpy.arange(len(site), dtype=numpy.int32)
    half = len(site) // 2
    parities = (blocks < half, blocks >= half, blocks >= 0)
    return BlockTables(
        site=numpy.ascontiguousarray(site, dtype=numpy.int32),
        blocks=_blocks(site, true_lane, lanes),
        interior=tuple(blocks[chosen & ~reaches_out] for chosen in parities),
        boundary=tuple(blocks[chosen & reaches_out] for chosen in parities),
    )


def _blocks(site: numpy.ndarray, true_lane: numpy.ndarray, lanes: int) -> numpy.ndarray:
    """`blocks` of BlockTables. Lane 0 of a block is a true site wherever any of its lanes is."""
    of = numpy.where(true_lane, site // lanes, site[:, :, :1] // lanes)
    low, high = of.min(axis=2), of.max(axis=2)
    is_in_order = (site == low[:, :, None] * lanes + numpy.arange(lanes)) | ~true_lane
    is_of_two = (of == low[:, :, None]) | (of == high[:, :, None])
    second = numpy.where(is_in_order.all(axis=2), ONE_BLOCK, numpy.where(is_of_two.all(axis=2), high, ANY_BLOCKS))
    return numpy.ascontiguousarray(numpy.stack([low, second], axis=2), dtype=numpy.int32)
