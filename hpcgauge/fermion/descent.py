"""Conjugate gradients for D^+D as a program: each right-hand side goes its own way and rests at its own goal."""

from __future__ import annotations

import functools
from typing import final

import numpy

from hpcgauge.fermion.staggered import Staggered
from hpcgauge.fields.field import Field
from hpcgauge.kernels import program
from hpcgauge.kernels.algebra import zeros_like
from hpcgauge.kernels.kernel import Kernel, Numbers, Sums, reads, updates, writes
from hpcgauge.kernels.loop import Launch
from hpcgauge.kernels.program import Program

# A residual that is so much larger than the recursion made it is a new beginning.
LOST = 2.0


@functools.cache
def advance_kernel(n_rhs: int) -> Kernel:
    """x += alpha p, then p = gamma r + beta p, where the flag is not 0."""
    fields = updates("x", "vector"), updates("p", "vector"), reads("r", "vector")
    numbers = (Numbers(name, n_rhs) for name in ("alpha", "gamma", "beta", "flag"))
    return Kernel("algebra.h", (*fields, *numbers), "advance")


@functools.cache
def reduce_kernel(n_rhs: int) -> Kernel:
    """r -= alpha q, and |r|^2, where the flag is not 0."""
    fields, numbers = (updates("r", "vector"), reads("q", "vector")), (Numbers("alpha", n_rhs), Numbers("flag", n_rhs))
    return Kernel("algebra.h", (*fields, *numbers, Sums(n_rhs)), "reduce")


@functools.cache
def difference_kernel(n_rhs: int) -> Kernel:
    """r = b - q, and |r|^2."""
    fields = writes("r", "vector"), reads("b", "vector"), reads("q", "vector")
    return Kernel("algebra.h", (*fields, Sums(n_rhs)), "difference")


@final
class Descent:
    """Conjugate gradients for D^+D in the precision of the fields; r is the residual of x, and both are changed.

    p <- r + beta p,  alpha = |r|^2 / <p, D^+D p>,  x <- x + alpha p,  r' = r - alpha D^+D p,  beta = |r'|^2 / |r|^2

    Each right-hand side has its own alpha and beta, and rests while |r|^2 is at most its goal. x takes alpha p together
    with the next direction, one pass over memory less. `squares`: |r|^2; `goals`. `p`, `q`: the direction and D^+D p;
    `product`: the launches that make q of p.
    """

    def __init__(self, D: Staggered, x: Field, r: Field, parity: str):
        n_rhs, middle = x.kind.count, zeros_like(r)
        self.p, self.q = zeros_like(r), zeros_like(r)
        self.product = D.normal_launches(self.p, middle, self.q, parity)
        pairs = {"alpha": 0.0, "gamma": 1.0, "beta": 0.0, "flag": 0.0}
        self._advance = Launch(advance_kernel(n_rhs), parity, x=x, p=self.p, r=r, **pairs)
        reduce = Launch(reduce_kernel(n_rhs), parity, r=r, q=self.q, alpha=0.0, flag=0.0)
        self._alpha, self._gamma, self._beta, self._flag = self._advance.numbers.reshape(4, n_rhs)
        alpha, flag = reduce.numbers.reshape(2, n_rhs)
        self.squares, self.goals = numpy.zeros(n_rhs), numpy.zeros(n_rhs)
        self.program = Program(
            [
                program.above(self._flag, self.squares, self.goals),
                program.stop_unless(self._flag),
                self._advance,
                *self.product,
                program.copy(flag, self._flag),
                program.copy(self._gamma, numpy.ones(n_rhs), flag),
                program.ratio(self._alpha, self.squares, self.product[1].sums, flag),
                program.copy(alpha, self._alpha),
                reduce,
                program.ratio(self._beta, reduce.sums, self.squares, flag),
                program.copy(self.squares, reduce.sums, flag),
            ]
        )

    def run(self, goals: numpy.ndarray, max_steps: int) -> int:
        """The number of steps until every |r|^2 is at most its goal, or `max_steps`. Collective."""
        self.goals[:] = goals
        steps = self.program.run(max_steps)
        self.settle()
        return steps

    def settle(self) -> None:
        """Nothing; x takes the last alpha p, which waited for the next step. Collective."""
        kept = self._advance.numbers.copy()
        self._flag[:] = self._alpha != 0
        self._gamma[:], self._beta[:] = 0, 1
        if self._flag.any():
            self._advance()
        self._advance.numbers[:] = kept
        self._alpha[:] = 0

    def restart(self, squares: numpy.ndarray) -> None:
        """Nothing; the next direction is r, a residual made anew with |r|^2 = squares."""
        self.squares[:], self._gamma[:], self._beta[:] = squares, 1, 0

    def renew(self, squares: numpy.ndarray, products: numpy.ndarray) -> None:
        """Nothing; the recursion goes on from r, a residual made anew with |r|^2 = squares and <r, p> = products.

        p <- r + beta (p - <r, p> / |r|^2 r), beta = |r|^2 / |r of the step before|^2  (arXiv:0911.3191); beta = 0 where
        the recursion had lost r, so that |r| is LOST times what it had come to, or more.
        """
        factor = ratio(squares, self.squares)
        self._beta *= numpy.where(factor < LOST**2, factor, 0.0)
        self._gamma[:] = 1 - self._beta * ratio(products, squares)
        self.squares[:] = squares


def ratio(a: numpy.ndarray, b: numpy.ndarray) -> numpy.ndarray:
    """a / b, 0 where b is 0."""
    return numpy.divide(a, b, out=numpy.zeros(len(b)), where=b != 0)
