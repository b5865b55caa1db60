"""The pullback of stout, CovNet and CASK, derived apart from the layers, and its check by finite differences.

Given dV, the matrices with df = Re sum tr(dV^+ dV_mu) at V = map(U), a pullback gives dU with
df = Re sum tr(dU^+ dU_mu) for every change of U in the group, and df/dparameter. dU is fixed only up to what a change
Q U (Q traceless antihermitian) cannot see, so results are compared as TA(dU U^+).

Stout, V = E U, E = exp(Q), Q = rho TA(Omega), Omega = S U^+, S_mu = sum P_{sigma nu,1}(U). With C = dV:
  C_E = C U^+                                 C_U  = E^+ C
  C_Q = the derivative of exp applied to C_E  (tape.exp)
  drho = sum Re tr(C_Q^+ TA(Omega))           C_Omega = rho TA(C_Q)
  C_S = C_Omega U                             C_U += (S^+ C_Omega)^+ = C_Omega^+ S
  and C_S goes back through each path: P_{+nu,s}(n) = U_nu(n) B(n) U_nu(n+mu)^+, B(n) = P_{+nu,s-1}(n+nu), gives
    C_{U_nu}(n) += C_P U_nu(n+mu) B^+,   C_B = U_nu(n)^+ C_P U_nu(n+mu),   C_{U_nu}(n+mu) += C_P^+ U_nu(n) B,
  and P_{-nu,s}(n) = U_nu(n-nu)^+ B(n-nu) U_nu(n+mu-nu), B = P_{-nu,s-1}, likewise.
CASK, L^Q = Re tr[U^Q_mu P(U^K)^+], L = Re tr[U_mu P(U)^+], k = pi/(4(N+0.01)), a = tan(k (L^Q - L)),
Omega_A = sum a P(U^V) U^+:
  c_a = Re tr(C_{Omega_A}^+ P(U^V) U^+),  C_{P(U^V)} = a C_{Omega_A} U,  c_{L^Q} = -c_L = k (1 + a^2) c_a,
  C_{U^Q} = c_{L^Q} P(U^K),  C_{P(U^K)} = c_{L^Q} U^Q,  and the same with U, U for L;
  then three stout pullbacks (rho_q, rho_k, rho_v).
The code writes the layers over tape.Variable, with paths by the recursion in s, and lets the tape apply these rules.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import add

import numpy as np

from hpcgauge.bench.oracle.algebra import Array, random_algebra
from hpcgauge.bench.oracle.paths import LinkVariables, path_table
from hpcgauge.bench.oracle.tape import TA, Variable, adjoint, backward, exp, real_trace, scale, tan_scaled

from .differences import five_point, pairing, richardson
from .smear import Variant


def staples(U: LinkVariables) -> LinkVariables:
    """sum_{sigma,nu} P_{sigma nu,1}(U)."""
    table = path_table(U, 1)
    return [reduce(add, (one for key, one in table.items() if key[0] == mu)) for mu in range(len(U))]


def stout_layer(U: LinkVariables, rho: Variable) -> LinkVariables:
    """exp( rho TA( staples U^+ ) ) U."""
    return [exp(scale(rho, TA(S @ adjoint(link)))) @ link for S, link in zip(staples(U), U, strict=True)]


def cask_layer(U: LinkVariables, weights: list[Variable], reach: int, variant: Variant) -> LinkVariables:
    """One CASK layer; weights rho, rho_q, rho_k, rho_v."""
    rho, rho_q, rho_k, rho_v = weights
    query, value = stout_layer(U, rho_q), stout_layer(U, rho_v)
    keys, plain, values = path_table(stout_layer(U, rho_k), reach), path_table(U, reach), path_table(value, reach)
    factor = np.pi / (4 * (U[0].value.shape[-1] + 0.01))
    terms: list[LinkVariables] = [[] for _ in U]
    for (mu, nu, sigma, length), staple in values.items():
        loop = (mu, nu, 1 if variant == "paper" else sigma, length)
        difference = real_trace(query[mu] @ adjoint(keys[loop])) - real_trace(U[mu] @ adjoint(plain[loop]))
        terms[mu].append(scale(tan_scaled(difference, factor), staple))
    close = value if variant == "paper" else U
    U_A = [exp(TA(reduce(add, terms[mu]) @ adjoint(close[mu]))) @ U[mu] for mu in range(len(U))]
    close = U_A if variant == "paper" else U
    return [exp(scale(rho, TA(S @ adjoint(close[mu])))) @ U[mu] for mu, S in enumerate(staples(U_A))]


def covnet(U: Array, parameters: Array, dV: Array) -> tuple[Array, Array, Array]:
    """V, dU and dparameters of CovNet with parameters (layers, 1)."""
    return _pull(U, parameters, dV, lambda links, weights: stout_layer(links, weights[0]))


def stout(U: Array, rho: float, dV: Array) -> tuple[Array, Array, float]:
    """V, dU and drho of stout."""
    V, dU, dparameters = covnet(U, np.array([[rho]]), dV)
    return V, dU, float(dparameters[0, 0])


def cask(
    U: Array, parameters: Array, dV: Array, reach: int = 3, variant: Variant = "hypercubic"
) -> tuple[Array, Array, Array]:
    """V, dU and dparameters of CASK with parameters (layers, 4)."""
    return _pull(U, parameters, dV, lambda links, weights: cask_layer(links, weights, reach, variant))


def _pull(
    U: Array, parameters: Array, dV: Array, layer: Callable[[LinkVariables, list[Variable]], LinkVariables]
) -> tuple[Array, Array, Array]:
    inputs = [Variable(np.array(link, dtype=complex)) for link in U]
    weights = [[Variable(np.array(float(weight))) for weight in row] for row in np.asarray(parameters)]
    links = inputs
    for row in weights:
        links = layer(links, row)
    backward(links, dV)
    dparameters = np.array([[float(weight.cotangent) for weight in row] for row in weights])
    return np.array([link.value for link in links]), np.array([link.cotangent for link in inputs]), dparameters


def numeric_pullback_check(
    map: Callable[[Array], Array],
    pullback: Callable[[Array, Array], Array],
    U: Array,
    dV: Array,
    rng: np.random.Generator,
    n_directions: int,
    eps: float = 2e-4,
) -> float:
    """The largest |Re sum tr(dV^+ d map(U)[Q U]) - Re sum tr(dU^+ Q U)| / |dU| over random algebra fields Q.

    dU = pullback(U, dV); the derivative is an extrapolated five-point difference.
    """
    dU = pullback(U, dV)
    worst = 0.0
    for _ in range(n_directions):
        direction = random_algebra(U.shape[:-2], U.shape[-1], rng)
        numeric = directional_derivative(map, U, dV, direction, eps)
        worst = max(worst, abs(numeric - pairing(dU, direction @ U)))
    return worst / float(np.linalg.norm(dU))


def directional_derivative(
    map: Callable[[Array], Array], U: Array, dV: Array, direction: Array, eps: float = 2e-4
) -> float:
    """Re sum tr(dV^+ d/ds map(exp(s Q) U)) at s = 0."""
    return float(richardson(lambda step: pairing(dV, five_point(map, U, direction, step)), eps))


def parameter_derivative(
    map: Callable[[Array], Array], parameters: Array, dV: Array, index: tuple[int, int], eps: float = 2e-4
) -> float:
    """Re sum tr(dV^+ d map(parameters) / d parameters[index]) by an extrapolated five-point difference."""

    def at(offset: float) -> Array:
        moved = np.array(parameters, dtype=float)
        moved[index] += offset
        return map(moved)

    def difference(step: float) -> float:
        change = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
        return pairing(dV, change)

    return float(richardson(difference, eps))
