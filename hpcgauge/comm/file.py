"""One file written by all ranks through MPI-IO."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from hpcgauge.comm.world import World


@dataclass(frozen=True)
class Block:
    """A rank's part of a row-major array that begins at byte `offset` of a file."""

    offset: int
    global_shape: tuple[int, ...]
    origin: tuple[int, ...]
    data: numpy.ndarray


def write_together(world: World, path: Path, blocks: Sequence[Block]) -> None:
    """Writes the blocks into an existing file, one collective call for each array, down to the disk.

    OSError when MPI-IO fails. Collective.
    """
    from mpi4py import MPI

    # The ranks have tried to open it (io/blocks.py): where MPI-IO's own opening fails on one rank alone, Open MPI does
    # not return on the others.
    file = _together(world, lambda: MPI.File.Open(world.communicator, str(path), MPI.MODE_WRONLY))
    try:
        for block in blocks:
            _together(world, lambda block=block: _write(file, block))  # type: ignore[misc]
        _together(world, file.Sync)
    finally:
        _together(world, file.Close)


def _together(world: World, call: Callable[[], Any]) -> Any:
    """What a collective call of MPI-IO returns; an OSError on every rank if it failed on any. Collective.

    A call may fail on one rank only; the others must not go on to the next one, where they would wait for ever.
    """
    from mpi4py import MPI

    result, failure = None, None
    try:
        result = call()
    except MPI.Exception as error:
        failure = f"MPI-IO: {error}"
    failures = [text for text in world.allgather(failure) if text is not None]
    if failures:
        raise OSError(failures[0])
    return result


def _write(file: Any, block: Block) -> None:
    from mpi4py import MPI

    element = MPI.BYTE.Create_contiguous(block.data.dtype.itemsize).Commit()
    if block.data.size:
        part = element.Create_subarray(block.global_shape, block.data.shape, block.origin).Commit()
    else:
        part = element.Dup()
    file.Set_view(block.offset, element, part)
    file.Write_all([block.data.reshape(-1).view(numpy.uint8), block.data.size, element])
    part.Free()
    element.Free()
