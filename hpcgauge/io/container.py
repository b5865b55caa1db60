"""One HDF5 file of contiguous datasets in global order, each with a checksum: checkpoints, networks, trajectories.

The file is written beside its name, read back, brought to the disk and renamed: under its name it is always whole.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy

from hpcgauge.comm.world import World
from hpcgauge.errors import FileFormatError
from hpcgauge.io.agreement import on_every_rank, on_root
from hpcgauge.io.blocks import write_blocks
from hpcgauge.io.distributed import (
    MASK,
    WORD_BYTES,
    Distributed,
    bytes_checksum,
    checksum,
    local_checksum,
    share,
)
from hpcgauge.io.image import Image
from hpcgauge.io.plain import to_json

SCHEMA = 1
ATTRIBUTES = "attributes"
PART = ".part"

Slices = tuple[slice, ...]


@dataclass(frozen=True)
class Contents:
    """What a file holds: blocks of distributed arrays, arrays known to every rank, and plain values."""

    arrays: Mapping[str, Distributed] = field(default_factory=dict)
    replicated: Mapping[str, numpy.ndarray] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """Where a dataset lies in the file."""

    shape: tuple[int, ...]
    dtype: numpy.dtype
    checksum: int
    distributed: bool
    offset: int


def write_container(path: Path, world: World, kind: str, contents: Contents) -> None:
    """Writes the file, whole or not at all; replicated arrays and attributes are those of rank 0. Collective."""
    beside = path.with_name(path.name + PART)
    sums = {name: checksum(world, part) for name, part in contents.arrays.items()}
    try:
        offsets = on_root(world, lambda: _create(beside, kind, contents, sums))
        placed = [(offsets[name], part) for name, part in contents.arrays.items() if prod(part.global_shape)]
        on_every_rank(world, lambda: write_blocks(beside, world, placed))
        verify_container(beside, world, kind)
        on_root(world, lambda: _publish(beside, path))
    except Exception as error:
        if world.rank == 0:
            with suppress(OSError):
                beside.unlink()
        if not isinstance(error, OSError | FileFormatError):
            raise
        raise OSError(
            getattr(error, "errno", None) or errno.EIO,
            f"{path} could not be written ({error}); what was written before is whole. Free space on the disk or make "
            "the folder writable, then start again",
        ) from error


def _dataset(file: h5py.File, name: str, shape: tuple[int, ...], dtype: numpy.dtype, said: tuple[int, bool]) -> None:
    """Makes a contiguous dataset whose place in the file is fixed at once."""
    place = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    place.set_layout(h5py.h5d.CONTIGUOUS)
    place.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    place.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    place.set_obj_track_times(False)
    kind = h5py.h5t.py_create(dtype.newbyteorder("<"), logical=True)
    link = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    link.set_create_intermediate_group(True)
    made = h5py.Dataset(h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(shape), place, link))
    made.attrs["checksum"], made.attrs["distributed"] = f"{said[0]:016x}", said[1]


def _create(path: Path, kind: str, contents: Contents, sums: Mapping[str, int]) -> dict[str, int]:
    """Makes the file, with room for all blocks; the offset of each distributed array. On rank 0."""
    image = Image()
    with h5py.File(image, "w", libver="v110") as file:
        file.attrs["hpcgauge"], file.attrs["schema"] = kind, SCHEMA
        for name, part in contents.arrays.items():
            _dataset(file, name, part.global_shape, part.local.dtype, (sums[name], True))
        text = numpy.array(to_json(contents.attributes).encode())
        for name, array in {**contents.replicated, ATTRIBUTES: text}.items():
            little = array.astype(array.dtype.newbyteorder("<"))
            _dataset(file, name, array.shape, array.dtype, (bytes_checksum(little.tobytes()), False))
            file[name][...] = little
        offsets = {name: file[name].id.get_offset() or 0 for name in contents.arrays}
    image.save(path)
    return offsets


def _publish(beside: Path, path: Path) -> None:
    """Brings the file to the disk, gives it its name and brings the folder to the disk. On rank 0."""
    _to_disk(beside, os.O_RDWR)
    os.replace(beside, path)
    _to_disk(path.parent, os.O_RDONLY)


def _to_disk(path: Path, flags: int) -> None:
    """Returns when the file or folder is on the disk."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """The file open for reading; whatever HDF5 finds wrong with it is a FileFormatError."""
    if not path.is_file():
        raise FileFormatError(f"{path}: no such file")
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except FileFormatError:
        raise
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise FileFormatError(
            f"{path}: no whole HDF5 file of hpcgauge ({error}); use an older one, or start afresh"
        ) from error


def _table(path: Path, kind: str) -> tuple[dict[str, Entry], dict[str, numpy.ndarray], dict[str, Any]]:
    """Every dataset's place, the replicated arrays and the attributes, checksums compared. On rank 0."""
    size = path.stat().st_size if path.is_file() else 0
    with _opened(path) as file:
        found, schema = file.attrs.get("hpcgauge"), file.attrs.get("schema")
        if found != kind:
            raise FileFormatError(f"{path}: holds {found!r}, not a {kind} of hpcgauge; give another file")
        if not isinstance(schema, numpy.integer) or schema > SCHEMA:
            raise FileFormatError(
                f"{path}: written in schema {schema}, this hpcgauge reads up to {SCHEMA}; install a newer hpcgauge"
            )
        entries: dict[str, Entry] = {}
        file.visititems(lambda name, item: _note(entries, path, size, name, item))
        if ATTRIBUTES not in entries:
            raise FileFormatError(f"{path}: has no dataset {ATTRIBUTES!r}; use an older file, or start afresh")
        replicated = {}
        for name, entry in entries.items():
            if not entry.distributed:
                replicated[name] = file[name][()]
                data = numpy.array(replicated[name], dtype=entry.dtype).tobytes()
                _compare(path, name, entry, bytes_checksum(data))
    attributes = json.loads(bytes(replicated.pop(ATTRIBUTES)))
    return entries, {name: numpy.asarray(value) for name, value in replicated.items()}, attributes


