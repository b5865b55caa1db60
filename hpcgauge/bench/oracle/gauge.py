"""Plaquettes, staples, loops, the plaquette action and gauge rotations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from .algebra import Array, adjoint, exp_matrix, random_algebra, shift, trace


def rough_links(
    extent: int | Sequence[int], colors: int, seed: int, roughness: float, dims: int | None = None
) -> Array:
    """Links exp(roughness * i pi_a T_a), pi_a normal, on extent (x, y, z, t), or extent^dims if one number is given."""
    lengths = (extent,) * (dims or 4) if isinstance(extent, int) else tuple(extent)
    if dims is not None and len(lengths) != dims:
        raise ValueError(f"extent = {lengths} has {len(lengths)} directions, dims = {dims}")
    rng = np.random.default_rng(seed)
    return exp_matrix(roughness * random_algebra((len(lengths), *reversed(lengths)), colors, rng))


def gauge_rotate(U: Array, rotation: Array) -> Array:
    """G(x) U_mu(x) G(x+mu)^+."""
    return np.array([rotation @ U[mu] @ adjoint(shift(rotation, mu, 1)) for mu in range(len(U))])


def rotate_matrices(matrices: Array, rotation: Array) -> Array:
    """G(x) X_mu(x) G(x)^+, the rotation of algebra-valued fields at x."""
    return rotation @ matrices @ adjoint(rotation)


def line(U: Array, mu: int, length: int) -> Array:
    """U_mu(x) U_mu(x+mu) ... U_mu(x+(length-1)mu)."""
    result = np.broadcast_to(np.eye(U.shape[-1], dtype=U.dtype), U[mu].shape)
    for step in range(length):
        result = result @ shift(U[mu], mu, step)
    return result


def rectangle(U: Array, mu: int, nu: int, length_mu: int, length_nu: int) -> Array:
    """The closed loop from x: length_mu steps along mu, length_nu along nu, and back."""
    there, up = line(U, mu, length_mu), line(U, nu, length_nu)
    return there @ shift(up, mu, length_mu) @ adjoint(shift(there, nu, length_nu)) @ adjoint(up)


def plaquette_matrix(U: Array, mu: int, nu: int) -> Array:
    """P_{mu nu}(x) = U_mu(x) U_nu(x+mu) U_mu(x+nu)^+ U_nu(x)^+."""
    return U[mu] @ shift(U[nu], mu, 1) @ adjoint(shift(U[mu], nu, 1)) @ adjoint(U[nu])


def plaquette(U: Array) -> float:
    """The mean of Re tr P / N over all sites and planes, 0..1."""
    planes = [trace(plaquette_matrix(U, mu, nu)).real.mean() for mu, nu in combinations(range(len(U)), 2)]
    return float(np.mean(planes)) / U.shape[-1]


def path(U: Array, mu: int, nu: int, sigma: int, length: int) -> Array:
    """P_{sigma nu, s}(U), from n to n+mu with s = length steps aside along sigma nu.

    P_{+nu,s} = [prod_{t<s} U_nu(n+t nu)] U_mu(n+s nu) [prod_{t<s} U_nu(n+mu+t nu)]^+
    P_{-nu,s} = [prod_{t<s} U_nu(n-s nu+t nu)]^+ U_mu(n-s nu) [prod_{t<s} U_nu(n+mu-s nu+t nu)]
    """
    aside = line(U, nu, length)
    if sigma > 0:
        return aside @ shift(U[mu], nu, length) @ adjoint(shift(aside, mu, 1))
    aside = shift(aside, nu, -length)
    return adjoint(aside) @ shift(U[mu], nu, -length) @ shift(aside, mu, 1)


def staple_sum(U: Array) -> Array:
    """sum_{sigma, nu != mu} P_{sigma nu, 1}(U) for every mu."""
    dims = len(U)
    return np.array(
        [sum(path(U, mu, nu, sigma, 1) for nu in range(dims) if nu != mu for sigma in (1, -1)) for mu in range(dims)]
    )


def plaquette_action(U: Array, beta: float) -> float:
    """S_g = beta sum_plaquettes (1 - Re tr P / N)."""
    planes = combinations(range(len(U)), 2)
    return beta * sum(float(np.sum(1 - trace(plaquette_matrix(U, *plane)).real / U.shape[-1])) for plane in planes)


def plaquette_action_gradient(U: Array, beta: float) -> Array:
    """C with dS_g = Re sum tr(C^+ dU): a plaquette at U_mu is Re tr(P_{sigma nu,1}^+ U_mu), so C = -beta/N sum P."""
    return -beta / U.shape[-1] * staple_sum(U)


def polyakov_loop(U: Array, direction: int) -> complex:
    """The mean of tr L / N, L the product of all links of a line along `direction`, over all lines."""
    extent = U.shape[-3 - direction]
    return complex(trace(line(U, direction, extent)).mean()) / U.shape[-1]


def wilson_loop(U: Array, r: int, t: int) -> float:
    """The mean of Re tr W / N over sites and space directions, r steps in space, t steps along the last direction."""
    time = len(U) - 1
    loops = [trace(rectangle(U, mu, time, r, t)).real.mean() for mu in range(time)]
    return float(np.mean(loops)) / U.shape[-1]
