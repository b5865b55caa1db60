"""Launches and programs on the processor: records that compiled code reads, on memory of NumPy arrays."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from typing import Any, final

import numpy

from hpcgauge.comm.halo import HostTransport, Transport
from hpcgauge.fields.field import Field
from hpcgauge.fields.host import cache_size
from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.backend import Backend, Bound, Compiled, Runnable
from hpcgauge.kernels.build import build
from hpcgauge.kernels.kernel import Kernel
from hpcgauge.kernels.loop import Launch
from hpcgauge.kernels.program import Kind, Loop
from hpcgauge.kernels.runtime import BINS, Call, Conversion, Part, packing, runtime
from hpcgauge.kernels.runtime import Step as Entry
from hpcgauge.kernels.source import Target
from hpcgauge.lattice.offsets import LOCAL, PARITY

# Fields are large if all of a kernel's are so many times the second cache of the threads, and huge if they are also so
# many times the last cache, which all ranks of a machine share.
LARGE = 8
HUGE = 0.5
# A thread that has less to do than this costs more than it saves, and very much more on a busy machine.
MIN_BLOCKS = 32
# Rounds of one call; signals are seen in between.
ROUNDS_PER_CALL = 128


@final
class HostBound(Bound):
    """`call`: the record that the compiled function is handed."""

    def __init__(self, kernel: HostKernel, addresses: Sequence[int], numbers: Sequence[float]):
        n_sums = kernel.n_sums
        self._pointers = (ctypes.c_void_p * len(addresses))(*addresses)
        self._numbers = (ctypes.c_double * len(numbers))(*numbers)
        self._bins, self._sums = (ctypes.c_int64 * (BINS * n_sums))(), (ctypes.c_double * n_sums)()
        own = (ctypes.addressof(part) for part in (self._pointers, self._numbers, self._bins, self._sums))
        self.call = Call(*kernel.where, *own, n_sums, kernel.is_large)
        self._call, self._library = ctypes.byref(self.call), kernel.library

    @property
    def numbers(self) -> numpy.ndarray:
        return numpy.ctypeslib.as_array(self._numbers)

    @property
    def sums(self) -> numpy.ndarray:
        return numpy.ctypeslib.as_array(self._sums)

    def values(self) -> tuple[float, ...]:
        return tuple(self._sums)

    def point(self, addresses: Sequence[int]) -> None:
        self._pointers[:] = list(addresses)

    def start(self) -> None:
        self._library.start_launch(self._call)

    def finish(self) -> None:
        self._library.finish_launch(self._call)

    def whole(self) -> None:
        self._library.whole_launch(self._call)

    def bins(self) -> numpy.ndarray:
        return self._bins_array

    @functools.cached_property
    def _bins_array(self) -> numpy.ndarray:
        return numpy.ctypeslib.as_array(self._bins).reshape(-1, BINS)

    def round_bins(self) -> None:
        self._library.round_sums(self._call)


@final
class HostKernel(Compiled):
    """`is_large`: that of struct Call."""

    def __init__(self, kernel: Kernel, fields: Sequence[Field], counts: tuple[int, ...], parity: str):
        first = fields[0]
        lattice, precision = first.lattice, first.precision
        target = Target(lattice.dimensions, first.colors, precision, lattice.lanes(precision), counts)
        self._function, self.n_sums, self.library = build(kernel, target), kernel.n_sums, runtime()
        self._tables = _tables(lattice, kernel, precision)
        self.is_large = _size_class(sum(field.data.nbytes for field in fields), lattice)
        function = ctypes.cast(self._function, ctypes.c_void_p)
        self.where = function, ctypes.addressof(self._tables.pointers), *self._tables.parts[PARITY[parity]]

    def bind(self, addresses: Sequence[int], numbers: Sequence[float]) -> HostBound:
        return HostBound(self, addresses, numbers)


def _size_class(n_bytes: int, lattice: Lattice) -> int:
    """`is_large` of struct Call."""
    if n_bytes <= LARGE * lattice.device.threads * cache_size(2):
        return 0
    return 2 if n_bytes * lattice.world.local_size > HUGE * cache_size(3) else 1


@final
class _Tables:
    """A block table's arrays as the pointers that kernels take. `parts`: interior and boundary of each parity."""

    def __init__(self, lattice: Lattice, kernel: Kernel, precision: str):
        tables = lattice.tables(kernel.offsets, precision)
        self.kept = [
            tables.lanes,
            tables.blocks,
            _coordinates(lattice, precision),
            numpy.array(lattice.extent, dtype=numpy.int32),
            *tables.interior,
            *tables.boundary,
        ]
        self.pointers = (ctypes.c_void_p * 4)(*(array.ctypes.data for array in self.kept[:4]))
        self.parts = tuple(
            (_part(interior, lattice), _part(boundary, lattice))
            for interior, boundary in zip(tables.interior, tables.boundary, strict=True)
        )


