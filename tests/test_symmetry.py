"""The symmetry kit against the oracle, layers and observables under it, and controls that must miss."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import hpcgauge as hg
from hpcgauge.bench.oracle import gauge
from hpcgauge.comm.world import World
from hpcgauge.fields.device import Device
from hpcgauge.fields.field import Field, reals
from hpcgauge.gauge.plaquette import staple_sum
from hpcgauge.gauge.stout import exponential_layer
from hpcgauge.kernels.algebra import scaled
from hpcgauge.observables.loops import polyakov_loop, shifted, wilson_loop
from hpcgauge.symmetry import GROUPS, Group, SignedPermutation, check, misses, rough_links
from tests.support.oracle import symmetry
from tests.support.ranks import agree

# A layer is a chain of some tens of roundings of 1.1e-16 on numbers of order one.
ROUNDING = 1e-13
# What breaks a symmetry must miss it by more than this.
CLEAR_MISS = 1e-3

WEIGHTS = [[0.1, 0.2, -0.15, 0.12], [-0.05, 0.1, 0.2, -0.1]]
FOUR_EXTENTS = (2, 4, 6, 8)
COVARIANT: dict[str, Callable[[Field], Any]] = {
    "stout": lambda U: hg.stout(U, 0.1),
    "CovNet": hg.CovNet([[0.1], [-0.07]]),
    "Cask, reach 1": hg.Cask(WEIGHTS, reach=1),
    "Cask, reach 3": hg.Cask(WEIGHTS),
    "gradient": lambda U: hg.PlaquetteAction(2.7).evaluate(U).gradient,
    "action": lambda U: hg.PlaquetteAction(2.7).evaluate(U, gradient=False).value,
    "plaquette": hg.plaquette,
}


def lattice(world: World, extent: tuple[int, ...], colors: int = 2) -> hg.Lattice:
    # One thread: these lattices are too small to share, and the other core may be another rank's.
    return hg.Lattice(extent, colors=colors, world=world, device=Device(threads=1))


def broken_layer(U: Field) -> Field:
    """Stout whose staples are taken one site off."""
    return exponential_layer(shifted(staple_sum(U), 0), U, U, 0.1)


@pytest.mark.ranks
@pytest.mark.parametrize("extent", [(4, 4, 4, 4), FOUR_EXTENTS, (2, 4, 4), (4, 8)])
def test_groups_act_as_the_oracle(world: World, extent: tuple[int, ...]) -> None:
    U = hg.Links.hot(lattice(world, extent, 3))
    array, random = U.to_numpy(), np.random.default_rng(1)
    hypercubic, translation, rotations = GROUPS["hypercubic"], GROUPS["translation"], GROUPS["gauge"]
    every = hypercubic.every(U.lattice)
    expected = symmetry.fitting(symmetry.hypercubic_group(len(extent)), extent)
    agree(world, {tuple(one) for one in every} == {tuple(one) for one in expected} and len(every) == len(expected))
    chosen = every if len(every) < 20 else [every[k] for k in random.integers(len(every), size=20)]
    for one in chosen:
        turned = symmetry.rotate_links(array, symmetry.Element(*one))
        agree(world, (hypercubic.act(one, U).to_numpy() == turned).all(), str(one))
    for _ in range(3):
        displacement = translation.sample(U.lattice, random)
        moved = translation.act(displacement, U).to_numpy()
        agree(world, (moved == symmetry.translate_links(array, displacement)).all(), str(displacement))
    G = rotations.sample(U.lattice, random)
    rotated = gauge.gauge_rotate(array, G.to_numpy())
    agree(world, abs(rotations.act(G, U).to_numpy() - rotated).max() < ROUNDING)


@pytest.mark.parametrize("extent", [(4, 4, 4, 4), (2, 4, 2, 4), FOUR_EXTENTS, (4, 4, 4), (4, 4), (2, 4)])
def test_generators_generate_the_group_that_fits(extent: tuple[int, ...]) -> None:
    place, hypercubic = lattice(World.alone(), extent), GROUPS["hypercubic"]
    generators = [symmetry.Element(*one) for one in hypercubic.generators(place)]
    reached = {symmetry.hypercubic_group(len(extent))[0]}
    new = reached
    while new:
        new = {symmetry.compose(one, other) for one in generators for other in new} - reached
        reached = reached | new
    assert reached == {symmetry.Element(*one) for one in hypercubic.every(place)}
    assert len(GROUPS["translation"].every(place)) == place.volume
    assert not SignedPermutation((1, 0), (1, 1)).is_proper and SignedPermutation((1, 0), (1, -1)).is_proper
    assert sum(one.is_proper for one in hypercubic.every(place)) == len(reached) // 2


@pytest.mark.ranks
@pytest.mark.parametrize("name", COVARIANT)
@pytest.mark.parametrize("extent, colors", [(FOUR_EXTENTS, 2), ((2, 2, 4, 4), 3), ((4, 4, 8), 2), ((8, 8), 2)])
def test_covariant_maps(world: World, name: str, extent: tuple[int, ...], colors: int) -> None:
    for group in GROUPS:
        error = check(COVARIANT[name], group, lattice(world, extent, colors), seed=2, samples=2)
        agree(world, error < ROUNDING, f"{group}: {error}")


@pytest.mark.ranks
def test_cask_under_all_384_elements(world: World) -> None:
    place = lattice(world, (4, 4, 4, 4))
    net = hg.Cask(WEIGHTS[:1], reach=1)
    U = rough_links(place, 3)
    every = GROUPS["hypercubic"].every(place)
    agree(world, len(every) == 384 and abs(net(U).to_numpy() - U.to_numpy()).max() > CLEAR_MISS)
    # Every rank gathers the field for every element: all of them on one rank, a part on several.
    chosen = every if world.size == 1 else every[5::16]
    agree(world, max(misses(net, "hypercubic", U, chosen)) < ROUNDING)


def test_cask_on_the_smallest_lattice_under_every_element_of_every_finite_group() -> None:
    for group in ("hypercubic", "translation"):
        assert check(hg.Cask(WEIGHTS[:1]), group, lattice(World.alone(), (2, 2, 2, 2)), samples=None) < ROUNDING


@pytest.mark.ranks
@pytest.mark.parametrize("colors", [2, 3])
def test_paper_variant_misses_reflections_alone(world: World, colors: int) -> None:
    place = lattice(world, (4, 4, 4, 4), colors)
    net, U = hg.Cask(WEIGHTS[:1], reach=1, variant="paper"), rough_links(place, 4)
    for group in ("gauge", "translation"):
        agree(world, check(net, group, place, samples=4) < ROUNDING, group)
    agree(world, check(net, "hypercubic", place, samples=1) > CLEAR_MISS)
    swaps = [SignedPermutation(images, (1, 1, 1, 1)) for images in ((1, 0, 2, 3), (3, 2, 1, 0), (1, 2, 3, 0))]
    agree(world, max(misses(net, "hypercubic", U, swaps)) < ROUNDING)
    turned = [SignedPermutation((0, 1, 2, 3), signs) for signs in ((-1, 1, 1, 1), (1, 1, 1, -1), (-1, -1, -1, -1))]
    turned += [SignedPermutation((1, 0, 2, 3), (1, -1, 1, 1))]  # a rotation by 90 degrees
    agree(world, min(misses(net, "hypercubic", U, turned)) > CLEAR_MISS)


@pytest.mark.ranks
def test_broken_maps_miss(world: World) -> None:
    place = lattice(world, (4, 4, 4, 4))
    fixed = hg.Rotation.hot(place, seed=5)
    for group in ("gauge", "hypercubic"):
        agree(world, check(broken_layer, group, place, samples=2) > CLEAR_MISS, group)
    agree(world, check(broken_layer, "translation", place, samples=2) < ROUNDING)
    for group in GROUPS:
        agree(world, check(lambda U: hg.gauge_rotate(U, fixed), group, place, samples=2) > CLEAR_MISS, group)
    agree(world, check(polyakov_loop, "hypercubic", place, samples=2) > CLEAR_MISS)
    agree(world, check(lambda U: wilson_loop(U, 1, 2), "hypercubic", place, samples=2) > CLEAR_MISS)


@pytest.mark.ranks
def test_not_a_number_is_no_small_error(world: World) -> None:
    place = lattice(world, (4, 4, 4))
    agree(world, math.isnan(check(lambda U: scaled(U, math.nan), "translation", place, samples=1)))
    agree(world, math.isnan(check(lambda U: math.nan, "gauge", place, samples=1)))


def test_what_cannot_be_checked_is_refused() -> None:
    place = lattice(World.alone(), (2, 2, 2))
    with pytest.raises(ValueError, match="hypercubic"):
        check(hg.plaquette, "cubic", place)
    with pytest.raises(ValueError, match="no finite group"):
        check(hg.plaquette, "gauge", place, samples=None)
    with pytest.raises(ValueError, match="samples = 0"):
        check(hg.plaquette, "gauge", place, samples=0)
    with pytest.raises(ValueError, match="tuple"):
        check(lambda U: (U, U), "gauge", place, samples=1)
    for group in GROUPS:
        with pytest.raises(ValueError, match="vectors"):
            check(lambda U: hg.ColorVector.zeros(place), group, place, samples=1)


class Scaling(Group):
    """Positive factors on fields of real numbers: a group that has nothing to do with links."""

    name = "scaling"

    def generators(self, lattice: hg.Lattice) -> list[Any]:
        return []

    def sample(self, lattice: hg.Lattice, random: np.random.Generator) -> float:
        return float(2.0 ** random.integers(1, 6))

    def every(self, lattice: hg.Lattice) -> list[Any]:
        raise ValueError("scaling is no finite group")

    def start(self, lattice: hg.Lattice, seed: int) -> list[Field]:
        return [Field(lattice, reals(3)).fill(seed)]

    def act(self, element: float, field: Field) -> Field:
        return scaled(field, element)


@pytest.mark.ranks
def test_a_group_of_ones_own(world: World) -> None:
    place = lattice(world, (4, 4, 4))
    agree(world, check(lambda field: scaled(field, 3.0), Scaling(), place) == 0)
    agree(world, check(lambda field: field.copy().fill(1.0), Scaling(), place) > CLEAR_MISS)
