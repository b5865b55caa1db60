"""Tables of neighbours as kernels read them: cut into blocks for processors, into warps for GPUs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy

from hpcgauge.lattice.ghosts import Ghosts

# Of a block's neighbours; the same names stand in kernels/site/lattice.h.
ONE_BLOCK, TWO_BLOCKS, ANY_SITES = range(3)
SITE_KINDS = 4
# What patterns of lanes are known by. Two that were alike would be named site by site, never confused.
WEIGHTS = numpy.random.Generator(numpy.random.PCG64(1)).integers(1 << 63, size=64, dtype=numpy.uint64)


@dataclass(frozen=True)
class BlockTables:
    """The neighbours of an offset set in blocks of `lanes` sites, as kernels read them.

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
    """The neighbours of an offset set in warps of 2 * lanes sites, one for each thread, as kernels of a GPU read them.

    `neighbours`: int32 [warp][offset][thread], places in memory. `coordinates`: int32 [warp][dimensions + 1][thread],
    global coordinates and global number (-1: padding). `interior`, `boundary`: lists of warps, as those of blocks in
    BlockTables.
    """

    neighbours: numpy.ndarray
    coordinates: numpy.ndarray
    interior: tuple[numpy.ndarray, ...]
    boundary: tuple[numpy.ndarray, ...]


