"""The NumPy oracles of algebra, loops, differences, the hypercubic group and exact numbers obey what fixes them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from hpcgauge.bench.oracle import algebra, gauge
from hpcgauge.bench.oracle.algebra import adjoint, shift, trace
from tests.support.oracle import differences, exact, symmetry
from tests.support.oracle.samples import distance, random_rotation

# A result is a chain of some tens of roundings of 1.1e-16 on numbers of order one.
ROUNDING = 1e-13
# Extrapolated five-point differences: what is left is rounding, 1e-16 |function| / eps, relative to the gradient.
DIFFERENCE = 1e-8
# Numbers of the physics notes are printed with 6 or 8 decimals.
SIX_DIGITS, EIGHT_DIGITS = 5e-7, 5e-9
# What breaks a symmetry must miss it by more than this.
CLEAR_MISS = 1e-3

EXTENTS = {2: (4, 6), 3: (2, 4, 6), 4: (2, 4, 6, 8)}


@pytest.mark.parametrize("colors", [2, 3, 4])
def test_algebra(colors: int) -> None:
    rng = np.random.default_rng(1)
    basis = algebra.generators(colors)
    gram = np.einsum("aij,bji->ab", basis, basis)
    assert distance(gram, np.eye(colors**2 - 1) / 2) < ROUNDING
    X = rng.standard_normal((5, colors, colors)) + 1j * rng.standard_normal((5, colors, colors))
    Q = algebra.TA(X)
    assert distance(Q, -adjoint(Q)) < ROUNDING and abs(trace(Q)).max() < ROUNDING
    components = -2j * np.einsum("aij,nji->na", basis, X)
    assert distance(Q, 1j * np.einsum("na,aij->nij", components.real, basis)) < ROUNDING
    taylor = term = np.broadcast_to(np.eye(colors, dtype=complex), Q.shape)
    for order in range(1, 60):
        term = term @ Q / order
        taylor = taylor + term
    assert distance(algebra.exp_matrix(Q), taylor) < 10 * ROUNDING
    assert algebra.group_error(algebra.random_su((50,), colors, rng)) < ROUNDING
    assert algebra.group_error(gauge.rough_links(2, colors, 1, 1.0)) < ROUNDING


def test_quaternions() -> None:
    rng = np.random.default_rng(2)
    U, V = algebra.random_su((20,), 2, rng), algebra.random_su((20,), 2, rng)
    X = rng.standard_normal((20, 2, 2)) + 1j * rng.standard_normal((20, 2, 2))
    projected = algebra.project_quaternion(X)
    assert distance(algebra.project_quaternion(U), U) < ROUNDING
    assert distance(algebra.project_quaternion(U @ X @ V), U @ projected @ V) < ROUNDING
    assert distance(algebra.TA(projected @ adjoint(U)), algebra.TA(X @ adjoint(U))) < ROUNDING
    sigma_y = 2 * algebra.generators(2)[1]
    assert distance(projected, (X + sigma_y @ X.conj() @ sigma_y) / 2) < ROUNDING


@pytest.mark.parametrize("dims", [2, 3, 4])
def test_shift_reads_the_site_ahead(dims: int) -> None:
    extent = EXTENTS[dims]
    x = algebra.coordinates(tuple(reversed(extent)))
    for mu in range(dims):
        for steps in (1, -1, 3):
            moved = np.array([shift(axis, mu, steps, trailing=0) for axis in x])
            expected = x.copy()
            expected[mu] = (x[mu] + steps) % extent[mu]
            assert (moved == expected).all()


@pytest.mark.parametrize("dims", [2, 3, 4])
@pytest.mark.parametrize("colors", [2, 3])
def test_paths_and_loops(dims: int, colors: int) -> None:
    U = gauge.rough_links(EXTENTS[dims], colors, 3, 0.7)
    for mu in range(dims):
        for nu in (nu for nu in range(dims) if nu != mu):
            assert distance(gauge.path(U, mu, nu, 1, 0), U[mu]) == 0
            for length in range(1, 4):
                shorter = gauge.path(U, mu, nu, 1, length - 1)
                longer = U[nu] @ shift(shorter, nu, 1) @ adjoint(shift(U[nu], mu, 1))
                assert distance(gauge.path(U, mu, nu, 1, length), longer) < ROUNDING
                shorter = gauge.path(U, mu, nu, -1, length - 1)
                longer = shift(adjoint(U[nu]) @ shorter @ shift(U[nu], mu, 1), nu, -1)
                assert distance(gauge.path(U, mu, nu, -1, length), longer) < ROUNDING
                loop = trace(U[mu] @ adjoint(gauge.path(U, mu, nu, 1, length)))
                assert distance(loop, trace(gauge.rectangle(U, mu, nu, 1, length))) < ROUNDING
            assert distance(gauge.rectangle(U, mu, nu, 1, 1), gauge.plaquette_matrix(U, mu, nu)) < ROUNDING
    planes, volume = dims * (dims - 1) / 2, np.prod(EXTENTS[dims])
    through_links = differences.pairing(gauge.staple_sum(U), U) / colors
    assert through_links == pytest.approx(4 * planes * volume * gauge.plaquette(U), rel=ROUNDING)
    action = gauge.plaquette_action(U, 2.7)
    assert action == pytest.approx(2.7 * planes * volume * (1 - gauge.plaquette(U)), rel=ROUNDING)


@pytest.mark.parametrize("dims", [2, 3, 4])
def test_loops_are_gauge_invariant(dims: int) -> None:
    U = gauge.rough_links(EXTENTS[dims], 3, 4, 0.7)
    rotated = gauge.gauge_rotate(U, random_rotation(U))
    assert distance(rotated, U) > CLEAR_MISS
    assert gauge.plaquette(rotated) == pytest.approx(gauge.plaquette(U), abs=ROUNDING)
    assert gauge.wilson_loop(rotated, 2, 1) == pytest.approx(gauge.wilson_loop(U, 2, 1), abs=ROUNDING)
    for mu in range(dims):
        assert gauge.polyakov_loop(rotated, mu) == pytest.approx(gauge.polyakov_loop(U, mu), abs=ROUNDING)
    centre = np.exp(2j * np.pi / 3)
    twisted = U.copy()
    twisted[-1, -1] *= centre
    assert gauge.polyakov_loop(twisted, dims - 1) == pytest.approx(centre * gauge.polyakov_loop(U, dims - 1))
    assert gauge.plaquette(twisted) == pytest.approx(gauge.plaquette(U), abs=ROUNDING)
    unit = gauge.rough_links(EXTENTS[dims], 3, 4, 0.0)
    assert gauge.plaquette(unit) == pytest.approx(1) and gauge.wilson_loop(unit, 1, 2) == pytest.approx(1)


@pytest.mark.parametrize("dims", [2, 3, 4])
@pytest.mark.parametrize("colors", [2, 3, 4])
def test_plaquette_action_gradient(dims: int, colors: int) -> None:
    U = gauge.rough_links(EXTENTS[dims], colors, 5, 0.6)
    gradient = gauge.plaquette_action_gradient(U, 2.7)
    action = partial(gauge.plaquette_action, beta=2.7)
    assert differences.directional_error(action, gradient, U, np.random.default_rng(6)) < DIFFERENCE


def test_order_of_differences() -> None:
    U = gauge.rough_links(2, 2, 6, 0.5)
    direction = algebra.random_algebra(U.shape[:-2], 2, np.random.default_rng(7))
    action = partial(gauge.plaquette_action, beta=2.7)
    exact_value = differences.gradient_pairing(gauge.plaquette_action_gradient(U, 2.7), U, direction)
    errors = [differences.five_point(action, U, direction, eps) - exact_value for eps in (0.04, 0.02)]
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.05)
    extrapolated = differences.richardson(lambda eps: differences.five_point(action, U, direction, eps), 0.04)
    assert abs(extrapolated - exact_value) < 0.1 * abs(errors[1])


def test_group_acts_on_links() -> None:
    group = symmetry.hypercubic_group(4)
    assert len(set(group)) == 384 and group[0] == ((0, 1, 2, 3), (1, 1, 1, 1))
    assert len(symmetry.fitting(group, (2, 4, 6, 8))) == 16 and len(symmetry.fitting(group, (4, 4, 4, 8))) == 96
    U = gauge.rough_links(4, 2, 10, 0.6)
    rotation = random_rotation(U)
    rng = np.random.default_rng(11)
    for first, second in rng.integers(384, size=(20, 2)):
        one, two = group[first], group[second]
        moved = symmetry.rotate_links(U, one)
        both = symmetry.rotate_links(moved, two)
        assert distance(both, symmetry.rotate_links(U, symmetry.compose(two, one))) == 0
        assert gauge.plaquette(moved) == pytest.approx(gauge.plaquette(U), abs=ROUNDING)
        turned_first = symmetry.rotate_links(gauge.gauge_rotate(U, rotation), one)
        turned_last = gauge.gauge_rotate(moved, symmetry.rotate_sites(rotation, one))
        assert distance(turned_first, turned_last) < ROUNDING


def test_exact_plaquettes() -> None:
    assert exact.plaquette_2d(2, 2.7) == pytest.approx(0.53297073, abs=EIGHT_DIGITS)
    assert exact.plaquette_2d(2, 4.0) == pytest.approx(0.65804727, abs=EIGHT_DIGITS)
    assert exact.plaquette_2d(3, 6.0) == pytest.approx(0.42253174, abs=EIGHT_DIGITS)
    assert exact.plaquette_torus(2, 2.7, 16) == pytest.approx(0.53298058, abs=EIGHT_DIGITS)
    assert exact.plaquette_torus(3, 6.0, 400) == pytest.approx(exact.plaquette_2d(3, 6.0), abs=ROUNDING)
    for beta in (0.5, 2.7, 6.0):
        expected = exact.bessel_i(2, beta) / exact.bessel_i(1, beta)
        assert exact.plaquette_2d(2, beta) == pytest.approx(expected, abs=ROUNDING)
    assert exact.plaquette_strong_su2(0.5) == pytest.approx(0.123830, abs=SIX_DIGITS)
    assert exact.plaquette_strong_su2(1.0) == pytest.approx(0.243030, abs=SIX_DIGITS)


@pytest.mark.parametrize("colors", [2, 3])
def test_characters_add_up_to_the_weight(colors: int) -> None:
    beta, eps = 2.0, 1e-3
    values, slopes = exact.character_coefficients(colors, beta)
    above, below = (exact.character_coefficients(colors, beta + step)[0] for step in (eps, -eps))
    assert distance((above - below) / (2 * eps), slopes) < eps**2
    at_identity = sum(exact.dimensions(colors) ** 2 * values)
    assert at_identity == pytest.approx(np.exp(beta), abs=EIGHT_DIGITS)
