"""Configurations exported by openQCD: the eight links that touch each odd point."""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path

from hpcgauge.errors import FileFormatError
from hpcgauge.io.gauge.header import DIRECTIONS, LARGEST_EXTENT, LARGEST_MEAN, Header

START = struct.Struct("<4id")
COLORS = 3
LINKS_OF_A_POINT = 2 * DIRECTIONS
POINT = LINKS_OF_A_POINT * COLORS * COLORS * 16


def is_openqcd(start: bytes, size: int) -> bool:
    """True if the first bytes are even extents (t, x, y, z) that give exactly this size, and a plaquette."""
    if len(start) < START.size:
        return False
    *extent, plaquette = START.unpack_from(start)
    sane = all(2 <= n <= LARGEST_EXTENT and n % 2 == 0 for n in extent)
    return sane and abs(plaquette) <= COLORS * LARGEST_MEAN and size == START.size + prod(extent) // 2 * POINT


def read_header(path: Path, size: int) -> Header:
    """The header of an openQCD file of this size."""
    with path.open("rb") as file:
        start = file.read(START.size)
    if not is_openqcd(start, size):
        raise FileFormatError("the extents in the first 16 bytes do not give the size of the file; fetch it again")
    t, x, y, z, plaquette = START.unpack(start)
    facts: dict[str, float | str] = {"plaquette": plaquette / COLORS, "plaquette_trace": plaquette}
    return Header(
        "openqcd",
        (x, y, z, t),
        COLORS,
        "double",
        "little",
        START.size,
        size - START.size,
        layout="odd points",
        facts=facts,
    )


def start_of(header: Header, plaquette_trace: float) -> bytes:
    """What stands before the numbers."""
    (x, y, z, t), _, _ = header.complete()
    return START.pack(t, x, y, z, plaquette_trace)
