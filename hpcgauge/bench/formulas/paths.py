"""Sums and traces over the paths of CASK, attention, and their pullbacks, from gauge.path and gauge.line alone.

A path P from y with the weight w in f = sum w Re tr M P^+ is closed by M to the loop w M P^+ at y. A step of it,
changed within the group, sees the loop as it looks from the step's end: carried there along the rail.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from hpcgauge.bench.formulas import Result
from hpcgauge.bench.oracle import gauge, tape
from hpcgauge.bench.oracle.algebra import TA, Array, adjoint, shift, trace
from hpcgauge.bench.oracle.paths import path_table

Key = tuple[int, int, int, int]


def path_keys(dims: int, reach: int, signs: tuple[int, ...] = (1, -1)) -> list[Key]:
    """(mu, nu, sigma, s) in the order of numbers on paths, or on loops for sigma = + alone."""
    return [(mu, nu, sigma, s) for mu, nu in planes(dims) for sigma in signs for s in range(1, reach + 1)]


def planes(dims: int) -> list[tuple[int, int]]:
    """The pairs mu, nu in their order."""
    return [(mu, nu) for mu in range(dims) for nu in range(dims) if nu != mu]


def path_traces(M: Array, W: Array, keys: Iterable[Key]) -> Array:
    """Re tr M_mu P_{sigma nu,s}(W)^+."""
    return np.array([trace(M[key[0]] @ adjoint(gauge.path(W, *key))).real for key in keys])


def loop_traces(loops: Array, W: Array, reach: int, **_: Any) -> Result:
    """Re tr W_mu P_{+nu,s}(W)^+ for sigma = +, the rest as it was."""
    own = [sigma > 0 for _, _, sigma, _ in path_keys(len(W), reach)]
    found = loops.copy()
    found[own] = path_traces(W, W, path_keys(len(W), reach, (1,)))
    return {"loops": found}


def weighted_paths(weights: Array, W: Array, keys: Iterable[Key]) -> Array:
    """sum w P_{sigma nu,s}(W)."""
    total = np.zeros_like(W)
    for weight, key in zip(weights, keys, strict=True):
        total[key[0]] += weight[..., None, None] * gauge.path(W, *key)
    return total


def path_sum(weights: Array, W: Array, reach: int, **_: Any) -> Result:
    """sum_{sigma nu s} w P_{sigma nu,s}(W)."""
    return {"sum": weighted_paths(weights, W, path_keys(len(W), reach))}


def slopes_of(weights: Array, M: Array, W: Array, keys: Iterable[Key]) -> Array:
    """The cotangents of the steps of paths in the order of kernels/site/slopes.h."""
    dims = len(W)
    found = np.zeros((2 * dims * dims, *W.shape[1:]), dtype=complex)
    ahead, behind, across = found[:dims], found[dims : 2 * dims], found[2 * dims :]
    for weight, (mu, nu, sigma, length) in zip(weights, keys, strict=True):
        path = weight[..., None, None] * gauge.path(W, mu, nu, sigma, length)
        left_loop, right_loop = M[mu] @ adjoint(path), adjoint(path) @ M[mu]
        for t in range(1, length + 1):
            rail = gauge.line(W, nu, t) if sigma > 0 else adjoint(shift(gauge.line(W, nu, t), nu, -t))
            rail_beside = shift(rail, mu, 1)
            left = shift(TA(adjoint(rail) @ left_loop @ rail), nu, -sigma * t)
            if sigma > 0:
                behind[nu] += left
            else:
                ahead[nu] -= left
            if t == length:
                ahead[mu] += left
            place = 2 * planes(dims).index((mu, nu)) + (sigma < 0)
            across[place] += shift(TA(adjoint(rail_beside) @ right_loop @ rail_beside), nu, -sigma * t)
    return found


def path_pullback(a: Array, M: Array, W: Array, colors: int, reach: int, **_: Any) -> Result:
    """The slopes of W, and da/dt Re tr M P^+, t the difference that a is made of, one step along the paths."""
    keys = path_keys(len(W), reach)
    da = np.pi / (4 * (colors + 0.01)) * (1 + a**2) * path_traces(M, W, keys)
    shifted = [shift(row, nu, -sigma, 0) for row, (_, nu, sigma, _) in zip(da, keys, strict=True)]
    return {"slopes": slopes_of(a, M, W, keys), "shifted": np.array(shifted)}


def at_starts(shifted: Array, keys: list[Key], reach: int, paper: int) -> Array:
    """Cotangents of traces where the paths start; "paper": sigma = + has those of both."""
    da = np.array([shift(row, nu, sigma, 0) for row, (_, nu, sigma, _) in zip(shifted, keys, strict=True)])
    if paper:
        both = da.reshape(-1, 2, reach, *da.shape[1:]).sum(axis=1)
        da = np.stack([both, np.zeros_like(both)], axis=1).reshape(da.shape)
    return da


def trace_pullback(shifted: Array, query: Array, key: Array, reach: int, paper: int, **_: Any) -> Result:
    """The slopes of the key, and the cotangent of the query."""
    keys = path_keys(len(key), reach)
    weights = at_starts(shifted, keys, reach, paper)
    return {"slopes": slopes_of(weights, query, key, keys), "d_query": weighted_paths(weights, key, keys)}


def loop_pullback(slopes: Array, dW: Array, shifted: Array, W: Array, reach: int, paper: int, **_: Any) -> Result:
    """The slopes of W for -sum w Re tr W P(W)^+ as loops along +nu, those of sigma = - as they were; the bottoms of the
    loops are added to dW."""
    all_keys, keys = path_keys(len(W), reach), path_keys(len(W), reach, (1,))
    both = dict(zip(all_keys, at_starts(shifted, all_keys, reach, paper), strict=True))
    weights = np.array([-both[mu, nu, 1, s] - shift(both[mu, nu, -1, s], nu, s, 0) for mu, nu, _, s in keys])
    found = slopes_of(weights, W, W, keys)
    found[2 * len(W) + 1 :: 2] = slopes[2 * len(W) + 1 :: 2]
    return {"slopes": found, "dW": dW + weighted_paths(weights, W, keys)}


def with_slopes(dW: Array, slopes: Array, W: Array, signs: int) -> Result:
    """dW with the slopes of all steps along each link added: near ones on its left, far ones on its right."""
    dims, total = len(W), dW.copy()
    for nu in range(dims):
        left, right = slopes[nu].copy(), shift(slopes[dims + nu], nu, 1)
        for place, (mu, other) in enumerate(planes(dims)):
            if other == nu:
                across = [shift(slopes[2 * dims + 2 * place + k], mu, -1) for k in range(signs)]
                right = right - shift(across[0], nu, 1)
                left = left + (across[1] if signs == 2 else 0)
        total[nu] += left @ W[nu] + W[nu] @ right
    return {"dW": total}


def add_slopes(dW: Array, slopes: Array, W: Array, kept: Array, **_: Any) -> Result:
    """`kept` dW with the slopes of paths along both signs of nu added."""
    return with_slopes(kept[0] * dW, slopes, W, 2)


def add_loop_slopes(dW: Array, slopes: Array, W: Array, kept: Array, **_: Any) -> Result:
    """`kept` dW with the slopes of paths along +nu added."""
    return with_slopes(kept[0] * dW, slopes, W, 1)


def staple_pullback(dW: Array, M: Array, W: Array, kept: Array, **_: Any) -> Result:
    """`kept` dW with the cotangent of W added, for the staple sum of W with cotangents M, by the tape."""
    links = [tape.Variable(link) for link in W]
    table = path_table(links, 1)
    sums = [np.sum([path for key, path in table.items() if key[0] == mu]) for mu in range(len(W))]
    tape.backward(sums, M)
    return {"dW": kept[0] * dW + np.array([link.cotangent for link in links])}


def attention(query: Array, key: Array, loops: Array, colors: int, reach: int, paper: int, **_: Any) -> Result:
    """a = tan(pi / (4 (N + 0.01)) (Re tr Q P(K)^+ - Re tr U P(U)^+)), the latter from the loops along +nu; "paper":
    sigma = - takes the number of sigma = +."""
    keys = path_keys(len(key), reach)
    plain = dict(zip(keys, loops, strict=True))
    difference = path_traces(query, key, keys)
    for row, (mu, nu, sigma, s) in zip(difference, keys, strict=True):
        row -= plain[mu, nu, 1, s] if sigma > 0 else shift(plain[mu, nu, 1, s], nu, -s, 0)
    a = np.tan(np.pi / (4 * (colors + 0.01)) * difference)
    if paper:
        a = a.reshape(-1, 2, reach, *a.shape[1:])[:, [0, 0]].reshape(a.shape)
    return {"a": a}
