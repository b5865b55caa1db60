"""Recorded trajectories for training later: where each began, where it ended, and the fields it moved in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hpcgauge.comm.world import World
from hpcgauge.io.agreement import on_root
from hpcgauge.io.checkpoint import checkpoint_path, numbered
from hpcgauge.io.container import Contents, Slices, read_container, write_container
from hpcgauge.io.distributed import Distributed
from hpcgauge.io.durable import make_folder

KIND = "trajectory"
START, END = "start", "end"


def record_trajectory(
    folder: Path,
    trajectory: int,
    world: World,
    arrays: Mapping[str, Distributed],
    attributes: Mapping[str, Any],
) -> Path:
    """The file that holds one trajectory: `start` and `end` (U_0 and U_tau) and the fields by name. Collective."""
    if not {START, END} <= set(arrays):
        raise ValueError(f"a recorded trajectory needs the links {START!r} and {END!r}; given are {', '.join(arrays)}")
    path = checkpoint_path(folder, trajectory)
    on_root(world, lambda: make_folder(folder))
    write_container(path, world, KIND, Contents(arrays, {}, {**attributes, "trajectory": trajectory}))
    return path


def recorded_trajectories(folder: Path, world: World) -> list[int]:
    """The numbers of the recorded trajectories, the oldest first. Collective."""
    return on_root(world, lambda: sorted(numbered(folder)))


def read_trajectory(
    folder: Path, trajectory: int, world: World, slices: Mapping[str, Slices] | Callable[[str, tuple[int, ...]], Slices]
) -> Contents:
    """One trajectory, each rank with its blocks (see read_container). Collective."""
    return read_container(checkpoint_path(folder, trajectory), world, KIND, slices)
