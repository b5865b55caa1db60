"""LIME files: ILDG and SciDAC gauge fields, and old files that hold nothing but the numbers.

The description is ildg-format, or QIO's private records (versions 1.0 and 1.1), or both. Extents that are in neither
come from the caller; the length of the numbers then tells their precision and N. Checksums, xlf-info and a logical name
may be missing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hpcgauge.errors import FileFormatError
from hpcgauge.io.gauge import tags
from hpcgauge.io.gauge.header import (
    BYTES,
    DIRECTIONS,
    SCIDAC_SUMS,
    Extent,
    Header,
    Precision,
    checked_extent,
    data_length,
    form_from_length,
    format_extent,
)

MAGIC = bytes.fromhex("456789ab")
RECORD_HEADER = struct.Struct(">IHHQ128s")
ALIGNMENT = 8
MESSAGE_BEGINS, MESSAGE_ENDS = 0x8000, 0x4000
LARGEST_TEXT = 1 << 20
USUAL_FIELD = "su3gauge"
LARGEST_NAME = 1000
MOST_RECORDS = 4096
FIELDS = ("ildg-binary-data", "scidac-binary-data")
# What QIO writes side by side from many nodes.
PARTS = "the field lies in several files, or its sites in an order of their own; save it again as one (QIO_SINGLEFILE)"
TEXTS = (
    "ildg-format",
    "ildg-data-lfn",
    "scidac-private-file-xml",
    "scidac-private-record-xml",
    "scidac-checksum",
)


@dataclass(frozen=True)
class Record:
    """Where the data of one record lie."""

    type: str
    offset: int
    length: int


def records(path: Path, size: int) -> Iterator[Record]:
    """The records of a LIME file of this size, each checked to lie inside the file."""
    at = 0
    with path.open("rb") as file:
        for number in range(MOST_RECORDS + 1):
            if at >= size:
                return
            if number == MOST_RECORDS:
                raise FileFormatError(
                    f"more than {MOST_RECORDS} LIME records; a gauge file has about ten: damaged or foreign"
                )
            file.seek(at)
            start = file.read(RECORD_HEADER.size)
            if len(start) < RECORD_HEADER.size:
                raise FileFormatError(f"the file ends {len(start)} bytes into LIME record {number}; fetch it again")
            magic, version, _, length, name = RECORD_HEADER.unpack(start)
            kind = name.split(b"\0", 1)[0].decode("ascii", errors="replace")
            if magic != int.from_bytes(MAGIC, "big") or version != 1:
                raise FileFormatError(
                    f"LIME record {number} at byte {at} starts with {start[:6].hex()}; expected {MAGIC.hex()} and "
                    "version 1; fetch the file again"
                )
            left = size - at - RECORD_HEADER.size
            if length > left:
                raise FileFormatError(
                    f"LIME record {number} ({kind}) claims {length} bytes, {left} are left in the file; fetch it again"
                )
            yield Record(kind, at + RECORD_HEADER.size, length)
            at += RECORD_HEADER.size + -(-length // ALIGNMENT) * ALIGNMENT


def read_header(path: Path, size: int, extent: Extent | None = None) -> Header:
    """The header of the one gauge field in a LIME file of this size; `extent` is that of a file that says none."""
    texts: dict[str, str] = {}
    field: Record | None = None
    for record in records(path, size):
        if record.type in FIELDS:
            if field is not None:
                raise FileFormatError("two binary records; expected one gauge field: split the file with lime_unpack")
            field = record
        elif record.type in TEXTS:
            texts.setdefault(record.type, _text(path, record))
        elif record.type == "scidac-sitelist":
            raise FileFormatError(f"the record scidac-sitelist says that {PARTS}")
        elif record.type == "lyncs-io-info":
            raise FileFormatError(
                "the description is a pickled object (lyncs-io-info), which is never opened; write it as ILDG"
            )
    if field is None:
        raise FileFormatError(f"no binary record; expected {' or '.join(FIELDS)}: this LIME file holds no gauge field")
    return _described(field, texts, extent)


def _text(path: Path, record: Record) -> str:
    """The text of a small record."""
    if record.length > LARGEST_TEXT:
        raise FileFormatError(f"the record {record.type} has {record.length} bytes; expected at most {LARGEST_TEXT}")
    with path.open("rb") as file:
        file.seek(record.offset)
        return tags.text_of(file.read(record.length), record.type)


def _described(field: Record, texts: dict[str, str], given: Extent | None) -> Header:
    """The header made of what the text records say, compared with the length of the data."""
    ildg, file_xml, record_xml = (
        texts.get(name, "") for name in ("ildg-format", "scidac-private-file-xml", "scidac-private-record-xml")
    )
    _refuse_other_files(file_xml, record_xml)
    extent, precisions = _extent(ildg, file_xml) or given, _precisions(ildg, record_xml)
    facts: dict[str, float | str] = {}
    if (name := tags.tag(ildg, "field")) is not None:
        facts["field"] = name
    if "ildg-data-lfn" in texts:
        facts["logical_file_name"] = texts["ildg-data-lfn"].strip()
    precision, colors = precisions[0], None
    if extent is not None:
        precision, colors = form_from_length(field.length, extent, precisions)
        _check_colors(field.length, extent, (precision, colors), record_xml)
        _check_field(name, colors)
    sums = _sums(texts["scidac-checksum"]) if "scidac-checksum" in texts else {}
    kind = "scidac" if field.type == "scidac-binary-data" and not ildg else "ildg"
    return Header(kind, extent, colors, precision, "big", field.offset, field.length, facts=facts, sums=sums)


def _refuse_other_files(file_xml: str, record_xml: str) -> None:
    """Nothing, if the private records of QIO describe a field of a whole lattice in one file.

    Version 1.0 counts files (multifile, 1 is the whole) and says globaldata, 1.1 has kinds (volfmt, recordtype: 0).
    """
    for name, whole in (("volfmt", 0), ("multifile", 1)):
        if (found := tags.whole_number(file_xml, name)) not in (None, whole):
            raise FileFormatError(f"<{name}> of scidac-private-file-xml is {found}, not {whole}: {PARTS}")
    for name in ("recordtype", "globaldata"):
        if (found := tags.whole_number(record_xml, name)) not in (None, 0):
            raise FileFormatError(
                f"<{name}> of scidac-private-record-xml is {found}; expected 0, a field: this is no gauge field"
            )


def _sums(checksum: str) -> dict[str, int]:
    """The sums of a record scidac-checksum."""
    found = {name: tags.hexadecimal(checksum, name) for name in SCIDAC_SUMS}
    return {name: value for name, value in found.items() if value is not None}


def _check_field(name: str | None, colors: int) -> None:
    """Nothing, if ildg-format names the group of the numbers. Other codes write su3gauge for every group."""
    if name not in (None, USUAL_FIELD, f"su{colors}gauge"):
        raise FileFormatError(
            f"<field> is {str(name)[:40]!r}, the numbers are SU({colors}); expected su{colors}gauge: fetch it again"
        )


def _extent(ildg: str, file_xml: str) -> Extent | None:
    """The extents in ildg-format, else in the private file record; both must agree if both are there."""
    named = {name: tags.whole_number(ildg, name) for name in ("lx", "ly", "lz", "lt")}
    missing = [f"<{name}>" for name, n in named.items() if n is None]
    if 0 < len(missing) < DIRECTIONS:
        raise FileFormatError(f"ildg-format lacks {', '.join(missing)}; fetch the file again")
    dims = tags.tag(file_xml, "dims")
    first = None if missing else checked_extent(tuple(named.values()), "ildg-format")
    if dims is None:
        return first
    numbers = tuple(int(n) if tags.NUMBER.fullmatch(n) else n for n in dims.split()[: DIRECTIONS + 1])
    second = checked_extent(numbers, "scidac-private-file-xml")
    if first is not None and first != second:
        raise FileFormatError(
            f"ildg-format says {format_extent(first)}, scidac-private-file-xml {format_extent(second)}; one is damaged"
        )
    return second


def _precisions(ildg: str, record_xml: str) -> tuple[Precision, ...]:
    """The precision in either text; both if neither says it, as in old files, where the length decides."""
    known: dict[str, Precision] = {"32": "single", "64": "double", "F": "single", "D": "double"}
    said = [value for value in (tags.tag(ildg, "precision"), tags.tag(record_xml, "precision")) if value is not None]
    for value in said:
        if value not in known:
            raise FileFormatError(f"<precision> is {value[:40]!r}; expected 32, 64, F or D")
    found = {known[value] for value in said}
    if len(found) > 1:
        raise FileFormatError(f"the records name the precisions {' and '.join(said)}; one is damaged")
    return tuple(found) or ("double", "single")


def _check_colors(length: int, extent: Extent, form: tuple[Precision, int], record_xml: str) -> None:
    """Nothing, if the private record names the colours that the length gives, and four matrices on a site."""
    precision, colors = form
    said, count = tags.whole_number(record_xml, "colors"), tags.whole_number(record_xml, "datacount")
    if said is not None and said != colors:
        raise FileFormatError(
            f"scidac-private-record-xml says {said} colours, but {length} bytes on {format_extent(extent)} "
            f"are SU({colors}); expected {data_length(extent, said, said, BYTES[precision])} bytes"
        )
    if count is not None and count != DIRECTIONS:
        raise FileFormatError(
            f"<datacount> is {count}; expected {DIRECTIONS} matrices on each site: this is no gauge field"
        )


def _record(kind: str, data: bytes, flags: int = 0) -> bytes:
    """A record with its header and padding."""
    return _record_start(kind, len(data), flags) + data + bytes(-len(data) % ALIGNMENT)


def _record_start(kind: str, length: int, flags: int = 0) -> bytes:
    return RECORD_HEADER.pack(int.from_bytes(MAGIC, "big"), 1, flags, length, kind.encode())


def start_of(header: Header) -> bytes:
    """What an ILDG file has before the numbers: its description, its logical name, the header of the binary record."""
    extent, _, _ = header.complete()
    sizes = "".join(f"<l{name}>{n}</l{name}>" for name, n in zip("xyzt", extent, strict=True))
    text = (
        '<?xml version="1.0" encoding="UTF-8"?><ildgFormat xmlns="http://www.lqcd.org/ildg" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:schemaLocation="http://www.lqcd.org/ildg filefmt.xsd"><version>1.0</version>'
        f"<field>su{header.complete()[1]}gauge</field>"
        f"<precision>{8 * BYTES[header.precision]}</precision>{sizes}</ildgFormat>"
    )
    name = str(header.facts.get("logical_file_name", "lfn://hpcgauge/unnamed")).encode(errors="replace")[:LARGEST_NAME]
    described = _record("ildg-format", text.encode(), MESSAGE_BEGINS) + _record("ildg-data-lfn", name)
    return described + _record_start("ildg-binary-data", header.length)


def end_of(header: Header, suma: int, sumb: int) -> bytes:
    """What an ILDG file has after the numbers: padding and checksums."""
    text = (
        '<?xml version="1.0" encoding="UTF-8"?><scidacChecksum><version>1.0</version>'
        f"<suma>{suma:08x}</suma><sumb>{sumb:08x}</sumb></scidacChecksum>"
    )
    return bytes(-header.length % ALIGNMENT) + _record("scidac-checksum", text.encode(), MESSAGE_ENDS)
