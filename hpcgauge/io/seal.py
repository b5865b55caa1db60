"""The seal at the end of an HDF5 file of hpcgauge: where each dataset lies, and a digest of all bytes around the data.

HDF5's own metadata is never believed: libraries may crash, hang or allocate without bounds on a damaged file. A sealed
file is read by its seal alone, with HDF5 it is only written; h5py and h5dump read it as any other, for what stands
behind the last byte that HDF5 knows does not concern them.

    HDF5 file | description, JSON | 64 bytes: MAGIC, length of the description, length of the HDF5 file (u64), SHA-256

The last SHA-256 is that of the description and of the 32 bytes before it. The description holds that of all bytes of
the HDF5 file outside the datasets, which have checksums of their own.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy

from hpcgauge.errors import FileFormatError, NewerFileError
from hpcgauge.io.durable import write_fully
from hpcgauge.io.image import Image

MAGIC = b"hpcgauge seal 1\n"
FOOTER = struct.Struct("<16sQQ32s")
READ_AT_ONCE = 1 << 20
# What a file may ask of its reader.
MAX_DESCRIPTION, MAX_DATASETS, MAX_AXES = 1 << 20, 4096, 16
TYPE = re.compile(r"<[fiu]8|<c16|<[fiu][24]|<c8|\|[iu]1|\|b1|\|S[0-9]{1,9}")


@dataclass(frozen=True)
class Entry:
    """Where a dataset lies in the file."""

    shape: tuple[int, ...]
    dtype: numpy.dtype
    checksum: int
    distributed: bool
    offset: int

    @property
    def length(self) -> int:
        """The bytes of the data."""
        return prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Table:
    """What a file says of itself: its kind, its schema and its datasets by name."""

    kind: str
    schema: int
    entries: Mapping[str, Entry]


def add_seal(path: Path, table: Table) -> None:
    """Writes the seal behind the HDF5 file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        text = seal(file, size, table, path.name)
    descriptor = os.open(path, os.O_WRONLY)
    try:
        write_fully(descriptor, memoryview(text), size)
    finally:
        os.close(descriptor)


def seal(file: IO[bytes] | Image, size: int, table: Table, name: str) -> bytes:
    """The seal of an open HDF5 file of this size and name."""
    text = json.dumps(described(table) | {"sha256": _digest(file, size, table.entries.values())}).encode()
    if len(text) > MAX_DESCRIPTION or len(table.entries) > MAX_DATASETS:
        raise ValueError(f"{name}: {len(table.entries)} datasets are more than a file can describe")
    front = FOOTER.pack(MAGIC, len(text), size, bytes(32))[:-32]
    return text + front + hashlib.sha256(text + front).digest()


def described(table: Table) -> dict[str, Any]:
    """The description of a table."""
    datasets = {name: _as_json(name, entry) for name, entry in table.entries.items()}
    return {"kind": table.kind, "schema": table.schema, "datasets": datasets}


def _as_json(name: str, entry: Entry) -> list[Any]:
    if not TYPE.fullmatch(entry.dtype.str):
        raise ValueError(f"{name}: numbers of type {entry.dtype} cannot be stored")
    return [entry.dtype.str, list(entry.shape), entry.offset, f"{entry.checksum:016x}", entry.distributed]


def read_seal(path: Path, newest: int) -> Table | None:
    """What a sealed file says of itself, every byte around the data compared; None if the file has no seal.

    FileFormatError for a damaged one, NewerFileError for a schema above `newest`.
    """
    size = path.stat().st_size
    if size < FOOTER.size:
        return None
    with path.open("rb") as file:
        file.seek(size - FOOTER.size)
        last = file.read(FOOTER.size)
        magic, n_text, n_file, stored = FOOTER.unpack(last)
        if magic != MAGIC:
            return None
        if n_text > MAX_DESCRIPTION or n_file + n_text + FOOTER.size != size:
            raise damaged(path, f"its seal speaks of {n_file} + {n_text} bytes, the file has {size}")
        file.seek(n_file)
        text = file.read(n_text)
        if hashlib.sha256(text + last[:-32]).digest() != stored:
            raise damaged(path, "its seal is broken")
        table, digest = parsed(path, text, n_file, newest)
        if _digest(file, n_file, table.entries.values()) != digest:
            raise damaged(path, "bytes around the data have changed")
    return table


def damaged(path: Path, what: str) -> FileFormatError:
    """The error of a file that is not to be trusted."""
    return FileFormatError(f"{path}: no whole HDF5 file of hpcgauge ({what}); use an older one, or start afresh")


def parsed(path: Path, text: bytes, size: int, newest: int) -> tuple[Table, str]:
    """The table and the digest in a description; nothing in it is believed before it agrees with the file's size.

    FileFormatError if it does not, NewerFileError for a schema above `newest`.
    """
    try:
        said = json.loads(text)
        kind, schema, digest, datasets = said["kind"], said["schema"], said.get("sha256", ""), said["datasets"]
        if type(schema) is int and schema > newest:
            raise NewerFileError(
                f"{path}: written in schema {schema}, this hpcgauge reads up to {newest}; install a newer hpcgauge"
            )
        if len(datasets) > MAX_DATASETS or len(text) > MAX_DESCRIPTION:
            raise damaged(path, f"it names {len(datasets)} datasets")
        entries = {str(name): _entry(path, str(name), line, size) for name, line in datasets.items()}
        if type(schema) is not int or not isinstance(kind, str):
            raise TypeError("no kind or no schema")
        table = Table(kind, schema, entries)
    except FileFormatError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise damaged(path, f"its description cannot be read: {error}") from None
    placed = sorted((entry.offset, entry.offset + entry.length) for entry in entries.values() if entry.length)
    if any(end > start for (_, end), (start, _) in pairwise(placed)):
        raise damaged(path, "its datasets lie over each other")
    return table, str(digest)


def _entry(path: Path, name: str, said: Any, size: int) -> Entry:
    """One line of the table, once it is known to lie in the file."""
    kind, shape, offset, checksum, distributed = said
    axes = (*shape, offset)
    is_sane = TYPE.fullmatch(kind) and len(shape) <= MAX_AXES and type(distributed) is bool
    if not is_sane or not all(type(n) is int and 0 <= n <= size for n in axes):
        raise damaged(path, f"dataset {name} is no array in the file")
    entry = Entry(tuple(shape), numpy.dtype(kind), int(checksum, 16), distributed, offset)
    if entry.length and entry.offset + entry.length > size:
        raise FileFormatError(
            f"{path}: dataset {name} of {entry.length} bytes does not lie in the file of {size}; use an older one"
        )
    if entry.dtype.itemsize == 0 or (entry.distributed and entry.dtype.itemsize % 8):
        raise FileFormatError(f"{path}: dataset {name} has numbers of type {entry.dtype}; use an older file")
    return entry


def _digest(file: IO[bytes] | Image, size: int, entries: Iterable[Entry]) -> str:
    """The SHA-256 of the first `size` bytes without those of the datasets."""
    found, at = hashlib.sha256(), 0
    data = sorted((entry.offset, entry.length) for entry in entries if entry.length)
    for start, length in [*data, (size, 0)]:
        file.seek(at)
        while at < start and (piece := file.read(min(start - at, READ_AT_ONCE))):
            found.update(piece)
            at += len(piece)
        at = start + length
    return found.hexdigest()
