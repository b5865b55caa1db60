"""How far a map of links is from respecting a symmetry: map(g U) against g map(U) for elements g of a group.

A map gives back links, a gradient by the links, or a number (an action, an observable), which must not change.
A group's generators are always tried, then random elements. Gauge rotations run as a kernel on each rank's own part;
translations and the hypercubic group gather the whole field on every rank (`to_numpy`): right for any process grid, and
meant for the small lattices of a test. On links and on gradients by the links they act alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import permutations, product
from typing import Any, NamedTuple, final

import numpy

from hpcgauge.fields.field import Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import UPDATE_LINKS, Links, gauge_rotate
from hpcgauge.kernels.draws import Draw, Stream, random_momenta, random_rotation
from hpcgauge.kernels.loop import run

SAMPLES = 16
# Rough links are exp(ROUGHNESS i pi_a T_a) with normal pi_a: far from 1, far from the invariant measure.
ROUGHNESS = 0.5


class Group(ABC):
    """A group and its action on fields: what `check` samples. One for other fields needs these five answers alone."""

    name: str

    @abstractmethod
    def generators(self, lattice: Lattice) -> list[Any]:
        """Elements whose products are the whole group; empty when it has no finite set of them."""

    @abstractmethod
    def sample(self, lattice: Lattice, random: numpy.random.Generator) -> Any:
        """A random element. Collective."""

    @abstractmethod
    def every(self, lattice: Lattice) -> list[Any]:
        """All elements; ValueError for a continuous group."""

    @abstractmethod
    def start(self, lattice: Lattice, seed: int) -> list[Field]:
        """The fields that maps are tried on. Collective."""

    @abstractmethod
    def act(self, element: Any, field: Field) -> Field:
        """The transformed field. Collective."""


def rough_links(lattice: Lattice, seed: int, roughness: float = ROUGHNESS) -> Field:
    """Links exp(roughness i pi_a T_a) with normal pi_a."""
    U = Links.unit(lattice)
    run(UPDATE_LINKS, U=U, P=random_momenta(lattice, Draw(Stream.HOT, seed, instance=1)), step=roughness)
    return U


def links_to_try(lattice: Lattice, seed: int) -> list[Field]:
    """Rough links and hot links."""
    return [rough_links(lattice, seed), Links.hot(lattice, seed)]


@final
class Gauge(Group):
    """G(x) U_mu(x) G(x+mu)^+. An element is a field of rotations."""

    name = "gauge"

    def generators(self, lattice: Lattice) -> list[Any]:
        return []

    def sample(self, lattice: Lattice, random: numpy.random.Generator) -> Field:
        return random_rotation(lattice, Draw(Stream.ROTATION, int(random.integers(2**63))))

    def every(self, lattice: Lattice) -> list[Any]:
        raise ValueError("samples = None asks for every element; gauge rotations are no finite group")

    def start(self, lattice: Lattice, seed: int) -> list[Field]:
        return links_to_try(lattice, seed)

    def act(self, element: Field, field: Field) -> Field:
        _check_one_for_each_direction(field)
        return gauge_rotate(field, element)


@final
class Translation(Group):
    """U'_mu(x + a) = U_mu(x). An element is a displacement (x, y, z, t)."""

    name = "translation"

    def generators(self, lattice: Lattice) -> list[tuple[int, ...]]:
        return [tuple(int(mu == nu) for nu in range(lattice.dimensions)) for mu in range(lattice.dimensions)]

    def sample(self, lattice: Lattice, random: numpy.random.Generator) -> tuple[int, ...]:
        return tuple(int(random.integers(length)) for length in lattice.extent)

    def every(self, lattice: Lattice) -> list[tuple[int, ...]]:
        return list(product(*(range(length) for length in lattice.extent)))

    def start(self, lattice: Lattice, seed: int) -> list[Field]:
        return links_to_try(lattice, seed)

    def act(self, element: tuple[int, ...], field: Field) -> Field:
        _check_one_for_each_direction(field)
        axes = tuple(field.lattice.dimensions - mu for mu in range(field.lattice.dimensions))
        return _like(field, numpy.roll(field.to_numpy(), element, axes))


class SignedPermutation(NamedTuple):
    """R about the site 0: (R x)_{images[mu]} = signs[mu] x_mu, periodic."""

    images: tuple[int, ...]
    signs: tuple[int, ...]

    @property
    def is_proper(self) -> bool:
        """True for a rotation, false for one with a reflection: the sign of det R."""
        order = numpy.eye(len(self.images))[list(self.images)]
        return bool(numpy.linalg.det(order) * numpy.prod(self.signs) > 0)


