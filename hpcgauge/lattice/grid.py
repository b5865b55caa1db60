"""Process grids: how a lattice of even extents is cut over ranks."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

Extent = tuple[int, ...]


def check_extent(extent: Extent) -> None:
    """Nothing; ValueError unless `extent` has 2 to 4 even numbers of at least 2."""
    if not 2 <= len(extent) <= 4:
        raise ValueError(f"extent = {list(extent)} has {len(extent)} directions; 2, 3 or 4 are possible")
    for mu, length in enumerate(extent):
        if length < 2 or length % 2:
            raise ValueError(f"extent[{mu}] = {length} must be even and at least 2")
    if prod(extent) >= 2**31:
        raise ValueError(f"extent = {list(extent)} has {prod(extent)} sites; at most {2**31 - 1} are possible")


def process_grid(extent: Extent, n_ranks: int) -> Extent:
    """The grid of `n_ranks` processes with the least surface; ties cut t first, then z, y, x.

    Every local extent is even. ValueError, with a number of ranks that works, when there is no such grid.
    """
    check_extent(extent)
    grids = list(possible_grids(extent, n_ranks))
    if not grids:
        fitting = max(n for n in range(1, n_ranks) if any(possible_grids(extent, n)))
        example = next(possible_grids(extent, fitting))
        raise ValueError(
            f"extent = {list(extent)} cannot be cut over {n_ranks} ranks into parts of even extents; "
            f"{fitting} ranks would do, as grid {list(example)}"
        )
    return min(grids, key=lambda grid: (_surface(extent, grid), grid))


def check_grid(extent: Extent, grid: Extent, n_ranks: int) -> None:
    """Nothing; ValueError, with a grid that works, when `grid` does not cut `extent` over `n_ranks`."""
    check_extent(extent)
    if len(grid) != len(extent):
        raise ValueError(f"process_grid = {list(grid)} has {len(grid)} directions, the lattice has {len(extent)}")
    if prod(grid) != n_ranks:
        raise ValueError(
            f"process_grid = {list(grid)} makes {prod(grid)} parts for {n_ranks} ranks; "
            f"{list(process_grid(extent, n_ranks))} would do"
        )
    for mu, (length, parts) in enumerate(zip(extent, grid, strict=True)):
        if parts < 1 or length % parts or (length // parts) % 2:
            raise ValueError(
                f"process_grid[{mu}] = {parts} does not cut extent[{mu}] = {length} into even parts; "
                f"the grid {list(process_grid(extent, n_ranks))} would do"
            )


def possible_grids(extent: Extent, n_ranks: int) -> Iterator[Extent]:
    """Every grid of `n_ranks` processes with even local extents."""
    if not extent:
        if n_ranks == 1:
            yield ()
        return
    for parts in range(1, min(n_ranks, extent[0] // 2) + 1):
        if n_ranks % parts == 0 and extent[0] % parts == 0 and (extent[0] // parts) % 2 == 0:
            for rest in possible_grids(extent[1:], n_ranks // parts):
                yield (parts, *rest)


def _surface(extent: Extent, grid: Extent) -> int:
    local = [length // parts for length, parts in zip(extent, grid, strict=True)]
    return sum(2 * prod(local) // local[mu] for mu, parts in enumerate(grid) if parts > 1)
