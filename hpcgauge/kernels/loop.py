"""run(KERNEL, ...): ghosts, interior, boundary and sums, from what the kernel says it reads and writes."""

from __future__ import annotations

import ctypes
import functools
import math
import operator
from collections.abc import Sequence
from typing import Any, final

import numpy

from hpcgauge.comm.halo import Halo
from hpcgauge.fields.device import cache_size
from hpcgauge.fields.field import Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.build import MIN_BLOCKS, Target, build
from hpcgauge.kernels.kernel import Argument, Kernel
from hpcgauge.kernels.runtime import BINS, Call, Part, packing, runtime

# Fields are large if all of a kernel's are so many times the second cache of the threads, and huge if they are also so
# many times the last cache, which all ranks of a machine share.
LARGE = 8
HUGE = 0.5
PARITY = {"even": 0, "odd": 1, "both": 2}


def run(kernel: Kernel, parity: str = "both", **arguments: Any) -> tuple[float, ...]:
    """The kernel's exact sums over all ranks (none: an empty tuple), after running it on the sites of a parity.

    Fields are given by name, numbers as a float or a sequence. Ghosts move only where a field changed since they last
    did, while the interior is worked on. Where a recording is open, nothing is run and the sums are NaN. ValueError
    when an argument is missing, unknown or of another lattice, colors, precision or element, or the parity is unknown.
    Collective.
    """
    launch = Launch(kernel, parity, **arguments)
    if launch.lattice.recorded is None:
        return launch()
    launch.lattice.recorded.append(launch)
    return (math.nan,) * kernel.n_sums


@final
class Launch:
    """A kernel with its arguments, ready to be run many times; `numbers` may be changed between runs.

    `numbers`: all Numbers of the kernel, one after another. `bins`: its exact sums, on this rank after `execute`.
    `sums`: the same rounded, over all ranks, after a call. `moving`: the fields whose ghosts it reads.
    """

    def __init__(self, kernel: Kernel, parity: str = "both", **arguments: Any):
        _check_names(kernel, arguments)
        self.kernel = kernel
        self.fields: list[Field] = [arguments[field.name] for field in kernel.fields]
        self.lattice = self.fields[0].lattice
        plan = _plan(kernel, parity, self.fields)
        plan.check(self.fields)
        self.ghosts, self._needed = plan.ghosts, plan.needed
        self.moving = [self.fields[k] for k in plan.moving]
        self._written = [self.fields[k] for k in plan.written]
        for field in self.moving:
            field.reserve(plan.ghosts)
        self._halo: Halo | None = None
        self._pointers = (ctypes.c_void_p * len(self.fields))(*(field.address for field in self.fields))
        self._numbers = (ctypes.c_double * kernel.n_numbers)(*_flatten(kernel, arguments))
        self._bins = (ctypes.c_int64 * (BINS * kernel.n_sums))()
        self._sums = (ctypes.c_double * kernel.n_sums)()
        memory = (ctypes.addressof(part) for part in (self._pointers, self._numbers, self._bins, self._sums))
        self.call = Call(*plan.where, *memory, kernel.n_sums, plan.is_large)
        self._call = ctypes.byref(self.call)
        self._library = runtime()

    @functools.cached_property
    def numbers(self) -> numpy.ndarray:
        return numpy.ctypeslib.as_array(self._numbers)

    @functools.cached_property
    def sums(self) -> numpy.ndarray:
        return numpy.ctypeslib.as_array(self._sums)

    @functools.cached_property
    def bins(self) -> numpy.ndarray:
        return numpy.ctypeslib.as_array(self._bins).reshape(-1, BINS)

    def __call__(self) -> tuple[float, ...]:
        """The exact sums over all ranks. Collective."""
        self.complete()
        return tuple(self._sums)

    def complete(self) -> None:
        """Leaves the exact sums over all ranks in `sums`. Collective."""
        self.execute()
        if self._sums and self.lattice.world.size > 1:
            self.lattice.world.allreduce_int64(self.bins)
            self._library.round_sums(self._call)

    def execute(self) -> None:
        """Leaves this rank's part of the sums in `bins`. Collective where ghosts are stale."""
        if self.lattice.world.size == 1:
            self._library.whole_launch(self._call)
            return
        self.point()
        stale = [field for field in self.moving if not field.is_fresh(self.ghosts, self._needed)]
        if stale:
            halo = self._exchange_of(stale)
            halo.start()
            self._library.start_launch(self._call)
            halo.wait()
            for field in stale:
                field.refresh(self.ghosts, self._needed)
        else:
            self._library.start_launch(self._call)
        self._library.finish_launch(self._call)
        self.touch()

    @property
    def is_local(self) -> bool:
        """True if a launch tells other ranks nothing and asks them nothing."""
        return not self.moving and not self._sums

    def point(self) -> None:
        """Finds the fields' memory, which moves when ghosts are reserved for the first time."""
        self._pointers[:] = [field.address for field in self.fields]

    def touch(self) -> None:
        """Says that what the kernel writes has changed."""
        for field in self._written:
            field.touch()

    def halo(self) -> Halo:
        """The exchange of all ghosts that it reads, whether stale or not."""
        return self._exchange_of(self.moving)

    def _exchange_of(self, stale: list[Field]) -> Halo:
        arrays = [field.data for field in stale]
        if self._halo is None or not _are_same(self._halo.arrays, arrays):
            # A field keeps its own exchanges; one of several fields would hold their memory.
            kept = stale[0].halos if len(stale) == 1 else {}
            key = self.ghosts.offsets, self._needed
            if key not in kept:
                kept[key] = Halo(self.lattice.world, self.ghosts, arrays, packing, self._needed)
            self._halo = kept[key]
        return self._halo