@final
class Hypercubic(Group):
    """Reflections and permutations of the directions: 2^d d! elements, 384 in four dimensions; on unequal extents those
    that map the lattice on itself. U'(R x -> R x + R mu) = U_mu(x), and a link turned round is the adjoint one."""

    name = "hypercubic"

    def generators(self, lattice: Lattice) -> list[SignedPermutation]:
        """The reflection of each direction and the swaps of two directions of equal extent."""
        d = lattice.dimensions
        same, plus = tuple(range(d)), (1,) * d
        found = [SignedPermutation(same, tuple(-1 if nu == mu else 1 for nu in range(d))) for mu in range(d)]
        for mu in range(d):
            for nu in range(mu):
                if lattice.extent[mu] == lattice.extent[nu]:
                    swap = {mu: nu, nu: mu}
                    found.append(SignedPermutation(tuple(swap.get(k, k) for k in range(d)), plus))
        return found

    def sample(self, lattice: Lattice, random: numpy.random.Generator) -> SignedPermutation:
        fitting = self.every(lattice)
        return fitting[int(random.integers(len(fitting)))]

    def every(self, lattice: Lattice) -> list[SignedPermutation]:
        extent, d = lattice.extent, lattice.dimensions
        fitting = [
            images for images in permutations(range(d)) if all(extent[n] == extent[m] for m, n in enumerate(images))
        ]
        return [SignedPermutation(images, signs) for images in fitting for signs in product((1, -1), repeat=d)]

    def start(self, lattice: Lattice, seed: int) -> list[Field]:
        return links_to_try(lattice, seed)

    def act(self, element: SignedPermutation, field: Field) -> Field:
        _check_one_for_each_direction(field)
        extent, given = field.lattice.extent, field.to_numpy()
        coordinates = numpy.indices(tuple(reversed(extent)))[::-1]
        turned = [coordinates[0]] * len(extent)  # R x for every site x
        for mu, (nu, sign) in enumerate(zip(*element, strict=True)):
            turned[nu] = sign * coordinates[mu] % extent[nu]
        result = numpy.empty_like(given)
        for mu, (nu, sign) in enumerate(zip(*element, strict=True)):
            place = list(turned)
            if sign < 0:  # the link lies between R x - nu and R x
                place[nu] = (place[nu] - 1) % extent[nu]
            link = given[mu] if sign > 0 else given[mu].conj().swapaxes(-1, -2)
            result[nu][tuple(reversed(place))] = link
        return _like(field, result)


GROUPS: dict[str, Group] = {group.name: group for group in (Gauge(), Hypercubic(), Translation())}


def check(
    map: Callable[[Field], Any],
    group: str | Group,
    lattice: Lattice,
    seed: int = 1,
    samples: int | None = SAMPLES,
) -> float:
    """The largest error of a map under the generators and `samples` random elements of a group, on rough and hot links.

    `group`: "gauge", "hypercubic", "translation" or a Group; `samples=None` takes every element of a finite group.
    For fields the error is the largest |map(g U) - g map(U)| of a matrix element, for numbers |map(g U) - map(U)|
    over max(1, |map(U)|); NaN if the map gives NaN. ValueError for an unknown group, or a map to something else.
    Collective.
    """
    chosen = _find(group)
    if samples is None:
        elements = chosen.every(lattice)
    else:
        random = numpy.random.default_rng(seed)
        elements = chosen.generators(lattice) + [chosen.sample(lattice, random) for _ in range(samples)]
    if not elements:
        raise ValueError(
            f"samples = {samples} leaves no element of the {chosen.name} group to try; at least 1 is right"
        )
    errors = [misses(map, chosen, field, elements) for field in chosen.start(lattice, seed)]
    return float(numpy.max(errors))


def misses(map: Callable[[Field], Any], group: str | Group, U: Field, elements: Sequence[Any]) -> list[float]:
    """The error of a map on the field U for each element of a group, as `check` counts it. Collective."""
    chosen, value = _find(group), map(U)
    errors = []
    for element in elements:
        moved = map(chosen.act(element, U))
        errors.append(_distance(moved, chosen.act(element, value) if isinstance(value, Field) else value))
    return errors


def _find(group: str | Group) -> Group:
    if isinstance(group, Group):
        return group
    if group not in GROUPS:
        raise ValueError(f"group = {group!r} is not known; {', '.join(GROUPS)} are possible")
    return GROUPS[group]


def _distance(left: Any, right: Any) -> float:
    """The largest difference of two fields or, relative to max(1, |right|), of two numbers. Collective."""
    if isinstance(left, Field) and isinstance(right, Field):
        here = numpy.abs(left.local_to_numpy()[0] - right.local_to_numpy()[0]).max()
        return float(numpy.max(left.lattice.world.allgather(float(here))))
    if numpy.isscalar(left) and numpy.isscalar(right):
        return float(abs(left - right) / numpy.maximum(1.0, abs(right)))  # type: ignore[operator,arg-type]
    raise ValueError(f"the map gives {type(left).__name__}; a Field or a number is right")


def _check_one_for_each_direction(field: Field) -> None:
    if field.kind.element != "matrix" or field.kind.count:
        raise ValueError(f"this group acts on links and on gradients by them, not on {field!r}")


def _like(field: Field, array: numpy.ndarray) -> Field:
    return Field(field.lattice, field.kind, field.precision, field.colors).set_global(array)
