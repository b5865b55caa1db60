"""One HDF5 file of contiguous datasets in global order, each with a checksum: checkpoints, networks, trajectories.

The file is written beside its name, read back, brought to the disk and renamed: under its name it is always whole.
Schema 2 is sealed (io/seal.py) and read without HDF5; files of schema 1 have no seal and are read with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

from hpcgauge.comm.world import World
from hpcgauge.errors import FileFormatError
from hpcgauge.io import hdf5
from hpcgauge.io.agreement import on_every_rank, on_root
from hpcgauge.io.blocks import read_array, read_block, read_words, write_blocks
from hpcgauge.io.checksum import MASK, bytes_checksum, checksum, local_checksum
from hpcgauge.io.distributed import WORD_BYTES, Distributed, share
from hpcgauge.io.durable import beside, not_written, publish, remove_beside, remove_forgotten
from hpcgauge.io.hdf5 import Stored
from hpcgauge.io.image import Image
from hpcgauge.io.plain import to_json
from hpcgauge.io.seal import Entry, Table, add_seal, read_seal
from hpcgauge.io.unsealed import read_unsealed

SCHEMA = 2
ATTRIBUTES = "attributes"
MAX_ATTRIBUTES = 1 << 20

Slices = tuple[slice, ...]


@dataclass(frozen=True)
class Contents:
    """What a file holds: blocks of distributed arrays, arrays known to every rank, and plain values."""

    arrays: Mapping[str, Distributed] = field(default_factory=dict)
    replicated: Mapping[str, numpy.ndarray] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)


def write_container(path: Path, world: World, kind: str, contents: Contents) -> None:
    """Writes the file, whole or not at all; replicated arrays and attributes are those of rank 0. Collective."""
    part = on_root(world, lambda: beside(path))
    sums = {name: checksum(world, array) for name, array in contents.arrays.items()}
    try:
        entries = on_root(world, lambda: _create(part, kind, contents, sums))
        placed = {
            name: (entries[name].offset, array) for name, array in contents.arrays.items() if entries[name].length
        }
        on_every_rank(world, lambda: write_blocks(part, world, placed))
        on_root(world, lambda: add_seal(part, Table(kind, SCHEMA, entries)))
        verify_container(part, world, kind)
    except Exception as error:
        if world.rank == 0:
            remove_beside(path)
        if not isinstance(error, OSError | FileFormatError):
            raise
        raise not_written(path, error) from error
    on_root(world, lambda: publish(path))


def _create(path: Path, kind: str, contents: Contents, sums: Mapping[str, int]) -> dict[str, Entry]:
    """Makes the file, with room for all blocks; where each dataset lies. On rank 0."""
    arrays = {name: Stored(part.global_shape, part.local.dtype, sums[name]) for name, part in contents.arrays.items()}
    image, entries = laid_out(kind, arrays, contents.replicated, contents.attributes, path.name)
    remove_forgotten(path.parent)
    image.save(path)
    return entries


def laid_out(
    kind: str,
    arrays: Mapping[str, Stored],
    replicated: Mapping[str, numpy.ndarray],
    attributes: Mapping[str, Any],
    name: str,
) -> tuple[Image, dict[str, Entry]]:
    """The file of this name without its seal and the numbers of distributed arrays, and where each dataset lies."""
    text = to_json(attributes).encode()
    if len(text) > MAX_ATTRIBUTES:
        raise ValueError(f"{name}: attributes of {len(text)} bytes; at most {MAX_ATTRIBUTES} are possible")
    said = {"hpcgauge": kind, "schema": SCHEMA}
    return hdf5.laid_out(said, arrays, {**replicated, ATTRIBUTES: numpy.array(text)})


def table_of(path: Path) -> Table:
    """What a file says of itself: its kind ("checkpoint", "network", "links", "trajectory") and its datasets.

    FileFormatError for one that is damaged, or of a newer schema. On one rank.
    """
    if not path.is_file():
        raise FileFormatError(f"{path}: no such file")
    return read_seal(path, SCHEMA) or read_unsealed(path, SCHEMA)


Known = tuple[dict[str, Entry], dict[str, numpy.ndarray], dict[str, Any]]


def _table(path: Path, kind: str) -> Known:
    """Every dataset's place, the replicated arrays and the attributes, checksums compared. On rank 0."""
    table = table_of(path)
    if table.kind != kind:
        raise FileFormatError(f"{path}: holds {table.kind!r}, not a {kind} of hpcgauge; give another file")
    entries = dict(table.entries)
    said = entries.get(ATTRIBUTES)
    if said is None or said.distributed or said.length > MAX_ATTRIBUTES or said.dtype.kind != "S" or said.shape:
        raise FileFormatError(f"{path}: has no dataset {ATTRIBUTES!r}; use an older file, or start afresh")
    replicated = {}
    for name, entry in entries.items():
        if not entry.distributed:
            replicated[name] = read_array(path, entry.offset, numpy.empty(entry.shape, entry.dtype))
            _compare(path, name, entry, bytes_checksum(replicated[name].tobytes()))
    try:
        attributes = json.loads(bytes(replicated.pop(ATTRIBUTES)))
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path}: its attributes are no JSON ({error}); use an older file") from None
    if not isinstance(attributes, dict):
        raise FileFormatError(f"{path}: its attributes are no mapping; use an older file")
    return entries, replicated, attributes


