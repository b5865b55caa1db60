"""The compiled part of reading and writing gauge files: gauge_sites.h, and the records that it reads."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from hpcgauge.fields.field import Field
from hpcgauge.io.layouts import ALIGNED_ROWS, NO_PAIRS, PAIRS_OF_ROWS, Batch
from hpcgauge.kernels.build import load_library

TEXT = """#pragma GCC visibility push(default)
#include "../../io/gauge_sites.h"
#include "../../io/gauge_loops.h"
#pragma GCC visibility pop
"""
# What is read at once stays in the second cache until its numbers are stored.
BUFFER = 512 * 1024
# Where neighbouring rows are stored together there shall be many of them.
LARGER_BUFFER = 1024 * 1024
WIDTH = 8


class Form(ctypes.Structure):
    """struct Form of gauge_sites.h: the numbers of a unit in the file."""

    _fields_ = [(name, ctypes.c_long) for name in ("real_bytes", "swaps", "colors", "rows", "links", "is_quaternion")]

    @property
    def unit_bytes(self) -> int:
        """Bytes of a unit in the file."""
        reals = 4 if self.is_quaternion else 2 * self.rows * self.colors
        return int(self.links * reals * self.real_bytes)


class Memory(ctypes.Structure):
    """struct Memory of gauge_sites.h."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("base", ctypes.c_void_p),
        ("real_bytes", ctypes.c_long),
        ("stride", ctypes.c_long),
        ("link_distance", ctypes.c_long),
        ("is_quaternion", ctypes.c_long),
        ("pairs", ctypes.c_long),
    ]


class Reading(ctypes.Structure):
    """struct Reading of gauge_sites.h."""

    _fields_ = [
        ("file", ctypes.c_long),
        ("offsets", ctypes.c_void_p),
        ("numbers", ctypes.c_void_p),
        ("n_rows", ctypes.c_long),
        ("row_units", ctypes.c_long),
        ("buffer", ctypes.c_void_p),
        ("buffer_rows", ctypes.c_long),
    ]


class Sums(ctypes.Structure):
    """struct Sums of gauge_sums.h."""

    _fields_ = [
        ("mixed", ctypes.c_uint64),
        ("trace_low", ctypes.c_uint64),
        ("trace_high", ctypes.c_long),
        ("is_broken", ctypes.c_long),
        ("far", ctypes.c_double),
        ("far_unit", ctypes.c_long),
        ("far_link", ctypes.c_long),
        ("nersc", ctypes.c_uint32),
        ("suma", ctypes.c_uint32),
        ("sumb", ctypes.c_uint32),
        ("by_29", ctypes.c_uint32 * 29),
        ("by_31", ctypes.c_uint32 * 31),
    ]


