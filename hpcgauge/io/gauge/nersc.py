"""Headers of the NERSC archive format."""

from __future__ import annotations

import re
from math import prod
from pathlib import Path
from typing import Literal

import numpy

from hpcgauge.errors import FileFormatError
from hpcgauge.io.gauge.header import (
    BYTES,
    DIRECTIONS,
    LARGEST_COLORS,
    Extent,
    Header,
    checked_extent,
    data_length,
    finite,
    format_extent,
)

MAGIC = b"BEGIN_HEADER"
END = re.compile(rb"END_HEADER[ \t\r]*\n")
LARGEST_HEADER = 65536
DATATYPE = re.compile(r"4D_SU([0-9]{1,2})_GAUGE(?:_([0-9]{1,2})[xX]([0-9]{1,2}))?")
# Byte order None: writers disagree, the numbers decide.
FLOATING_POINT: dict[str, tuple[Literal["single", "double"], Literal["big", "little"] | None]] = {
    "IEEE32BIG": ("single", "big"),
    "IEEE32LITTLE": ("single", "little"),
    "IEEE32": ("single", None),
    "IEEE64BIG": ("double", "big"),
    "IEEE64LITTLE": ("double", "little"),
    "IEEE64": ("double", None),
}
SITES_TO_DECIDE = 16
CLEARLY_UNITARY = 1e-3


def read_header(path: Path, size: int) -> Header:
    """The header of a NERSC file of this size."""
    with path.open("rb") as file:
        start = file.read(LARGEST_HEADER)
    end = END.search(start)
    if end is None:
        raise FileFormatError(f"no END_HEADER in the first {LARGEST_HEADER} bytes; fetch the file again")
    keys = _keys(start[len(MAGIC) : end.start()].decode("ascii", errors="replace"))
    extent = checked_extent(tuple(_number(keys, f"DIMENSION_{mu + 1}") for mu in range(DIRECTIONS)), "DIMENSION_1..4")
    colors, rows = _group(keys)
    precision, order = _numbers(keys)
    expected = data_length(extent, colors, rows, BYTES[precision])
    length = size - end.end()
    if length != expected:
        raise FileFormatError(
            f"{length} bytes follow the header; {keys['DATATYPE']} in {keys.get('FLOATING_POINT', 'IEEE32BIG')} on "
            f"{format_extent(extent)} is {expected} bytes; the file is cut, damaged or wrongly described: fetch it "
            "again"
        )
    order = order or _order_by_unitarity(path, end.end(), BYTES[precision], (colors, rows), extent)
    sums = {"checksum": _hexadecimal(keys["CHECKSUM"])} if "CHECKSUM" in keys else {}
    facts: dict[str, float | str] = {}
    for key, name in (("PLAQUETTE", "plaquette"), ("LINK_TRACE", "link_trace")):
        if key in keys:
            facts[name] = _real(keys[key], key)
    facts |= {
        key.lower(): keys[key] for key in ("ENSEMBLE_ID", "ENSEMBLE_LABEL", "SEQUENCE_NUMBER", "CREATOR") if key in keys
    }
    return Header("nersc", extent, colors, precision, order, end.end(), length, rows=rows, facts=facts, sums=sums)


