"""Configurations exported by openQCD: the eight links that touch each odd point."""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path

import numpy

from hpcgauge.errors import FileFormatError
from hpcgauge.io.header import DIRECTIONS, LARGEST_EXTENT, Header

START = struct.Struct("<4id")
COLORS = 3
LINKS_OF_A_POINT = 2 * DIRECTIONS
POINT = LINKS_OF_A_POINT * COLORS * COLORS * 16
# The header holds the sum over colours of the plaquette, 0..3.
LARGEST_PLAQUETTE = 3.0


def is_openqcd(start: bytes, size: int) -> bool:
    """True if the first bytes are even extents (t, x, y, z) that give exactly this size, and a plaquette."""
    if len(start) < START.size:
        return False
    *extent, plaquette = START.unpack_from(start)
    sane = all(2 <= n <= LARGEST_EXTENT and n % 2 == 0 for n in extent)
    return sane and abs(plaquette) <= LARGEST_PLAQUETTE and size == START.size + prod(extent) // 2 * POINT


def read_header(path: Path, size: int) -> Header:
    """The header of an openQCD file of this size."""
    with path.open("rb") as file:
        start = file.read(START.size)
    if not is_openqcd(start, size):
        raise FileFormatError("the extents in the first 16 bytes do not give the size of the file; fetch it again")
    t, x, y, z, plaquette = START.unpack(start)
    facts: dict[str, float | str] = {"plaquette": plaquette / COLORS}
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


def read_local(path: Path, header: Header, origin: tuple[int, ...], local_extent: tuple[int, ...]) -> numpy.ndarray:
    """The links of a part of the lattice, complex128 (mu, t, z, y, x, row, column).

    The file counts points as ((t X + x) Y + y) Z + z, keeps the odd ones, and stores for each the links of
    t, x, y, z, forward before backward: U_mu(x) of an even x is the backward link of x + mu.
    """
    extent, colors, _ = header.complete()
    points = numpy.memmap(path, "<c16", "r", header.offset, (prod(extent) // 2, LINKS_OF_A_POINT, colors, colors))
    links = numpy.empty((DIRECTIONS, *reversed(local_extent), colors, colors), numpy.complex128)
    x, y, z = (numpy.arange(local_extent[mu]) + origin[mu] for mu in range(3))
    for local_t in range(local_extent[3]):
        site = numpy.broadcast_arrays(x, y[:, None], z[:, None, None], numpy.array(local_t + origin[3]))
        even = sum(site) % 2 == 0
        for mu in range(DIRECTIONS):
            at = [site[nu] if nu != mu else (site[nu] + even) % extent[nu] for nu in range(DIRECTIONS)]
            number = ((at[3] * extent[0] + at[0]) * extent[1] + at[1]) * extent[2] + at[2]
            forward = 2 * ((mu + 1) % DIRECTIONS)
            links[mu, local_t] = points[number // 2, forward + even]
    return links
