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
ONE_BLOCK, TWO_BLOCKS, ANY_SITES = range(3)
SITE_KINDS = 4


@dataclass(frozen=True)
class Message:
    """One message of an exchange: ghosts from rank `source` into sites [start, start + count), own `sites` to `target`.

    `sites` has `count` entries, first `n_even` of even parity, then odd ones, both padded with repetitions to a
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
            message = _message(geometry, int(far), n_sites + n_ghosts, sites)
            n_even = int((sites < geometry.parity_sites).sum())
            target[wanted] = message.start + slots + numpy.where(slots < n_even, 0, message.n_even - n_even)
            messages.append(message)
            n_ghosts += message.count
        neighbours[geometry.positions] = target
    return Ghosts(offsets, neighbours, n_sites, n_ghosts, tuple(messages))


def _message(geometry: Geometry, far: int, start: int, sites: numpy.ndarray) -> Message:
    grid = numpy.array(geometry.grid)
    steps, place = numpy.array(unravel(far, geometry.grid)), numpy.array(geometry.place)
    is_even = sites < geometry.parity_sites
    even, odd = (_padded(chosen, 2 * geometry.lanes) for chosen in (sites[is_even], sites[~is_even]))
    padded = numpy.concatenate([even, odd])
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


@dataclass(frozen=True)
class BlockTables:
    """A neighbour table cut into blocks of `lanes` sites, as kernels read it.

    `blocks`: int32 [block][offset][2], the block that the neighbours of a block lie in, the first where they are two,
    and SITE_KINDS times a place in `lanes` plus their kind (padding lanes may be anything). ONE_BLOCK: a block in
    order. TWO_BLOCKS: at the place stand how far the second block is from the first, and each neighbour's place in the
    two. ANY_SITES: at the place stand the numbers of the sites. `interior[parity]`, `boundary[parity]`: int32 lists of
    blocks, parity 0 even, 1 odd, 2 both in turns.
    """

    blocks: numpy.ndarray
    lanes: numpy.ndarray
    interior: tuple[numpy.ndarray, ...]
    boundary: tuple[numpy.ndarray, ...]


@dataclass(frozen=True)
class WarpTables:
    """A neighbour table cut into warps of 2 * lanes sites, one for each thread, as kernels of a GPU read it.

    `neighbours`: int32 [warp][offset][thread], places in memory. `coordinates`: int32 [warp][dimensions + 1][thread],
    global coordinates and global number (-1: padding). `interior`, `boundary`: lists of warps, as those of blocks in
    BlockTables.
    """

    neighbours: numpy.ndarray
    coordinates: numpy.ndarray
    interior: tuple[numpy.ndarray, ...]
    boundary: tuple[numpy.ndarray, ...]


def block_tables(geometry: Geometry, ghosts: Ghosts, lanes: int) -> BlockTables:
    """The tables of `ghosts` for blocks of `lanes` sites."""
    site, true_lane = _by_block(ghosts.neighbours, lanes), _true_lanes(geometry, lanes)
    return BlockTables(*_blocks(site, true_lane, lanes), *_parts(site, true_lane, ghosts.n_sites))


def warp_tables(geometry: Geometry, ghosts: Ghosts) -> WarpTables:
    """The tables of `ghosts` for a GPU; padding reads itself."""
    width = 2 * geometry.lanes
    site, coordinates = (_by_block(table, width) for table in (ghosts.neighbours, geometry.coordinates))
    return WarpTables(site, coordinates, *_parts(site, _true_lanes(geometry, width), ghosts.n_sites))


def _by_block(table: numpy.ndarray, lanes: int) -> numpy.ndarray:
    """[block][column][lane] of a table [site][column]."""
    blocks = table.reshape(-1, lanes, table.shape[1]).transpose(0, 2, 1)
    return numpy.ascontiguousarray(blocks, dtype=numpy.int32)


def _true_lanes(geometry: Geometry, lanes: int) -> numpy.ndarray:
    """[block][1][lane]: False in padding."""
    return (geometry.coordinates[:, -1] >= 0).reshape(-1, 1, lanes)


def _parts(
    site: numpy.ndarray, true_lane: numpy.ndarray, n_sites: int
) -> tuple[tuple[numpy.ndarray, ...], tuple[numpy.ndarray, ...]]:
    """`interior` and `boundary`, by parity."""
    reaches_out = numpy.asarray(numpy.any((site >= n_sites) & true_lane, axis=(1, 2)))
    blocks = numpy.arange(len(site), dtype=numpy.int32)
    half = len(site) // 2
    # Even and odd in turns: neighbours, which have the other parity, are read soon after each other.
    in_turns = blocks.reshape(2, half).T.ravel()
    parities = blocks[:half], blocks[half:], in_turns
    return (
        tuple(chosen[~reaches_out[chosen]] for chosen in parities),
        tuple(chosen[reaches_out[chosen]] for chosen in parities),
    )


def _blocks(site: numpy.ndarray, true_lane: numpy.ndarray, lanes: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """`blocks` and `lanes` of BlockTables."""
    of = numpy.where(true_lane, site // lanes, site[:, :, :1] // lanes)
    first, second = of.min(axis=2), of.max(axis=2)
    in_first = of == first[:, :, None]
    place = numpy.where(true_lane, site - of * lanes + numpy.where(in_first, 0, lanes), 0)
    is_in_order = ((place == numpy.arange(lanes)) | ~true_lane).all(axis=2)
    is_of_two = (in_first | (of == second[:, :, None])).all(axis=2) & ~is_in_order
    # Blocks and offsets have few different patterns of lanes.
    pattern = numpy.concatenate([(second - first)[is_of_two][:, None], place[is_of_two]], axis=1)
    patterns, number = numpy.unique(pattern, axis=0, return_inverse=True)
    others = site[~(is_of_two | is_in_order)]
    kinds = numpy.full(is_in_order.shape, ONE_BLOCK)
    kinds[is_of_two] = SITE_KINDS * number.ravel() * (1 + lanes) + TWO_BLOCKS
    kinds[~(is_of_two | is_in_order)] = SITE_KINDS * (patterns.size + lanes * numpy.arange(len(others))) + ANY_SITES
    found = numpy.stack([first, kinds], axis=2).astype(numpy.int32)
    return found, numpy.concatenate([patterns.ravel(), others.ravel(), [0]]).astype(numpy.int32)