def _keys(text: str) -> dict[str, str]:
    """The KEY = VALUE lines."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _number(keys: dict[str, str], key: str) -> int:
    """The whole number of a key that must be there."""
    value = keys.get(key)
    if value is None or not re.fullmatch(r"[0-9]{1,9}", value):
        raise FileFormatError(f"{key} is {'missing' if value is None else repr(value[:40])}; expected a whole number")
    return int(value)


def _real(value: str, key: str) -> float:
    """The real number of a key."""
    try:
        number = float(value)
    except ValueError:
        raise FileFormatError(f"{key} is {value[:40]!r}; expected a number") from None
    return finite(number, key)


def _hexadecimal(value: str) -> int:
    """The 32-bit checksum."""
    if not re.fullmatch(r"(?:0[xX])?[0-9a-fA-F]{1,8}", value):
        raise FileFormatError(f"CHECKSUM is {value[:40]!r}; expected at most 8 hexadecimal digits")
    return int(value, 16)


def _group(keys: dict[str, str]) -> tuple[int, int]:
    """Colours and stored rows of a matrix."""
    datatype = keys.get("DATATYPE", "")
    found = DATATYPE.fullmatch(datatype)
    if found is not None:
        colors = int(found.group(1))
        rows, columns = (colors - 1, colors) if found.group(2) is None else (int(found.group(2)), int(found.group(3)))
        whole = (rows, columns) == (colors, colors)
        two_rows_of_three = (colors, rows, columns) == (3, 2, 3)
        if 2 <= colors <= LARGEST_COLORS and (whole or two_rows_of_three):
            return colors, rows
    raise FileFormatError(
        f"DATATYPE is {datatype[:40]!r}; expected 4D_SU3_GAUGE (two rows) or 4D_SU<N>_GAUGE_<N>x<N>: "
        "this is no kind of gauge field that is known"
    )


def _numbers(keys: dict[str, str]) -> tuple[Literal["single", "double"], Literal["big", "little"] | None]:
    """Precision and byte order."""
    name = keys.get("FLOATING_POINT", "IEEE32BIG")
    if name not in FLOATING_POINT:
        raise FileFormatError(f"FLOATING_POINT is {name[:40]!r}; expected one of {', '.join(FLOATING_POINT)}")
    return FLOATING_POINT[name]


def _order_by_unitarity(
    path: Path, offset: int, real_bytes: int, shape: tuple[int, int], extent: Extent
) -> Literal["big", "little"]:
    """The byte order in which the rows of the first matrices are orthonormal."""
    colors, rows = shape
    reals = min(SITES_TO_DECIDE, prod(extent)) * DIRECTIONS * rows * colors * 2
    data = numpy.fromfile(path, dtype=numpy.uint8, count=reals * real_bytes, offset=offset)
    errors = {}
    for order, mark in (("big", ">"), ("little", "<")):
        with numpy.errstate(all="ignore"):
            pairs = data.view(f"{mark}f{real_bytes}").astype(numpy.float64).reshape(-1, rows, colors, 2)
            matrix = pairs[..., 0] + 1j * pairs[..., 1]
            errors[order] = float(numpy.abs(matrix @ matrix.conj().swapaxes(-1, -2) - numpy.eye(rows)).max())
    big, little = errors["big"] < CLEARLY_UNITARY, errors["little"] < CLEARLY_UNITARY
    if big == little:
        raise FileFormatError(
            "FLOATING_POINT names no byte order and the first links are unitary in "
            f"{'both orders' if big else 'neither order'} (off by {errors['big']:.1e} big, {errors['little']:.1e} "
            "little); correct the header to ...BIG or ...LITTLE"
        )
    return "big" if big else "little"


def start_of(header: Header, link_trace: float, plaquette: float, checksum: int, made: tuple[str, str]) -> bytes:
    """What stands before the numbers; `made`: by what and when."""
    extent, colors, rows = header.complete()
    form = "4D_SU3_GAUGE" if rows < colors else f"4D_SU{colors}_GAUGE_{colors}x{colors}"
    keys = {"HDR_VERSION": "1.0", "DATATYPE": form, "STORAGE_FORMAT": "1.0"}
    keys |= {f"DIMENSION_{mu + 1}": str(n) for mu, n in enumerate(extent)}
    keys |= {"LINK_TRACE": f"{link_trace:18.15f}", "PLAQUETTE": f"{plaquette:18.15f}"}
    keys |= {f"BOUNDARY_{mu + 1}": "PERIODIC" for mu in range(DIRECTIONS)}
    keys |= {"CHECKSUM": f"{checksum:08x}"}
    defaults = {"ENSEMBLE_ID": "hpcgauge", "ENSEMBLE_LABEL": "", "SEQUENCE_NUMBER": "0", "CREATOR": made[0]}
    keys |= {key: _one_line(header.facts.get(key.lower(), value)) for key, value in defaults.items()}
    bits, order = 8 * BYTES[header.precision], header.byte_order.upper()
    keys |= {"CREATION_DATE": made[1], "ARCHIVE_DATE": made[1], "FLOATING_POINT": f"IEEE{bits}{order}"}
    lines = "".join(f"{key} = {value}\n" for key, value in keys.items())
    return MAGIC + b"\n" + lines.encode("ascii") + b"END_HEADER\n"


def _one_line(value: float | str) -> str:
    """The value as a line of the header holds it."""
    return " ".join(str(value).split()).encode("ascii", errors="replace").decode("ascii")[:200]
