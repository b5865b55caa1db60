"""Staggered fermions."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcgauge.bench.formulas import SUMS, Result
from hpcgauge.bench.oracle import fermion
from hpcgauge.bench.oracle.algebra import Array, project_quaternion, shift


def of_type(colors: int, matrices: Array) -> Array:
    """Matrices as fields hold them: for two colors projected on quaternions."""
    return project_quaternion(matrices) if colors == 2 else matrices


def hopping_each(U: Array, psi: Array, boundary: Array) -> Array:
    """K psi for every right-hand side."""
    return np.array([fermion.hopping(U, one, boundary) for one in psi])


def staggered_hop_only(U: Array, psi: Array, boundary: Array, b: Array, **_: Any) -> Result:
    """out = b K psi."""
    return {"out": b[0] * hopping_each(U, psi, boundary)}


def staggered_hop(U: Array, psi: Array, chi: Array, boundary: Array, a: Array, b: Array, **_: Any) -> Result:
    """out = a chi + b K psi, and Re <chi, out> for every right-hand side."""
    out = a[0] * chi + b[0] * hopping_each(U, psi, boundary)
    return {"out": out, SUMS: (chi.conj() * out).real.sum(axis=-1)}


def staggered_gradient(C: Array, X: Array, Y: Array, boundary: Array, weight: Array, colors: int, **_: Any) -> Result:
    """C += weight eta [X(x) Y^+(x+mu) - Y(x) X^+(x+mu)] summed over right-hand sides."""
    total, factors = C.copy(), fermion.phases(C.shape[1:-2], boundary)
    for number, x, y in zip(weight, X, Y, strict=True):
        for mu in range(len(C)):
            x_ahead, y_ahead = shift(x, mu, 1, trailing=1), shift(y, mu, 1, trailing=1)
            outer = x[..., :, None] * y_ahead.conj()[..., None, :] - y[..., :, None] * x_ahead.conj()[..., None, :]
            total[mu] += of_type(colors, number * factors[mu][..., None, None] * outer)
    return {"C": total}
