"""The C side of launches: what it is handed, and the library that runs launches, programs and the packing of ghosts."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from hpcgauge.kernels.build import load_library

TEXT = """#pragma GCC visibility push(default)
#include "program.h"
#pragma GCC visibility pop
"""
# An exact sum is 16 int64, see site/sum.h; sums over ranks are sums of these.
BINS = 16


class Part(ctypes.Structure):
    """struct Part of site/call.h."""

    _fields_ = [("blocks", ctypes.c_void_p), ("n_blocks", ctypes.c_long), ("n_threads", ctypes.c_long)]


class Call(ctypes.Structure):
    """struct Call of site/call.h."""

    _fields_ = [
        ("function", ctypes.c_void_p),
        ("tables", ctypes.c_void_p),
        ("interior", Part),
        ("boundary", Part),
        ("fields", ctypes.c_void_p),
        ("numbers", ctypes.c_void_p),
        ("bins", ctypes.c_void_p),
        ("sums", ctypes.c_void_p),
        ("n_sums", ctypes.c_long),
        ("is_large", ctypes.c_long),
    ]


class Step(ctypes.Structure):
    """struct Step of site/program.h."""

    _fields_ = [
        ("kind", ctypes.c_long),
        ("call", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("a", ctypes.c_void_p),
        ("b", ctypes.c_void_p),
        ("flag", ctypes.c_void_p),
        ("count", ctypes.c_long),
        ("state", ctypes.c_void_p),
    ]


class Packet(ctypes.Structure):
    """struct Packet of site/program.h."""

    _fields_ = [
        ("out", ctypes.c_void_p),
        ("data", ctypes.c_void_p),
        ("sites", ctypes.c_void_p),
        ("count", ctypes.c_long),
        ("components", ctypes.c_long),
        ("lanes", ctypes.c_long),
        ("bytes", ctypes.c_long),
    ]


class Conversion(ctypes.Structure):
    """struct Conversion of site/program.h."""

    _fields_ = [
        ("out", ctypes.c_void_p),
        ("x", ctypes.c_void_p),
        ("blocks", ctypes.c_void_p),
        ("n_blocks", ctypes.c_long),
        ("components", ctypes.c_long),
        ("lanes", ctypes.c_long),
        ("is_narrowing", ctypes.c_long),
        ("n_threads", ctypes.c_long),
    ]


@functools.cache
def runtime() -> ctypes.CDLL:
    """The library of site/program.h. DeviceError when there is no compiler."""
    library = load_library(TEXT, "program")
    library.one_step.restype = library.run_program.restype = ctypes.c_long
    library.round_bins.restype = ctypes.c_double
    return library


def packing(packets: Sequence[tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]]) -> Callable[[], Any]:
    """A function that fills empty arrays of whole blocks with chosen sites; see comm/halo.py."""
    table = (Packet * len(packets))()
    for k, (out, data, sites) in enumerate(packets):
        addresses = (array.ctypes.data for array in (out, data, sites))
        table[k] = Packet(*addresses, len(sites), *data.shape[1:], data.itemsize)
    function, count = runtime().pack, ctypes.c_long(len(packets))
    return lambda: function(table, count)
