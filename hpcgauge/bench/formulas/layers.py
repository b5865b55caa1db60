"""The local steps of network layers, with their pullbacks by the tape."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcgauge.bench.formulas import SUMS, Result
from hpcgauge.bench.oracle import tape
from hpcgauge.bench.oracle.algebra import TA, Array, adjoint, exp_matrix


def exponential_layer(X: Array, Y: Array, U: Array, rho: Array, **_: Any) -> Result:
    """V = exp(rho TA(X Y^+)) U."""
    return {"V": exp_matrix(rho[0] * TA(X @ adjoint(Y))) @ U}


def three_layers(X: Array, U: Array, rho: Array, **_: Any) -> Result:
    """V_i = exp(rho_i TA(X U^+)) U."""
    return {f"V{i}": exponential_layer(X, U, U, rho[i : i + 1])["V"] for i in range(3)}


def exponential_layer_pullback(
    dV: Array, X: Array, Y: Array, U: Array, rho: Array, kept: Array, **added: Any
) -> Result:
    """dX, and `kept` times dY and dU with the cotangents of Y and U added, by the tape; the sum is d/d rho."""
    x, y, u = tape.Variable(X), tape.Variable(Y), tape.Variable(U)
    Q = tape.TA(x @ tape.adjoint(y))
    per_site = tape.Variable(np.full(X.shape[:-2], rho[0]))
    tape.backward([tape.exp(tape.scale(per_site, Q)) @ u], dV[None])
    return {
        "dX": x.cotangent,
        "dY": kept[0] * added["dY"] + y.cotangent,
        "dU": kept[1] * added["dU"] + u.cotangent,
        SUMS: per_site.cotangent.sum(axis=0)[None],
    }


def three_layers_pullback(dU: Array, X: Array, U: Array, rho: Array, **dV: Array) -> Result:
    """dX, and dU with the cotangent of U added; the sums are d/d rho_i."""
    none, kept = np.zeros_like(U), np.zeros(2)
    parts = [
        exponential_layer_pullback(dV[f"dV{i}"], X, U, U, rho[i : i + 1], kept, dY=none, dU=none) for i in range(3)
    ]
    return {
        "dX": np.sum([part["dX"] for part in parts], axis=0),
        "dU": dU + np.sum([part["dY"] + part["dU"] for part in parts], axis=0),
        SUMS: np.concatenate([part[SUMS] for part in parts]),
    }