def _tables(lattice: Lattice, kernel: Kernel, precision: str) -> _Tables:
    key = kernel.offsets, precision
    if key not in lattice.prepared:
        lattice.prepared[key] = _Tables(lattice, kernel, precision)
    return lattice.prepared[key]


def _coordinates(lattice: Lattice, precision: str) -> numpy.ndarray:
    """int32 [block][dimensions + 1][lane], shared by all offset sets."""
    key = "coordinates", precision
    if key not in lattice.prepared:
        blocks = lattice.geometry.coordinates.reshape(-1, lattice.lanes(precision), lattice.dimensions + 1)
        lattice.prepared[key] = numpy.ascontiguousarray(blocks.transpose(0, 2, 1), dtype=numpy.int32)
    return lattice.prepared[key]


def _part(blocks: numpy.ndarray, lattice: Lattice) -> Part:
    return Part(blocks.ctypes.data, len(blocks), max(1, min(lattice.device.threads, len(blocks) // MIN_BLOCKS)))


@final
class HostProgram(Runnable):
    """`table`: the steps as compiled code takes them."""

    def __init__(self, steps: Sequence[Any]):
        described = [_entry(step) for step in steps]
        self._kept = list(steps)
        self.table = (Entry * len(described))(*described)

    def run(self, rounds: int) -> int:
        done = 0
        while done < rounds:
            wanted = min(rounds - done, ROUNDS_PER_CALL)
            now = runtime().run_program(self.table, ctypes.c_long(len(self.table)), ctypes.c_long(wanted))
            done += now
            if now < wanted:
                break
        return done


def call_of(launch: Launch) -> Call:
    """The record of a launch on the processor."""
    assert isinstance(launch.bound, HostBound), "a launch on a card has no record on the host"
    return launch.bound.call


def _entry(step: Any) -> Entry:
    """struct Step of site/program.h."""
    if isinstance(step, Launch):
        return Entry(Kind.LAUNCH, ctypes.addressof(call_of(step)))
    if isinstance(step, Loop):
        body = step.body.whole
        assert isinstance(body, HostProgram)
        rounds = step.done.ctypes.data, step.rounds.ctypes.data
        return Entry(Kind.LOOP, ctypes.addressof(body.table), *rounds, count=len(body.table))
    arrays = step.out, step.a, step.b, step.flag
    addresses = [None if array is None else array.ctypes.data for array in arrays]
    return Entry(step.kind, None, *addresses, step.count, None if step.state is None else step.state.ctypes.data)


@final
class _Host(Backend):
    def compiled(self, kernel: Kernel, fields: Sequence[Field], counts: tuple[int, ...], parity: str) -> HostKernel:
        return HostKernel(kernel, fields, counts, parity)

    def program(self, steps: Sequence[Any], lattice: Lattice) -> HostProgram:
        return HostProgram(steps)

    def convert(self, out: Field, x: Field, parity: str) -> None:
        lattice, is_narrowing = x.lattice, out.precision == "single"
        blocks = lattice.tables(LOCAL, "single").interior[PARITY[parity]]
        n_threads = max(1, min(lattice.device.threads, len(blocks) // MIN_BLOCKS))
        where = out.address, x.address, blocks.ctypes.data
        task = Conversion(*where, len(blocks), x.components, lattice.lanes("single"), is_narrowing, n_threads)
        runtime().convert(ctypes.byref(task))

    def route(self, lattice: Lattice) -> str:
        return ""

    def transport(self, lattice: Lattice) -> Transport:
        return HostTransport(packing)


HOST = _Host()
