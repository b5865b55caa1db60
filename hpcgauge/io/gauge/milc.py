"""Headers of MILC lattice files, version 5.

The time stamp is the date of the field: that of the file it is converted from, where that has one, else the time of
writing, as ctime of C writes it (without the line's end, filled up with NULs), in UTC where MILC takes local time. MILC
also writes a companion file NAME.info for its users, and never opens one: what it reads stands in this header. So no
companion is written.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Literal

from hpcgauge.errors import FileFormatError
from hpcgauge.io.gauge.header import BYTES, Header, checked_extent, data_length, format_extent

MAGIC = 20103
OLD_MAGIC = 59354
COLORS = 3
# Magic, extents (x, y, z, t), time stamp, site order, sum29, sum31.
LAYOUT = "i4i64siII"
STAMP = 64
BYTES_OF_HEADER = struct.calcsize("<" + LAYOUT)


def byte_order(start: bytes) -> Literal["big", "little"] | None:
    """The byte order in which the file starts with a MILC magic number; None if it does not."""
    orders: tuple[Literal["big", "little"], ...] = ("little", "big")
    return next((order for order in orders if int.from_bytes(start[:4], order) in (MAGIC, OLD_MAGIC)), None)


def read_header(path: Path, size: int) -> Header:
    """The header of a MILC file of this size."""
    with path.open("rb") as file:
        start = file.read(BYTES_OF_HEADER)
    order = byte_order(start)
    if order is None or len(start) < BYTES_OF_HEADER:
        raise FileFormatError(f"{len(start)} bytes; a MILC header has {BYTES_OF_HEADER}: fetch the file again")
    magic, x, y, z, t, stamp, natural, sum29, sum31 = struct.unpack(("<" if order == "little" else ">") + LAYOUT, start)
    if magic == OLD_MAGIC:
        raise FileFormatError("an old MILC file (version 1); convert it with MILC to version 5, or to ILDG")
    if natural != 0:
        raise FileFormatError(f"MILC site order {natural}; expected 0 (natural): save it again with save_serial")
    extent = checked_extent((x, y, z, t), "the MILC header")
    length, expected = size - BYTES_OF_HEADER, data_length(extent, COLORS, COLORS, BYTES["single"])
    if length != expected:
        raise FileFormatError(
            f"{length} bytes follow the header; SU(3) on {format_extent(extent)} in 4-byte numbers is {expected}; "
            "the file is cut or damaged: fetch it again"
        )
    facts = {"time_stamp": stamp.split(b"\0", 1)[0].decode("ascii", errors="replace")}
    sums = {"sum29": sum29, "sum31": sum31}
    return Header("milc", extent, COLORS, "single", order, BYTES_OF_HEADER, length, facts=facts, sums=sums)


def start_of(header: Header, sums: tuple[int, int]) -> bytes:
    """What stands before the numbers, with the header's time stamp or that of now."""
    extent, _, _ = header.complete()
    date = str(header.facts.get("time_stamp") or time.asctime(time.gmtime()))
    stamp = date.encode("ascii", errors="replace")[: STAMP - 1]
    return struct.pack(("<" if header.byte_order == "little" else ">") + LAYOUT, MAGIC, *extent, stamp, 0, *sums)
