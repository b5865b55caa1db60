"""Stages of a solve: conjugate gradients in some precision, with the true residual made anew in that of the source."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from typing import final

import numpy

from hpcgauge.fermion.descent import Descent, difference_kernel
from hpcgauge.fermion.staggered import Staggered
from hpcgauge.fermion.vectors import inner_each_kernel
from hpcgauge.fields.field import Field
from hpcgauge.kernels.algebra import combine
from hpcgauge.kernels.convert import convert
from hpcgauge.kernels.loop import Launch

# Single precision is asked for so much before the residual is made anew in double.
DROP = 0.01
# So many steps are made at most before that: where single precision gets nowhere, double is to go on.
PATIENCE = 1000


class Stage(ABC):
    """Steps of `descent` between updates of x and of its residual r = b - D^+D x; all fields are its own.

    `drop`: r is made anew when |r| has fallen by this factor (0: only at the goal), or after `patience` steps.
    """

    descent: Descent
    drop = 0.0
    patience = sys.maxsize

    def __init__(self, like: Field, parity: str):
        self.x, self.r, self.b, self.q = (_empty_like(like) for _ in range(4))
        self.parity = parity
        self._size = Launch(inner_each_kernel(like.kind.count), parity, x=self.b, y=self.b)
        self._difference = Launch(difference_kernel(like.kind.count), parity, r=self.r, b=self.b, q=self.q)

    def sizes(self) -> numpy.ndarray:
        """|b|^2. Collective."""
        return numpy.array(self._size())

    @abstractmethod
    def begin(self, D: Staggered, b: Field, start: Field | None) -> None:
        """Nothing; x is the start, or 0 with r = b, and the operator D until `end`."""

    @abstractmethod
    def update(self) -> numpy.ndarray:
        """|r|^2, r made anew from x, and the descent set to go on from there. Collective."""

    @abstractmethod
    def end(self) -> None:
        """Nothing; D is not held any more."""

    def _set(self, b: Field, start: Field | None) -> None:
        self.b.copy_from(b)
        if start is None:
            self.x.fill(0)
            self.r.copy_from(b)
        else:
            self.x.copy_from(start)


@final
class Own(Stage):
    """All in the precision of b. The recursion begins anew at an update."""

    def __init__(self, like: Field, parity: str):
        super().__init__(like, parity)
        self.descent = Descent(self.x, self.r, self.q, parity)

    def begin(self, D: Staggered, b: Field, start: Field | None) -> None:
        self._set(b, start)
        self.descent.begin(D)

    def update(self) -> numpy.ndarray:
        self.descent.p.copy_from(self.x)
        for launch in self.descent.product:
            launch()
        squares = numpy.array(self._difference())
        self.descent.restart(squares)
        return squares

    def end(self) -> None:
        self.descent.end()


@final
class Mixed(Stage):
    """Steps in single precision, x and r in double. The direction is kept at an update (arXiv:0911.3191)."""

    drop, patience = DROP, PATIENCE

    def __init__(self, like: Field, parity: str):
        super().__init__(like, parity)
        self._middle = _empty_like(like)
        self._product: tuple[Launch, ...] = ()
        self._x, self._r, q = (_empty_like(like, "single") for _ in range(3))
        self.descent = Descent(self._x, self._r, q, parity)
        self._overlap = Launch(inner_each_kernel(like.kind.count), parity, x=self._r, y=self.descent.p)

    def begin(self, D: Staggered, b: Field, start: Field | None) -> None:
        self._set(b, start)
        self._x.fill(0)
        convert(self._r, self.b)
        self._product = D.normal_launches(self.x, self._middle, self.q, self.parity)
        self.descent.begin(D.astype("single"))

    def update(self) -> numpy.ndarray:
        found = convert(self.q, self._x, self.parity)
        combine(1.0, self.x, 1.0, found, out=self.x, parity=self.parity)
        self._x.fill(0)
        for launch in self._product:
            launch()
        squares = numpy.array(self._difference())
        convert(self._r, self.r, self.parity)
        self.descent.renew(squares, numpy.array(self._overlap()))
        return squares

    def end(self) -> None:
        self._product = ()
        self.descent.end()


def stage_of(kind: type[Stage], like: Field, parity: str) -> Stage:
    """A stage for sources of this kind on this lattice, made once: setting it up costs as much as tens of steps on a
    small lattice."""
    key = kind, like.kind, like.precision, like.colors, parity
    kept = like.lattice.prepared
    if key not in kept:
        kept[key] = kind(like, parity)
    return kept[key]


def _empty_like(like: Field, precision: str | None = None) -> Field:
    return Field(like.lattice, like.kind, precision or like.precision, like.colors).fill(0)
