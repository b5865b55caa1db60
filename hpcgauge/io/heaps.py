"""The heaps of texts in an HDF5 file, the one part of its description without a checksum: damaged, HDF5 may hang."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import h5py

from hpcgauge.errors import FileFormatError

MARK = b"GCOL\x01\0\0\0"
# Number, references, reserved, size.
OBJECT = struct.Struct("<HHIQ")
ALIGNMENT = 8
# No description of arrays is longer.
LARGEST_DESCRIPTION = 16 << 20


def check_heaps(path: Path) -> None:
    """Nothing, if every heap outside the arrays of an HDF5 file is whole; else a FileFormatError.

    What HDF5 itself finds wrong is an error of h5py."""
    size = path.stat().st_size
    with h5py.File(path, "r", locking=False) as file:
        gaps = _gaps(file, size)
    if sum(end - start for start, end in gaps) > LARGEST_DESCRIPTION:
        raise FileFormatError(
            f"an HDF5 file with more than {LARGEST_DESCRIPTION} bytes beside its arrays; give another"
        )
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for start, end in gaps:
            data = os.pread(descriptor, end - start, start)
            at = data.find(MARK)
            while at >= 0:
                _check(data, at)
                at = data.find(MARK, at + 1)
    finally:
        os.close(descriptor)


def _gaps(file: h5py.File, size: int) -> list[tuple[int, int]]:
    """The parts of the file that hold no contiguous array."""
    spans: list[tuple[int, int]] = []

    def note(_: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.id.get_offset() is not None:
            spans.append((item.id.get_offset(), item.id.get_offset() + item.id.get_storage_size()))

    file.visititems(note)
    gaps, at = [], 0
    for start, end in [*sorted(spans), (size, size)]:
        if start > at:
            gaps.append((at, min(start, size)))
        at = max(at, end)
    return gaps


def _check(data: bytes, start: int) -> None:
    """Nothing, if the objects of the heap that begins here fill it one after another."""
    end = start + int.from_bytes(data[start + 8 : start + 16], "little")
    at = start + 2 * ALIGNMENT
    if not at <= end <= len(data):
        raise _broken(start)
    while end - at >= OBJECT.size:
        number, _, _, size = OBJECT.unpack_from(data, at)
        # Number 0 is what is free, to the end.
        step = size if number == 0 else OBJECT.size + -(-size // ALIGNMENT) * ALIGNMENT
        if step < OBJECT.size or step > end - at or (number == 0 and step != end - at):
            raise _broken(start)
        at += step


def _broken(start: int) -> FileFormatError:
    return FileFormatError(f"an HDF5 file whose texts are damaged (heap at byte {start} of its part); fetch it again")
