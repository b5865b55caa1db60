"""Vector algebra."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcgauge.bench.formulas import SUMS, Result
from hpcgauge.bench.oracle.algebra import Array


def real_products(a: Array, b: Array) -> Array:
    """Re tr a b^+ at every site of matrix fields (mu, ..., row, column)."""
    return np.einsum("m...ij,m...ij->...", a, b.conj()).real


def zero(out: Array, **_: Any) -> Result:
    """out = 0."""
    return {"out": np.zeros_like(out)}


def combine(x: Array, y: Array, a: Array, b: Array, **_: Any) -> Result:
    """out = a x + b y."""
    return {"out": a[0] * x + b[0] * y}


def inner_of_matrices(x: Array, y: Array, colors: int, **_: Any) -> Result:
    """Re <x, y> of the real components: half of Re tr x^+ y for quaternions."""
    return {SUMS: real_products(x, y)[None] / (2 if colors == 2 else 1)}


def inner_each(x: Array, y: Array, **_: Any) -> Result:
    """Re <x, y> for each right-hand side."""
    return {SUMS: (x.conj() * y).real.sum(axis=-1)}


def inner_all(x: Array, y: Array, **_: Any) -> Result:
    """Re <x_k, y> for each right-hand side x_k."""
    return {SUMS: (x.conj() * y).real.sum(axis=-1)}


def inner_of_vectors(x: Array, y: Array, **_: Any) -> Result:
    """Re <x, y>."""
    return {SUMS: inner_each(x, y)[SUMS].sum(axis=0)[None]}


def each(numbers: Array, vectors: Array) -> Array:
    """Every right-hand side times its number."""
    return numbers.reshape(-1, *[1] * (vectors.ndim - 1)) * vectors


def advance(x: Array, p: Array, r: Array, alpha: Array, gamma: Array, beta: Array, flag: Array, **_: Any) -> Result:
    """x <- x + alpha p, then p <- gamma r + beta p, where the flag is not 0."""
    moves = flag != 0
    return {
        "x": x + each(alpha * moves, p),
        "p": each(gamma * moves, r) + each(np.where(moves, beta, 1), p),
    }


def reduce(r: Array, q: Array, alpha: Array, flag: Array, **_: Any) -> Result:
    """r <- r - alpha q, and |r|^2, where the flag is not 0."""
    moves = flag != 0
    left = r - each(alpha * moves, q)
    return {"r": left, SUMS: (abs(each(moves, left)) ** 2).sum(axis=-1)}


def difference(b: Array, q: Array, **_: Any) -> Result:
    """r = b - q, and |r|^2."""
    return {"r": b - q, SUMS: (abs(b - q) ** 2).sum(axis=-1)}


def shifted_difference(b: Array, q: Array, x: Array, sigma: Array, **_: Any) -> Result:
    """r_k = b - q_k - sigma_k x_k, and |r_k|^2."""
    left = b - q - each(sigma, x)
    return {"r": left, SUMS: (abs(left) ** 2).sum(axis=-1)}


def placed(out: Array, x: Array, place: Array, **_: Any) -> Result:
    """Right-hand side number `place` of out is x."""
    return {"out": np.array([x if k == place[0] else old for k, old in enumerate(out)])}


def overlaps(v: Array, w: Array, b: Array, **_: Any) -> Result:
    """Re <v_i, w_j>, row by row, then Re <v_i, b>."""
    rows = [(one.conj() * other).real.sum(axis=-1) for one in v for other in w]
    return {SUMS: np.array(rows + [(one.conj() * b).real.sum(axis=-1) for one in v])}


def superposed(v: Array, a: Array, **_: Any) -> Result:
    """out = sum_k a_k v_k."""
    return {"out": each(a, v).sum(axis=0)}
