"""run(KERNEL, ...): ghosts, interior, boundary and sums, from what the kernel says it reads and writes."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy

from hpcgauge.comm import halo
from hpcgauge.comm.reduce import BINS, add_up
from hpcgauge.fields.field import Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.build import Target, build
from hpcgauge.kernels.kernel import Argument, Kernel, Sums

PARITY = {"even": 0, "odd": 1, "both": 2}


def run(kernel: Kernel, parity: str = "both", **arguments: Any) -> tuple[float, ...]:
    """The kernel's exact sums over all ranks (an empty tuple if it has none), after running it on the sites of a parity.

    Fields are given by name, numbers as a float or a sequence. Ghosts move only where a field changed since they last
    did, while the interior is worked on. ValueError when an argument is missing, unknown or of another lattice, colors,
    precision or element. Collective.
    """
    return Launch(kernel, parity, **arguments)()


class Launch:
    """A kernel with its arguments, ready to be run many times; `numbers` may be changed between runs."""

    def __init__(self, kernel: Kernel, parity: str = "both", **arguments: Any):
        _check_names(kernel, arguments)
        self.kernel = kernel
        self.fields: list[Field] = [arguments[field.name] for field in kernel.fields]
        first = self.fields[0]
        self.lattice = first.lattice
        _check_fields(kernel, self.fields)
        counts = tuple(_count(argument, field) for argument, field in zip(kernel.fields, self.fields, strict=True))
        lanes = self.lattice.lanes(first.precision)
        target = Target(self.lattice.dimensions, first.colors, first.precision, lanes, counts)
        self.function = build(kernel, target)
        self.tables = _tables(self.lattice, kernel, first.precision)
        self.ghosts = self.lattice.ghosts(kernel.offsets)
        self.moving = [f for f, argument in zip(self.fields, kernel.fields, strict=True) if argument.offsets.pairs]
        self.written = [f for f, argument in zip(self.fields, kernel.fields, strict=True) if argument.access != "read"]
        if not self.ghosts.messages:
            self.moving = []
        for field in self.moving:
            field.reserve(self.ghosts)
        self.numbers = _flatten(kernel, arguments)
        self.bins = numpy.zeros((kernel.n_sums, BINS), dtype=numpy.int64)
        self.parity = PARITY[parity]
        self.pointers = (ctypes.c_void_p * len(self.fields))()
        self.fixed = (ctypes.c_int(self.lattice.device.threads), self.pointers, _pointer(self.numbers), _pointer(self.bins))

    def __call__(self) -> tuple[float, ...]:
        """The exact sums over all ranks. Collective."""
        self.execute()
        return tuple(add_up(self.lattice.world, self.bins)) if self.kernel.n_sums else ()

    def execute(self) -> None:
        """Leaves this rank's part of the sums in `bins`. Collective where ghosts are stale."""
        if self.kernel.n_sums:
            self.bins[:] = 0
        for index, field in enumerate(self.fields):
            self.pointers[index] = field.address
        stale = [field for field in self.moving if field.ghosts is not self.ghosts]
        if stale:
            exchange = halo.start(self.lattice.world, self.ghosts, [field.data for field in stale])
            self._over(self.tables.interior[self.parity])
            exchange.wait()
            for field in stale:
                field.ghosts = self.ghosts
        else:
            self._over(self.tables.interior[self.parity])
        self._over(self.tables.boundary[self.parity])
        for field in self.written:
            field.touch()

    def _over(self, blocks: tuple[Any, int]) -> None:
        pointer, count = blocks
        if count:
            self.function(self.tables.pointers, pointer, ctypes.c_long(count), *self.fixed)


class _Tables:
    """A block table's arrays as the pointers that kernels take."""

    def __init__(self, lattice: Lattice, kernel: Kernel, precision: str):
        tables = lattice.tables(kernel.offsets, precision)
        geometry, lanes = lattice.geometry, lattice.lanes(precision)
        coordinates = geometry.coordinates.reshape(-1, lanes, lattice.dimensions + 1).transpose(0, 2, 1)
        self.kept = [
            tables.site,
            numpy.ascontiguousarray(tables.whole, dtype=numpy.int32),
            numpy.ascontiguousarray(coordinates, dtype=numpy.int32),
            numpy.array(lattice.extent, dtype=numpy.int32),
            *tables.interior,
            *tables.boundary,
        ]
        self.pointers = (ctypes.c_void_p * 4)(*(array.ctypes.data for array in self.kept[:4]))
        self.interior = tuple((_pointer(blocks), len(blocks)) for blocks in tables.interior)
        self.boundary = tuple((_pointer(blocks), len(blocks)) for blocks in tables.boundary)


def _tables(lattice: Lattice, kernel: Kernel, precision: str) -> _Tables:
    key = (kernel.offsets, precision)
    if key not in lattice.launch_tables:
        lattice.launch_tables[key] = _Tables(lattice, kernel, precision)
    return lattice.launch_tables[key]


def _pointer(array: numpy.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _check_names(kernel: Kernel, arguments: dict[str, Any]) -> None:
    wanted = {argument.name for argument in kernel.arguments if not isinstance(argument, Sums)}
    if wanted != set(arguments):
        raise ValueError(f"kernel {kernel.name} takes {sorted(wanted)}, not {sorted(arguments)}")


def _check_fields(kernel: Kernel, fields: Sequence[Field]) -> None:
    first = fields[0]
    for argument, field in zip(kernel.fields, fields, strict=True):
        for name in ("lattice", "colors", "precision"):
            if getattr(field, name) != getattr(first, name):
                raise ValueError(
                    f"kernel {kernel.name}: {argument.name} has {name} {getattr(field, name)}, "
                    f"{kernel.fields[0].name} has {getattr(first, name)}; they must agree"
                )
        if argument.element not in ("any", field.kind.element):
            raise ValueError(f"kernel {kernel.name}: {argument.name} must hold a {argument.element} field, not {field!r}")
    _check_aliases(kernel, fields)


def _count(argument: Argument, field: Field) -> int:
    return field.components if argument.element == "any" else field.kind.elements(field.lattice.dimensions)


def _check_aliases(kernel: Kernel, fields: Sequence[Field]) -> None:
    for written, target in zip(kernel.fields, fields, strict=True):
        for read, source in zip(kernel.fields, fields, strict=True):
            if written.access != "read" and read.offsets.pairs and source is target:
                raise ValueError(f"kernel {kernel.name}: {written.name} is written while {read.name}, the same field, is read")


def _flatten(kernel: Kernel, arguments: dict[str, Any]) -> numpy.ndarray:
    values: list[float] = []
    for number in kernel.numbers:
        given = arguments[number.name]
        chosen: list[float] = [float(given)] * number.count if numpy.isscalar(given) else [float(v) for v in given]
        if len(chosen) != number.count:
            raise ValueError(f"kernel {kernel.name}: {number.name} has {len(chosen)} numbers, {number.count} are right")
        values += chosen
    return numpy.array(values, dtype=numpy.float64)


__all__ = ["Argument", "Launch", "run"]