@final
class _Plan:
    """What all launches of a kernel share, on fields of the same kinds and the sites of one parity."""

    def __init__(self, kernel: Kernel, parity: str, fields: Sequence[Field]):
        self.kernel = kernel
        if parity not in PARITY:
            raise ValueError(f"kernel {kernel.name}: parity = {parity!r} is none of 'even', 'odd', 'both'")
        _check_kinds(kernel, fields)
        first = fields[0]
        lattice, precision = first.lattice, first.precision
        counts = tuple(_count(argument, field) for argument, field in zip(kernel.fields, fields, strict=True))
        target = Target(lattice.dimensions, first.colors, precision, lattice.lanes(precision), counts)
        self.function = build(kernel, target)
        self.ghosts = lattice.ghosts(kernel.offsets)
        reading = [k for k, argument in enumerate(kernel.fields) if argument.offsets.pairs]
        self.written = [k for k, argument in enumerate(kernel.fields) if argument.access != "read"]
        self.moving = reading if self.ghosts.messages else []
        self.needed = _needed(kernel, PARITY[parity])
        self.forbidden = [(k, other) for k in self.written for other in reading]
        self.tables = _tables(lattice, kernel, precision)
        self.is_large = _size_class(sum(field.data.nbytes for field in fields), lattice)
        function = ctypes.cast(self.function, ctypes.c_void_p)
        self.where = function, ctypes.addressof(self.tables.pointers), *self.tables.parts[PARITY[parity]]

    def check(self, fields: Sequence[Field]) -> None:
        """Nothing; ValueError when the fields belong to several lattices, or one that is written is read elsewhere."""
        names = [argument.name for argument in self.kernel.fields]
        for name, field in zip(names, fields, strict=True):
            if field.lattice is not fields[0].lattice:
                raise ValueError(
                    f"kernel {self.kernel.name}: {name} has lattice {field.lattice}, {names[0]} has "
                    f"{fields[0].lattice}; they must agree, and be one object"
                )
        for written, read in self.forbidden:
            if fields[written] is fields[read]:
                raise ValueError(
                    f"kernel {self.kernel.name}: {names[written]} is written while {names[read]}, the same field, "
                    "is read elsewhere"
                )


def _size_class(n_bytes: int, lattice: Lattice) -> int:
    """`is_large` of struct Call."""
    if n_bytes <= LARGE * lattice.device.threads * cache_size(2):
        return 0
    return 2 if n_bytes * lattice.world.local_size > HUGE * cache_size(3) else 1


def _plan(kernel: Kernel, parity: str, fields: Sequence[Field]) -> _Plan:
    plans = fields[0].lattice.prepared
    key = (kernel, parity, *[(field.kind, field.precision, field.colors) for field in fields])
    plan = plans.get(key)
    if plan is None:
        plan = plans[key] = _Plan(kernel, parity, fields)
    return plan


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


def _coordinates(lattice: Lattice, precision: str) -> numpy.ndarray:
    """int32 [block][dimensions + 1][lane], shared by all offset sets."""
    key = "coordinates", precision
    if key not in lattice.prepared:
        blocks = lattice.geometry.coordinates.reshape(-1, lattice.lanes(precision), lattice.dimensions + 1)
        lattice.prepared[key] = numpy.ascontiguousarray(blocks.transpose(0, 2, 1), dtype=numpy.int32)
    return lattice.prepared[key]


def _are_same(before: Sequence[numpy.ndarray], now: Sequence[numpy.ndarray]) -> bool:
    return len(before) == len(now) and all(map(operator.is_, before, now))


def _part(blocks: numpy.ndarray, lattice: Lattice) -> Part:
    return Part(blocks.ctypes.data, len(blocks), max(1, min(lattice.device.threads, len(blocks) // MIN_BLOCKS)))


def _tables(lattice: Lattice, kernel: Kernel, precision: str) -> _Tables:
    key = (kernel.offsets, precision)
    if key not in lattice.prepared:
        lattice.prepared[key] = _Tables(lattice, kernel, precision)
    return lattice.prepared[key]


def _check_names(kernel: Kernel, arguments: dict[str, Any]) -> None:
    if arguments.keys() != kernel.names:
        raise ValueError(f"kernel {kernel.name} takes {sorted(kernel.names)}, not {sorted(arguments)}")


def _check_kinds(kernel: Kernel, fields: Sequence[Field]) -> None:
    first = fields[0]
    for argument, field in zip(kernel.fields, fields, strict=True):
        for name in ("colors", "precision"):
            if getattr(field, name) != getattr(first, name):
                raise ValueError(
                    f"kernel {kernel.name}: {argument.name} has {name} {getattr(field, name)}, "
                    f"{kernel.fields[0].name} has {getattr(first, name)}; they must agree"
                )
        if argument.element not in ("any", field.kind.element):
            raise ValueError(
                f"kernel {kernel.name}: {argument.name} must hold a {argument.element} field, not {field!r}"
            )


def _needed(kernel: Kernel, parity: int) -> int:
    """The parity of the ghosts that a launch on a parity reads; 2: both."""
    parities = kernel.offsets.parities
    return 2 if parity == 2 or len(parities) != 1 else (parity + min(parities)) % 2


def _count(argument: Argument, field: Field) -> int:
    return field.components if argument.element == "any" else field.kind.elements(field.lattice.dimensions)


def _flatten(kernel: Kernel, arguments: dict[str, Any]) -> list[float]:
    values: list[float] = []
    for number in kernel.numbers:
        given = arguments[number.name]
        chosen = [float(v) for v in given] if hasattr(given, "__len__") else [float(given)] * number.count
        if len(chosen) != number.count:
            raise ValueError(f"kernel {kernel.name}: {number.name} has {len(chosen)} numbers, {number.count} are right")
        values += chosen
    return values
