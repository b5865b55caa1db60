"""Links and momenta."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from hpcgauge.bench.formulas import SUMS, Result
from hpcgauge.bench.formulas.algebra import real_products
from hpcgauge.bench.oracle import gauge
from hpcgauge.bench.oracle.algebra import TA, Array, adjoint, exp_matrix, shift, trace


def unitarised(m: Array) -> Array:
    """Rows made orthonormal in turn, the last one multiplied by a phase for det = 1.

    m^T = Q R with positive diagonal of R: the rows of Q^T span what the first rows of m span.
    """
    Q, R = np.linalg.qr(np.swapaxes(m, -1, -2))
    diagonal = np.diagonal(R, axis1=-2, axis2=-1)
    rows = np.swapaxes(Q * (diagonal / abs(diagonal))[..., None, :], -1, -2).copy()
    rows[..., -1, :] *= np.linalg.det(rows).conj()[..., None]
    return rows


def multiply(A: Array, B: Array, **_: Any) -> Result:
    """C = A B."""
    return {"C": A @ B}


def update_links(U: Array, P: Array, step: Array, **_: Any) -> Result:
    """U <- exp(step P) U."""
    return {"U": exp_matrix(step[0] * P) @ U}


def force(C: Array, U: Array, **_: Any) -> Result:
    """F = -1/2 TA(C U^+)."""
    return {"F": -TA(C @ adjoint(U)) / 2}


def kick(P: Array, C: Array, U: Array, step: Array, **_: Any) -> Result:
    """P <- P + step F."""
    return {"P": P + step[0] * force(C, U)["F"]}


def kinetic(P: Array, **_: Any) -> Result:
    """-sum tr P^2."""
    return {SUMS: -trace(P @ P).real.sum(axis=0)[None]}


def reunitarise(U: Array, **_: Any) -> Result:
    """The group elements nearest along rows."""
    return {"U": unitarised(U)}


def drift(U: Array, **_: Any) -> Result:
    """sum_mu |U U^+ - 1|^2."""
    off = U @ adjoint(U) - np.eye(U.shape[-1])
    return {SUMS: real_products(off, off)[None]}


def gauge_rotate(U: Array, G: Array, **_: Any) -> Result:
    """G(x) U_mu(x) G(x+mu)^+."""
    return {"rotated": gauge.gauge_rotate(U, G)}


def plaquette_sum(U: Array, **_: Any) -> Result:
    """sum_{mu < nu} Re tr P_{mu nu}."""
    planes = [trace(gauge.plaquette_matrix(U, *plane)).real for plane in combinations(range(len(U)), 2)]
    return {SUMS: np.sum(planes, axis=0)[None]}


def staple_sum(U: Array, factor: Array, **_: Any) -> Result:
    """factor sum_{sigma nu} P_{sigma nu,1}."""
    return {"sum": factor[0] * gauge.staple_sum(U)}


def staple_and_plaquette_sum(U: Array, factor: Array, **_: Any) -> Result:
    """The staples, and on each site a quarter of sum_mu Re tr U_mu [sum_{sigma nu} P_{sigma nu,1}]^+."""
    staples = gauge.staple_sum(U)
    return {"sum": factor[0] * staples, SUMS: trace(U @ adjoint(staples)).real.sum(axis=0)[None] / 4}


def extend_line(U: Array, line: Array, direction: Array, **_: Any) -> Result:
    """longer(x) = U_mu(x) line(x+mu)."""
    mu = int(direction[0])
    return {"longer": U[mu] @ shift(line, mu, 1)}


def line_trace(line: Array, **_: Any) -> Result:
    """Re tr L, Im tr L."""
    return {SUMS: np.array([trace(line).real, trace(line).imag])}


def rectangle_trace(S: Array, far: Array, top: Array, T: Array, **_: Any) -> Result:
    """Re tr S far top^+ T^+."""
    return {SUMS: trace(S @ far @ adjoint(top) @ adjoint(T)).real[None]}


def shifted_matrices(source: Array, direction: Array, **_: Any) -> Result:
    """out(x) = source(x+mu)."""
    return {"out": shift(source, int(direction[0]), 1)}


def shifted_vectors(source: Array, direction: Array, **_: Any) -> Result:
    """out(x) = source(x+mu)."""
    return {"out": shift(source, int(direction[0]), 1, trailing=1)}