def _compare(path: Path, name: str, entry: Entry, computed: int) -> None:
    """Nothing, if the computed checksum is the stored one."""
    if entry.checksum != computed:
        raise FileFormatError(
            f"{path}: dataset {name} stores the checksum {entry.checksum:016x}, its data give {computed:016x}; the "
            "file is damaged: use an older one"
        )


def read_container(
    path: Path, world: World, kind: str, slices: Mapping[str, Slices] | Callable[[str, tuple[int, ...]], Slices]
) -> Contents:
    """The contents, each rank with its blocks, every checksum compared. Collective.

    `slices` names the arrays to read and this rank's block of each (or finds it from name and global shape); the
    blocks of all ranks must make up the array. Any number of ranks reads what any number wrote.
    """
    entries, replicated, attributes = on_root(world, lambda: _table(path, kind))
    stored = {name: entry for name, entry in entries.items() if entry.distributed}
    wanted = slices if isinstance(slices, Mapping) else {name: slices(name, stored[name].shape) for name in stored}
    missing = sorted(set(wanted) - set(stored))
    if missing:
        raise FileFormatError(
            f"{path}: has no array {', '.join(missing)} (it has {', '.join(stored)}); give another file"
        )

    def read(name: str) -> Distributed:
        shape, block = stored[name].shape, wanted[name]
        if len(block) != len(shape):
            raise FileFormatError(f"{path}: {name} has the shape {shape}, a block with {len(block)} axes was asked for")
        origin = tuple(part.indices(n)[0] for part, n in zip(block, shape, strict=True))
        local = tuple(len(range(*part.indices(n))) for part, n in zip(block, shape, strict=True))
        empty = numpy.empty(local, stored[name].dtype)
        return read_block(path, stored[name].offset, Distributed(shape, origin, empty))

    arrays = {name: on_every_rank(world, lambda name=name: read(name)) for name in wanted}  # type: ignore[misc]
    for name, part in arrays.items():
        _compare(path, name, stored[name], checksum(world, part))
    return Contents(arrays, replicated, attributes)


def verify_container(path: Path, world: World, kind: str) -> None:
    """Nothing, if all checksums of the file are right; a FileFormatError on every rank otherwise. Collective."""
    entries, _, _ = on_root(world, lambda: _table(path, kind))
    for name, computed in _sums(path, world, entries).items():
        _compare(path, name, entries[name], computed)


def checksums(path: Path, world: World, kind: str) -> dict[str, tuple[Entry, int]]:
    """The distributed arrays of a file, each with the checksum that its numbers give. Collective."""
    entries, _, _ = on_root(world, lambda: _table(path, kind))
    return {name: (entries[name], computed) for name, computed in _sums(path, world, entries).items()}


def _sums(path: Path, world: World, entries: Mapping[str, Entry]) -> dict[str, int]:
    """The checksums of the distributed arrays, as they are read. Collective."""

    def local(entry: Entry) -> int:
        n_words, found = entry.length // WORD_BYTES, 0
        mine = share(n_words, world.rank, world.size)
        for start, words in read_words(path, entry.offset, mine):
            found += local_checksum(Distributed((n_words,), (start,), words))
        return found

    def total(entry: Entry) -> int:
        return sum(world.allgather(on_every_rank(world, lambda: local(entry)))) & MASK

    return {name: total(entry) for name, entry in entries.items() if entry.distributed}
