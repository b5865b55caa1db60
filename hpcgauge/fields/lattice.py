"""Lattice: extents cut over a world, with the defaults of its fields."""

from __future__ import annotations

import platform
from collections.abc import Hashable, Sequence
from typing import Any, final

from hpcgauge.comm.world import World
from hpcgauge.errors import DeviceError
from hpcgauge.fields.device import Device
from hpcgauge.lattice.geometry import Geometry
from hpcgauge.lattice.ghosts import Ghosts, plan_ghosts
from hpcgauge.lattice.grid import check_extent, check_grid, process_grid
from hpcgauge.lattice.offsets import Offsets
from hpcgauge.lattice.tables import BlockTables, block_tables

PRECISIONS = ("double", "single")


@final
class Lattice:
    """A periodic lattice of extents (x, y, z, t), 2 to 4 of them, each rank holding an equal part.

    `colors`, `precision`: defaults for its fields. `process_grid`: "auto" (least surface, ties cut t first) or the
    number of parts in each direction. ValueError when the extents or the grid are impossible, with a grid that works;
    DeviceError when the ranks' processors differ in lanes. Collective.
    """

    def __init__(
        self,
        extent: tuple[int, ...],
        colors: int = 2,
        world: World | None = None,
        device: str | Device = "cpu",
        precision: str = "double",
        process_grid: str | tuple[int, ...] = "auto",
    ):
        self.world = world if world is not None else World.alone()
        self.extent = tuple(int(length) for length in extent)
        check_extent(self.extent)
        if colors < 2:
            raise ValueError(f"colors = {colors} must be at least 2")
        if precision not in PRECISIONS:
            raise ValueError(f"precision = {precision!r} is not known; 'double' and 'single' are possible")
        self.process_grid = _choose_grid(self.extent, process_grid, self.world.size)
        self.colors, self.precision = colors, precision
        place = {"local_rank": self.world.local_rank, "local_size": self.world.local_size}
        self.device = device if isinstance(device, Device) else Device(device, **place)
        _check_lanes(self.world, self.device.lanes)
        _check_cards(self.world, self.device.hardware.identity)
        self.geometry = Geometry(self.extent, self.process_grid, self.world.rank, self.device.lanes)
        self._ghosts: dict[Offsets, Ghosts] = {}
        self._tables: dict[tuple[Offsets, int], BlockTables] = {}
        self.prepared: dict[Hashable, Any] = {}  # what kernels.loop keeps for all launches on this lattice
        self.recorded: list[Any] | None = None  # the launches of an open recording, which are not made

    @property
    def dimensions(self) -> int:
        return len(self.extent)

    @property
    def volume(self) -> int:
        return self.geometry.volume

    @property
    def local_volume(self) -> int:
        return self.geometry.local_volume

    @property
    def local_extent(self) -> tuple[int, ...]:
        return self.geometry.local_extent

    @property
    def origin(self) -> tuple[int, ...]:
        return self.geometry.origin

    def ghosts(self, offsets: Offsets) -> Ghosts:
        """The neighbours and messages of an offset set, planned once."""
        if offsets not in self._ghosts:
            self._ghosts[offsets] = plan_ghosts(self.geometry, offsets)
        return self._ghosts[offsets]

    def tables(self, offsets: Offsets, precision: str) -> BlockTables:
        """The neighbour table of an offset set in blocks of the lanes of a precision."""
        lanes = self.lanes(precision)
        if (offsets, lanes) not in self._tables:
            self._tables[offsets, lanes] = block_tables(self.ghosts(offsets), lanes)
        return self._tables[offsets, lanes]

    def numbers(self, values: Sequence[float]) -> Any:
        """Numbers of double precision on the device, with these values; see Hardware."""
        return self.device.hardware.numbers(values)

    def lanes(self, precision: str) -> int:
        """Sites in one block of fields of this precision."""
        return self.device.lanes * (2 if precision == "single" else 1)

    def __repr__(self) -> str:
        grid = f"process_grid={self.process_grid}"
        return f"Lattice({self.extent}, colors={self.colors}, precision={self.precision!r}, {grid})"


def _choose_grid(extent: tuple[int, ...], wanted: str | tuple[int, ...], n_ranks: int) -> tuple[int, ...]:
    if isinstance(wanted, str):
        if wanted != "auto":
            raise ValueError(f"process_grid = {wanted!r} is not known; 'auto' or a number for each direction is")
        return process_grid(extent, n_ranks)
    grid = tuple(int(parts) for parts in wanted)
    check_grid(extent, grid, n_ranks)
    return grid


def _check_lanes(world: World, lanes: int) -> None:
    """Refuses processors whose fields would lie differently in memory: ghosts are sent as they lie. Collective."""
    if world.size == 1:
        return
    found = world.allgather(lanes)
    if len(set(found)) > 1:
        counts = ", ".join(f"{n} on {found.count(n)} ranks (first: {found.index(n)})" for n in sorted(set(found)))
        raise DeviceError(
            f"the ranks' processors differ in doubles per register: {counts} (8: AVX-512, 4: AVX2, 2: less). "
            "Start all ranks on nodes of one type."
        )


def _check_cards(world: World, identity: str) -> None:
    """Refuses ranks that took the same card. Collective."""
    if world.size == 1:
        return
    found = world.allgather((platform.node(), identity))
    taken = [place for place in found if place[1]]
    if len(set(taken)) < len(taken):
        node, card = next(place for place in taken if taken.count(place) > 1)
        raise DeviceError(
            f"{taken.count((node, card))} ranks took the card {card} of {node}; start one rank for each card, or set "
            "HPCGAUGE_SHARE_CARDS=1 to let ranks share them"
        )
