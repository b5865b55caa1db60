"""Conjugate gradients for D^+D, several right-hand sides at once, with the true residual at the end."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hpcgauge.fermion.staggered import Staggered
from hpcgauge.fermion.vectors import inner_each
from hpcgauge.fields.field import Field
from hpcgauge.kernels.algebra import combine
from hpcgauge.kernels.kernel import Kernel, Numbers, Sums, reads, updates
from hpcgauge.kernels.loop import Launch

# A recursion that has drifted is started again from the true residual, at most so often.
MAX_RESTARTS = 4


@dataclass(frozen=True)
class Solution:
    """What a solver reached. `converged` is about `residual`, |b - A x| / |b| computed anew (the largest one of several
    right-hand sides); `steps` counts applications of D^+D in the recursion."""

    value: Field
    converged: bool
    steps: int
    residual: float


def descend_kernel(n_rhs: int) -> Kernel:
    """x += alpha p, r -= alpha q, |r|^2."""
    fields = (updates("x", "vector"), updates("r", "vector"), reads("p", "vector"), reads("q", "vector"))
    return Kernel("algebra.h", (*fields, Numbers("alpha", n_rhs), Sums(n_rhs)), "descend")


def next_direction_kernel(n_rhs: int) -> Kernel:
    """p = r + beta p."""
    return Kernel(
        "algebra.h", (updates("p", "vector"), reads("r", "vector"), Numbers("beta", n_rhs)), "next_direction"
    )


def solve(D: Staggered, b: Field, tolerance: float = 1e-10, max_steps: int = 10000) -> Solution:
    """x with D x = b, through D^+D y = D^+ b: residual = |b - D x| / |b|. Collective."""
    source = D.adjoint(b)
    sizes, sources = inner_each(b, b), inner_each(source, source)
    # |D^+ r| >= m |r|, so the residual of D is at most |D^+ b| / (m |b|) times that of D^+D.
    factors = [math.sqrt(s / n) / abs(D.mass) for s, n in zip(sources, sizes, strict=True) if n > 0 and D.mass]
    inner_tolerance = tolerance / max([1.0, *factors])
    inner = solve_normal(D, source, inner_tolerance, max_steps)
    left = combine(1.0, b, -1.0, D(inner.value))
    residual = _relative(inner_each(left, left), sizes)
    return Solution(inner.value, residual <= tolerance, inner.steps, residual)


def solve_normal(D: Staggered, b: Field, tolerance: float, max_steps: int = 10000, parity: str = "both") -> Solution:
    """x with D^+D x = b on the sites of a parity (zero elsewhere), from x = 0. Collective."""
    x = Field(b.lattice, b.kind, b.precision, b.colors).fill(0)
    sizes = inner_each(b, b, parity)
    residual, steps, r = 0.0 if not any(sizes) else 1.0, 0, b.copy()
    for _ in range(MAX_RESTARTS):
        if residual <= tolerance or steps >= max_steps:
            break
        steps += _recursion(D, x, r, sizes, tolerance, max_steps - steps, parity)
        r = true_residual(D, x, b, parity)
        residual = _relative(inner_each(r, r, parity), sizes)
    return Solution(x, residual <= tolerance, steps, residual)


def true_residual(D: Staggered, x: Field, b: Field, parity: str) -> Field:
    """b - D^+D x on a parity. Collective."""
    middle, product = (Field(b.lattice, b.kind, b.precision, b.colors) for _ in range(2))
    product.fill(0)
    for launch in D.normal_launches(x, middle, product, parity):
        launch()
    return combine(1.0, b, -1.0, product)


def _recursion(
    D: Staggered, x: Field, r: Field, sizes: tuple[float, ...], tolerance: float, max_steps: int, parity: str
) -> int:
    """Steps taken until |r| <= tolerance |b| in the recursion, for every right-hand side. Collective."""
    n_rhs = x.kind.count
    p, q, middle = r.copy(), r.copy(), r.copy()
    first, second = D.normal_launches(p, middle, q, parity)
    descend = Launch(descend_kernel(n_rhs), parity, x=x, r=r, p=p, q=q, alpha=0.0)
    turn = Launch(next_direction_kernel(n_rhs), parity, p=p, r=r, beta=0.0)
    goals = [tolerance**2 * size for size in sizes]
    rr = inner_each(r, r, parity)
    for step in range(max_steps):
        if all(now <= goal for now, goal in zip(rr, goals, strict=True)):
            return step
        first()
        pq = second()
        moving = [now > goal for now, goal in zip(rr, goals, strict=True)]
        descend.numbers[:] = [now / d if go else 0.0 for now, d, go in zip(rr, pq, moving, strict=True)]
        new = descend()
        turn.numbers[:] = [after / now if go else 0.0 for after, now, go in zip(new, rr, moving, strict=True)]
        turn()
        rr = new
    return max_steps


def _relative(squares: tuple[float, ...], sizes: tuple[float, ...]) -> float:
    return max(math.sqrt(square / size) if size else 0.0 for square, size in zip(squares, sizes, strict=True))


