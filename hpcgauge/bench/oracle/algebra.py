"""Matrices of SU(N) and its algebra, and shifts of site arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def adjoint(X: Array) -> Array:
    """X^+ of the last two axes."""
    return np.conj(np.swapaxes(X, -1, -2))


def trace(X: Array) -> Array:
    """tr X of the last two axes."""
    return np.trace(X, axis1=-2, axis2=-1)


def TA(X: Array) -> Array:
    """The traceless antihermitian part of X.

    TA(X) = (X - X^+)/2 - tr(X - X^+)/(2N)
    """
    antihermitian = (X - adjoint(X)) / 2
    colors = X.shape[-1]
    return antihermitian - trace(antihermitian)[..., None, None] / colors * np.eye(colors)


def exp_matrix(Q: Array) -> Array:
    """exp(Q) of antihermitian matrices, from the eigenvalues of the hermitian -iQ.

    -iQ = W diag(w) W^+   =>   exp(Q) = W diag(exp(i w)) W^+
    """
    eigenvalues, eigenvectors = np.linalg.eigh(-1j * Q)
    return (eigenvectors * np.exp(1j * eigenvalues)[..., None, :]) @ adjoint(eigenvectors)


def generators(colors: int) -> Array:
    """The N^2 - 1 generators T_a = lambda_a/2, tr T_a T_b = delta_ab/2; sigma_a/2 for N = 2, Gell-Mann's for N = 3."""
    result = []
    for column in range(1, colors):
        for row in range(column):
            for entry in (1, -1j):
                matrix = np.zeros((colors, colors), dtype=complex)
                matrix[row, column] = entry / 2
                matrix[column, row] = np.conj(entry) / 2
                result.append(matrix)
        diagonal = np.array([1] * column + [-column] + [0] * (colors - column - 1), dtype=complex)
        result.append(np.diag(diagonal) / np.sqrt(2 * column * (column + 1)))
    return np.array(result)


def random_algebra(shape: tuple[int, ...], colors: int, rng: np.random.Generator) -> Array:
    """i pi_a T_a with pi_a independent normal numbers, an array shape + (N, N)."""
    components = rng.standard_normal((*shape, colors**2 - 1))
    return 1j * np.einsum("...a,aij->...ij", components, generators(colors))


def random_su(shape: tuple[int, ...], colors: int, rng: np.random.Generator) -> Array:
    """Independent Haar-distributed SU(N) matrices, an array shape + (N, N)."""
    ginibre = rng.standard_normal((*shape, colors, colors)) + 1j * rng.standard_normal((*shape, colors, colors))
    unitary, triangular = np.linalg.qr(ginibre)
    diagonal = np.diagonal(triangular, axis1=-2, axis2=-1)
    unitary = unitary * (diagonal / abs(diagonal))[..., None, :]
    phase = np.angle(np.linalg.det(unitary))
    return unitary * np.exp(-1j * phase / colors)[..., None, None]


def project_quaternion(X: Array) -> Array:
    """The part a + i b.sigma (a, b real) of 2x2 matrices: a = Re tr X / 2, b_k = Im tr(sigma_k X) / 2."""
    sigma = 2 * generators(2)
    scalar = trace(X).real / 2
    vector = np.einsum("kij,...ji->...k", sigma, X).imag / 2
    return scalar[..., None, None] * np.eye(2) + 1j * np.einsum("...k,kij->...ij", vector, sigma)


def shift(array: Array, mu: int, steps: int, trailing: int = 2) -> Array:
    """The array whose value at x is array's value at x + steps*mu, periodic.

    `trailing` counts the axes behind the site axes: 2 for matrices, 1 for vectors, 0 for numbers.
    """
    return np.roll(array, -steps, axis=array.ndim - 1 - trailing - mu)


def coordinates(shape: tuple[int, ...]) -> Array:
    """Coordinates x_mu of all sites, (mu, *shape), for site axes `shape` with the slowest direction first."""
    return np.indices(shape)[::-1]


def group_error(U: Array) -> float:
    """The largest entry of |U U^+ - 1| and of |det U - 1|."""
    unitarity = abs(U @ adjoint(U) - np.eye(U.shape[-1])).max()
    return float(max(unitarity, abs(np.linalg.det(U) - 1).max()))
