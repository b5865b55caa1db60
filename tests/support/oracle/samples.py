"""Random fields on the sites of given links, and the distance of two arrays."""

from __future__ import annotations

import numpy as np

from hpcgauge.bench.oracle.algebra import Array, random_su


def random_rotation(U: Array, seed: int = 5) -> Array:
    """Independent SU(N) matrices on U's sites."""
    return random_su(U.shape[1:-2], U.shape[-1], np.random.default_rng(seed))


def random_vector(U: Array, seed: int = 6) -> Array:
    """A vector on U's sites of complex normal numbers, weight exp(-xi^+ xi)."""
    rng = np.random.default_rng(seed)
    shape = U.shape[1:-1]
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2)


def random_matrices(U: Array, seed: int = 7) -> Array:
    """General complex matrices of U's shape."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(U.shape) + 1j * rng.standard_normal(U.shape)


def distance(left: Array, right: Array) -> float:
    """The largest difference of two arrays."""
    return float(abs(left - right).max())
