"""Solvers for D^+D and D, several right-hand sides at once, with the true residual at the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from hpcgauge.fermion.refinement import Mixed, Own, Stage, stage_of
from hpcgauge.fermion.staggered import Staggered
from hpcgauge.fermion.vectors import inner_each
from hpcgauge.fields.field import Field
from hpcgauge.kernels.algebra import combine

# An update that does not bring |r| down to half of the least so far is in vain; so many are made in one precision.
STALLED, MAX_STALLS = 0.25, 4
# One number, or one for each right-hand side
Tolerance = float | numpy.ndarray


@dataclass(frozen=True)
class Method:
    """How solves are done: `precision` as in `solve_normal`, and how many earlier solutions of a trajectory a solve
    starts from."""

    precision: str | None = None
    memory: int = 0


@dataclass(frozen=True)
class Solution:
    """What a solver reached. `converged` is about `residual`, |b - A x| / |b| computed anew (the largest one of several
    right-hand sides); `steps` counts applications of D^+D in the recursion."""

    value: Field
    converged: bool
    steps: int
    residual: float


def solve(
    D: Staggered, b: Field, tolerance: float = 1e-10, max_steps: int = 10000, precision: str | None = None
) -> Solution:
    """x with D x = b, through D^+D y = D^+ b: residual = |b - D x| / |b|. `precision` as in `solve_normal`.

    Each of several right-hand sides gets the bits that it gets alone. Collective.
    """
    source = D.adjoint(b)
    sizes, sources = inner_each(b, b), inner_each(source, source)
    # |D^+ r| >= m |r|, so the residual of D is at most |D^+ b| / (m |b|) times that of D^+D.
    factors = relative(sources, sizes) / (abs(D.mass) or 1.0)
    inner = solve_normal(D, source, tolerance / numpy.maximum(1.0, factors), max_steps, precision=precision)
    left = combine(1.0, b, -1.0, D(inner.value))
    return _solution(inner.value, tolerance, inner.steps, relative(inner_each(left, left), sizes))


def solve_normal(
    D: Staggered,
    b: Field,
    tolerance: Tolerance,
    max_steps: int = 10000,
    parity: str = "both",
    precision: str | None = None,
    start: Field | None = None,
) -> Solution:
    """x with D^+D x = b on the sites of a parity (0 elsewhere), from `start` or from 0.

    `precision` of the steps: that of b, which is the default, or "mixed", single with updates in double. Each of
    several right-hand sides gets the bits that it gets alone. ValueError for another precision. Collective.
    """
    x, steps = start, 0
    for kind in _stages(precision, b.precision):
        stage = stage_of(kind, b, parity)
        stage.begin(D, b, x)
        sizes = stage.sizes()
        squares, done = _refine(stage, sizes, x is None, tolerance, max_steps - steps)
        stage.end()
        x, steps, residuals = stage.x, steps + done, relative(squares, sizes)
        if (residuals <= tolerance).all():
            break
    assert x is not None
    return _solution(x.copy(), tolerance, steps, residuals)


def _stages(precision: str | None, own: str) -> tuple[type[Stage], ...]:
    """Single precision may not suffice for a matrix of bad condition; then own precision goes on from where it came."""
    if precision == "mixed" and own == "double":
        return Mixed, Own
    if precision not in (None, own):
        right = "'double' or 'mixed'" if own == "double" else repr(own)
        raise ValueError(f"precision = {precision!r} for a source in {own} precision; {right} is right")
    return (Own,)


def _refine(
    stage: Stage, sizes: numpy.ndarray, is_from_zero: bool, tolerance: Tolerance, max_steps: int
) -> tuple[numpy.ndarray, int]:
    """|r|^2 and the number of steps when all right-hand sides have the tolerance, or get no further. Collective."""
    if is_from_zero:
        stage.descent.restart(sizes)
    squares = sizes if is_from_zero else stage.update()
    limits = numpy.broadcast_to(tolerance, sizes.shape)
    steps, stalls, best = 0, [0] * len(sizes), squares.tolist()
    while steps < max_steps:
        is_moving = [
            not residual <= limit and count < MAX_STALLS
            for residual, limit, count in zip(relative(squares, sizes), limits, stalls, strict=True)
        ]
        if not any(is_moving):
            break
        resting = numpy.where(is_moving, numpy.maximum(limits**2 * sizes, stage.drop**2 * squares), numpy.inf)
        steps += stage.descent.run(resting, min(stage.patience, max_steps - steps))
        squares = stage.update()
        for k, square in enumerate(squares.tolist()):
            stalls[k] += not square <= STALLED * best[k]
            best[k] = square if square <= STALLED * best[k] else best[k]
    return squares, steps


def relative(squares: Sequence[float] | numpy.ndarray, sizes: Sequence[float] | numpy.ndarray) -> numpy.ndarray:
    """|r| / |b|, 0 where b is 0."""
    pairs = zip(numpy.asarray(squares).tolist(), numpy.asarray(sizes).tolist(), strict=True)
    return numpy.array([math.sqrt(square / size) if size else 0.0 for square, size in pairs])


def _solution(x: Field, tolerance: Tolerance, steps: int, residuals: numpy.ndarray) -> Solution:
    return Solution(x, bool((residuals <= tolerance).all()), steps, float(residuals.max()))
