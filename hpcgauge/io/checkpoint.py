"""Checkpoints: the state of a chain in numbered files of one folder, and a pointer to the latest."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from hpcgauge.comm.world import World
from hpcgauge.errors import FileFormatError, NewerFileError
from hpcgauge.io.agreement import on_root
from hpcgauge.io.container import Contents, Slices, read_container, verify_container, write_container
from hpcgauge.io.durable import PART, make_folder, put_text

KIND = "checkpoint"
NAME = re.compile(r"([0-9]{6,18})\.h5")
# The file that names the newest checkpoint, for people and programs; a start trusts checksums instead.
LATEST = "latest"
DAMAGED = ".damaged"


class Newest(NamedTuple):
    """The newest whole checkpoint (None if there is none) and what was wrong with newer ones."""

    path: Path | None
    messages: list[str]


def checkpoint_path(folder: Path, trajectory: int) -> Path:
    """The file of the state after so many trajectories."""
    return folder / f"{trajectory:06d}.h5"


def write_checkpoint(folder: Path, trajectory: int, world: World, contents: Contents) -> Path:
    """The new file, whole and on the disk; then `latest` names it. Collective."""
    path = checkpoint_path(folder, trajectory)
    on_root(world, lambda: make_folder(folder))
    on_root(world, lambda: _sweep(folder))
    write_container(path, world, KIND, contents)
    on_root(world, lambda: put_text(folder / LATEST, path.name + "\n"))
    return path


def _sweep(folder: Path) -> None:
    """Removes what interrupted writes left behind, whoever began them: the run's lock keeps others out."""
    for left in folder.glob(f"*{PART}*"):
        with suppress(OSError):
            left.unlink(missing_ok=True)


def read_checkpoint(
    path: Path, world: World, slices: Mapping[str, Slices] | Callable[[str, tuple[int, ...]], Slices]
) -> Contents:
    """The state, each rank with its blocks (see read_container), every checksum compared. Collective."""
    return read_container(path, world, KIND, slices)


def numbered(folder: Path) -> dict[int, Path]:
    """The numbered files of a folder, the newest first; empty if there is no folder."""
    if not folder.is_dir():
        return {}
    named = ((NAME.fullmatch(path.name), path) for path in folder.iterdir())
    found = {int(match.group(1)): path for match, path in named if match is not None}
    return dict(sorted(found.items(), reverse=True))


def newest_valid(folder: Path, world: World) -> Newest:
    """The newest checkpoint whose checksums are right, and a message for each newer one, which is damaged or cannot be
    read. NewerFileError for one that a newer hpcgauge has written. Collective."""
    messages: list[str] = []
    for path in on_root(world, lambda: list(numbered(folder).values())):
        try:
            verify_container(path, world, KIND)
        except NewerFileError:
            raise
        except (FileFormatError, OSError) as error:
            messages.append(str(error))
        else:
            return Newest(path, messages)
    return Newest(None, messages)


def keep_last(folder: Path, world: World, count: int, every: int = 0, newest: int | None = None) -> None:
    """Removes all checkpoints but the last `count` and those of multiples of `every` (0: none). Collective.

    Those above `newest`, which the chain has passed over as damaged and is about to make anew, are set aside under
    another name. What interrupted writes left behind is removed.
    """
    if count < 1:
        raise ValueError(f"count = {count}; at least one checkpoint must be kept")

    def remove() -> None:
        found = numbered(folder)
        kept = [number for number in found if newest is None or number <= newest]
        kept = kept[:count] + [number for number in kept[count:] if every and number % every == 0]
        for number, path in found.items():
            if newest is not None and number > newest:
                path.replace(path.with_name(path.name + DAMAGED))
            elif number not in kept:
                path.unlink(missing_ok=True)

        _sweep(folder)

    on_root(world, remove)
