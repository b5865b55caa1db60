"""HDF5 files damaged in HDF5's own structures, with right checksums where these have them, and consistent lies."""

from __future__ import annotations

import io
import json
import random
import re
import struct

import h5py
import numpy

from hpcgauge.io.checksum import bytes_checksum
from tests.support.fuzz.values import number, word

SUPERBLOCK = b"\x89HDF\r\n\x1a\n"
SIGNATURES = re.compile(
    rb"\x89HDF|OHDR|OCHK|FRHP|FHDB|FHIB|BTHD|BTLF|BTIN|TREE|HEAP|SNOD|GCOL|FAHD|FADB|EAHD|SMTB|SMLI"
)
REACH = 200
LARGEST = 1 << 20
MASK = 0xFFFFFFFF


def structures(draw: random.Random, content: bytes) -> bytes:
    """Bytes changed in superblock, object headers and heaps; their checksums made right again as often as not."""
    changed = bytearray(content)
    places = [found.start() for found in SIGNATURES.finditer(content)] or [0]
    for _ in range(draw.randint(1, 4)):
        at = draw.choice(places) + draw.randrange(REACH)
        value = draw.choice((draw.randbytes(1), b"\0", b"\xff", struct.pack("<Q", number(draw) % 2**64), b"\xff" * 8))
        if at + len(value) <= len(changed):
            changed[at : at + len(value)] = value
    return resealed(bytes(changed)) if draw.random() < 0.6 else bytes(changed)


def resealed(content: bytes) -> bytes:
    """The file with right checksums in its superblock and object headers, where these can be found."""
    changed = bytearray(content)
    if changed[:8] == SUPERBLOCK and len(changed) > 48 and changed[8] in (2, 3):
        struct.pack_into("<I", changed, 44, lookup3(bytes(changed[:44])))
    for found in re.finditer(rb"OHDR\x02", content):
        at, flags = found.start(), content[found.start() + 5]
        front = 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
        width = 1 << (flags & 3)
        end = at + front + width + int.from_bytes(changed[at + front : at + front + width], "little")
        if end + 4 <= len(changed):
            struct.pack_into("<I", changed, end, lookup3(bytes(changed[at:end])))
    return bytes(changed)


def lies(draw: random.Random, content: bytes) -> bytes:
    """Datasets and attributes that are not what they should be, written by HDF5 itself."""
    image = io.BytesIO(content)
    with h5py.File(image, "r+") as file:
        for _ in range(draw.randint(1, 3)):
            names = [name for name in file if _is_dataset(file, name)]
            if names:
                draw.choice((_attribute, _said, _said, _shape, _gone, _link, _root))(draw, file, draw.choice(names))
    return image.getvalue()


def _is_dataset(file: h5py.File, name: str) -> bool:
    """True for a dataset that lies in this file: links to elsewhere are not followed."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        return False
    return isinstance(file[name], h5py.Dataset) and file[name].nbytes <= LARGEST


def _attribute(draw: random.Random, file: h5py.File, name: str) -> None:
    """Another value, or none, in an attribute of a dataset."""
    attributes = file[name].attrs
    key = draw.choice([*attributes, "checksum", "distributed"])
    if draw.random() < 0.2:
        attributes.pop(key, None)
    else:
        attributes[key] = draw.choice((*ODD, word(draw, "0" * 16).replace("\0", "")))


ODD = (0, -1, 1.5, numpy.nan, "", "zz", b"\xff", "-1", [1, 2, 3], numpy.zeros((3, 3)), True, "f" * 16, "f" * 4000)


def _root(draw: random.Random, file: h5py.File, name: str) -> None:
    """Another kind or schema."""
    file.attrs[draw.choice(("hpcgauge", "schema"))] = draw.choice((*ODD, 2**31, 2**62, "checkpoint", "network"))


def _said(draw: random.Random, file: h5py.File, name: str) -> None:
    """Another JSON text, with its right checksum."""
    there = _is_dataset(file, "attributes") if "attributes" in file else False
    text = bytes(file["attributes"][()]) if there and file["attributes"].shape == () else b"{}"
    _replace(file, "attributes", numpy.array(changed_json(draw, text)), False)


def changed_json(draw: random.Random, text: bytes) -> bytes:
    """Another value in a JSON text, a value lost, or no mapping at all."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = {}
    said = said if isinstance(said, dict) else {}
    key = draw.choice([*said, "trajectory"])
    if draw.random() < 0.3:
        said.pop(key, None)
    else:
        said[key] = draw.choice(VALUES)
    return draw.choice((json.dumps(said).encode(),) * 8 + TEXTS)


