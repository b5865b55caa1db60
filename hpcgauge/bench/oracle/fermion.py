"""The naive staggered operator and its pseudofermion actions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Literal

import numpy as np

from .algebra import Array, adjoint, coordinates, shift

Tastes = Literal[4, 8]


def eta(shape: tuple[int, ...], mu: int) -> Array:
    """(-1)^(x_0 + ... + x_{mu-1}) on site axes `shape` (slowest direction first)."""
    return 1.0 - 2.0 * (coordinates(shape)[:mu].sum(axis=0) % 2)


def parity(shape: tuple[int, ...]) -> Array:
    """0 on even, 1 on odd sites."""
    return coordinates(shape).sum(axis=0) % 2


def phases(shape: tuple[int, ...], boundary: Sequence[float] | Array) -> Array:
    """eta_mu(n), times the boundary sign where n + mu leaves the lattice, as (mu, *shape)."""
    x = coordinates(shape)
    return np.array([eta(shape, mu) * np.where(x[mu] == x[mu].max(), sign, 1.0) for mu, sign in enumerate(boundary)])


def hopping(U: Array, chi: Array, boundary: Sequence[float] | Array) -> Array:
    """K chi = 1/2 sum_mu eta_mu(n) [ U_mu(n) chi(n+mu) - U_mu^+(n-mu) chi(n-mu) ], K^+ = -K; boundary (x, y, z, t)."""
    signed = phases(U.shape[1:-2], boundary)[..., None, None] * U
    result = np.zeros_like(chi)
    for mu in range(len(U)):
        forward = signed[mu] @ shift(chi, mu, 1, trailing=1)[..., None]
        backward = shift(adjoint(signed[mu]) @ chi[..., None], mu, -1)
        result = result + 0.5 * (forward - backward)[..., 0]
    return result


def staggered(U: Array, chi: Array, mass: float, boundary: Sequence[float] | Array) -> Array:
    """D chi = m chi + K chi."""
    return mass * chi + hopping(U, chi, boundary)


def staggered_adjoint(U: Array, chi: Array, mass: float, boundary: Sequence[float] | Array) -> Array:
    """D^+ chi = m chi - K chi."""
    return mass * chi - hopping(U, chi, boundary)


def dense_staggered(U: Array, mass: float, boundary: Sequence[float] | Array) -> Array:
    """D as a matrix over (site, color) in the order of the array, built entry by entry. Tiny lattices only."""
    shape, colors = U.shape[1:-2], U.shape[-1]
    number = np.arange(np.prod(shape)).reshape(shape)
    sites = len(number.ravel())
    factors = phases(shape, boundary)
    D = np.zeros((sites, colors, sites, colors), dtype=complex)
    D[np.arange(sites), :, np.arange(sites), :] = mass * np.eye(colors)
    for mu in range(len(U)):
        there = shift(number, mu, 1, trailing=0)
        for site in np.ndindex(*shape):
            hop = 0.5 * factors[mu][site] * U[(mu, *site)]
            D[number[site], :, there[site], :] += hop
            D[there[site], :, number[site], :] -= hop.conj().T
    return D.reshape(sites * colors, sites * colors)


def solve_normal(
    U: Array, phi: Array, mass: float, boundary: Sequence[float] | Array, tolerance: float = 1e-14
) -> Array:
    """(D^+ D)^-1 phi by conjugate gradients until |residual| <= tolerance |phi|."""
    solution = np.zeros_like(phi)
    residual, direction = phi.copy(), phi.copy()
    norm = target = float(np.vdot(phi, phi).real)
    for _ in range(10 * phi.size):
        if norm <= tolerance**2 * target:
            return solution
        image = staggered_adjoint(U, staggered(U, direction, mass, boundary), mass, boundary)
        step = norm / np.vdot(direction, image).real
        solution = solution + step * direction
        residual = residual - step * image
        previous, norm = norm, float(np.vdot(residual, residual).real)
        direction = residual + norm / previous * direction
    raise ArithmeticError(f"no solution to {tolerance} after {10 * phi.size} steps")


def keep_parity(chi: Array, odd: int) -> Array:
    """chi on the even (odd = 0) or odd (odd = 1) sites, zero elsewhere."""
    return chi * (parity(chi.shape[:-1]) == odd)[..., None]


def heat_bath(U: Array, xi: Array, mass: float, boundary: Sequence[float] | Array, tastes: Tastes) -> Array:
    """phi with weight exp(-S_f) from xi with weight exp(-xi^+ xi).

    8 tastes: phi = D^+ xi.   4 tastes: the even sites of it, phi_e = m xi_e - K_eo xi_o, zero on odd sites.
    """
    phi = staggered_adjoint(U, xi, mass, boundary)
    return phi if tastes == 8 else keep_parity(phi, 0)


def pseudofermion_action(U: Array, phi: Array, mass: float, boundary: Sequence[float] | Array) -> float:
    """S_f = phi^+ (D^+ D)^-1 phi: 8 tastes for phi on all sites, 4 tastes for phi on even sites only."""
    return float(np.vdot(phi, solve_normal(U, phi, mass, boundary)).real)


def pseudofermion_gradient(U: Array, phi: Array, mass: float, boundary: Sequence[float] | Array) -> Array:
    """C with dS_f = Re sum tr(C^+ dU), for both numbers of tastes.

    With X = (D^+D)^-1 phi and Y = D X:   dS_f = -X^+ d(D^+D) X = -2 Re Y^+ dK X
      = -Re sum_{n,mu} e_mu(n) [ Y(n)^+ dU_mu(n) X(n+mu) - Y(n+mu)^+ dU_mu(n)^+ X(n) ],   e = eta and boundary sign,
    so C_mu(n) = -e_mu(n) [ Y(n) X(n+mu)^+ - X(n) Y(n+mu)^+ ].
    """
    X = solve_normal(U, phi, mass, boundary)
    Y = staggered(U, X, mass, boundary)
    factors = phases(U.shape[1:-2], boundary)
    gradient = np.zeros_like(U)
    for mu in range(len(U)):
        X_ahead, Y_ahead = shift(X, mu, 1, trailing=1), shift(Y, mu, 1, trailing=1)
        outer = Y[..., :, None] * X_ahead.conj()[..., None, :] - X[..., :, None] * Y_ahead.conj()[..., None, :]
        gradient[mu] = -factors[mu][..., None, None] * outer
    return gradient


def condensate(U: Array, mass: float, boundary: Sequence[float] | Array) -> float:
    """Tr D^-1 / V exactly, colour trace, both parities. Tiny lattices only."""
    inverse = np.linalg.inv(dense_staggered(U, mass, boundary))
    return float(np.trace(inverse).real) / np.prod(U.shape[1:-2])


def spectrum(U: Array, boundary: Sequence[float] | Array) -> Array:
    """The eigenvalues of -K^2 in rising order, colour included. Tiny lattices only."""
    K = dense_staggered(U, 0.0, boundary)
    return np.sort(np.linalg.eigvalsh(-1j * K) ** 2)


def free_spectrum(extent: Sequence[int], boundary: Sequence[float] | Array) -> Array:
    """The eigenvalues of -K^2 for unit links per colour, rising.

    sum_mu sin^2 p_mu,  p_mu = 2 pi k / L_mu, k + 1/2 instead of k where antiperiodic
    """
    sines = [
        np.sin(2 * np.pi * (np.arange(length) + (0.5 if sign < 0 else 0.0)) / length) ** 2
        for length, sign in zip(extent, boundary, strict=True)
    ]
    return np.sort([sum(parts) for parts in product(*sines)])
