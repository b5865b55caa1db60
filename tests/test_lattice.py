"""Site order, neighbours, ghost lists and tables against brute force. All ranks of a grid in one process."""

from __future__ import annotations

import tracemalloc
from itertools import product
from math import prod

import numpy as np
import pytest

from hpcgauge.lattice.geometry import Geometry
from hpcgauge.lattice.ghosts import Ghosts, plan_ghosts
from hpcgauge.lattice.offsets import BACKWARD, FORWARD, LOCAL, STAR, Offsets, rectangle
from hpcgauge.lattice.tables import (
    ANY_SITES,
    ONE_BLOCK,
    SITE_KINDS,
    TWO_BLOCKS,
    BlockTables,
    block_tables,
    warp_tables,
)
from hpcgauge.network.paths import path_kernels

LANES = 4
REACH = 3
PATHS = path_kernels(REACH, "hypercubic").pullback.offsets
OFFSETS = {"star": STAR, "forward": FORWARD, "backward": BACKWARD, "paths": PATHS, "local": LOCAL}
# Extents and grids: local extents of 2 with reach 3, uneven cuts, every direction cut.
CUTS = [
    ((4, 6), (2, 1)),
    ((8, 12), (2, 3)),
    ((2, 4, 6), (1, 2, 3)),
    ((4, 4, 4), (1, 1, 2)),
    ((4, 4, 4, 4), (2, 2, 2, 2)),
    ((2, 4, 6, 8), (1, 1, 3, 2)),
    ((2, 2, 2, 8), (1, 1, 1, 4)),
]


def ranks(extent: tuple[int, ...], grid: tuple[int, ...], lanes: int = LANES) -> list[Geometry]:
    return [Geometry(extent, grid, rank, lanes) for rank in range(prod(grid))]


# Site order


@pytest.mark.parametrize(("extent", "grid"), CUTS)
def test_every_global_site_lies_on_one_rank_at_its_place(extent: tuple[int, ...], grid: tuple[int, ...]) -> None:
    seen = np.zeros(prod(extent), dtype=int)
    strides = np.cumprod([1, *extent[:-1]])
    for rank in ranks(extent, grid):
        true = rank.coordinates[:, -1] >= 0
        x, number = rank.coordinates[true, :-1], rank.coordinates[true, -1]
        assert (x @ strides == number).all() and len(number) == rank.local_volume
        np.add.at(seen, number, 1)
        is_odd = np.flatnonzero(true) >= rank.parity_sites
        assert (x.sum(axis=1) % 2 == is_odd).all()
        for parity in (0, 1):
            assert (np.diff(number[is_odd == parity]) > 0).all() or prod(grid) > 1
        assert rank.n_sites % (4 * LANES) == 0 and rank.n_sites - rank.local_volume < 4 * LANES
    assert (seen == 1).all()


# Neighbours and ghosts


def whole(plan: Ghosts) -> np.ndarray:
    """The table of neighbours: [site][offset]."""
    return plan.neighbours(slice(0, plan.n_sites)).T


def after_exchange(geometries: list[Geometry], plans: list[Ghosts], values: list[np.ndarray]) -> list[np.ndarray]:
    """Own values and ghosts of every rank, each message carried from its sender."""
    filled = [np.concatenate([own, np.full(plan.n_ghosts, -2)]) for own, plan in zip(values, plans, strict=True)]
    for rank, plan in enumerate(plans):
        for message in plan.messages:
            sent = [m for m in plans[message.source].messages if m.target == rank]
            received = [m for m in plan.messages if m.source == message.source]
            matching = sent[received.index(message)]
            assert matching.count == message.count
            filled[rank][message.start : message.start + message.count] = values[message.source][matching.sites]
    return filled


