"""Plaquettes known exactly: two dimensions by characters, four dimensions at strong coupling."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np

from hpcgauge.bench.oracle.algebra import Array


def bessel_i(order: int, b: float, points: int = 128) -> float:
    """I_n(b) = 1/2pi int e^(b cos t) cos(n t) dt; the trapezoidal rule is exact to rounding if |b| + n < points/2."""
    angle = 2 * np.pi * np.arange(points) / points
    return float(np.mean(np.exp(b * np.cos(angle)) * np.cos(order * angle)))


def exponents(colors: int, largest: int = 16) -> list[tuple[int, ...]]:
    """l_1 > ... > l_N = 0, l_1 < largest, one row per representation of SU(N), the trivial one first."""
    tops = sorted(combinations(range(1, largest), colors - 1), key=sum)
    return [(*reversed(top), 0) for top in tops]


def dimensions(colors: int, largest: int = 16) -> Array:
    """d_r = prod_{i<j} (l_i - l_j)/(j - i) in the same order."""
    pairs = list(combinations(range(colors), 2))
    return np.array([np.prod([(row[i] - row[j]) / (j - i) for i, j in pairs]) for row in exponents(colors, largest)])


def character_coefficients(colors: int, beta: float, largest: int = 16, points: int = 64) -> tuple[Array, Array]:
    """c_r(beta) and dc_r/dbeta for the representations r of SU(N) with exponents below `largest`.

    exp(beta/N Re tr U) = sum_r d_r c_r chi_r(U),   d_r c_r = int dU exp(beta/N Re tr U) chi_r(U)^*
    Weyl: dU -> |Delta|^2 / N!, chi_r = det(z_i^{l_j}) / Delta, Delta = det(z_i^{N-j}).
    """
    angles = np.meshgrid(*[2 * np.pi * np.arange(points) / points] * (colors - 1), indexing="ij")
    z = np.exp(1j * np.stack([*angles, -sum(angles)], axis=-1)).reshape(-1, colors)
    cosine = z.real.mean(axis=-1)
    weight = np.exp(beta * cosine) * _alternant(z, tuple(range(colors - 1, -1, -1))) / factorial(colors)
    values, slopes = [], []
    for row, dimension in zip(exponents(colors, largest), dimensions(colors, largest), strict=True):
        integrand = weight * np.conj(_alternant(z, row)) / dimension
        values.append(integrand.mean().real)
        slopes.append((integrand * cosine).mean().real)
    return np.array(values), np.array(slopes)


def _alternant(z: Array, row: tuple[int, ...]) -> Array:
    """det(z_i^{l_j})."""
    return np.linalg.det(z[:, :, None] ** np.array(row))


def plaquette_2d(colors: int, beta: float) -> float:
    """The plaquette of the infinite plane, c_0'/c_0 (I_2(beta)/I_1(beta) for SU(2))."""
    values, slopes = character_coefficients(colors, beta)
    return float(slopes[0] / values[0])


def plaquette_torus(colors: int, beta: float, sites: int) -> float:
    """The plaquette of a torus of `sites` plaquettes: Z = sum_r c_r^sites, P = dlnZ/dbeta / sites."""
    values, slopes = character_coefficients(colors, beta)
    ratio = values / values[0]
    return float(np.sum(ratio ** (sites - 1) * slopes / values[0]) / np.sum(ratio**sites))


def plaquette_strong_su2(beta: float) -> float:
    """The four-dimensional SU(2) plaquette at small beta: P = u + 16 u^5 u', u = I_2/I_1, u' = 1 - 3u/beta - u^2."""
    u = bessel_i(2, beta) / bessel_i(1, beta)
    return u + 16 * u**5 * (1 - 3 * u / beta - u**2)


def plaquette_weak_su2(beta: float) -> float:
    """The four-dimensional SU(2) plaquette at large beta to second order: 1 - 3/(4 beta) - 0.15138/beta^2."""
    return 1 - 3 / (4 * beta) - 0.15138 / beta**2
