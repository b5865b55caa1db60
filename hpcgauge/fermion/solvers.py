"""Conjugate gradients for D^+D, several right-hand sides at once, with the true residual at the end."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from hpcgauge.fermion.staggered import Staggered
from hpcgauge.fermion.vectors import inner_each
from hpcgauge.fields.field import Field
from hpcgauge.kernels import program
from hpcgauge.kernels.algebra import combine, zeros_like
from hpcgauge.kernels.kernel import Kernel, Numbers, Sums, reads, updates
from hpcgauge.kernels.loop import Launch
from hpcgauge.kernels.program import Program

# A recursion that has drifted is started again from the true residual, at most so often.
MAX_RESTARTS = 4
# One number, or one for each right-hand side
Tolerance = float | numpy.ndarray


@dataclass(frozen=True)
class Solution:
    """What a solver reached. `converged` is about `residual`, |b - A x| / |b| computed anew (the largest one of several
    right-hand sides); `steps` counts applications of D^+D in the recursion."""

    value: Field
    converged: bool
    steps: int
    residual: float


@functools.cache
def descend_kernel(n_rhs: int) -> Kernel:
    """x += alpha p, r -= alpha q, |r|^2."""
    fields = (updates("x", "vector"), updates("r", "vector"), reads("p", "vector"), reads("q", "vector"))
    return Kernel("algebra.h", (*fields, Numbers("alpha", n_rhs), Sums(n_rhs)), "descend")


@functools.cache
def next_direction_kernel(n_rhs: int) -> Kernel:
    """p = r + beta p."""
    return Kernel("algebra.h", (updates("p", "vector"), reads("r", "vector"), Numbers("beta", n_rhs)), "next_direction")


def solve(D: Staggered, b: Field, tolerance: float = 1e-10, max_steps: int = 10000) -> Solution:
    """x with D x = b, through D^+D y = D^+ b: residual = |b - D x| / |b|. Collective.

    Each of several right-hand sides gets the bits that it gets alone.
    """
    source = D.adjoint(b)
    sizes, sources = inner_each(b, b), inner_each(source, source)
    # |D^+ r| >= m |r|, so the residual of D is at most |D^+ b| / (m |b|) times that of D^+D.
    factors = _relative(sources, sizes) / (abs(D.mass) or 1.0)
    inner = solve_normal(D, source, tolerance / numpy.maximum(1.0, factors), max_steps)
    left = combine(1.0, b, -1.0, D(inner.value))
    return _solution(inner.value, tolerance, inner.steps, _relative(inner_each(left, left), sizes))


def solve_normal(
    D: Staggered, b: Field, tolerance: Tolerance, max_steps: int = 10000, parity: str = "both"
) -> Solution:
    """x with D^+D x = b on the sites of a parity (zero elsewhere), from x = 0. Collective."""
    x, r = zeros_like(b), b.copy()
    sizes = squares = inner_each(b, b, parity)
    goals = tolerance**2 * numpy.array(sizes)
    residuals, steps = _relative(squares, sizes), 0
    for _ in range(MAX_RESTARTS):
        is_finished = residuals <= tolerance
        if is_finished.all() or steps >= max_steps:
            break
        rr = numpy.where(is_finished, 0.0, squares)
        steps += descent(D, x, r, rr, goals, parity).run(max_steps - steps)
        r = true_residual(D, x, b, parity)
        squares = inner_each(r, r, parity)
        residuals = _relative(squares, sizes)
    return _solution(x, tolerance, steps, residuals)


def true_residual(D: Staggered, x: Field, b: Field, parity: str) -> Field:
    """b - D^+D x on a parity. Collective."""
    middle, product = zeros_like(b), zeros_like(b)
    for launch in D.normal_launches(x, middle, product, parity):
        launch()
    return combine(1.0, b, -1.0, product, out=product)


def descent(D: Staggered, x: Field, r: Field, rr: numpy.ndarray, goals: numpy.ndarray, parity: str) -> Program:
    """Conjugate gradients for D^+D, a round for each step, that ends when |r|^2 <= goal for every right-hand side.

    alpha = |r|^2 / <p, D^+D p>,  x <- x + alpha p,  r' = r - alpha D^+D p,  beta = |r'|^2 / |r|^2,  p <- r' + beta p

    Each right-hand side has its own alpha and beta, both 0 when it has reached its goal. At the start r is the residual
    of x and rr = |r|^2; both are changed.
    """
    n_rhs = x.kind.count
    p, middle, q = r.copy(), zeros_like(r), zeros_like(r)
    hop, hop_back = D.normal_launches(p, middle, q, parity)
    descend = Launch(descend_kernel(n_rhs), parity, x=x, r=r, p=p, q=q, alpha=0.0)
    turn = Launch(next_direction_kernel(n_rhs), parity, p=p, r=r, beta=0.0)
    alpha, beta, pq, new_rr, is_moving = descend.numbers, turn.numbers, hop_back.sums, descend.sums, numpy.zeros(n_rhs)
    return Program(
        [
            program.above(is_moving, rr, goals),
            program.stop_unless(is_moving),
            hop,
            hop_back,  # q = D^+D p
            program.ratio(alpha, rr, pq, is_moving),
            descend,
            program.ratio(beta, new_rr, rr, is_moving),
            program.copy(rr, new_rr),
            turn,
        ]
    )


def _relative(squares: Sequence[float], sizes: Sequence[float]) -> numpy.ndarray:
    return numpy.array([math.sqrt(square / size) if size else 0.0 for square, size in zip(squares, sizes, strict=True)])


def _solution(x: Field, tolerance: Tolerance, steps: int, residuals: numpy.ndarray) -> Solution:
    return Solution(x, bool((residuals <= tolerance).all()), steps, float(residuals.max()))
