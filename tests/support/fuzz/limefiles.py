"""LIME files taken apart into records, changed as someone would who knows the format, and put together again."""

from __future__ import annotations

import random
import re
import struct
from dataclasses import dataclass, replace

from tests.support.fuzz.values import number, word

HEADER = struct.Struct(">IHHQ128s")
MAGIC = 0x456789AB
NAMES = (
    *("ildg-format", "ildg-binary-data", "scidac-binary-data", "scidac-checksum", "scidac-private-file-xml"),
    *(
        "scidac-private-record-xml",
        "ildg-data-lfn",
        "xlf-info",
        "lyncs-io-info",
        "scidac-sitelist",
        "",
        "\u00e9",
        "x" * 128,
    ),
)
LARGEST_XML = 100_000
BOMB = '<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
XML = (
    f"<!DOCTYPE x [{BOMB}]><ildgFormat><lx>&i;</lx></ildgFormat>",
    '<!DOCTYPE x SYSTEM "file:///etc/passwd"><lx>4</lx>',
    '<?xml version="1.0"?><!ENTITY % a SYSTEM "http://localhost/">%a;',
    "<a>" * 20000,
    "<lx>" * 20000 + "4" + "</lx>" * 20000,
    "<lx" + " a" * 30000 + ">4</lx>",
    "<" * 60000,
    "<lx " + "<" * 30000,
    "a:" * 40000 + "<lx>",
    "<" + "a" * 60000 + ":lx>4<",
    "<!-- <lx>4</lx> --><lx>8</lx>",
    "<![CDATA[<lx>4</lx>]]>",
    "<lx/><ly/><lz/><lt/>",
    "\ufeff<lx>4</lx>",
    "\0\0\0",
    "",
)


@dataclass(frozen=True)
class Record:
    """One record; `claimed` is the length that its header says."""

    name: bytes
    data: bytes
    claimed: int
    flags: int
    magic: int = MAGIC
    version: int = 1


def parsed(content: bytes) -> list[Record]:
    """The records of a whole file."""
    found, at = [], 0
    while at + HEADER.size <= len(content):
        magic, version, flags, length, name = HEADER.unpack_from(content, at)
        data = content[at + HEADER.size : at + HEADER.size + length]
        found.append(Record(name.rstrip(b"\0"), data, length, flags, magic, version))
        at += HEADER.size + -(-length // 8) * 8
    return found


def written(records: list[Record]) -> bytes:
    """The file of these records."""
    parts = []
    for record in records:
        parts.append(HEADER.pack(record.magic, record.version, record.flags, record.claimed, record.name[:128]))
        parts.append(record.data + bytes(-len(record.data) % 8))
    return b"".join(parts)


def lime(draw: random.Random, content: bytes) -> bytes:
    """A LIME file with changed, lost, doubled and moved records."""
    records = parsed(content)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(records))
        change = draw.choice((_claim, _claim, _xml, _xml, _xml, _name, _numbers, _cut, _nested))
        records[at : at + 1] = draw.choice(
            (
                *[[change(draw, records[at])]] * 6,
                [],
                [records[at], change(draw, records[at])],
                [records[at]] * draw.choice((2, 5000 if len(records[at].data) < 100 else 2)),
                [change(draw, records[at]), records[draw.randrange(len(records))]],
            )
        ) or [records[at]]
    if draw.random() < 0.1:
        draw.shuffle(records)
    return written(records)


def _claim(draw: random.Random, record: Record) -> Record:
    """The header says another length than the data have."""
    return replace(record, claimed=number(draw, record.claimed) % 2**64)


def _cut(draw: random.Random, record: Record) -> Record:
    """Fewer or more data, and the header says so."""
    n = draw.choice((0, 8, 144, 288, 576, len(record.data) // 2, len(record.data) * 2, max(0, len(record.data) - 8)))
    data = (record.data * 3)[:n]
    return replace(record, data=data, claimed=len(data))


def _name(draw: random.Random, record: Record) -> Record:
    return replace(record, name=draw.choice((draw.choice(NAMES).encode(), record.name.upper(), draw.randbytes(128))))


def _numbers(draw: random.Random, record: Record) -> Record:
    """Magic, version and flags."""
    return replace(
        record,
        magic=draw.choice((MAGIC, 0xAB896745, 0)),
        version=draw.choice((0, 1, 2, 256, 65535)),
        flags=draw.getrandbits(16),
    )


def _nested(draw: random.Random, record: Record) -> Record:
    """A LIME file inside the record."""
    inner = written([replace(record, claimed=len(record.data))])
    return replace(record, data=inner, claimed=len(inner))


def _xml(draw: random.Random, record: Record) -> Record:
    """Another text in a tag, a tag lost or doubled, or another text altogether."""
    if len(record.data) > LARGEST_XML:
        return _claim(draw, record)
    text = record.data.decode("utf-8", "replace")
    tags = list(re.finditer(r"<(\w{1,40})(?: [^<>]{0,200})?>([^<]{0,2000})</", text))
    if not tags or draw.random() < 0.15:
        text = draw.choice(XML)
    else:
        tag = draw.choice(tags)
        inside = word(draw, tag.group(2).strip())
        text = draw.choice(
            (
                text[: tag.start(2)] + inside + text[tag.end(2) :],
                text[: tag.start(2)] + inside + text[tag.end(2) :],
                text[: tag.start()] + text[tag.end() :],
                f"<{tag.group(1)}>{inside}</{tag.group(1)}>" + text,
                text.replace(tag.group(0), tag.group(0).upper()),
                text[: tag.start(2)] + f"<{tag.group(1)}>{inside}</{tag.group(1)}>" + text[tag.end(2) :],
                draw.choice(XML) + text,
            )
        )
    data = text.encode(draw.choice(("utf-8",) * 6 + ("utf-16", "latin-1")), "replace")
    return replace(record, data=data, claimed=len(data))
