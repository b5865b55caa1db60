"""The hypercubic group and translations acting on link and site arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations, product
from typing import NamedTuple

import numpy as np

from hpcgauge.bench.oracle.algebra import Array, adjoint, shift


class Element(NamedTuple):
    """A signed permutation R of the directions about the site 0: (R x)_{permutation[mu]} = signs[mu] x_mu, periodic."""

    permutation: tuple[int, ...]
    signs: tuple[int, ...]


def hypercubic_group(dims: int) -> list[Element]:
    """All 2^d d! elements (384 in four dimensions), the identity first."""
    return [Element(order, signs) for order in permutations(range(dims)) for signs in product((1, -1), repeat=dims)]


def fitting(group: Sequence[Element], extent: Sequence[int]) -> list[Element]:
    """The elements that map a lattice of this extent (x, y, z, t) on itself."""
    return [one for one in group if all(extent[image] == extent[mu] for mu, image in enumerate(one.permutation))]


def compose(second: Element, first: Element) -> Element:
    """The element x -> second(first(x))."""
    order = tuple(second.permutation[image] for image in first.permutation)
    signs = tuple(sign * second.signs[image] for sign, image in zip(first.signs, first.permutation, strict=True))
    return Element(order, signs)


def rotate_sites(array: Array, element: Element, trailing: int = 2) -> Array:
    """The array with result(R x) = array(x); `trailing` axes stand behind the site axes."""
    dims = len(element.signs)
    for mu, sign in enumerate(element.signs):
        if sign < 0:
            axis = dims - 1 - mu
            array = np.roll(np.flip(array, axis), 1, axis)
    axes = list(range(dims + trailing))
    for mu, image in enumerate(element.permutation):
        axes[dims - 1 - image] = dims - 1 - mu
    return np.transpose(array, axes)


def rotate_links(U: Array, element: Element) -> Array:
    """U'(R x -> R x + R mu) = U_mu(x); a link turned round is stored as the adjoint, at the site it now starts from."""
    result: list[Array] = [U[0]] * len(U)
    for mu, (image, sign) in enumerate(zip(element.permutation, element.signs, strict=True)):
        moved = rotate_sites(U[mu], element)
        result[image] = moved if sign > 0 else adjoint(shift(moved, image, 1))
    return np.array(result)


def translate_sites(array: Array, displacement: Sequence[int], trailing: int = 2) -> Array:
    """The array with result(x + displacement) = array(x)."""
    for mu, steps in enumerate(displacement):
        array = shift(array, mu, -steps, trailing)
    return array


def translate_links(U: Array, displacement: Sequence[int]) -> Array:
    """U'_mu(x + displacement) = U_mu(x)."""
    return translate_sites(U, displacement)