@pytest.mark.parametrize(("extent", "grid"), CUTS)
@pytest.mark.parametrize("name", OFFSETS)
def test_neighbours_and_ghosts(extent: tuple[int, ...], grid: tuple[int, ...], name: str) -> None:
    """After one exchange every table entry of every rank leads to the global number of x + offset."""
    offsets, geometries = OFFSETS[name], ranks(extent, grid)
    plans = [plan_ghosts(geometry, offsets) for geometry in geometries]
    numbers = after_exchange(geometries, plans, [g.coordinates[:, -1].astype(np.int64) for g in geometries])
    strides, vectors = np.cumprod([1, *extent[:-1]]), offsets.vectors(len(extent))
    for geometry, plan, held in zip(geometries, plans, numbers, strict=True):
        true = geometry.coordinates[:, -1] >= 0
        remote: set[int] = set()
        own, table = set(geometry.coordinates[true, -1].tolist()), whole(plan)
        for column, vector in enumerate(vectors):
            wanted = (geometry.coordinates[true, :-1] + np.array(vector)) % np.array(extent) @ strides
            assert (held[table[true, column]] == wanted).all()
            assert (table[~true, column] == np.flatnonzero(~true)).all()
            remote |= set(wanted.tolist()) - own
        # The distinct remote sites, each message and parity padded to whole blocks of two lanes.
        ghosts = np.concatenate([held[m.start : m.start + m.count] for m in plan.messages]) if plan.messages else []
        assert set(np.asarray(ghosts).tolist()) == remote
        distinct = [len(set(held[m.start : m.start + m.count].tolist())) for m in plan.messages]
        assert sum(distinct) == len(remote)
        assert all(m.count - n < 4 * LANES for m, n in zip(plan.messages, distinct, strict=True))
        for message in plan.messages:
            is_odd = message.sites >= geometry.parity_sites
            assert is_odd[message.part(1)].all() and not is_odd[message.part(0)].any()
        assert all(m.source != geometry.rank for m in plan.messages)


def test_ghosts_are_no_cube() -> None:
    """Reach 3 on a local extent of 2: the pullback of paths needs a small part of the surrounding lattice."""
    geometry = Geometry((16, 16, 16, 16), (8, 8, 8, 8), 0, LANES)
    plan = plan_ghosts(geometry, PATHS)
    distinct = sum(len(np.unique(message.sites)) for message in plan.messages)
    expected = set()
    for mu, nu in product(range(4), repeat=2):
        for i, j in product(range(2), range(-REACH, REACH + 1)):
            for site in product(range(2), repeat=4):
                far = list(site)
                if mu != nu:
                    far[mu] += i
                    far[nu] += j
                expected.add(tuple(far))
    outside = [site for site in expected if not all(0 <= x < 2 for x in site)]
    assert distinct == len(outside) < (2 + 2 * REACH) ** 4 / 4


def test_offsets_are_the_vectors_of_every_ordered_pair() -> None:
    offsets = Offsets(((1, 0), (1, -2)))
    assert set(offsets.vectors(2)) == {(1, 0), (0, 1), (1, -2), (-2, 1)}
    table = offsets.lookup(3)
    for mu, nu in product(range(3), repeat=2):
        for i, j in product(range(-2, 3), repeat=2):
            place = table[mu, nu, i + 2, j + 2]
            vector = np.zeros(3, dtype=int)
            if mu != nu:
                vector[mu], vector[nu] = i, j
            known = tuple(vector) in offsets.vectors(3)
            assert (offsets.vectors(3)[place] == tuple(vector)) if known else place == -1
    assert rectangle(range(2), range(-1, 2)).reach == 1 and LOCAL.vectors(4) == []


@pytest.mark.parametrize("lanes", [2, 4, 8])
@pytest.mark.parametrize(("extent", "grid"), CUTS)
def test_block_tables(extent: tuple[int, ...], grid: tuple[int, ...], lanes: int) -> None:
    """Blocks are cut from the table and the blocks of neighbours named; every block is interior or boundary."""
    geometry = ranks(extent, grid, lanes)[-1]
    plan = plan_ghosts(geometry, STAR)
    for width in (lanes, 2 * lanes):
        check_blocks(geometry, plan, block_tables(plan, width), width)


