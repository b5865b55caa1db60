"""One file written by all ranks through MPI-IO."""

from __future__ import annotations

from collections.abc import Sequence
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

    try:
        file = MPI.File.Open(world.communicator, str(path), MPI.MODE_WRONLY)
        try:
            for block in blocks:
                _write(file, block)
            file.Sync()
        finally:
            file.Close()
    except MPI.Exception as error:
        raise OSError(f"MPI-IO: {error}") from error


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
