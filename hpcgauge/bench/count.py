"""Floating-point operations and bytes of a kernel, found by running it over the counting type on a small lattice."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy

from hpcgauge.bench.case import Case, entries
from hpcgauge.comm.world import World
from hpcgauge.fields.device import Device
from hpcgauge.fields.field import Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.build import Target, build, load_library, source
from hpcgauge.kernels.host import call_of
from hpcgauge.kernels.kernel import Kernel
from hpcgauge.kernels.loop import Launch

# Without padding for blocks of up to 16 sites.
EXTENTS = {2: (8, 8), 3: (4, 4, 8), 4: (4, 4, 4, 4)}
READ, WRITTEN = 1, 2


class Watched(ctypes.Structure):
    """struct Watched of kernels/site/counting.h."""

    _fields_ = [("data", ctypes.c_void_p), ("count", ctypes.c_long), ("marks", ctypes.c_void_p)]


@dataclass(frozen=True)
class Counts:
    """Averages over all sites of the lattice, for one call: operations; bytes that must move at least, what is written
    counted twice; bytes that are touched, all counted once; and bytes that a card moves, which fetches nothing that is
    only written: those that are read and those that are written."""

    flops: float
    bytes: float
    touched: float
    moved: float


def prepare(world: World, names: Sequence[str], dimensions: int, colors: int, precision: str) -> None:
    """Returns when kernels of the catalogue and what counts them are compiled; ranks and cores share the work.
    Collective."""

    def compile_both(name: str) -> None:
        entry = entries(dimensions, 1)[name]
        target = entry.target(dimensions, colors, precision)
        build(entry.kernel, target)
        _counting(entry.kernel, target)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(compile_both, names[world.rank :: world.size]))
    world.barrier()


def _counting(kernel: Kernel, target: Target) -> ctypes.CDLL:
    """The kernel over the counting type. DeviceError when there is no compiler."""
    library = load_library("#define COUNTING 1\n" + source(kernel, target), kernel.name)
    library.counted_flops.restype = ctypes.c_int64
    return library


@functools.cache
def count(name: str, dimensions: int, colors: int, precision: str, parity: str, is_large: int = 0) -> Counts:
    """The counts of a kernel of the catalogue, run on the sites of a parity.

    Every number of a field counts as often as it must pass between memory and processor: once where it is read, twice
    where it is written, be it read before (as in an update) or not (ordinary stores fetch what they overwrite); once
    where `is_large`, as in struct Call, makes the kernel store past the caches.
    """
    case = Case(name, colors, precision, EXTENTS[dimensions], n_rhs=1)
    lattice = Lattice(case.extent, colors, World.alone(), Device("cpu", threads=1), precision)
    assert lattice.geometry.n_sites == lattice.volume
    fields = {key: Field(lattice, kind).set_global(case.inputs[key]) for key, kind in case.kinds.items()}
    launch = Launch(case.entry.kernel, parity, **fields, **case.numbers)
    call_of(launch).is_large = is_large
    target = case.entry.target(dimensions, colors, precision)
    library = _counting(case.entry.kernel, target)
    marks = [numpy.zeros(field.data.size, numpy.uint8) for field in launch.fields]
    watched = (Watched * len(marks))(
        *(Watched(field.address, mark.size, mark.ctypes.data) for field, mark in zip(launch.fields, marks, strict=True))
    )
    call_of(launch).function = ctypes.cast(library.launch, ctypes.c_void_p)
    library.watch(watched, ctypes.c_long(len(marks)))
    launch()
    flops = library.counted_flops()
    library.watch(None, ctypes.c_long(0))
    size = fields[case.entry.kernel.fields[0].name].data.itemsize / lattice.volume
    assert any(mark.any() for mark in marks), f"kernel {name} touches nothing with these numbers"
    touched = sum(int(numpy.count_nonzero(mark)) for mark in marks)
    written = sum(int(numpy.count_nonzero(mark & WRITTEN)) for mark in marks)
    read = sum(int(numpy.count_nonzero(mark & READ)) for mark in marks)
    n_bytes = ((touched + written) * size, touched * size, (read + written) * size)
    return Counts(flops * target.lanes / lattice.volume, *n_bytes)
