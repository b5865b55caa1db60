"""What the header of a gauge file says, checked against the size of the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isqrt, prod
from typing import Literal

from hpcgauge.errors import FileFormatError

DIRECTIONS = 4
# No lattice is longer than this and no gauge group larger; a header that says so is damaged.
LARGEST_EXTENT = 65536
LARGEST_COLORS = 64

Extent = tuple[int, int, int, int]
Precision = Literal["single", "double"]
ByteOrder = Literal["big", "little"]
Layout = Literal["sites", "points", "odd points", "planes"]
BYTES = {"single": 4, "double": 8}


@dataclass(frozen=True)
class Header:
    """The description of the numbers in a gauge file; extent and colors are None where the file does not say them."""

    format: str
    extent: Extent | None
    colors: int | None
    precision: Precision
    byte_order: ByteOrder
    offset: int
    length: int
    rows: int | None = None
    layout: Layout = "sites"
    is_quaternion: bool = False
    facts: Mapping[str, float | str] = field(default_factory=dict)
    sums: Mapping[str, int] = field(default_factory=dict)

    def complete(self) -> tuple[Extent, int, int]:
        """Extent, colours and stored rows of each matrix, when all are known."""
        if self.extent is None or self.colors is None:
            raise FileFormatError(
                "the file holds no lattice extents: give them as extent=(x, y, z, t) or --extent X,Y,Z,T"
            )
        return self.extent, self.colors, self.colors if self.rows is None else self.rows

    def at(self, extent: Extent) -> Header:
        """The same header with these extents, the colours found from the length of the data."""
        checked = checked_extent(extent, "the caller")
        return replace(self, extent=checked, colors=colors_from_length(self.length, checked, BYTES[self.precision]))


def checked_extent(extent: object, source: str) -> Extent:
    """The four extents (x, y, z, t) if each is a sane number."""
    numbers = tuple(extent) if isinstance(extent, tuple | list) else ()
    if len(numbers) != DIRECTIONS or not all(isinstance(n, int) and 1 <= n <= LARGEST_EXTENT for n in numbers):
        raise FileFormatError(
            f"{source} gives the extents {extent}; expected four whole numbers (x, y, z, t) from 1 to {LARGEST_EXTENT}"
        )
    return numbers


def parsed_extent(text: str) -> Extent:
    """The extents in a text X,Y,Z,T. ValueError for any other."""
    parts = text.split(",")
    if not all(part.strip().isdigit() for part in parts):
        raise ValueError(f"extent {text!r}; expected X,Y,Z,T, four whole numbers")
    return checked_extent(tuple(int(part) for part in parts), "the command line")


def colors_from_length(length: int, extent: Extent, real_bytes: int) -> int:
    """The N of N x N complex matrices, four on each site, that make data of this length."""
    sites = prod(extent)
    matrix, rest = divmod(length, sites * DIRECTIONS * 2 * real_bytes)
    colors = isqrt(matrix)
    if rest or colors * colors != matrix or not 2 <= colors <= LARGEST_COLORS:
        raise FileFormatError(
            f"the data are {length} bytes, which is no gauge field on {format_extent(extent)} with {real_bytes}-byte "
            f"numbers (SU(2) would be {data_length(extent, 2, 2, real_bytes)}, "
            f"SU(3) {data_length(extent, 3, 3, real_bytes)}); "
            "give the right extent=(x, y, z, t) or fetch the file again"
        )
    return colors


def finite(value: float, name: str) -> float:
    """The value, if it is a number that a mean of traces can be."""
    if not abs(value) <= LARGEST_COLORS:
        raise FileFormatError(f"{name} is {value}; expected a mean of traces: the header is damaged, fetch it again")
    return value


def data_length(extent: Extent, colors: int, rows: int, real_bytes: int) -> int:
    """The bytes of a gauge field with so many rows stored of each matrix."""
    return prod(extent) * DIRECTIONS * rows * colors * 2 * real_bytes


def format_extent(extent: tuple[int, ...]) -> str:
    """The extents as text, x first."""
    return " x ".join(map(str, extent))