VALUES = (
    None,
    -1,
    0,
    2**70,
    1.5,
    float("nan"),
    "text",
    [],
    [1],
    [-1, "x"],
    [10**9, "0" * 64],
    {},
    {"a": []},
    True,
    [[[]]],
)
TEXTS = (b"[]", b"3", b"null", b"", b"\xff\xfe", b"[" * 20000, b'{"a":' * 20000, b"9" * 6000, b"NaN", b"{}{}")


def _shape(draw: random.Random, file: h5py.File, name: str) -> None:
    """Another shape, type or layout of an array, with the right checksum of what it now holds."""
    old = file[name][()]
    array = numpy.asarray(old)
    made = draw.choice(
        (
            lambda: array.reshape(-1),
            lambda: array[..., None],
            lambda: array.reshape(-1)[: draw.randint(0, 5)],
            lambda: numpy.zeros((0, 3)),
            lambda: numpy.asarray(array.view("u1") if array.ndim else array.size, "f4"),
            lambda: numpy.arange(array.size),
            lambda: numpy.full(3, numpy.nan),
            lambda: numpy.array([b"a", b"bc"]),
            lambda: numpy.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        )
    )()
    _replace(file, name, made, bool(draw.getrandbits(1)), draw.choice(LAYOUTS))


LAYOUTS = ({}, {}, {}, {"chunks": True, "compression": "gzip"}, {"chunks": True}, {"fillvalue": 7})


def _replace(file: h5py.File, name: str, array: numpy.ndarray, distributed: bool, layout: dict | None = None) -> None:
    if name in file:
        del file[name]
    is_plain = array.size and array.ndim and array.dtype.kind in "fiu"
    made = file.create_dataset(name, data=array, **((layout or {}) if is_plain else {}))
    made.attrs["checksum"] = f"{bytes_checksum(array.tobytes()):016x}"
    made.attrs["distributed"] = distributed


def _gone(draw: random.Random, file: h5py.File, name: str) -> None:
    """A dataset is missing, or a group stands in its place."""
    del file[name]
    if draw.random() < 0.5:
        file.create_group(name)


def _link(draw: random.Random, file: h5py.File, name: str) -> None:
    """Links to elsewhere, to themselves, and arrays that are larger than any memory but take no room."""
    other = draw.choice(("further", name))
    if other in file:
        del file[other]
    kind = draw.randrange(5)
    if kind == 0:
        file[other] = h5py.SoftLink(f"/{other}")
    elif kind == 1:
        file[other] = h5py.ExternalLink("/etc/passwd", "/x")
    elif kind == 2:
        file[f"{other}/loop"] = file["/"]
    elif kind == 3:
        made = file.create_dataset(other, shape=(2**40,), dtype="f8", chunks=(2**20,), fillvalue=1.0)
        made.attrs["checksum"], made.attrs["distributed"] = "0" * 16, bool(draw.getrandbits(1))
    else:
        made = file.create_dataset(other, shape=(1000,), dtype="f8", external=[("/etc/passwd", 0, 8000)])
        made.attrs["checksum"], made.attrs["distributed"] = "0" * 16, bool(draw.getrandbits(1))


def lookup3(data: bytes) -> int:
    """The checksum of HDF5's metadata (Jenkins, lookup3, hashlittle with the start value 0)."""
    a = b = c = (0xDEADBEEF + len(data)) & MASK
    at, left = 0, len(data)
    while left > 12:
        x, y, z = struct.unpack_from("<3I", data, at)
        a, b, c = _mixed((a + x) & MASK, (b + y) & MASK, (c + z) & MASK)
        at, left = at + 12, left - 12
    if not left:
        return c
    x, y, z = struct.unpack("<3I", data[at:] + bytes(12 - left))
    return _final((a + x) & MASK, (b + y) & MASK, (c + z) & MASK)


def _turn(x: int, k: int) -> int:
    return ((x << k) | (x >> (32 - k))) & MASK


def _mixed(a: int, b: int, c: int) -> tuple[int, int, int]:
    for k in (4, 6, 8, 16, 19, 4):
        a, c = ((a - c) & MASK) ^ _turn(c, k), (c + b) & MASK
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for k in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _turn(b, k)) & MASK
        a, b, c = b, c, a
    return b
