"""Plaquette, staples, stout, gauge rotations and the plaquette action against formulas, symmetries, differences."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from hpcgauge.bench.oracle import algebra, gauge
from hpcgauge.bench.oracle.algebra import adjoint, random_algebra, trace
from hpcgauge.comm.world import World
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import (
    KICK,
    Links,
    MatrixField,
    Rotation,
    force,
    gauge_rotate,
    kinetic,
    multiply,
    reunitarised,
)
from hpcgauge.gauge.plaquette import PlaquetteAction, n_plaquettes, plaquette, staple_sum
from hpcgauge.gauge.stout import stout
from hpcgauge.kernels.draws import Draw, Stream, random_momenta
from hpcgauge.kernels.loop import run
from tests.support.kernels.differences import directional_error
from tests.support.kernels.samples import EXTENTS, link_array
from tests.support.oracle import smear
from tests.support.oracle.samples import distance, random_rotation
from tests.support.ranks import agree

# A chain of some tens of roundings of 1.1e-16 on numbers of order one.
ROUNDING = 1e-13
# Extrapolated five-point differences: what is left is rounding, 1e-16 |function| / eps, relative to the gradient.
DIFFERENCE = 1e-8
# What breaks a symmetry, or changes anything, must do so by more than this.
CLEAR_MISS = 1e-3


@pytest.mark.ranks
@pytest.mark.parametrize("kind", ["smooth", "rough", "hot"])
@pytest.mark.parametrize(("colors", "dimensions"), [(2, 2), (2, 3), (2, 4), (3, 4), (4, 4)])
def test_against_the_formulas(world: World, colors: int, dimensions: int, kind: str) -> None:
    extent = EXTENTS[dimensions]
    array = link_array(kind, extent, colors)
    lattice = Lattice(extent, colors, world)
    U, rotation = Links.from_numpy(lattice, array), random_rotation(array)
    agree(world, abs(plaquette(U) - gauge.plaquette(array)) < ROUNDING, "plaquette")
    agree(world, distance(staple_sum(U, 0.7).to_numpy(), 0.7 * gauge.staple_sum(array)) < ROUNDING, "staples")
    smeared, turned = stout(U, 0.1), gauge_rotate(U, Rotation.from_numpy(lattice, rotation))
    agree(world, distance(smeared.to_numpy(), smear.stout(array, 0.1)) < ROUNDING, "stout")
    agree(world, distance(turned.to_numpy(), gauge.gauge_rotate(array, rotation)) < ROUNDING, "rotation")
    action = PlaquetteAction(beta=2.7).evaluate(U)
    expected = gauge.plaquette_action(array, 2.7)
    alone = PlaquetteAction(beta=2.7).evaluate(U, gradient=False).value
    for value in (action.value, alone):
        agree(world, abs(value - expected) < ROUNDING * 2.7 * n_plaquettes(lattice), f"{value} {expected}")
    assert action.gradient is not None
    agree(world, distance(action.gradient.to_numpy(), gauge.plaquette_action_gradient(array, 2.7)) < ROUNDING)


@pytest.mark.ranks
@pytest.mark.parametrize("colors", [2, 3, 4])
def test_products_of_fields(world: World, colors: int) -> None:
    array = link_array("rough", EXTENTS[4], colors)
    lattice, rotation = Lattice(EXTENTS[4], colors, world), random_rotation(array)
    U, P, G = (
        Links.from_numpy(lattice, array),
        random_momenta(lattice, Draw(Stream.NOISE, 8)),
        Rotation.from_numpy(lattice, rotation),
    )
    agree(world, distance(multiply(P, U).to_numpy(), P.to_numpy() @ array) < ROUNDING, "one matrix for each direction")
    agree(world, distance(multiply(G, G).to_numpy(), rotation @ rotation) < ROUNDING, "one matrix on a site")
    kinds = [multiply(a, b).kind.is_group for a, b in ((U, U), (P, U), (U, P))]
    agree(world, kinds == [True, False, False], f"is_group: {kinds}")
    with pytest.raises(ValueError, match="as many matrices"):
        multiply(U, G)


@pytest.mark.ranks
@pytest.mark.parametrize("colors", [2, 3, 4])
def test_gauge_covariance(world: World, colors: int) -> None:
    lattice = Lattice(EXTENTS[4], colors, world)
    U, G, action = (
        Links.from_numpy(lattice, link_array("rough", EXTENTS[4], colors)),
        Rotation.hot(lattice),
        PlaquetteAction(3),
    )
    turned = gauge_rotate(U, G)
    agree(world, distance(turned.to_numpy(), U.to_numpy()) > CLEAR_MISS, "the rotation changes links")
    agree(world, abs(plaquette(turned) - plaquette(U)) < ROUNDING, "plaquette")
    values = [action.evaluate(V, gradient=False).value for V in (U, turned)]
    agree(world, math.isclose(*values, rel_tol=ROUNDING), f"action {values}")
    for name, layer in (("staples", staple_sum), ("stout", partial(stout, rho=0.1))):
        left, right = layer(turned).to_numpy(), gauge.gauge_rotate(layer(U).to_numpy(), G.to_numpy())
        agree(world, distance(left, right) < ROUNDING, name)
    F, F_turned = (force(action.evaluate(V).gradient, V).to_numpy() for V in (U, turned))
    agree(world, distance(F_turned, gauge.rotate_matrices(F, G.to_numpy())) < ROUNDING, "force")


@pytest.mark.ranks
@pytest.mark.parametrize(("colors", "dimensions"), [(2, 2), (2, 3), (2, 4), (3, 4), (4, 4)])
def test_gradient_is_the_finite_difference(world: World, colors: int, dimensions: int) -> None:
    lattice, action = Lattice(EXTENTS[dimensions], colors, world), PlaquetteAction(beta=2.7)
    for kind in ("rough", "hot"):
        U = Links.from_numpy(lattice, link_array(kind, EXTENTS[dimensions], colors))
        C = action.evaluate(U).gradient
        error = directional_error(lambda V: action.evaluate(V, gradient=False).value, C, U, 5, 1e-2)
        agree(world, error < DIFFERENCE, f"{kind}: {error:.2g}")
        C.fill(0.0).set_global(1.001 * action.evaluate(U).gradient.to_numpy())
        wrong = directional_error(lambda V: action.evaluate(V, gradient=False).value, C, U, 5, 1e-2)
        agree(world, wrong > 100 * DIFFERENCE, f"a gradient off by 0.1 % shows: {wrong:.2g}")


@pytest.mark.ranks
@pytest.mark.parametrize("colors", [2, 3, 4])
def test_force_conserves_energy(world: World, colors: int) -> None:
    """d/dt (K + S) = 0 for dU/dt = P U, dP/dt = F: -2 Re tr(P F) + Re tr(C^+ P U) = 0."""
    lattice = Lattice(EXTENTS[4], colors, world)
    U, P = (
        Links.from_numpy(lattice, link_array("rough", EXTENTS[4], colors)),
        random_momenta(lattice, Draw(Stream.NOISE, 8)),
    )
    C = PlaquetteAction(beta=2.7).evaluate(U).gradient
    F = force(C, U)
    p, f, c, u = (field.to_numpy() for field in (P, F, C, U))
    kinetic_rate = -2 * trace(p @ f).real.sum()
    action_rate = np.vdot(c, p @ u).real
    agree(world, math.isclose(kinetic_rate, -action_rate, rel_tol=ROUNDING), f"{kinetic_rate} {action_rate}")
    agree(world, distance(f, -algebra.TA(c @ adjoint(u)) / 2) < ROUNDING, "force")
    agree(world, math.isclose(kinetic(P), -trace(p @ p).real.sum(), rel_tol=ROUNDING), "kinetic")
    run(KICK, P=P, C=C, U=U, step=0.3)
    agree(world, distance(P.to_numpy(), p + 0.3 * f) < ROUNDING, "kick")


@pytest.mark.ranks
def test_momenta_have_unit_components(world: World) -> None:
    """K = sum pi_a^2 / 2 has the mean d V (N^2 - 1) / 2 and the variance of half as many squares."""
    for colors in (2, 3):
        lattice = Lattice((8, 8, 8, 8), colors, world)
        P = random_momenta(lattice, Draw(Stream.MOMENTUM, 9))
        n = 4 * lattice.volume * (colors**2 - 1)
        agree(world, abs(kinetic(P) - n / 2) < 4 * math.sqrt(n / 2), f"{kinetic(P)} of {n / 2}")
        agree(world, distance(algebra.TA(P.to_numpy()), P.to_numpy()) < 1e-15, "traceless antihermitian")


@pytest.mark.ranks
@pytest.mark.parametrize("colors", [2, 3, 4])
def test_special_links(world: World, colors: int) -> None:
    lattice = Lattice(EXTENTS[4], colors, world)
    unit, U = Links.unit(lattice), Links.hot(lattice)
    agree(world, plaquette(unit) == 1 and PlaquetteAction(2.0).evaluate(unit).value == 0, "unit links")
    agree(world, abs(plaquette(U)) < 6 / colors / math.sqrt(n_plaquettes(lattice)), f"hot: {plaquette(U)}")
    agree(world, distance(stout(U, 0.0).to_numpy(), U.to_numpy()) < 1e-15, "stout with rho = 0 changes nothing")
    agree(world, distance(stout(unit, 0.2).to_numpy(), unit.to_numpy()) < 1e-15, "stout leaves unit links")
    agree(world, algebra.group_error(stout(U, 0.2).to_numpy()) < ROUNDING, "stout stays in the group")
    rough = Links.from_numpy(lattice, link_array("rough", EXTENTS[4], colors))
    agree(world, plaquette(stout(rough, 0.05)) > plaquette(rough) + CLEAR_MISS, "stout smooths")


@pytest.mark.ranks
@pytest.mark.parametrize("colors", [2, 3, 4])
def test_large_exponentials(world: World, colors: int) -> None:
    """exp stays exact where the argument is large or tiny: stout with rho from 1e-12 to 1 on hot links."""
    lattice, array = Lattice(EXTENTS[4], colors, world), link_array("hot", EXTENTS[4], colors)
    U = Links.from_numpy(lattice, array)
    for rho in (1e-12, 1e-6, 0.01, 0.3, 1.0):
        error = distance(stout(U, rho).to_numpy(), smear.stout(array, rho))
        # The series of SU(N) loses digits as exp of the argument's size, |rho Omega| <= 6 rho.
        agree(world, error < ROUNDING * math.exp(6 * rho), f"rho = {rho}: {error:.2g}")


@pytest.mark.ranks
def test_single_precision(world: World) -> None:
    double = Lattice(EXTENTS[4], 3, world)
    array = link_array("rough", EXTENTS[4], 3)
    U = Links.from_numpy(double, array)
    single = U.astype("single")
    agree(world, abs(plaquette(single) - plaquette(U)) < 1e-6, "plaquette")
    agree(world, distance(stout(single, 0.1).to_numpy(), stout(U, 0.1).to_numpy()) < 1e-5, "stout")
    back = reunitarised(single.astype("double"))
    agree(world, algebra.group_error(back.to_numpy()) < 1e-14 and distance(back.to_numpy(), array) < 1e-6, "back")


@pytest.mark.ranks
@pytest.mark.parametrize("colors", [2, 3])
def test_bits_do_not_depend_on_the_ranks(world: World, colors: int) -> None:
    results = []
    for lattice in (Lattice(EXTENTS[4], colors, world), Lattice(EXTENTS[4], colors)):
        U = stout(Links.hot(lattice, seed=4), 0.1)
        evaluation = PlaquetteAction(2.7).evaluate(U)
        results.append((evaluation.value, evaluation.gradient.to_numpy().tobytes(), U.to_numpy().tobytes()))
    agree(world, results[0] == results[1], f"{results[0][0]!r} {results[1][0]!r}")


@pytest.mark.ranks
def test_projected_gradients_give_the_same_force(world: World) -> None:
    """For SU(2) a matrix field is projected on quaternions, which a force cannot see."""
    lattice, rng = Lattice(EXTENTS[4], 2, world), np.random.default_rng(12)
    array = link_array("rough", EXTENTS[4], 2)
    C = rng.standard_normal(array.shape) + 1j * rng.standard_normal(array.shape)
    F = force(MatrixField.from_numpy(lattice, C), Links.from_numpy(lattice, array)).to_numpy()
    agree(world, distance(F, -algebra.TA(C @ adjoint(array)) / 2) < ROUNDING)
    P = random_algebra(array.shape[:-2], 2, rng)
    agree(world, distance(MatrixField.from_numpy(lattice, P).to_numpy(), P) < 1e-15, "momenta are quaternions")
