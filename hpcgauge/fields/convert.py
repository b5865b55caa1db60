"""Between the real components of memory and the complex matrices and vectors of the face.

SU(2) matrices are quaternions a0 + i a.sigma, four reals; other matrices N x N complex numbers, (row, column, re/im).
Traceless antihermitian matrices are N^2 - 1 reals: a for SU(2), otherwise row by row Im m_ii - Im m_NN (i < N) and the
entries right of the diagonal, (re, im).
"""

from __future__ import annotations

import numpy


def reals(element: str, colors: int) -> int:
    """Real numbers of one element: a "matrix", a "traceless" antihermitian matrix, a "vector" or a "real"."""
    if element == "matrix":
        return 4 if colors == 2 else 2 * colors * colors
    return {"traceless": colors * colors - 1, "vector": 2 * colors, "real": 1}[element]


def element_shape(element: str, colors: int) -> tuple[int, ...]:
    """The shape of one element as NumPy shows it."""
    square = (colors, colors)
    return {"matrix": square, "traceless": square, "vector": (colors,), "real": ()}[element]


def window(origin: tuple[int, ...], local_extent: tuple[int, ...]) -> tuple[slice, ...]:
    """The slices of a rank's part in an array (element, t, z, y, x, ...)."""
    slices = [slice(start, start + length) for start, length in zip(origin, local_extent, strict=True)]
    return (slice(None), *reversed(slices))


def to_elements(sites: numpy.ndarray, element: str, count: int, colors: int) -> numpy.ndarray:
    """Elements (site, count, ...) of real components (site, component)."""
    n_sites = len(sites)
    if element == "real":
        return sites.reshape(n_sites, count)
    if element == "matrix" and colors == 2:
        return quaternion_to_matrix(sites.reshape(n_sites, count, 4))
    if element == "traceless":
        return traceless_to_matrix(sites.reshape(n_sites, count, -1), colors)
    pairs = sites.reshape(n_sites, count, *element_shape(element, colors), 2)
    return pairs[..., 0] + 1j * pairs[..., 1]


def to_reals(elements: numpy.ndarray, element: str, colors: int) -> numpy.ndarray:
    """Real components (site, component) of elements (site, count, ...); 2 x 2 matrices are projected on quaternions,
    "traceless" ones on traceless antihermitian matrices."""
    if element == "real":
        return elements.reshape(len(elements), -1)
    if element == "traceless":
        return matrix_to_traceless(elements, colors).reshape(len(elements), -1)
    if element == "matrix" and colors == 2:
        return matrix_to_quaternion(elements).reshape(len(elements), -1)
    return numpy.stack([elements.real, elements.imag], axis=-1).reshape(len(elements), -1)


def unit_reals(count: int, colors: int) -> numpy.ndarray:
    """Real components of `count` unit matrices."""
    return to_reals(numpy.tile(numpy.eye(colors, dtype=complex), (1, count, 1, 1)), "matrix", colors)[0]


def quaternion_to_matrix(a: numpy.ndarray) -> numpy.ndarray:
    """The matrices a0 + i a.sigma, (..., 2, 2), of quaternions (..., 4)."""
    upper = numpy.stack([a[..., 0] + 1j * a[..., 3], a[..., 2] + 1j * a[..., 1]], axis=-1)
    lower = numpy.stack([-a[..., 2] + 1j * a[..., 1], a[..., 0] - 1j * a[..., 3]], axis=-1)
    return numpy.stack([upper, lower], axis=-2)


def matrix_to_quaternion(m: numpy.ndarray) -> numpy.ndarray:
    """The quaternions (..., 4) nearest to matrices (..., 2, 2): a0 = Re tr m / 2, a_k = Im tr(sigma_k m) / 2."""
    return 0.5 * numpy.stack(
        [
            (m[..., 0, 0] + m[..., 1, 1]).real,
            (m[..., 0, 1] + m[..., 1, 0]).imag,
            (m[..., 0, 1] - m[..., 1, 0]).real,
            (m[..., 0, 0] - m[..., 1, 1]).imag,
        ],
        axis=-1,
    )


def traceless_to_matrix(a: numpy.ndarray, colors: int) -> numpy.ndarray:
    """The traceless antihermitian matrices of real numbers (..., N^2 - 1)."""
    if colors == 2:
        return quaternion_to_matrix(numpy.concatenate([numpy.zeros_like(a[..., :1]), a], axis=-1))
    m = numpy.zeros((*a.shape[:-1], colors, colors), dtype=complex)
    numbers = iter(numpy.moveaxis(a, -1, 0))
    for row in range(colors):
        if row < colors - 1:
            m[..., row, row] = 1j * next(numbers)
        for column in range(row + 1, colors):
            m[..., row, column] = next(numbers) + 1j * next(numbers)
            m[..., column, row] = -m[..., row, column].conj()
    share = numpy.trace(m, axis1=-2, axis2=-1) / colors
    return m - share[..., None, None] * numpy.eye(colors)


def matrix_to_traceless(m: numpy.ndarray, colors: int) -> numpy.ndarray:
    """The real numbers (..., N^2 - 1) of the traceless antihermitian parts of matrices."""
    if colors == 2:
        return matrix_to_quaternion(m)[..., 1:]
    half = (m - m.conj().swapaxes(-1, -2)) / 2
    numbers = []
    for row in range(colors):
        if row < colors - 1:
            numbers.append((half[..., row, row] - half[..., -1, -1]).imag)
        for column in range(row + 1, colors):
            numbers += [half[..., row, column].real, half[..., row, column].imag]
    return numpy.stack(numbers, axis=-1)