@pytest.mark.parametrize("grid", [(1, 1, 1, 1), (1, 1, 2, 2)])
def test_tables_are_made_in_little_memory(grid: tuple[int, ...]) -> None:
    """A table of all neighbours site by site would be 36 MiB, on four ranks with 64-bit numbers 18."""
    tracemalloc.start()
    try:
        tables = block_tables(plan_ghosts(Geometry((16, 16, 16, 16), grid, 0, 8), PATHS), 8)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept >= tables.blocks.nbytes + tables.lanes.nbytes
    assert peak - kept < 16 << 20


@pytest.mark.parametrize(("extent", "grid"), CUTS)
def test_warp_tables(extent: tuple[int, ...], grid: tuple[int, ...]) -> None:
    """A thread finds its neighbours and coordinates; interior and boundary are those of blocks as wide as a warp."""
    geometry = ranks(extent, grid, LANES)[-1]
    plan = plan_ghosts(geometry, STAR)
    tables, blocks = warp_tables(plan), block_tables(plan, 2 * LANES)
    for table, wanted in ((tables.neighbours, whole(plan)), (tables.coordinates, geometry.coordinates)):
        assert table.dtype == np.int32 and np.array_equal(table.transpose(0, 2, 1).reshape(wanted.shape), wanted)
    for ours, theirs in ((tables.interior, blocks.interior), (tables.boundary, blocks.boundary)):
        assert all(np.array_equal(*pair) for pair in zip(ours, theirs, strict=True))


def check_blocks(geometry: Geometry, plan: Ghosts, tables: BlockTables, lanes: int) -> None:
    true = (geometry.coordinates[:, -1] >= 0).reshape(-1, lanes)
    entries = whole(plan).reshape(-1, lanes, plan.n_offsets)
    for block, offset in product(range(len(tables.blocks)), range(plan.n_offsets)):
        wanted, named = entries[block, :, offset], sites_named(tables, block, offset, lanes)
        assert (wanted == named)[true[block]].all()
        kind = tables.blocks[block, offset, 1] % SITE_KINDS
        assert true[block].any() <= (kind == wanted_kind(wanted[true[block]], true[block], lanes))
    reaches_out = ((entries >= plan.n_sites) & true[:, :, None]).any(axis=(1, 2))
    half = len(reaches_out) // 2
    in_turns = [block for pair in zip(range(half), range(half, 2 * half), strict=True) for block in pair]
    for parity, blocks in enumerate((range(half), range(half, 2 * half), in_turns)):
        assert tables.interior[parity].tolist() == [block for block in blocks if not reaches_out[block]]
        assert tables.boundary[parity].tolist() == [block for block in blocks if reaches_out[block]]


def sites_named(tables: BlockTables, block: int, offset: int, lanes: int) -> np.ndarray:
    """What a kernel makes of the tables."""
    first, code = tables.blocks[block, offset].tolist()
    kind, place = code % SITE_KINDS, code // SITE_KINDS
    if kind == ONE_BLOCK:
        return first * lanes + np.arange(lanes)
    if kind == ANY_SITES:
        return tables.lanes[place : place + lanes]
    second = first + tables.lanes[place]
    both = np.concatenate([first * lanes + np.arange(lanes), second * lanes + np.arange(lanes)])
    return both[tables.lanes[place + 1 : place + 1 + lanes]]


def wanted_kind(sites: np.ndarray, true: np.ndarray, lanes: int) -> int:
    blocks = set((sites // lanes).tolist())
    if len(blocks) == 1 and (sites % lanes == np.arange(lanes)[true]).all():
        return ONE_BLOCK
    return TWO_BLOCKS if len(blocks) <= 2 else ANY_SITES
