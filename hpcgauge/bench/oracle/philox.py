"""Philox4x32-10 and what is drawn from it, written from the definition (Salmon et al., SC11) in numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
WORD = np.uint64(0xFFFFFFFF)


def philox(counter: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike], key: tuple[int, int]) -> NDArray[np.uint32]:
    """Four words for every counter, shape (4, ...)."""
    c = [np.asarray(word, dtype=np.uint64) for word in np.broadcast_arrays(*counter)]
    for number in range(ROUNDS):
        k = [np.uint64((key[i] + number * WEYL[i]) & 0xFFFFFFFF) for i in range(2)]
        first, second = (np.uint64(MULTIPLIERS[i]) * c[2 * i] for i in range(2))
        upper = [product >> np.uint64(32) for product in (second, first)]
        c = [upper[0] ^ c[1] ^ k[0], second & WORD, upper[1] ^ c[3] ^ k[1], first & WORD]
    return np.array(c).astype(np.uint32)


def words(sites: ArrayLike, component: int, trajectory: int, stream: int, seed: int) -> NDArray[np.uint32]:
    """Four words for every global site, shape (4, sites); `stream` is stream << 16 | instance."""
    return philox((sites, component, trajectory, stream), (seed & 0xFFFFFFFF, seed >> 32))


def uniforms(sites: ArrayLike, component: int, trajectory: int, stream: int, seed: int) -> NDArray[np.float64]:
    """Two numbers in (0, 1) for every global site, (n + 1/2) / 2^52, n the upper 52 bits of two words; (2, sites)."""
    w = words(sites, component, trajectory, stream, seed).astype(np.uint64)
    n = np.array([(w[2 * i] << np.uint64(20)) + (w[2 * i + 1] >> np.uint64(12)) for i in range(2)])
    return np.ldexp(2 * n.astype(np.int64) + 1, -53)


def normals(sites: ArrayLike, component: int, trajectory: int, stream: int, seed: int) -> NDArray[np.float64]:
    """Two normal numbers for every global site, sqrt(-2 log u) (cos 2 pi v, sin 2 pi v); shape (2, sites)."""
    u, v = uniforms(sites, component, trajectory, stream, seed)
    return np.sqrt(-2 * np.log(u)) * np.array([np.cos(2 * np.pi * v), np.sin(2 * np.pi * v)])
