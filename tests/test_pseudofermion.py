"""Pseudofermion actions of staggered quarks against formulas, identities and finite differences."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from hpcgauge.action.action import Evaluation
from hpcgauge.bench.oracle import fermion
from hpcgauge.bench.oracle.algebra import TA, Array, adjoint
from hpcgauge.comm.world import World
from hpcgauge.fermion.pseudofermion import StaggeredAction
from hpcgauge.fermion.staggered import Staggered
from hpcgauge.fields.field import Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import Links
from hpcgauge.kernels.draws import Draw, Stream, random_vectors
from tests.support.kernels.differences import directional_error
from tests.support.kernels.samples import rough
from tests.support.oracle.samples import distance
from tests.support.ranks import agree

# A chain of some tens of roundings of 1.1e-16 on numbers of order one.
ROUNDING = 1e-13
# A solution with residual 1e-13 is off by 1e-13 / m^2 times what it is made of.
TOLERANCE, SOLVED = 1e-13, 1e-11
# Extrapolated five-point differences: what is left is rounding, 1e-16 |function| / eps, relative to the gradient.
DIFFERENCE = 1e-8
BOUNDARIES = {2: ((1, -1), (-1, 1)), 3: ((1, 1, -1),), 4: ((1, 1, 1, -1), (-1, 1, -1, 1), (1, 1, 1, 1))}
DRAW = Draw(Stream.PSEUDOFERMION, seed=31, trajectory=2)
MASS = 0.3


def action_at(
    world: World, colors: int, tastes: int, dimensions: int = 4
) -> tuple[StaggeredAction, Array, Field, Field]:
    """An action, links as an array and as a field, and phi drawn on them. Collective."""
    array, U = rough(world, colors, dimensions)
    action = StaggeredAction(MASS, tastes, tolerance=TOLERANCE, force_tolerance=TOLERANCE)
    return action, array, U, action.refresh(DRAW, U)


@pytest.mark.ranks
@pytest.mark.parametrize("tastes", [4, 8])
@pytest.mark.parametrize(("colors", "dimensions"), [(2, 2), (2, 3), (2, 4), (3, 4), (4, 4)])
def test_action_equals_the_formula(world: World, colors: int, dimensions: int, tastes: fermion.Tastes) -> None:
    action, array, U, phi = action_at(world, colors, tastes, dimensions)
    boundary, xi = BOUNDARIES[dimensions][0], random_vectors(U.lattice, DRAW).to_numpy()
    expected = fermion.heat_bath(array, xi, MASS, boundary, tastes)
    agree(world, distance(phi.to_numpy(), expected) < ROUNDING, "phi")
    evaluation, value = action.evaluate(U, phi), fermion.pseudofermion_action(array, expected, MASS, boundary)
    agree(world, math.isclose(evaluation.value, value, rel_tol=ROUNDING), f"{evaluation.value} {value}")
    agree(world, evaluation.steps > 0 and evaluation.gradient is not None, "steps and gradient")
    found, right = gradient_in_algebra(evaluation, U), fermion.pseudofermion_gradient(array, expected, MASS, boundary)
    error = distance(found, TA(right @ adjoint(array)))
    agree(world, error < SOLVED, f"gradient off by {error:.2g}")
    if tastes == 8:
        agree(world, math.isclose(evaluation.value, np.vdot(xi, xi).real, rel_tol=ROUNDING), "S = |xi|^2 at the start")
    else:
        agree(world, not fermion.keep_parity(phi.to_numpy(), 1).any(), "phi lives on even sites")


def gradient_in_algebra(evaluation: Evaluation, U: Field) -> Array:
    """TA(C U^+), what a change of the links inside the group sees of a gradient. Collective."""
    assert evaluation.gradient is not None
    return TA(evaluation.gradient.to_numpy() @ adjoint(U.to_numpy()))


@pytest.mark.parametrize("tastes", [4, 8])
@pytest.mark.parametrize("colors", [2, 3])
def test_gradient_is_the_finite_difference(world: World, colors: int, tastes: int) -> None:
    action, _, U, phi = action_at(world, colors, tastes)
    C = action.evaluate(U, phi).gradient
    error = directional_error(lambda V: action.evaluate(V, phi, gradient=False).value, C, U, 33, 1e-2)
    agree(world, error < DIFFERENCE, f"{error:.2g}")


@pytest.mark.ranks
def test_boundary_signs_are_those_given(world: World) -> None:
    array, U = rough(world, 2)
    for boundary in BOUNDARIES[4]:
        action = StaggeredAction(MASS, 8, boundary, tolerance=TOLERANCE)
        phi = action.refresh(DRAW, U)
        value = action.evaluate(U, phi, gradient=False).value
        expected = fermion.pseudofermion_action(array, phi.to_numpy(), MASS, boundary)
        agree(world, math.isclose(value, expected, rel_tol=ROUNDING), f"{boundary}: {value} {expected}")


@pytest.mark.ranks
@pytest.mark.parametrize("tastes", [4, 8])
def test_bits_do_not_depend_on_the_ranks(world: World, tastes: int) -> None:
    results = []
    for on in (world, None):
        action, _, U, phi = action_at(on, 2, tastes)
        evaluation = action.evaluate(U, phi)
        results.append((evaluation.value, evaluation.steps, evaluation.gradient.to_numpy().tobytes()))
    agree(world, results[0] == results[1], f"{results[0][:2]} {results[1][:2]}")


def test_heat_bath_has_its_weight() -> None:
    """<S> = number of complex components of phi, by the equipartition of a Gaussian, for both numbers of tastes."""
    _, U = rough(None, 2)
    for tastes, components in ((4, 2 * U.lattice.volume // 2), (8, 2 * U.lattice.volume)):
        action = StaggeredAction(MASS, tastes)
        values = []
        for trajectory in range(20):
            phi = action.refresh(Draw(Stream.PSEUDOFERMION, 34, trajectory), U)
            values.append(action.evaluate(U, phi, gradient=False).value)
        error = math.sqrt(components / len(values))
        assert abs(np.mean(values) - components) < 4 * error, f"{tastes} tastes: {np.mean(values)}, not {components}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mass": 0.3, "tastes": 2}, "tastes = 2 is not possible without rational powers; 4 and 8 are"),
        ({"mass": 0.0, "tastes": 4}, "mass = 0.0 must be above 0"),
        ({"mass": float("nan"), "tastes": 4}, "mass = nan must be above 0"),
        ({"mass": 0.3, "tastes": 4, "boundary": (1, 1, 1, 2)}, r"boundary = \[1, 1, 1, 2\] must hold 4 signs"),
    ],
)
def test_impossible_actions_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StaggeredAction(**arguments)


def test_boundary_of_another_dimension_is_refused() -> None:
    U = Links.unit(Lattice((4, 4), 2))
    with pytest.raises(ValueError, match=r"boundary = \[1, 1, -1\] must hold 2 signs"):
        Staggered(U, MASS, (1, 1, -1))


def test_slots_tell_kinds_of_fields_apart() -> None:
    slots = {StaggeredAction(m, n, b).slot for m, n, b in product((0.3, 0.4), (4, 8), (None, (1, 1, 1, 1)))}
    assert len(slots) == 4 and None not in slots
