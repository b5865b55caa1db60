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
from hpcgauge.kernels.algebra import combine, zeros_like
from hpcgauge.kernels.convert import convert, converted
from hpcgauge.kernels.loop import Launch

# Single precision is asked for so much before the residual is made anew in double.
DROP = 0.01
# So many steps are made at most before that: where single precision gets nowhere, double is to go on.
PATIENCE = 1000


class Stage(ABC):
    """Steps of `descent` between updates of x and of its residual r = b - D^+D x.

    `drop`: r is made anew when |r| has fallen by this factor (0: only at the goal), or after `patience` steps.
    """

    descent: Descent
    drop = 0.0
    patience = sys.maxsize

    @abstractmethod
    def __init__(self, D: Staggered, b: Field, x: Field, r: Field, parity: str):
        """r is the residual of x and `descent.restart` comes next, or `update` does; both are changed."""

    @abstractmethod
    def update(self) -> numpy.ndarray:
        """|r|^2, r made anew from x, and the descent set to go on from there. Collective."""


@final
class Own(Stage):
    """All in the precision of b. The recursion begins anew at an update."""

    def __init__(self, D: Staggered, b: Field, x: Field, r: Field, parity: str):
        self.descent, self._x = Descent(D, x, r, parity), x
        self._difference = Launch(difference_kernel(b.kind.count), parity, r=r, b=b, q=self.descent.q)

    def update(self) -> numpy.ndarray:
        self.descent.p.copy_from(self._x)
        for launch in self.descent.product:
            launch()
        squares = numpy.array(self._difference())
        self.descent.restart(squares)
        return squares


@final
class Mixed(Stage):
    """Steps in single precision, x and r in double. The direction is kept at an update (arXiv:0911.3191)."""

    drop, patience = DROP, PATIENCE

    def __init__(self, D: Staggered, b: Field, x: Field, r: Field, parity: str):
        self._x, self._r, self._q, self._parity = x, r, zeros_like(b), parity
        self._product = D.normal_launches(x, zeros_like(b), self._q, parity)
        self._difference = Launch(difference_kernel(b.kind.count), parity, r=r, b=b, q=self._q)
        self._single_r = converted(r, "single")
        self._single_x = zeros_like(self._single_r)
        self.descent = Descent(D.astype("single"), self._single_x, self._single_r, parity)
        self._overlap = Launch(inner_each_kernel(b.kind.count), parity, x=self._single_r, y=self.descent.p)

    def update(self) -> numpy.ndarray:
        found = convert(self._q, self._single_x, self._parity)
        combine(1.0, self._x, 1.0, found, out=self._x, parity=self._parity)
        self._single_x.fill(0)
        for launch in self._product:
            launch()
        squares = numpy.array(self._difference())
        convert(self._single_r, self._r, self._parity)
        self.descent.renew(squares, numpy.array(self._overlap()))
        return squares
