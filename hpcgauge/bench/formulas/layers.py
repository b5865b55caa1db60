"""Steps of network layers and sums over paths, with their pullbacks by the tape."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

import numpy as np

from hpcgauge.bench.formulas import SUMS, Result
from hpcgauge.bench.oracle import gauge, tape
from hpcgauge.bench.oracle.algebra import TA, Array, adjoint, exp_matrix, trace
from hpcgauge.bench.oracle.paths import path_table


def exponential_layer(X: Array, Y: Array, U: Array, rho: Array, **_: Any) -> Result:
    """V = exp(rho TA(X Y^+)) U."""
    return {"V": exp_matrix(rho[0] * TA(X @ adjoint(Y))) @ U}


def exponential_layer_pullback(
    dY: Array, dU: Array, dV: Array, X: Array, Y: Array, U: Array, rho: Array, **_: Any
) -> Result:
    """dX, and dY and dU with the cotangents of Y and U added, by the tape; the sum is d/d rho."""
    x, y, u = tape.Variable(X), tape.Variable(Y), tape.Variable(U)
    Q = tape.TA(x @ tape.adjoint(y))
    per_site = tape.Variable(np.full(X.shape[:-2], rho[0]))
    tape.backward([tape.exp(tape.scale(per_site, Q)) @ u], dV[None])
    return {
        "dX": x.cotangent,
        "dY": dY + y.cotangent,
        "dU": dU + u.cotangent,
        SUMS: per_site.cotangent.sum(axis=0)[None],
    }


def path_keys(dims: int, reach: int) -> list[tuple[int, int, int, int]]:
    """(mu, nu, sigma, s) in the order of numbers on paths."""
    pairs = [(mu, nu) for mu in range(dims) for nu in range(dims) if nu != mu]
    return [(mu, nu, sigma, s) for mu, nu in pairs for sigma in (1, -1) for s in range(1, reach + 1)]


def path_traces(M: Array, W: Array, reach: int, **_: Any) -> Result:
    """Re tr M_mu P_{sigma nu,s}(W)^+."""
    paths = [(key[0], gauge.path(W, *key)) for key in path_keys(len(W), reach)]
    return {"traces": np.array([trace(M[mu] @ adjoint(path)).real for mu, path in paths])}


def path_sum(weights: Array, W: Array, reach: int, **_: Any) -> Result:
    """sum_{sigma nu s} w P_{sigma nu,s}(W)."""
    total = np.zeros_like(W)
    for weight, key in zip(weights, path_keys(len(W), reach), strict=True):
        total[key[0]] += weight[..., None, None] * gauge.path(W, *key)
    return {"sum": total}


def path_pullback(dW: Array, weights: Array, M: Array, W: Array, reach: int, **_: Any) -> Result:
    """dW with the cotangent of W added, for sum w P(W) with cotangents M, by the tape."""
    links = [tape.Variable(link) for link in W]
    paths = path_table(links, reach)
    terms: list[list[tape.Variable]] = [[] for _ in links]
    for weight, key in zip(weights, path_keys(len(W), reach), strict=True):
        terms[key[0]].append(tape.scale(tape.Variable(weight), paths[key]))
    tape.backward([reduce(add, parts) for parts in terms], M)
    return {"dW": dW + np.array([link.cotangent for link in links])}


def staple_pullback(dW: Array, M: Array, W: Array, reach: int, **_: Any) -> Result:
    """dW with the cotangent of W added, for the staple sum of W with cotangents M."""
    return path_pullback(dW, np.ones((len(path_keys(len(W), reach)), *W.shape[1:-2])), M, W, reach)


def attention(query_key: Array, plain: Array, colors: int, reach: int, paper: int, **_: Any) -> Result:
    """a = tan(pi / (4 (N + 0.01)) (query_key - plain)); "paper": sigma = - takes the number of sigma = +."""
    a = np.tan(np.pi / (4 * (colors + 0.01)) * (query_key - plain))
    if paper:
        a = a.reshape(-1, 2, reach, *a.shape[1:])[:, [0, 0]].reshape(a.shape)
    return {"a": a}


def attention_pullback(da: Array, a: Array, colors: int, reach: int, paper: int, **_: Any) -> Result:
    """The cotangents of query_key, in da, and of plain, in `negative`."""
    if paper:
        both = da.reshape(-1, 2, reach, *a.shape[1:]).sum(axis=1)
        da = np.stack([both, np.zeros_like(both)], axis=1).reshape(a.shape)
    cotangent = np.pi / (4 * (colors + 0.01)) * (1 + a**2) * da
    return {"da": cotangent, "negative": -cotangent}
