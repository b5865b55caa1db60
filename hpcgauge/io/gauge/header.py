"""What the header of a gauge file says, checked against the size of the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isqrt, prod
from typing import Literal

import numpy

from hpcgauge.errors import FileFormatError

DIRECTIONS = 4
# No lattice is longer than this and no gauge group larger; a header that says so is damaged.
LARGEST_EXTENT = 65536
LARGEST_COLORS = 64
SCIDAC_SUMS = ("suma", "sumb")
# Means of Re tr / N of links that are rounded to single precision; a header that says more is damaged.
LARGEST_MEAN = 1.001

Extent = tuple[int, int, int, int]
Precision = Literal["single", "double"]
ByteOrder = Literal["big", "little"]
Layout = Literal["sites", "points", "odd points", "planes"]
BYTES = {"single": 4, "double": 8}
COMPLEX = {"single": numpy.complex64, "double": numpy.complex128}


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
                "the file holds no lattice extents (neither ildg-format nor scidac-private-file-xml): give them as "
                "extent=(x, y, z, t) or --extent X,Y,Z,T"
            )
        return self.extent, self.colors, self.colors if self.rows is None else self.rows


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


def form_from_length(length: int, extent: Extent, precisions: tuple[Precision, ...]) -> tuple[Precision, int]:
    """The precision, one of these, and the N of four N x N complex matrices on each site that make data of this length.

    There is one answer at most: the lengths differ by a factor of 2, which is no ratio of squares.
    """
    for precision in precisions:
        matrix, rest = divmod(length, prod(extent) * DIRECTIONS * 2 * BYTES[precision])
        colors = isqrt(matrix)
        if not rest and colors * colors == matrix and 2 <= colors <= LARGEST_COLORS:
            return precision, colors
    sizes = " or ".join(f"{BYTES[precision]}-byte" for precision in precisions)
    expected = (
        f"SU({n}) would be {' or '.join(str(data_length(extent, n, n, BYTES[p])) for p in precisions)}" for n in (2, 3)
    )
    raise FileFormatError(
        f"the data are {length} bytes, which is no gauge field on {format_extent(extent)} with {sizes} numbers "
        f"({', '.join(expected)}); give the right extent=(x, y, z, t) or fetch the file again"
    )


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