def _note(entries: dict[str, Entry], path: Path, size: int, name: str, item: Any) -> None:
    """Enters a dataset in the table once its place is known to lie in the file."""
    if not isinstance(item, h5py.Dataset):
        return
    length, offset = prod(item.shape) * item.dtype.itemsize, item.id.get_offset()
    if item.dtype.kind not in "fciuSb" or (length and (offset is None or offset + length > size)):
        raise FileFormatError(
            f"{path}: dataset {name} of {length} bytes does not lie in the file of {size}; use an older one"
        )
    sum_, distributed = int(item.attrs["checksum"], 16), bool(item.attrs["distributed"])
    if distributed and item.dtype.itemsize % WORD_BYTES:
        raise FileFormatError(f"{path}: dataset {name} has numbers of type {item.dtype}; use an older file")
    entries[name] = Entry(item.shape, item.dtype, sum_, distributed, offset or 0)


def _compare(path: Path, name: str, entry: Entry, computed: int) -> None:
    """Nothing, if the computed checksum is the stored one."""
    if entry.checksum != computed:
        raise FileFormatError(
            f"{path}: dataset {name} stores the checksum {entry.checksum:016x}, its data give {computed:016x}; the "
            "file is damaged: use an older one"
        )


def _mapped(path: Path, entry: Entry) -> numpy.ndarray:
    """The dataset as a memory map."""
    if prod(entry.shape) == 0:
        return numpy.empty(entry.shape, entry.dtype)
    return numpy.memmap(path, entry.dtype, "r", entry.offset, entry.shape)


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
        return Distributed(shape, origin, numpy.array(_mapped(path, stored[name])[block]))

    arrays = {name: on_every_rank(world, lambda name=name: read(name)) for name in wanted}  # type: ignore[misc]
    for name, part in arrays.items():
        _compare(path, name, stored[name], checksum(world, part))
    return Contents(arrays, replicated, attributes)


def verify_container(path: Path, world: World, kind: str) -> None:
    """Nothing, if all checksums of the file are right; a FileFormatError on every rank otherwise. Collective."""
    entries, _, _ = on_root(world, lambda: _table(path, kind))

    def local(entry: Entry) -> int:
        words = _mapped(path, entry).reshape(-1).view("<u8")
        part = share(words.size, world.rank, world.size)
        return local_checksum(Distributed(words.shape, (part.start,), words[part]))

    for name, entry in entries.items():
        if entry.distributed:
            parts = world.allgather(on_every_rank(world, lambda entry=entry: local(entry)))  # type: ignore[misc]
            _compare(path, name, entry, sum(parts) & MASK)
