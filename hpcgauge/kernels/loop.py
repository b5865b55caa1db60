"""run(KERNEL, ...): ghosts, interior, boundary and sums, from what the kernel says it reads and writes."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any, final

import numpy

from hpcgauge.comm.halo import Halo
from hpcgauge.fields.field import Field
from hpcgauge.kernels.backend import Backend, backend_of
from hpcgauge.kernels.kernel import Argument, Kernel
from hpcgauge.lattice.offsets import PARITY


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

    `numbers`: all Numbers of the kernel, one after another. `sums`: its exact sums over all ranks, after a call.
    `bound`: the kernel with its memory on the device. `moving`: the fields whose ghosts it reads.
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
        self.bound = plan.compiled.bind([field.address for field in self.fields], _flatten(kernel, arguments))
        self._backend, self._is_alone = plan.backend, self.lattice.world.size == 1

    @functools.cached_property
    def numbers(self) -> Any:
        return self.bound.numbers

    @functools.cached_property
    def sums(self) -> Any:
        return self.bound.sums

    def __call__(self) -> tuple[float, ...]:
        """The exact sums over all ranks. Collective."""
        self.complete()
        return self.bound.values()

    def complete(self) -> None:
        """Leaves the exact sums over all ranks in `sums`. Collective."""
        self.execute()
        if self.kernel.n_sums and not self._is_alone:
            self.lattice.world.allreduce_int64(self.bound.bins())
            self.bound.round_bins()

    def execute(self) -> None:
        """Leaves the sums of this rank in `bound`. Collective where ghosts are stale."""
        if self._is_alone:
            self.bound.whole()
            return
        self.point()
        stale = [field for field in self.moving if not field.is_fresh(self.ghosts, self._needed)]
        if stale:
            halo = self._exchange_of(stale)
            halo.start()
            self.bound.start()
            halo.wait()
            for field in stale:
                field.refresh(self.ghosts, self._needed)
        else:
            self.bound.start()
        self.bound.finish()
        self.touch()

    @property
    def is_local(self) -> bool:
        """True if a launch tells other ranks nothing and asks them nothing."""
        return not self.moving and not self.kernel.n_sums

    def point(self) -> None:
        """Finds the fields' memory, which moves when ghosts are reserved for the first time."""
        self.bound.point([field.address for field in self.fields])

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
            key = self.ghosts.walk.offsets, self._needed
            if key not in kept:
                transport = self._backend.transport(self.lattice)
                kept[key] = Halo(self.lattice.world, self.ghosts, arrays, transport, self._needed)
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
        lattice = fields[0].lattice
        counts = tuple(_count(argument, field) for argument, field in zip(kernel.fields, fields, strict=True))
        self.backend: Backend = backend_of(lattice.device)
        self.compiled = self.backend.compiled(kernel, fields, counts, parity)
        self.ghosts = lattice.ghosts(kernel.offsets)
        reading = [k for k, argument in enumerate(kernel.fields) if argument.offsets.pairs]
        self.written = [k for k, argument in enumerate(kernel.fields) if argument.access != "read"]
        self.moving = reading if self.ghosts.messages else []
        self.needed = _needed(kernel, PARITY[parity])
        self.forbidden = [(k, other) for k in self.written for other in reading]

    def check(self, fields: Sequence[Field]) -> None:
        """Nothing; ValueError when the fields belong to several lattices, or one that is written is read elsewhere."""
        names = [argument.name for argument in self.kernel.fields]
        for name, field in zip(names, fields, strict=True):
            if field.lattice is not fields[0].lattice:
                raise ValueError(
                    f"kernel {self.kernel.name}: {name} has lattice {field.lattice}, {names[0]} has "
                    f"{fields[0].lattice}; they must agree, and be one object: make both fields on the same Lattice"
                )
        for written, read in self.forbidden:
            if fields[written] is fields[read]:
                raise ValueError(
                    f"kernel {self.kernel.name}: {names[written]} is written while {names[read]}, the same field, "
                    "is read elsewhere"
                )


def _plan(kernel: Kernel, parity: str, fields: Sequence[Field]) -> _Plan:
    plans = fields[0].lattice.prepared
    key = (kernel, parity, *[(field.kind, field.precision, field.colors) for field in fields])
    plan = plans.get(key)
    if plan is None:
        plan = plans[key] = _Plan(kernel, parity, fields)
    return plan


def _are_same(before: Sequence[numpy.ndarray], now: Sequence[numpy.ndarray]) -> bool:
    return len(before) == len(now) and all(map(operator.is_, before, now))


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
        if argument.element == "any" and _held(field) != _held(first):
            names = argument.name, kernel.fields[0].name
            raise ValueError(
                f"kernel {kernel.name}: {names[0]} is {field!r}, {names[1]} is {first!r}; they must hold the same"
            )


def _held(field: Field) -> tuple[str, int]:
    return field.kind.element, field.kind.count


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
