"""Configurations of HiRep: points with z fastest, the links of t first; SU(2) as matrices or quaternions."""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path

from hpcgauge.errors import FileFormatError
from hpcgauge.io.gauge.header import DIRECTIONS, LARGEST_COLORS, LARGEST_EXTENT, LARGEST_MEAN, Header, data_length

# Colours, extents (t, x, y, z), plaquette 0..1.
START = struct.Struct(">5id")
REAL_BYTES = 8


def is_hirep(start: bytes, size: int) -> bool:
    """True if the first bytes are colours and extents that give exactly this size, and a plaquette."""
    if len(start) < START.size:
        return False
    colors, *extent, plaquette = START.unpack_from(start)
    sane = 2 <= colors <= LARGEST_COLORS and all(1 <= n <= LARGEST_EXTENT for n in extent)
    return sane and abs(plaquette) <= LARGEST_MEAN and size - START.size in _lengths(colors, extent)


def _lengths(colors: int, extent: list[int]) -> tuple[int, ...]:
    """The bytes of matrices, and for SU(2) of quaternions."""
    matrices = prod(extent) * DIRECTIONS * colors * colors * 2 * REAL_BYTES
    return (matrices, matrices // 2) if colors == 2 else (matrices,)


def read_header(path: Path, size: int) -> Header:
    """The header of a HiRep file of this size."""
    with path.open("rb") as file:
        start = file.read(START.size)
    if not is_hirep(start, size):
        raise FileFormatError("the numbers in the first 20 bytes do not give the size of the file; fetch it again")
    colors, t, x, y, z, plaquette = START.unpack(start)
    length, facts = size - START.size, {"plaquette": plaquette}
    is_quaternion = length != data_length((x, y, z, t), colors, colors, REAL_BYTES)
    return Header(
        "hirep",
        (x, y, z, t),
        colors,
        "double",
        "big",
        START.size,
        length,
        layout="points",
        is_quaternion=is_quaternion,
        facts=facts,
    )


def start_of(header: Header, plaquette: float) -> bytes:
    """What stands before the numbers."""
    (x, y, z, t), colors, _ = header.complete()
    return START.pack(colors, t, x, y, z, plaquette)
