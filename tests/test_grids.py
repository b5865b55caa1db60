"""How a lattice is cut over ranks: automatic grids against brute force, refusals with what would do."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcgauge.fields.lattice import Lattice
from hpcgauge.lattice.grid import check_grid, possible_grids, process_grid


@pytest.mark.parametrize(
    ("extent", "n_ranks", "grid"),
    [
        ((4, 4, 4, 4), 1, (1, 1, 1, 1)),
        ((4, 4, 4, 4), 2, (1, 1, 1, 2)),
        ((4, 4, 4, 4), 4, (1, 1, 2, 2)),
        ((4, 4, 4, 4), 8, (1, 2, 2, 2)),
        ((4, 4, 4, 4), 16, (2, 2, 2, 2)),
        ((16, 16, 16, 16), 4, (1, 1, 1, 4)),
        ((4, 4, 4, 8), 4, (1, 1, 1, 4)),
        ((8, 4, 4, 4), 2, (2, 1, 1, 1)),
        ((6, 6), 3, (1, 3)),
        ((2, 4, 6), 6, (1, 2, 3)),
    ],
)
def test_automatic_grids(extent: tuple[int, ...], n_ranks: int, grid: tuple[int, ...]) -> None:
    assert process_grid(extent, n_ranks) == grid


def surface(extent: tuple[int, ...], grid: tuple[int, ...]) -> int:
    """Sites with a neighbour on another rank, once for each such neighbour."""
    local = np.array(extent) // grid
    steps = np.concatenate([np.eye(len(extent), dtype=int), -np.eye(len(extent), dtype=int)])
    moved = np.stack(np.unravel_index(np.arange(prod(local)), local), axis=1)[:, None] + steps
    outside = ((moved < 0) | (moved >= local)).any(axis=2)
    cut = np.array([parts > 1 for parts in grid] * 2)
    return int((outside & cut).sum())


@given(st.lists(st.integers(1, 5), min_size=2, max_size=4), st.integers(1, 12))
def test_automatic_grid_has_the_least_surface(halves: list[int], n_ranks: int) -> None:
    extent = tuple(2 * half for half in halves)
    grids = [
        grid
        for grid in product(range(1, n_ranks + 1), repeat=len(extent))
        if prod(grid) == n_ranks and all(half % parts == 0 for half, parts in zip(halves, grid, strict=True))
    ]
    assert sorted(possible_grids(extent, n_ranks)) == sorted(grids)
    if not grids:
        with pytest.raises(ValueError, match=f"cannot be cut over {n_ranks} ranks"):
            process_grid(extent, n_ranks)
        return
    chosen = process_grid(extent, n_ranks)
    assert chosen in grids and surface(extent, chosen) == min(surface(extent, grid) for grid in grids)


def test_impossible_grids_are_refused_with_one_that_works() -> None:
    for extent, n_ranks, fitting, grid in (((4, 4, 4, 4), 3, 2, (1, 1, 1, 2)), ((4, 4), 7, 4, (2, 2))):
        with pytest.raises(ValueError, match="would do") as caught:
            process_grid(extent, n_ranks)
        text = str(caught.value)
        assert str(list(extent)) in text and f"{n_ranks} ranks" in text
        assert f"{fitting} ranks would do, as grid {list(grid)}" in text
        check_grid(extent, grid, fitting)
    with pytest.raises(ValueError, match=r"process_grid\[0\] = 4 .* extent\[0\] = 4 .* \[1, 1, 2, 2\] would do"):
        check_grid((4, 4, 4, 4), (4, 1, 1, 1), 4)
    with pytest.raises(ValueError, match=r"makes 2 parts for 4 ranks; \[1, 1, 2, 2\] would do"):
        check_grid((4, 4, 4, 4), (1, 1, 1, 2), 4)
    with pytest.raises(ValueError, match="has 2 directions, the lattice has 4"):
        check_grid((4, 4, 4, 4), (2, 2), 4)


@pytest.mark.parametrize(
    ("extent", "message"),
    [
        ((4, 4, 3, 4), r"extent\[2\] = 3 must be even"),
        ((0, 4), r"extent\[0\] = 0 must be even and at least 2"),
        ((4,), "has 1 directions; 2, 3 or 4 are possible"),
        ((2, 2, 2, 2, 2), "has 5 directions"),
        ((1024, 1024, 1024, 2), "has 2147483648 sites; at most"),
    ],
)
def test_impossible_extents_are_refused_with_the_numbers(extent: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Lattice(extent)


def test_lattice_refuses_wrong_words() -> None:
    for wrong, message in (
        ({"colors": 1}, "colors = 1"),
        ({"precision": "half"}, "precision = 'half'.*'double' and 'single'"),
        ({"process_grid": "best"}, "process_grid = 'best'.*'auto'"),
        ({"process_grid": (2, 1, 1, 1)}, "makes 2 parts for 1 ranks"),
        ({"device": "tpu"}, "device = 'tpu'.*'cpu'"),
    ):
        with pytest.raises(ValueError, match=message):
            Lattice((4, 4, 4, 4), **wrong)
