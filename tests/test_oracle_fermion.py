"""The NumPy oracle of staggered fermions: adjointness, free spectrum, heat bath, gradient."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from hpcgauge.bench.oracle import fermion, gauge
from hpcgauge.bench.oracle.algebra import Array
from tests.support.oracle import differences, pullback, smear
from tests.support.oracle.samples import distance, random_rotation, random_vector

# A result is a chain of some tens of roundings of 1.1e-16 on numbers of order one.
ROUNDING = 1e-13
# Extrapolated five-point differences: what is left is rounding, 1e-16 |function| / eps, relative to the gradient.
DIFFERENCE = 1e-8
# Numbers of the physics notes are printed with 6 decimals.
SIX_DIGITS = 5e-7

ANTIPERIODIC = (1, 1, 1, -1)
GENTLE_WEIGHTS = np.array([[0.1, 0.05, -0.04, 0.12], [-0.05, 0.03, 0.06, -0.1]])


def test_phases_by_hand() -> None:
    phases = fermion.phases((6, 4, 2, 4), ANTIPERIODIC)
    for x, y, z, t in np.ndindex(4, 2, 4, 6):
        signs = (1, (-1) ** x, (-1) ** (x + y), (-1) ** (x + y + z) * (-1 if t == 5 else 1))
        assert tuple(phases[:, t, z, y, x]) == signs


@pytest.mark.parametrize("dims", [2, 3, 4])
def test_staggered_operator(dims: int) -> None:
    extent, boundary = ((4, 6), (2, 4, 6), (2, 4, 2, 4))[dims - 2], (1, -1, 1, -1)[-dims:]
    U = gauge.rough_links(extent, 3, 20, 0.7)
    left, right = random_vector(U, 21), random_vector(U, 22)
    D, D_adjoint = (
        partial(one, U, mass=0.3, boundary=boundary) for one in (fermion.staggered, fermion.staggered_adjoint)
    )
    assert np.vdot(left, D(right)) == pytest.approx(np.vdot(D_adjoint(left), right), rel=ROUNDING)
    dense = fermion.dense_staggered(U, 0.3, boundary)
    assert distance(dense @ right.ravel(), D(right).ravel()) < ROUNDING
    assert distance(dense.conj().T @ right.ravel(), D_adjoint(right).ravel()) < ROUNDING
    rotation = random_rotation(U)
    rotated = fermion.staggered(gauge.gauge_rotate(U, rotation), (rotation @ right[..., None])[..., 0], 0.3, boundary)
    assert distance(rotated, (rotation @ D(right)[..., None])[..., 0]) < ROUNDING
    even = fermion.keep_parity(right, 0)
    assert distance(fermion.keep_parity(D_adjoint(D(even)), 1), np.zeros_like(even)) < ROUNDING
    solution = fermion.solve_normal(U, right, 0.3, boundary)
    assert distance(D_adjoint(D(solution)), right) < ROUNDING


def test_free_fermions() -> None:
    unit = gauge.rough_links(4, 2, 0, 0.0)
    free = fermion.free_spectrum((4, 4, 4, 4), ANTIPERIODIC)
    values, counts = np.unique(free.round(12), return_counts=True)
    assert values.tolist() == [0.5, 1.5, 2.5, 3.5] and counts.tolist() == [32, 96, 96, 32]
    assert distance(fermion.spectrum(unit, ANTIPERIODIC), np.repeat(free, 2)) < ROUNDING
    assert fermion.condensate(unit, 0.3, ANTIPERIODIC) == pytest.approx(0.376392, abs=SIX_DIGITS)
    assert 2 * np.mean(0.3 / (0.09 + free)) == pytest.approx(0.376392, abs=SIX_DIGITS)
    uneven = fermion.spectrum(gauge.rough_links((2, 4, 6), 2, 0, 0.0), (1, -1, 1))
    assert distance(uneven, np.repeat(fermion.free_spectrum((2, 4, 6), (1, -1, 1)), 2)) < ROUNDING


def test_condensate_is_the_trace_of_the_normal_inverse() -> None:
    U = gauge.rough_links((2, 4, 2, 4), 3, 23, 0.6)
    expected = 3 * np.mean(0.3 / (0.09 + fermion.spectrum(U, ANTIPERIODIC)))
    assert fermion.condensate(U, 0.3, ANTIPERIODIC) == pytest.approx(expected, rel=ROUNDING)


def test_pseudofermion_action() -> None:
    U = gauge.rough_links((2, 4, 2, 4), 2, 24, 0.6)
    xi, rotation = random_vector(U), random_rotation(U)
    phi = fermion.heat_bath(U, xi, 0.3, ANTIPERIODIC, 8)
    action = fermion.pseudofermion_action(U, phi, 0.3, ANTIPERIODIC)
    assert action == pytest.approx(np.vdot(xi, xi).real, rel=ROUNDING)
    phi = fermion.heat_bath(U, xi, 0.3, ANTIPERIODIC, 4)
    action = fermion.pseudofermion_action(U, phi, 0.3, ANTIPERIODIC)
    dense = fermion.dense_staggered(U, 0.3, ANTIPERIODIC)
    even = np.repeat(fermion.parity(U.shape[1:-2]).ravel() == 0, 2)
    block = (dense.conj().T @ dense)[np.ix_(even, even)]
    assert action == pytest.approx(np.vdot(phi.ravel()[even], np.linalg.solve(block, phi.ravel()[even])).real)
    assert np.linalg.det(block) == pytest.approx(np.linalg.det(dense).real, rel=1e-10)
    covariance = np.hstack([0.3 * np.eye(even.sum()), -dense[np.ix_(even, ~even)]])
    assert distance(covariance @ covariance.conj().T, block) < ROUNDING
    expected = covariance @ np.concatenate([xi.ravel()[even], xi.ravel()[~even]])
    assert distance(phi.ravel()[even], expected) < ROUNDING and not phi.ravel()[~even].any()
    rotated = (rotation @ phi[..., None])[..., 0]
    turned = fermion.pseudofermion_action(gauge.gauge_rotate(U, rotation), rotated, 0.3, ANTIPERIODIC)
    assert turned == pytest.approx(action, rel=ROUNDING)


@pytest.mark.parametrize("tastes", [4, 8])
@pytest.mark.parametrize("extent", [(4, 4), (2, 4, 2), (2, 2, 4, 2)])
def test_pseudofermion_gradient(extent: tuple[int, ...], tastes: fermion.Tastes) -> None:
    U, boundary = gauge.rough_links(extent, 3, 25, 0.5), ANTIPERIODIC[-len(extent) :]
    phi = fermion.heat_bath(U, random_vector(U), 0.3, boundary, tastes)
    action = partial(fermion.pseudofermion_action, phi=phi, mass=0.3, boundary=boundary)
    gradient = fermion.pseudofermion_gradient(U, phi, 0.3, boundary)
    assert differences.directional_error(action, gradient, U, np.random.default_rng(26)) < DIFFERENCE


def test_gradient_through_cask() -> None:
    U = gauge.rough_links((2, 2, 2, 4), 2, 27, 0.3)
    phi = fermion.heat_bath(U, random_vector(U), 0.4, ANTIPERIODIC, 4)

    def action(links: Array) -> float:
        return fermion.pseudofermion_action(smear.cask(links, GENTLE_WEIGHTS), phi, 0.4, ANTIPERIODIC)

    dV = fermion.pseudofermion_gradient(smear.cask(U, GENTLE_WEIGHTS), phi, 0.4, ANTIPERIODIC)
    gradient = pullback.cask(U, GENTLE_WEIGHTS, dV)[1]
    assert differences.directional_error(action, gradient, U, np.random.default_rng(28), eps=1e-3) < DIFFERENCE
