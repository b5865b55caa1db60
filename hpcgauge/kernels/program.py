"""Programs: straight lists of launches and arithmetic on their numbers and sums, run again and again until a stop.

On one rank a program is one call of compiled code for many rounds; with several it is stepped from here, where ghosts
move and sums travel between its steps. The bits are the same.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, final

import numpy

from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.backend import Runnable, backend_of
from hpcgauge.kernels.loop import Launch


class Kind(IntEnum):
    """enum Kind of site/program.h."""

    LAUNCH = 0
    COPY = 1
    RATIO = 2
    ABOVE = 3
    STOP = 4
    SHIFT = 5
    LOOP = 6
    PRODUCT = 7


@dataclass(frozen=True)
class Arithmetic:
    """A step on numbers of the device (`Hardware.numbers`) of equal length, among them those and the sums of launches.

    `state`: further numbers of SHIFT, as site/program.h has them.
    """

    kind: Kind
    out: Any = None
    a: Any = None
    b: Any = None
    flag: Any = None
    state: Any = None

    def __post_init__(self) -> None:
        given = [array for array in (self.out, self.a, self.b, self.flag) if array is not None]
        for array in given if self.kind != Kind.SHIFT else []:
            if array.dtype != numpy.float64 or array.strides != (8,) or array.shape != given[0].shape:
                raise ValueError(
                    f"{self.kind.name}: an array has {array.dtype} {array.shape}; float64 ({len(given[0])},) is right"
                )

    @property
    def count(self) -> int:
        """The length of its arrays."""
        return 1 if self.kind == Kind.SHIFT else next(len(x) for x in (self.a, self.out) if x is not None)


@final
class Loop:
    """Steps that are done again and again, until a stop among them, at most `rounds` times; a step itself.

    `rounds`, `done`: arrays of one number; how often the list was done to its end at last.
    """

    def __init__(self, steps: Sequence[Step]):
        self.body = Program(steps)
        self.lattice = self.body.lattice
        self.rounds, self.done = (self.lattice.device.hardware.numbers([0.0]) for _ in range(2))

    def run_stepped(self) -> None:
        """The same with a stop at every launch for ghosts and sums. Collective."""
        self.done[:] = self.body.run_stepped(int(self.rounds[0]))


@dataclass(frozen=True)
class Callback:
    """A step that is a function of Python."""

    lattice: Lattice
    function: Callable[[], Any]


def copy(out: Any, a: Any, flag: Any | None = None) -> Arithmetic:
    """out = a, with a flag only where it is not 0."""
    return Arithmetic(Kind.COPY, out, a, flag=flag)


def ratio(out: Any, a: Any, b: Any, flag: Any) -> Arithmetic:
    """out = a / b where the flag is not 0."""
    return Arithmetic(Kind.RATIO, out, a, b, flag)


def product(out: Any, a: Any, b: Any) -> Arithmetic:
    """out = a b."""
    return Arithmetic(Kind.PRODUCT, out, a, b)


def above(out: Any, a: Any, b: Any) -> Arithmetic:
    """out = 1 where a > b, else 0."""
    return Arithmetic(Kind.ABOVE, out, a, b)


def shift(out: Any, a: Any, b: Any, flag: Any, state: Any) -> Arithmetic:
    """A shifted system's numbers from those of the system itself, as site/program.h has them."""
    return Arithmetic(Kind.SHIFT, out, a, b, flag, state)


def stop_unless(flag: Any) -> Arithmetic:
    """The program ends here if all flags are 0."""
    return Arithmetic(Kind.STOP, a=flag)


Step = Launch | Arithmetic | Loop | Callback


@final
class Program:
    """A list of launches on one lattice and other steps, in the order in which they are done."""

    def __init__(self, steps: Sequence[Step]):
        self.steps = list(steps)
        self.lattice: Lattice = next(step.lattice for step in steps if isinstance(step, Launch | Loop | Callback))
        has_callbacks = any(isinstance(step, Callback) for step in steps)
        self._is_stepped = has_callbacks or self.lattice.world.size > 1

    @functools.cached_property
    def whole(self) -> Runnable:
        """All steps as the device runs them, on one rank."""
        return backend_of(self.lattice.device).program(self.steps, self.lattice)

    def run(self, rounds: int) -> int:
        """How often the list was done to its end before a stop, at most `rounds` times. Collective."""
        return self.run_stepped(rounds) if self._is_stepped else self.whole.run(rounds)

    def run_stepped(self, rounds: int) -> int:
        """The same as `run`, with a stop at every launch for ghosts and sums. Collective."""
        for done in range(rounds):
            for stretch in self._stretches:
                if isinstance(stretch, Launch):
                    stretch.complete()
                elif isinstance(stretch, Loop):
                    stretch.run_stepped()
                elif isinstance(stretch, Callback):
                    stretch.function()
                elif not stretch():
                    return done
        return rounds

    @functools.cached_property
    def _stretches(self) -> list[Launch | Loop | Callback | _Stretch]:
        """The list with all that happens on this rank between launches of all ranks in one."""
        found: list[Launch | Loop | Callback | _Stretch] = []
        for is_local, group in itertools.groupby(self.steps, _is_local):
            steps = list(group)
            if is_local:
                found.append(_Stretch(steps, self.lattice))
            else:
                found += [step for step in steps if isinstance(step, Launch | Loop | Callback)]
        return found


@final
class _Stretch:
    """Steps in which ranks do not meet, as one call."""

    def __init__(self, steps: Sequence[Step], lattice: Lattice):
        self._launches = [step for step in steps if isinstance(step, Launch)]
        self._whole = backend_of(lattice.device).program(steps, lattice)

    def __call__(self) -> bool:
        """False if the program ends here."""
        for launch in self._launches:
            launch.point()
        is_done = self._whole.run(1) == 1
        for launch in self._launches:
            launch.touch()
        return is_done


def _is_local(step: Step) -> bool:
    return step.is_local if isinstance(step, Launch) else isinstance(step, Arithmetic)
