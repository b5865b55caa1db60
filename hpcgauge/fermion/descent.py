"""Conjugate gradients for D^+D as a program: each right-hand side goes its own way and rests at its own goal."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import chain
from typing import Any, final

import numpy

from hpcgauge.fermion.staggered import Staggered
from hpcgauge.fields.field import Field
from hpcgauge.kernels import program
from hpcgauge.kernels.algebra import zeros_like
from hpcgauge.kernels.kernel import Kernel, Numbers, Sums, reads, updates, writes
from hpcgauge.kernels.loop import Launch
from hpcgauge.kernels.program import Loop, Program, Step

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
class Advance:
    """The launch of x += alpha p, then p = gamma r + beta p, with its numbers for each right-hand side."""

    def __init__(self, x: Field, p: Field, r: Field, parity: str):
        n_rhs, start = x.kind.count, {"alpha": 0.0, "gamma": 1.0, "beta": 0.0, "flag": 0.0}
        self.launch = Launch(advance_kernel(n_rhs), parity, x=x, p=p, r=r, **start)
        numbers = self.launch.numbers
        self.alpha, self.gamma, self.beta, self.flag = (numbers[k * n_rhs : (k + 1) * n_rhs] for k in range(4))

    def settle(self) -> None:
        """Nothing; x takes the last alpha p, which waited for the next step. Collective."""
        kept = numpy.array(self.launch.numbers)
        flags = numpy.array(self.alpha) != 0
        if flags.any():
            self.flag[:], self.gamma[:], self.beta[:] = flags, 0, 1
            self.launch()
            self.launch.numbers[:] = kept
            self.alpha[:] = 0


@final
class Shifted:
    """Beside a descent for A x = b, from x = 0, one for (A + sigma) x = b, sigma >= 0, on the same residuals
    (hep-lat/9612014), until its own |r|^2 is at most the goal."""

    def __init__(self, sigma: float, x: Field, r: Field, parity: str):
        self.sigma, self.x, self.advance = sigma, x, Advance(x, zeros_like(x), r, parity)

    def steps(self, first: Advance, squares: Any, goals: Any) -> tuple[list[Step], list[Step]]:
        """What it does where the descent `first` advances, and when that has its new alpha, beta and |r|^2."""
        state, own = self.x.lattice.numbers([self.sigma, 1.0, float(squares[0]), 0.0]), self.advance
        turn = program.shift(own.launch.numbers, first.launch.numbers, squares, own.flag, state)
        return [program.above(own.flag, state[2:3], goals), own.launch], [turn]


@final
class Descent:
    """Conjugate gradients for D^+D in the precision of the fields; r is the residual of x, and both are changed.

    p <- r + beta p,  alpha = |r|^2 / <p, D^+D p>,  x <- x + alpha p,  r' = r - alpha D^+D p,  beta = |r'|^2 / |r|^2

    Each right-hand side has its own alpha and beta, and rests while |r|^2 is at most its goal. x takes alpha p together
    with the next direction, one pass over memory less. `squares`: |r|^2; `goals`. `p`, `q`: the direction and D^+D p;
    `product`: the launches that make q of p.
    """

    def __init__(self, x: Field, r: Field, q: Field, parity: str):
        n_rhs, self._middle, self._parity = x.kind.count, zeros_like(r), parity
        self.p, self.q = zeros_like(r), q
        self._advance = Advance(x, self.p, r, parity)
        self._reduce = Launch(reduce_kernel(n_rhs), parity, r=r, q=q, alpha=0.0, flag=0.0)
        self._numbers = x.lattice.numbers
        self.squares, self.goals, self._overlaps = (self._numbers([0.0] * n_rhs) for _ in range(3))
        first, reduce = self._advance, self._reduce
        alpha, flag, one = reduce.numbers[:n_rhs], reduce.numbers[n_rhs:], self._numbers([1.0] * n_rhs)
        self._before: list[Step] = [
            program.above(first.flag, self.squares, self.goals),
            program.stop_unless(first.flag),
            first.launch,
        ]
        self._after: list[Step] = [
            program.copy(flag, first.flag),
            program.copy(first.gamma, one, flag),
            program.ratio(first.alpha, self.squares, self._overlaps, flag),
            program.copy(alpha, first.alpha),
            reduce,
            program.ratio(first.beta, reduce.sums, self.squares, flag),
            program.copy(self.squares, reduce.sums, flag),
        ]
        self.product: tuple[Launch, ...] = ()
        self.program: Program | None = None

    def begin(self, D: Staggered, shifted: Sequence[Shifted] = ()) -> None:
        """Nothing; from here on the operator is D, until `end`. Shifted systems go beside the only right-hand side, if
        x = 0 and `restart` comes next. Collective."""
        self.p.fill(0)
        self._advance.alpha[:] = 0
        self._shifted = shifted
        self.product = D.normal_launches(self.p, self._middle, self.q, self._parity)
        beside = [one.steps(self._advance, self.squares, self.goals) for one in shifted]
        self.program = Program(
            [
                *self._before,
                *chain.from_iterable(advancing for advancing, _ in beside),
                *self.product,
                program.copy(self._overlaps, self.product[-1].sums),
                *self._after,
                *chain.from_iterable(turning for _, turning in beside),
            ]
        )

    def end(self) -> None:
        """Nothing; the operator is not held any more."""
        self.product, self.program, self._shifted = (), None, ()

    def run(self, goals: numpy.ndarray, max_steps: int) -> int:
        """The number of steps until every |r|^2 is at most its goal, or `max_steps`. Collective."""
        self.goals[:] = goals
        assert self.program is not None
        steps = self.program.run(max_steps)
        self.settle()
        return steps

    def whole(self, sizes: Any, limits: Any) -> tuple[list[Step], Loop]:
        """The steps from x = 0, p = 0 and |r|^2 = sizes until it is at most limits times sizes; the loop in them."""
        assert self.program is not None
        first, loop = self._advance, Loop(self.program.steps)
        none, one = (self._numbers([value] * len(sizes)) for value in (0.0, 1.0))
        begin = program.copy(first.alpha, none), program.copy(first.gamma, one), program.copy(first.beta, none)
        goals = program.copy(self.squares, sizes), program.product(self.goals, limits, sizes)
        end = program.copy(first.flag, first.alpha), program.copy(first.gamma, none), program.copy(first.beta, one)
        return [*begin, *goals, loop, *end, first.launch], loop

    def settle(self) -> None:
        """Nothing; every x takes the last alpha p, which waited for the next step. Collective."""
        for advance in (self._advance, *(one.advance for one in self._shifted)):
            advance.settle()

    def restart(self, squares: numpy.ndarray) -> None:
        """Nothing; the next direction is r, a residual made anew with |r|^2 = squares."""
        self.squares[:], self._advance.gamma[:], self._advance.beta[:] = squares, 1, 0

    def renew(self, squares: numpy.ndarray, products: numpy.ndarray) -> None:
        """Nothing; the recursion goes on from r, a residual made anew with |r|^2 = squares and <r, p> = products.

        p <- r + beta (p - <r, p> / |r|^2 r), beta = |r|^2 / |r of the step before|^2  (arXiv:0911.3191); beta = 0 where
        the recursion had lost r, so that |r| is LOST times what it had come to, or more.
        """
        factor = ratio(squares, numpy.array(self.squares))
        beta = numpy.array(self._advance.beta) * numpy.where(factor < LOST**2, factor, 0.0)
        self._advance.beta[:] = beta
        self._advance.gamma[:] = 1 - beta * ratio(products, squares)
        self.squares[:] = squares


def ratio(a: numpy.ndarray, b: numpy.ndarray) -> numpy.ndarray:
    """a / b, 0 where b is 0."""
    return numpy.divide(a, b, out=numpy.zeros(len(b)), where=b != 0)
