"""Staggered fermions."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcgauge.bench.formulas import SUMS, Result
from hpcgauge.bench.oracle import fermion
from hpcgauge.bench.oracle.algebra import Array, adjoint, project_quaternion, shift


def of_type(colors: int, matrices: Array) -> Array:
    """Matrices as fields hold them: for two colors projected on quaternions."""
    return project_quaternion(matrices) if colors == 2 else matrices


def hop_links(U: Array, boundary: Array, **_: Any) -> Result:
    """W_{2 mu} = eta_mu U_mu(x), W_{2 mu + 1} = -eta_mu U_mu(x-mu)^+."""
    ahead = fermion.phases(U.shape[1:-2], boundary)[..., None, None] * U
    behind = [-shift(adjoint(link), mu, -1) for mu, link in enumerate(ahead)]
    return {"W": np.stack([ahead, np.array(behind)], axis=1).reshape(-1, *U.shape[1:])}


def hop_rows(U: Array, boundary: Array, **_: Any) -> Result:
    """The upper two rows of each W as real numbers, and sum_k 2^k over those k where W_k = -(a matrix of SU(3))."""
    W = hop_links(U, boundary)["W"]
    rows = np.moveaxis(W[..., :2, :], (-2, -1), (1, 2))
    numbers = np.stack([rows.real, rows.imag], axis=3).reshape(-1, *U.shape[1:-2])
    is_negative = np.linalg.det(W).real < 0
    signs = (is_negative * 2.0 ** np.arange(len(W)).reshape(-1, *[1] * (U.ndim - 3))).sum(axis=0)
    return {"W": np.concatenate([numbers, signs[None]])}


def of_rows(numbers: Array) -> Array:
    """The matrices W of what `hop_rows` gives; the third row is the conjugate of the vector product, times the sign."""
    sites = numbers.shape[1:]
    parts = numbers[:-1].reshape(-1, 2, 3, 2, *sites)
    rows = np.moveaxis(parts[:, :, :, 0] + 1j * parts[:, :, :, 1], (1, 2), (-2, -1))
    signs = 1.0 - 2.0 * (numbers[-1].astype(int) >> np.arange(len(parts)).reshape(-1, *[1] * len(sites)) & 1)
    third = signs[..., None] * np.cross(rows[..., 0, :], rows[..., 1, :]).conj()
    return np.concatenate([rows, third[..., None, :]], axis=-2)


def hopping_each(W: Array, psi: Array) -> Array:
    """K psi for every right-hand side, 1/2 sum_mu W_{2 mu} psi(x+mu) + W_{2 mu + 1} psi(x-mu)."""
    if not np.iscomplexobj(W):
        W = of_rows(W)
    moved = [shift(psi, k // 2, 1 - 2 * (k % 2), trailing=1) for k in range(len(W))]
    return 0.5 * sum((link @ there[..., None])[..., 0] for link, there in zip(W, moved, strict=True))


def staggered_hop(W: Array, psi: Array, b: Array, **_: Any) -> Result:
    """out = b K psi."""
    return {"out": b[0] * hopping_each(W, psi)}


def staggered_hop_add(W: Array, psi: Array, chi: Array, a: Array, b: Array, **_: Any) -> Result:
    """out = a chi + b K psi, and Re <chi, out> for every right-hand side."""
    out = a[0] * chi + b[0] * hopping_each(W, psi)
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
