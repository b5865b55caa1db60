"""Random fields."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from hpcgauge.bench.formulas import Result
from hpcgauge.bench.formulas.links import unitarised
from hpcgauge.bench.oracle import philox
from hpcgauge.bench.oracle.algebra import Array


def normals(shape: tuple[int, ...], draw: Array, count: int) -> Array:
    """`count` normal numbers for every site, (*shape, count), two from each component of a draw."""
    sites = np.arange(np.prod(shape))
    trajectory, stream, low, high = (int(number) for number in draw)
    pairs = [philox.normals(sites, k, trajectory, stream, low | high << 32) for k in range(-(-count // 2))]
    return np.concatenate(pairs).T.reshape(*shape, -1)[..., :count]


def random_group(U: Array, draw: Array, colors: int, **_: Any) -> Result:
    """Normal matrices made unitary."""
    elements, shape = (len(U), U.shape[1:-2]) if U.ndim == len(U) + 3 else (1, U.shape[:-2])
    reals = 4 if colors == 2 else 2 * colors**2
    n = normals(shape, draw, elements * reals).reshape(*shape, elements, reals)
    if colors == 2:
        a, b = n[..., 0] + 1j * n[..., 3], n[..., 2] + 1j * n[..., 1]
        m = np.stack([np.stack([a, b], axis=-1), np.stack([-b.conj(), a.conj()], axis=-1)], axis=-2)
    else:
        m = (n[..., 0::2] + 1j * n[..., 1::2]).reshape(*shape, elements, colors, colors)
    return {"U": np.moveaxis(unitarised(m), len(shape), 0).reshape(U.shape)}


def draw_generators(colors: int) -> Array:
    """T_a in the order of draws: for every pair row < column the real and the imaginary one, then the diagonal ones."""
    result = []
    for row, column in combinations(range(colors), 2):
        for entry in (1, -1j):
            T = np.zeros((colors, colors), dtype=complex)
            T[row, column], T[column, row] = entry / 2, np.conj(entry) / 2
            result.append(T)
    for k in range(1, colors):
        result.append(np.diag([1.0] * k + [-k] + [0] * (colors - k - 1)) / np.sqrt(2 * k * (k + 1)) + 0j)
    return np.array(result)


def random_momenta(P: Array, draw: Array, colors: int, **_: Any) -> Result:
    """i pi_a T_a with normal pi_a."""
    shape, generators = P.shape[1:-2], draw_generators(colors)
    padded = len(generators) + len(generators) % 2
    pi = normals(shape, draw, len(P) * padded).reshape(*shape, len(P), padded)[..., : len(generators)]
    return {"P": 1j * np.einsum("...ma,aij->m...ij", pi, generators)}


def random_vectors(xi: Array, draw: Array, colors: int, **_: Any) -> Result:
    """Vectors of weight exp(-xi^+ xi)."""
    n = normals(xi.shape[1:-1], draw, 2 * colors * len(xi)).reshape(*xi.shape[1:-1], len(xi), colors, 2)
    return {"xi": np.moveaxis(n[..., 0] + 1j * n[..., 1], -2, 0) / np.sqrt(2)}
