"""Derivatives by finite differences along U -> exp(eps Q) U."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hpcgauge.bench.oracle.algebra import Array, exp_matrix, random_algebra


def move(U: Array, direction: Array, eps: float) -> Array:
    """exp(eps Q) U."""
    return exp_matrix(eps * direction) @ U


def five_point(function: Callable[[Array], Any], U: Array, direction: Array, eps: float) -> Any:
    """d/ds function(exp(s Q) U) at s = 0, error O(eps^4); function may return a number or an array."""
    one, minus_one, two, minus_two = (function(move(U, direction, step * eps)) for step in (1, -1, 2, -2))
    return (8 * (one - minus_one) - (two - minus_two)) / (12 * eps)


def richardson(estimate: Callable[[float], Any], eps: float, order: int = 4) -> Any:
    """estimate(eps -> 0) from eps and eps/2, where the error of estimate falls as eps^order."""
    factor = 2**order
    return (factor * estimate(eps / 2) - estimate(eps)) / (factor - 1)


def gradient_pairing(gradient: Array, U: Array, direction: Array) -> float:
    """Re sum tr(C^+ Q U), the change of a function with gradient C along U -> exp(eps Q) U."""
    return pairing(gradient, direction @ U)


def pairing(left: Array, right: Array) -> float:
    """Re sum tr(A^+ B) over all sites and directions."""
    return float(np.vdot(left, right).real)


def directional_error(
    function: Callable[[Array], float], gradient: Array, U: Array, rng: np.random.Generator, eps: float = 1e-2
) -> float:
    """|five-point difference - Re sum tr(C^+ Q U)| for one random direction Q, relative to the root of sum |C^+ U|^2.

    The difference is extrapolated once (error eps^6), so that rounding, 1e-16 |function| / eps, is what remains.
    """
    direction = random_algebra(U.shape[:-2], U.shape[-1], rng)
    numeric = richardson(lambda step: five_point(function, U, direction, step), eps)
    return abs(numeric - gradient_pairing(gradient, U, direction)) / float(np.linalg.norm(gradient))
