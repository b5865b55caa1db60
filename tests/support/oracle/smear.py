"""Stout, CovNet and CASK as formulas (arXiv:2103.11965, arXiv:2501.16955 with the corrections of the physics notes)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from hpcgauge.bench.oracle.algebra import TA, Array, adjoint, exp_matrix, shift, trace
from hpcgauge.bench.oracle.gauge import path, staple_sum

Variant = Literal["hypercubic", "paper"]


def stout(U: Array, rho: float) -> Array:
    """stout_rho(U)_mu = exp( rho TA( sum_{sigma,nu} P_{sigma nu,1}(U) U_mu^+ ) ) U_mu."""
    return exp_matrix(rho * TA(staple_sum(U) @ adjoint(U))) @ U


def covnet(U: Array, parameters: Array) -> Array:
    """stout for each row (rho) of parameters (layers, 1), the first row first."""
    for (rho,) in np.asarray(parameters):
        U = stout(U, rho)
    return U


def paths(U: Array, reach: int) -> Array:
    """P_{sigma nu,s}(U) as (mu, nu, sigma, s, sites, row, column), sigma = +, -, s = 1..reach; zero where nu = mu."""
    dims = len(U)
    result = np.zeros((dims, dims, 2, reach, *U.shape[1:]), dtype=complex)
    for mu in range(dims):
        for nu in range(dims):
            for index, sigma in enumerate((1, -1)):
                for length in range(1, reach + 1):
                    if nu != mu:
                        result[mu, nu, index, length - 1] = path(U, mu, nu, sigma, length)
    return result


def attention(U: Array, rho_q: float, rho_k: float, reach: int = 3, variant: Variant = "hypercubic") -> Array:
    """a_{n, mu, sigma nu, s} as a real array (mu, nu, sigma, s, sites), zero where nu = mu.

    a = tan{ pi/(4(N + 0.01)) ( Re tr[U^Q_mu P_{sigma nu,s}(U^K)^+] - Re tr[U_mu P_{sigma nu,s}(U)^+] ) }
    The variant "paper" takes the sigma = + loops for both signs.
    """
    query, key = stout(U, rho_q), stout(U, rho_k)
    loops = _loops(query, key, reach) - _loops(U, U, reach)
    if variant == "paper":
        loops[:, :, 1] = loops[:, :, 0]
    return np.tan(np.pi / (4 * (U.shape[-1] + 0.01)) * loops)


def cask_layer(U: Array, weights: Array, reach: int = 3, variant: Variant = "hypercubic") -> Array:
    """One CASK layer with weights (rho, rho_q, rho_k, rho_v).

    U^A_mu = exp( TA( sum_{sigma,nu,s} a_{mu,sigma nu,s} P_{sigma nu,s}(U^V) U_mu^+ ) ) U_mu
    U'_mu  = exp( rho TA( sum_{sigma,nu} P_{sigma nu,1}(U^A) U_mu^+ ) ) U_mu
    The variant "paper" closes the sums with (U^V_mu)^+ and (U^A_mu)^+.
    """
    rho, rho_q, rho_k, rho_v = (float(weight) for weight in weights)
    a = attention(U, rho_q, rho_k, reach, variant)
    value = stout(U, rho_v)
    weighted = np.einsum("mnks...,mnks...ij->m...ij", a, paths(value, reach))
    U_A = exp_matrix(TA(weighted @ adjoint(value if variant == "paper" else U))) @ U
    return exp_matrix(rho * TA(staple_sum(U_A) @ adjoint(U_A if variant == "paper" else U))) @ U


def cask(U: Array, parameters: Array, reach: int = 3, variant: Variant = "hypercubic") -> Array:
    """A CASK layer for each row (rho, rho_q, rho_k, rho_v) of parameters (layers, 4), the first row first."""
    for weights in np.asarray(parameters):
        U = cask_layer(U, weights, reach, variant)
    return U


def broken_layer(U: Array, rho: float) -> Array:
    """stout whose staples are taken one site off: a control that misses gauge covariance."""
    return exp_matrix(rho * TA(shift(staple_sum(U), 0, 1) @ adjoint(U))) @ U


def _loops(query: Array, key: Array, reach: int) -> Array:
    """Re tr[U^Q_mu P_{sigma nu,s}(U^K)^+] as (mu, nu, sigma, s, sites), zero where nu = mu."""
    return trace(query[:, None, None, None] @ adjoint(paths(key, reach))).real