def block_tables(ghosts: Ghosts, lanes: int) -> BlockTables:
    """The tables for blocks of `lanes` sites."""
    geometry, names = ghosts.walk.geometry, _Names(lanes)
    n_blocks = geometry.n_sites // lanes
    found = numpy.empty((n_blocks, ghosts.n_offsets, 2), dtype=numpy.int32)
    reaches_out = numpy.empty(n_blocks, dtype=bool)
    for sites in ghosts.walk.chunks(2 * geometry.lanes):
        blocks = slice(sites.start // lanes, sites.stop // lanes)
        # [lane][offset][block]
        site = numpy.ascontiguousarray(
            numpy.moveaxis(ghosts.neighbours(sites).reshape(ghosts.n_offsets, -1, lanes), 2, 0)
        )
        is_true = (geometry.lexicographic[sites] >= 0).reshape(-1, lanes).T[:, None]
        reaches_out[blocks] = ((site >= ghosts.n_sites) & is_true).any(axis=(0, 1))
        found[blocks] = names.of(site, is_true).transpose(2, 1, 0)
    return BlockTables(*names.finished(found), *_parts(reaches_out))


def warp_tables(ghosts: Ghosts) -> WarpTables:
    """The tables for a GPU; padding reads itself."""
    geometry = ghosts.walk.geometry
    width, is_true = 2 * geometry.lanes, geometry.lexicographic >= 0
    n_warps = geometry.n_sites // width
    neighbours = numpy.empty((n_warps, ghosts.n_offsets, width), dtype=numpy.int32)
    reaches_out = numpy.empty(n_warps, dtype=bool)
    for sites in ghosts.walk.chunks(width):
        warps, site = slice(sites.start // width, sites.stop // width), ghosts.neighbours(sites)
        neighbours[warps] = site.reshape(ghosts.n_offsets, -1, width).transpose(1, 0, 2)
        reaches_out[warps] = ((site >= ghosts.n_sites) & is_true[sites]).any(axis=0).reshape(-1, width).any(axis=1)
    coordinates = geometry.coordinates.reshape(n_warps, width, -1).transpose(0, 2, 1)
    return WarpTables(neighbours, numpy.ascontiguousarray(coordinates), *_parts(reaches_out))


def _parts(reaches_out: numpy.ndarray) -> tuple[tuple[numpy.ndarray, ...], tuple[numpy.ndarray, ...]]:
    """`interior` and `boundary`, by parity."""
    blocks = numpy.arange(len(reaches_out), dtype=numpy.int32)
    half = len(blocks) // 2
    # Even and odd in turns: neighbours, which have the other parity, are read soon after each other.
    in_turns = blocks.reshape(2, half).T.ravel()
    parities = blocks[:half], blocks[half:], in_turns
    return (
        tuple(chosen[~reaches_out[chosen]] for chosen in parities),
        tuple(chosen[reaches_out[chosen]] for chosen in parities),
    )


class _Names:
    """Gives the neighbours of blocks their names; there are few patterns of lanes, which many blocks share."""

    def __init__(self, lanes: int):
        self.lanes = lanes
        self._keys = numpy.zeros(1, dtype=numpy.uint64)
        self._patterns = numpy.zeros((1, 1 + lanes), dtype=numpy.int32)
        self._others: list[numpy.ndarray] = []
        self._n_others = 0

    def of(self, site: numpy.ndarray, is_true: numpy.ndarray) -> numpy.ndarray:
        """int32 [2][offset][block] of sites [lane][offset][block]; the places of single sites count from 0."""
        lanes = self.lanes
        block = numpy.where(is_true, site, site[0]) // lanes
        first, second = block.min(axis=0), block.max(axis=0)
        is_first = block == first
        place = numpy.where(is_true, site % lanes + lanes * ~is_first, 0).astype(numpy.int32)
        in_order = numpy.arange(lanes, dtype=numpy.int32)[:, None, None]
        is_in_order = ((place == in_order) | ~is_true).all(axis=0)
        is_of_two = (is_first | (block == second)).all(axis=0) & ~is_in_order
        pattern = numpy.concatenate([(second - first)[None, is_of_two], place[:, is_of_two]])
        numbers = self._numbers(pattern)
        is_of_two[is_of_two] = is_known = (self._patterns[numbers].T == pattern).all(axis=0)
        kinds = numpy.full_like(first, ONE_BLOCK)
        kinds[is_of_two] = SITE_KINDS * (1 + lanes) * numbers[is_known] + TWO_BLOCKS
        is_single = ~(is_of_two | is_in_order)
        others = site[:, is_single].T
        kinds[is_single] = SITE_KINDS * lanes * numpy.arange(self._n_others, self._n_others + len(others)) + ANY_SITES
        self._others.append(others.ravel())
        self._n_others += len(others)
        return numpy.stack([first, kinds])

    def _numbers(self, pattern: numpy.ndarray) -> numpy.ndarray:
        """The numbers of patterns (gap and places, pattern), new ones kept."""
        keys = numpy.zeros(pattern.shape[1], dtype=numpy.uint64)
        for weight, row in zip(WEIGHTS, pattern, strict=False):
            keys += weight * row.astype(numpy.uint64)
        numbers = self._found(keys)
        is_new = numpy.flatnonzero(self._keys[numbers] != keys)
        if len(is_new) == 0:
            return numbers
        new, at = numpy.unique(keys[is_new], return_index=True)
        self._keys = numpy.concatenate([self._keys, new])
        self._patterns = numpy.concatenate([self._patterns, pattern[:, is_new[at]].T])
        return self._found(keys)

    def _found(self, keys: numpy.ndarray) -> numpy.ndarray:
        """The number of the pattern with a key, of any where none has it."""
        order = numpy.argsort(self._keys)
        return order[numpy.minimum(numpy.searchsorted(self._keys, keys, sorter=order), len(order) - 1)]

    def finished(self, blocks: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        """`blocks` and `lanes` of BlockTables, single sites behind the patterns. ValueError: too many."""
        lanes = numpy.concatenate([self._patterns.ravel(), *self._others, numpy.zeros(1, dtype=numpy.int32)])
        if SITE_KINDS * len(lanes) >= 1 << 31:
            n_sites = self.lanes * len(blocks)
            raise ValueError(f"{n_sites} sites on one rank are too many for neighbours so far away; take more ranks")
        blocks[blocks[:, :, 1] % SITE_KINDS == ANY_SITES, 1] += SITE_KINDS * self._patterns.size
        return blocks, lanes
