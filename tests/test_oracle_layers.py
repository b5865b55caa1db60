"""The NumPy oracles of stout, CovNet, CASK and their pullbacks: symmetries, special weights, finite differences."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from hpcgauge.bench.oracle import algebra, gauge
from hpcgauge.bench.oracle.algebra import Array
from tests.support.oracle import pullback, smear, symmetry
from tests.support.oracle.samples import distance, random_matrices, random_rotation

# A result is a chain of some tens of roundings of 1.1e-16 on numbers of order one.
ROUNDING = 1e-13
# CASK's tan has a slope up to 60 on these links, and rounding grows with it in each of two layers.
CASK_ROUNDING = 1e-11
# Extrapolated five-point differences: what is left is rounding, 1e-16 |function| / eps, relative to the gradient.
DIFFERENCE = 1e-8
# What breaks a symmetry must miss it by more than this.
CLEAR_MISS = 1e-3

EXTENTS = {2: (4, 6), 3: (2, 4, 6), 4: (2, 4, 6, 8)}
WEIGHTS = np.array([[0.1, 0.2, -0.15, 0.12], [-0.05, 0.1, 0.2, -0.1]])
GENTLE_WEIGHTS = np.array([[0.1, 0.05, -0.04, 0.12], [-0.05, 0.03, 0.06, -0.1]])
LAYERS: dict[str, Callable[[Array], Array]] = {
    "stout": lambda U: smear.stout(U, 0.1),
    "covnet": lambda U: smear.covnet(U, np.array([[0.1], [-0.07]])),
    "cask": lambda U: smear.cask(U, WEIGHTS),
    "cask of reach 1": lambda U: smear.cask(U, WEIGHTS, reach=1),
    "cask paper": lambda U: smear.cask(U, WEIGHTS, variant="paper"),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("colors", [2, 3])
@pytest.mark.parametrize("dims", [2, 3, 4])
def test_layers_are_covariant_and_stay_in_the_group(name: str, colors: int, dims: int) -> None:
    U = gauge.rough_links(EXTENTS[dims] if dims < 4 else (2, 4, 2, 6), colors, 7, 0.5)
    layer, rotation, displacement = LAYERS[name], random_rotation(U), (1, 3, 2, 1)[:dims]
    V = layer(U)
    assert distance(V, U) > CLEAR_MISS
    assert algebra.group_error(V) < ROUNDING
    assert distance(layer(gauge.gauge_rotate(U, rotation)), gauge.gauge_rotate(V, rotation)) < CASK_ROUNDING
    moved = symmetry.translate_links(U, displacement)
    assert distance(layer(moved), symmetry.translate_links(V, displacement)) < CASK_ROUNDING


def test_attention_is_gauge_invariant() -> None:
    U = gauge.rough_links((2, 4, 2, 6), 3, 8, 0.5)
    a = smear.attention(U, 0.2, -0.1)
    rotated = smear.attention(gauge.gauge_rotate(U, random_rotation(U)), 0.2, -0.1)
    assert a.shape == (4, 4, 2, 3, *U.shape[1:-2]) and abs(a).max() > CLEAR_MISS
    assert distance(rotated, a) < CASK_ROUNDING
    assert not a[range(4), range(4)].any()


def test_broken_layer_misses_covariance() -> None:
    U = gauge.rough_links(4, 2, 9, 0.5)
    rotation, layer = random_rotation(U), partial(smear.broken_layer, rho=0.1)
    assert distance(layer(gauge.gauge_rotate(U, rotation)), gauge.gauge_rotate(layer(U), rotation)) > CLEAR_MISS


def test_cask_under_all_of_the_hypercubic_group() -> None:
    U = gauge.rough_links(2, 2, 12, 0.5)
    layer = partial(smear.cask, parameters=WEIGHTS[:1], reach=1)
    V = layer(U)
    for one in symmetry.hypercubic_group(4):
        assert distance(layer(symmetry.rotate_links(U, one)), symmetry.rotate_links(V, one)) < CASK_ROUNDING


@pytest.mark.parametrize("colors", [2, 3])
def test_paper_variant_misses_reflections(colors: int) -> None:
    U = gauge.rough_links((2, 4, 4, 2), colors, 12, 0.5)
    layer = partial(smear.cask, parameters=WEIGHTS[:1], variant="paper")
    V = layer(U)
    for signs in ((1, 1, 1, 1), (-1, 1, 1, 1), (1, 1, -1, 1), (-1, -1, 1, -1)):
        one = symmetry.Element((3, 2, 1, 0), signs)
        error = distance(layer(symmetry.rotate_links(U, one)), symmetry.rotate_links(V, one))
        assert error > 0.1 if min(signs) < 0 else error < CASK_ROUNDING


@pytest.mark.parametrize("extent", [(4, 4, 4, 4), (2, 4, 4, 6), (4, 4, 2), (6, 6)])
def test_cask_of_reach_3_under_elements_that_fit(extent: tuple[int, ...]) -> None:
    U = gauge.rough_links(extent, 2, 13, 0.5)
    group = symmetry.fitting(symmetry.hypercubic_group(len(extent)), extent)
    V = smear.cask(U, WEIGHTS)
    for index in np.random.default_rng(14).integers(len(group), size=5):
        expected = symmetry.rotate_links(V, group[index])
        assert distance(smear.cask(symmetry.rotate_links(U, group[index]), WEIGHTS), expected) < CASK_ROUNDING


@pytest.mark.parametrize("variant", ["hypercubic", "paper"])
def test_special_weights(variant: smear.Variant) -> None:
    U = gauge.rough_links((2, 4, 2, 4), 3, 15, 0.5)
    plain = smear.cask(U, np.array([[0.13, 0.0, 0.0, 0.4]]), variant=variant)
    assert distance(plain, smear.stout(U, 0.13)) < ROUNDING
    assert distance(smear.cask(U, np.array([[0.0, 0.2, 0.1, 0.3]]), variant=variant), U) < ROUNDING
    from_zero = pullback.cask(U, np.zeros((1, 4)), random_matrices(U), variant=variant)[2]
    assert abs(from_zero[0, 0]) > 1 and not from_zero[0, 1:].any()


@pytest.mark.parametrize("variant", ["hypercubic", "paper"])
@pytest.mark.parametrize("colors", [2, 3])
def test_pullback_of_cask(colors: int, variant: smear.Variant) -> None:
    U = gauge.rough_links((2, 2, 4, 2), colors, 16, 0.3)
    dV, rng = random_matrices(U), np.random.default_rng(17)
    map_of_links = partial(smear.cask, parameters=GENTLE_WEIGHTS, variant=variant)
    V, _, dparameters = pullback.cask(U, GENTLE_WEIGHTS, dV, variant=variant)
    assert distance(V, map_of_links(U)) < ROUNDING

    def back(links: Array, cotangent: Array) -> Array:
        return pullback.cask(links, GENTLE_WEIGHTS, cotangent, variant=variant)[1]

    assert pullback.numeric_pullback_check(map_of_links, back, U, dV, rng, 1) < DIFFERENCE
    for index in ((0, 0), (0, 1), (0, 2), (0, 3), (1, 2)):
        numeric = pullback.parameter_derivative(
            lambda weights: smear.cask(U, weights, variant=variant), GENTLE_WEIGHTS, dV, index
        )
        assert abs(numeric - dparameters[index]) < DIFFERENCE * np.linalg.norm(dparameters)


@pytest.mark.parametrize("dims", [2, 3, 4])
def test_pullback_of_stout_and_covnet(dims: int) -> None:
    U = gauge.rough_links(EXTENTS[dims] if dims < 4 else (2, 2, 4, 2), 4, 18, 0.6)
    dV, rng, parameters = random_matrices(U), np.random.default_rng(19), np.array([[0.1], [-0.06]])
    V, dU, drho = pullback.stout(U, 0.1, dV)
    assert distance(V, smear.stout(U, 0.1)) < ROUNDING
    numeric = pullback.parameter_derivative(lambda rho: smear.stout(U, rho[0, 0]), parameters, dV, (0, 0))
    assert abs(numeric - drho) < DIFFERENCE * abs(drho)
    stout = partial(smear.stout, rho=0.1)
    assert pullback.numeric_pullback_check(stout, lambda *_: dU, U, dV, rng, 3) < DIFFERENCE
    dU = pullback.covnet(U, parameters, dV)[1]
    covnet = partial(smear.covnet, parameters=parameters)
    assert pullback.numeric_pullback_check(covnet, lambda *_: dU, U, dV, rng, 3) < DIFFERENCE
    wrong = pullback.covnet(U, parameters[::-1], dV)[1]
    assert pullback.numeric_pullback_check(covnet, lambda *_: wrong, U, dV, rng, 3) > 100 * DIFFERENCE