class Box(ctypes.Structure):
    """struct Box of gauge_loops.h."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("real_bytes", ctypes.c_long),
        ("colors", ctypes.c_long),
        ("link_distance", ctypes.c_long),
        ("extent", ctypes.c_long * 4),
    ]


@functools.cache
def library() -> ctypes.CDLL:
    """The library of gauge_sites.h. DeviceError when there is no compiler."""
    loaded = load_library(TEXT, "gauge_files")
    loaded.take_rows.restype = ctypes.c_long
    loaded.give_units.restype = loaded.rotate_words.restype = loaded.plaquettes.restype = None
    return loaded


@dataclass(frozen=True)
class Place:
    """Where links lie on the host: component k of link mu of a site is number `addresses(sites, parities)` + mu *
    link_distance + k * stride of `data`. `is_paired`: sites of equal parity are neighbours."""

    data: numpy.ndarray
    addresses: Callable[[numpy.ndarray, numpy.ndarray], numpy.ndarray]
    stride: int
    link_distance: int
    is_quaternion: bool = False
    is_paired: bool = False

    @classmethod
    def of_array(cls, array: numpy.ndarray) -> Place:
        """An array (mu, t, z, y, x, row, column) of complex numbers, contiguous but for its first axis."""
        matrix = 2 * array.shape[-1] ** 2
        return cls(array, lambda sites, parities: sites * matrix, 1, array.strides[0] // (array.itemsize // 2))

    @classmethod
    def of_field(cls, field: Field, data: numpy.ndarray) -> Place:
        """Own links of a field; `data` is what it holds, or a copy of that on the host."""
        return cls(data, field.addresses, *field.strides, field.colors == 2, True)

    @property
    def real_bytes(self) -> int:
        """Bytes of a real number."""
        return self.data.itemsize // (2 if self.data.dtype.kind == "c" else 1)

    def base(self, batch: Batch) -> numpy.ndarray:
        """Where the (first) link of each unit begins, -1 for those that belong nowhere."""
        base = self.addresses(batch.sites, batch.parities) + batch.mu * self.link_distance
        if batch.has_holes:
            base = numpy.where(batch.sites < 0, -1, base)
        return numpy.ascontiguousarray(base).reshape(-1)

    def record(self, base: numpy.ndarray, batch: Batch) -> Memory:
        """What compiled code reads."""
        flags = self.is_quaternion, batch.pairs if self.is_paired else NO_PAIRS
        strides = self.real_bytes, self.stride, self.link_distance
        return Memory(self.data.ctypes.data, base.ctypes.data, *strides, *flags)


def take(descriptor: int, offset: int, form: Form, batch: Batch, place: Place | None, checks: tuple[int, Sums]) -> int:
    """0, an error of the system, or -1 where the file ends. The units of a batch are read from an open file whose
    numbers begin at this offset, stored in a place and added to the sums."""
    row_bytes = form.unit_bytes * batch.row_units
    n_rows = max(1, (LARGER_BUFFER if batch.pairs == PAIRS_OF_ROWS else BUFFER) // row_bytes)
    n_rows = min(n_rows // ALIGNED_ROWS * ALIGNED_ROWS or n_rows, len(batch.rows))
    buffer = numpy.empty(n_rows * row_bytes, numpy.uint8)
    return _take((descriptor, offset), form, batch, place, (buffer, n_rows), checks)


def check(data: numpy.ndarray, form: Form, batch: Batch, checks: tuple[int, Sums]) -> None:
    """Nothing; the units of a batch, bytes as in the file, are added to the sums."""
    _take((-1, 0), form, batch, None, (data, len(batch.rows)), checks)


def _take(
    file: tuple[int, int],
    form: Form,
    batch: Batch,
    place: Place | None,
    buffer: tuple[numpy.ndarray, int],
    checks: tuple[int, Sums],
) -> int:
    rows = numpy.ascontiguousarray(batch.rows, numpy.int64)
    offsets = file[1] + rows * form.unit_bytes
    base = None if place is None else place.base(batch)
    memory = Memory() if place is None or base is None else place.record(base, batch)
    record = Reading(
        file[0],
        offsets.ctypes.data,
        rows.ctypes.data,
        len(rows),
        batch.row_units,
        buffer[0].ctypes.data,
        buffer[1],
    )
    lanes = numpy.empty(6 * 2 * form.colors**2 * WIDTH + WIDTH)
    order = numpy.empty(buffer[1] * batch.row_units, numpy.int64)
    aligned: Any = ctypes.c_void_p(lanes.ctypes.data + -lanes.ctypes.data % (8 * WIDTH))
    where = ctypes.byref(form), ctypes.byref(memory), ctypes.byref(record)
    order_ = ctypes.c_void_p(order.ctypes.data)
    return int(library().take_rows(*where, ctypes.c_long(checks[0]), aligned, order_, ctypes.byref(checks[1])))


def give(form: Form, batch: Batch, place: Place, out: numpy.ndarray) -> None:
    """Nothing; the units of a batch lie in `out` as in the file, those that belong nowhere left alone."""
    base = place.base(batch)
    memory = place.record(base, batch)
    library().give_units(
        ctypes.byref(form), ctypes.byref(memory), ctypes.c_long(batch.n_units), ctypes.c_void_p(out.ctypes.data)
    )


def add_plaquettes(links: numpy.ndarray, sums: Sums) -> None:
    """Nothing; Re tr P, the mean over planes, of all sites but those of the last t is added to the traces.

    The links are an array (mu, t, z, y, x, row, column), contiguous but for mu, periodic in x, y, z.
    """
    _, t, z, y, x, colors, _ = links.shape
    real_bytes = links.itemsize // 2
    extent = (ctypes.c_long * 4)(x, y, z, t - 1)
    box = Box(links.ctypes.data, real_bytes, colors, links.strides[0] // real_bytes, extent)
    library().plaquettes(ctypes.byref(box), ctypes.byref(sums))
