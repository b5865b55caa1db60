"""Programs: straight lists of launches and arithmetic on their numbers and sums, run again and again until a stop.

On one rank a program is one call of compiled code for many rounds; with several it is stepped from here, where ghosts
move and sums travel between its steps. The bits are the same.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, final

import numpy

from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.loop import Launch
from hpcgauge.kernels.runtime import Step as Entry
from hpcgauge.kernels.runtime import runtime

# Rounds of one call; signals are seen in between.
ROUNDS_PER_CALL = 128


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
    """A step on arrays of float64 of equal length, among them the `numbers` and `sums` of launches."""

    kind: Kind
    out: numpy.ndarray | None = None
    a: numpy.ndarray | None = None
    b: numpy.ndarray | None = None
    flag: numpy.ndarray | None = None

    def __post_init__(self) -> None:
        given = [array for array in (self.out, self.a, self.b, self.flag) if array is not None]
        for array in given:
            if array.dtype != numpy.float64 or not array.flags.c_contiguous or array.shape != (len(given[0]),):
                raise ValueError(
                    f"{self.kind.name}: an array has {array.dtype} {array.shape}; float64 ({len(given[0])},) is right"
                )

    @functools.cached_property
    def step(self) -> Entry:
        """What compiled code takes."""
        arrays = (self.out, self.a, self.b, self.flag)
        addresses = [None if array is None else array.ctypes.data for array in arrays]
        return Entry(self.kind, None, *addresses, max(len(array) for array in arrays if array is not None))


@dataclass(frozen=True)
class Shift:
    """A step of a shifted system from one of the system itself; arrays of float64 as site/program.h has them."""

    out: numpy.ndarray
    a: numpy.ndarray
    b: numpy.ndarray
    flag: numpy.ndarray
    state: numpy.ndarray

    @property
    def step(self) -> Entry:
        """What compiled code takes."""
        addresses = (array.ctypes.data for array in (self.out, self.a, self.b, self.flag))
        return Entry(Kind.SHIFT, None, *addresses, 1, self.state.ctypes.data)


@final
class Loop:
    """Steps that are done again and again, until a stop among them, at most `rounds` times; a step itself.

    `rounds`, `done`: arrays of one number; how often the list was done to its end at last.
    """

    def __init__(self, steps: Sequence[Step]):
        self.body, self.rounds, self.done = Program(steps), numpy.zeros(1), numpy.zeros(1)
        self.lattice = self.body.lattice

    @functools.cached_property
    def step(self) -> Entry:
        """What compiled code takes."""
        table, addresses = self.body.table, (self.done.ctypes.data, self.rounds.ctypes.data)
        return Entry(Kind.LOOP, ctypes.addressof(table), *addresses, count=len(table))

    def run_stepped(self) -> None:
        """The same with a stop at every launch for ghosts and sums. Collective."""
        self.done[0] = self.body.run_stepped(int(self.rounds[0]))


@dataclass(frozen=True)
class Callback:
    """A step that is a function of Python."""

    lattice: Lattice
    function: Callable[[], Any]

    @property
    def step(self) -> Entry:
        """An entry that compiled code passes over."""
        return Entry(Kind.COPY)


def copy(out: numpy.ndarray, a: numpy.ndarray, flag: numpy.ndarray | None = None) -> Arithmetic:
    """out = a, with a flag only where it is not 0."""
    return Arithmetic(Kind.COPY, out, a, flag=flag)


def ratio(out: numpy.ndarray, a: numpy.ndarray, b: numpy.ndarray, flag: numpy.ndarray) -> Arithmetic:
    """out = a / b where the flag is not 0."""
    return Arithmetic(Kind.RATIO, out, a, b, flag)


def product(out: numpy.ndarray, a: numpy.ndarray, b: numpy.ndarray) -> Arithmetic:
    """out = a b."""
    return Arithmetic(Kind.PRODUCT, out, a, b)


def above(out: numpy.ndarray, a: numpy.ndarray, b: numpy.ndarray) -> Arithmetic:
    """out = 1 where a > b, else 0."""
    return Arithmetic(Kind.ABOVE, out, a, b)


def stop_unless(flag: numpy.ndarray) -> Arithmetic:
    """The program ends here if all flags are 0."""
    return Arithmetic(Kind.STOP, a=flag)


Step = Launch | Arithmetic | Shift | Loop | Callback


@final
class Program:
    """A list of launches on one lattice and other steps, in the order in which they are done."""

    def __init__(self, steps: Sequence[Step]):
        self.steps = list(steps)
        self.lattice: Lattice = next(step.lattice for step in steps if isinstance(step, Launch | Loop | Callback))
        self.world = self.lattice.world
        described = [_step_of(step) for step in self.steps]
        self.table = (Entry * len(described))(*described)

    def run(self, rounds: int) -> int:
        """How often the list was done to its end before a stop, at most `rounds` times. Collective."""
        if self.world.size > 1 or self._has_callbacks:
            return self.run_stepped(rounds)
        done = 0
        while done < rounds:
            wanted = min(rounds - done, ROUNDS_PER_CALL)
            now = runtime().run_program(self.table, ctypes.c_long(len(self.table)), ctypes.c_long(wanted))
            done += now
            if now < wanted:
                break
        return done

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
    def _has_callbacks(self) -> bool:
        return any(isinstance(step, Callback) for step in self.steps)

    @functools.cached_property
    def _stretches(self) -> list[Launch | Loop | Callback | _Stretch]:
        """The list with all that happens on this rank between launches of all ranks in one."""
        found: list[Launch | Loop | Callback | _Stretch] = []
        for is_local, group in itertools.groupby(enumerate(self.steps), lambda pair: _is_local(pair[1])):
            pairs = list(group)
            steps = [step for _, step in pairs]
            if is_local:
                found.append(_Stretch(steps, ctypes.byref(self.table, pairs[0][0] * ctypes.sizeof(Entry))))
            else:
                found += [step for step in steps if isinstance(step, Launch | Loop | Callback)]
        return found


@final
class _Stretch:
    """Steps in which ranks do not meet, `first` of them in a table, as one call."""

    def __init__(self, steps: Sequence[Step], first: Any):
        self._launches = [step for step in steps if isinstance(step, Launch)]
        self._arguments = first, ctypes.c_long(len(steps)), ctypes.c_long(1)
        self._run = runtime().run_program

    def __call__(self) -> bool:
        """False if the program ends here."""
        for launch in self._launches:
            launch.point()
        is_done = self._run(*self._arguments) == 1
        for launch in self._launches:
            launch.touch()
        return is_done


def _is_local(step: Step) -> bool:
    return step.is_local if isinstance(step, Launch) else not isinstance(step, Loop | Callback)


def _step_of(step: Step) -> Entry:
    return Entry(Kind.LAUNCH, ctypes.addressof(step.call)) if isinstance(step, Launch) else step.step
