"""Several masses on one source, solved in one Krylov space."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy

from hpcgauge.fermion.descent import Descent, Shifted
from hpcgauge.fermion.solvers import Solution, relative, solve_normal
from hpcgauge.fermion.staggered import Staggered
from hpcgauge.fermion.vectors import inner_each
from hpcgauge.fields.field import Field, vectors
from hpcgauge.kernels.algebra import zeros_like
from hpcgauge.kernels.kernel import Kernel, Numbers, Sums, reads, updates, writes
from hpcgauge.kernels.loop import run

# So many masses are solved sooner by steps of their own in single precision, each at half the cost, than in common.
FEW = 4


@functools.cache
def shifted_difference_kernel(n_rhs: int) -> Kernel:
    """r_k = b - q_k - sigma_k x_k, and |r_k|^2."""
    fields = writes("r", "vector"), reads("b", "vector"), reads("q", "vector"), reads("x", "vector")
    return Kernel("algebra.h", (*fields, Numbers("sigma", n_rhs), Sums(n_rhs)), "shifted_difference")


@functools.cache
def placed_kernel(n_rhs: int) -> Kernel:
    """Right-hand side number `place` of out is x."""
    return Kernel("algebra.h", (updates("out", "vector"), reads("x", "vector"), Numbers("place")), "placed")


def solve_masses(
    D: Staggered,
    masses: Sequence[float],
    b: Field,
    tolerance: float,
    max_steps: int = 10000,
    parity: str = "both",
    precision: str | None = None,
) -> Solution:
    """x_k with D_k^+D_k x_k = b, as right-hand side k of one field; D_k is D with mass k, and D has the least of them.

    All are found in the steps of the lightest (hep-lat/9612014), in the precision of b; a few in mixed precision one by
    one. One whose true residual is above the tolerance is made better by `solve_normal` with `precision`. ValueError
    when b has several right-hand sides or a mass is less than that of D. Collective.
    """
    if b.kind.count != 1:
        raise ValueError(f"solve_masses: b has {b.kind.count} right-hand sides; 1 is right")
    sigmas = [mass**2 - D.mass**2 for mass in masses]
    if min(sigmas) < 0:
        raise ValueError(f"solve_masses: masses = {list(masses)} must be at least {D.mass}, the operator's")
    (size,) = inner_each(b, b, parity)
    if precision == "mixed" and len(sigmas) < FEW:
        found, steps = [zeros_like(b) for _ in sigmas], 0
    else:
        found, steps = _descend(D, sigmas, b, tolerance**2 * size, max_steps, parity)
    X = Field(b.lattice, vectors(len(found)), b.precision, b.colors).fill(0)
    for k, x in enumerate(found):
        run(placed_kernel(len(found)), parity, out=X, x=x, place=k)
    residuals = relative(_squares(D, sigmas, X, b, parity), [size] * len(found))
    for k, x in enumerate(found):
        if residuals[k] <= tolerance:
            continue
        own = D.with_mass(masses[k])
        better = solve_normal(own, b, tolerance, max_steps, parity, precision, start=x)
        run(placed_kernel(len(found)), parity, out=X, x=better.value, place=k)
        residuals[k], steps = better.residual, steps + better.steps
    return Solution(X, bool((residuals <= tolerance).all()), steps, float(residuals.max()))


def _descend(
    D: Staggered, sigmas: Sequence[float], b: Field, goal: float, max_steps: int, parity: str
) -> tuple[list[Field], int]:
    """For each sigma the x with (D^+D + sigma) x = b that the recursion comes to, and its steps. Collective."""
    x, r = zeros_like(b), b.copy()
    descent = Descent(x, r, zeros_like(b), parity)
    shifted = {k: Shifted(sigma, zeros_like(b), r, parity) for k, sigma in enumerate(sigmas) if sigma > 0}
    descent.restart(numpy.array(inner_each(b, b, parity)))
    descent.begin(D, list(shifted.values()))
    steps = descent.run(numpy.array([goal]), max_steps)
    return [shifted[k].x if k in shifted else x for k in range(len(sigmas))], steps


def _squares(D: Staggered, sigmas: Sequence[float], X: Field, b: Field, parity: str) -> tuple[float, ...]:
    """|b - (D^+D + sigma_k) x_k|^2. Collective."""
    middle, product = zeros_like(X), zeros_like(X)
    for launch in D.normal_launches(X, middle, product, parity):
        launch()
    kernel = shifted_difference_kernel(len(sigmas))
    return run(kernel, parity, r=middle, b=b, q=product, x=X, sigma=sigmas)
