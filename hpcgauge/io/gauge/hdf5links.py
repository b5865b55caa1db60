"""Links in our own HDF5: a container of kind "links" whose array "links" is (mu, t, z, y, x, row, column)."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy

from hpcgauge.comm.world import World
from hpcgauge.errors import FileFormatError
from hpcgauge.io.container import SCHEMA, laid_out, read_container, table_of
from hpcgauge.io.gauge.header import (
    BYTES,
    COMPLEX,
    DIRECTIONS,
    LARGEST_COLORS,
    ByteOrder,
    Header,
    Precision,
    checked_extent,
    data_length,
    finite,
)
from hpcgauge.io.hdf5 import Stored
from hpcgauge.io.seal import Entry, Table, seal

KIND = "links"
MAGIC = b"\x89HDF\r\n\x1a\n"
PRECISIONS: dict[str, Precision] = {"complex64": "single", "complex128": "double"}
AXES = DIRECTIONS + 3
# What an attribute of such a name must be: a mean of traces.
MEANS = ("plaquette", "link_trace", "plaquette_trace")


def kind_of(path: Path) -> str | None:
    """The kind of container that an HDF5 file says it is; None for any other file."""
    try:
        return table_of(path).kind
    except FileFormatError:
        return None


def read_header(path: Path, size: int) -> Header:
    """The header of an HDF5 file of links of this size."""
    try:
        attributes = read_container(path, World.alone(), KIND, {}).attributes
        entries = table_of(path).entries
    except FileFormatError as error:
        # The caller names the file.
        raise FileFormatError(
            f"an HDF5 file, not a gauge file ({str(error).removeprefix(f'{path}: ')}); a checkpoint is resumed by "
            "`hpcgauge run ... --out FOLDER`"
        ) from None
    facts: dict[str, float | str] = {}
    for name, value in attributes.items():
        if isinstance(value, str):
            facts[name] = value[:1000]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            facts[name] = finite(_real(value), name)
    for name in MEANS:
        if not isinstance(facts.get(name, 0.0), float):
            raise FileFormatError(f"{name} is {facts[name]!r}; expected a number: fetch the file again")
    if KIND not in entries:
        raise FileFormatError(f"there is no array {KIND} in the file; fetch it again")
    return _described(entries[KIND], size, facts)


def _real(value: float) -> float:
    """The number in double precision, infinite where it is too large."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _described(links: Entry, size: int, facts: dict[str, float | str]) -> Header:
    """The header made of what is said about the array, compared with the size of the file."""
    shape, kind = links.shape, links.dtype.newbyteorder("=").name
    if len(shape) != AXES or shape[0] != DIRECTIONS or shape[-1] != shape[-2] or kind not in PRECISIONS:
        raise FileFormatError(
            f"the array {KIND} is {kind} of shape {shape}; expected complex (4, t, z, y, x, N, N): no links of hpcgauge"
        )
    extent, colors = checked_extent(tuple(int(n) for n in reversed(shape[1:5])), f"the array {KIND}"), int(shape[-1])
    precision, offset = PRECISIONS[kind], links.offset
    length = data_length(extent, colors, colors, BYTES[precision])
    if not 2 <= colors <= LARGEST_COLORS or offset + length > size:
        raise FileFormatError(
            f"the array {KIND} of {length} bytes at {offset} does not lie in the file of {size}; fetch it again"
        )
    order: ByteOrder = "big" if links.dtype.byteorder == ">" else "little"
    sums = {"sum64": links.checksum}
    return Header("hdf5", extent, colors, precision, order, offset, length, layout="planes", facts=facts, sums=sums)


def surroundings(header: Header, attributes: Mapping[str, float | str], checksum: int) -> tuple[bytes, bytes]:
    """What an HDF5 file of links has before and after its numbers: HDF5's own structures, the attributes, the seal."""
    (x, y, z, t), colors, _ = header.complete()
    links = Stored((DIRECTIONS, t, z, y, x, colors, colors), numpy.dtype(COMPLEX[header.precision]), checksum)
    image, entries = laid_out(KIND, {KIND: links}, {}, attributes, KIND)
    size, start = image.seek(0, os.SEEK_END), entries[KIND].offset
    sealed = seal(image, size, Table(KIND, SCHEMA, entries), KIND)
    image.seek(0)
    before, end = image.read(start), start + entries[KIND].length
    image.seek(end)
    return before, image.read(size - end) + sealed
