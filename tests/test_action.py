"""Sums of actions and actions of transformed links: values, gradients, weights, parameters, slots."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest

from hpcgauge.action.action import AbstractAction, Sum, as_sum, match_slots
from hpcgauge.action.transformed import Transformed
from hpcgauge.bench.oracle import gauge
from hpcgauge.comm.world import World
from hpcgauge.fermion.pseudofermion import StaggeredAction
from hpcgauge.fields.field import Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import Links, Rotation, force, gauge_rotate
from hpcgauge.gauge.plaquette import PlaquetteAction
from hpcgauge.kernels.draws import Draw, Stream, random_vectors
from hpcgauge.network.cask import Cask
from hpcgauge.network.covnet import CovNet
from tests.support.kernels.differences import directional_error, five_point
from tests.support.kernels.samples import EXTENTS, link_array, rough
from tests.support.oracle.differences import richardson
from tests.support.oracle.samples import distance
from tests.support.ranks import agree

# Extrapolated five-point differences: what is left is rounding, 1e-16 |function| / eps, relative to the gradient.
DIFFERENCE = 1e-8
# CASK bends on this scale, so that eps must be small.
EPS = 2e-4
ROUNDING = 1e-13
# The solver's error in a gradient is 1e-13 / m^2, and CASK's tan multiplies it by a few tens.
SOLVED = 1e-11
MASS = 0.4
PARAMETERS = np.array([[0.1, 0.05, -0.04, 0.12], [-0.05, 0.03, 0.06, -0.1]])
NETWORKS = {
    "cask": Cask(PARAMETERS),
    "cask of reach 1": Cask(PARAMETERS, reach=1),
    "cask paper": Cask(PARAMETERS, variant="paper"),
    "covnet": CovNet([[0.1], [-0.07]]),
}
FIRST = ("cask", 2, 4)
DRAW = Draw(Stream.PSEUDOFERMION, seed=51)


def staggered(tastes: int, mass: float = MASS) -> StaggeredAction:
    return StaggeredAction(mass, tastes, tolerance=1e-13, force_tolerance=1e-13)


def on_ranks(name: str, colors: int, tastes: int) -> Any:
    """A parameter; one case runs on several ranks too, and the bits of more are compared there."""
    return pytest.param(name, colors, tastes, marks=[pytest.mark.ranks] if (name, colors, tastes) == FIRST else [])


@pytest.mark.parametrize(("name", "colors", "tastes"), [on_ranks(*case) for case in product(NETWORKS, (2, 3), (4, 8))])
def test_gradients_through_networks(world: World, name: str, colors: int, tastes: int) -> None:
    """By links and by parameters, each equal to a five-point finite difference."""
    _, U = rough(world, colors)
    action = Transformed(staggered(tastes), NETWORKS[name])
    fields = staggered(tastes, 0.3).refresh(DRAW, U)
    evaluation = action.evaluate(U, fields, parameters=True)
    agree(world, evaluation.value == action.evaluate(U, fields, gradient=False).value, "one value, asked for or not")
    assert evaluation.gradient is not None
    error = directional_error(
        lambda V: action.evaluate(V, fields, gradient=False).value, evaluation.gradient, U, 52, EPS
    )
    agree(world, error < DIFFERENCE, f"links: {error:.2g}")
    check_parameters(world, action, evaluation.dparameters, U, fields)


def check_parameters(world: World, action: AbstractAction, dparameters: np.ndarray, U: Field, fields: Any) -> None:
    """The gradient by parameters along one direction against a finite difference. Collective."""
    direction = np.cos(np.arange(len(dparameters)))

    def at(step: float) -> float:
        return action.with_parameters(action.parameters + step * direction).evaluate(U, fields, gradient=False).value

    numeric = richardson(lambda eps: five_point(at, eps), EPS)
    error = abs(numeric - direction @ dparameters) / np.linalg.norm(dparameters)
    agree(world, error < DIFFERENCE, f"parameters: {error:.2g}")


@pytest.mark.ranks
@pytest.mark.parametrize("name", NETWORKS)
def test_bits_do_not_depend_on_the_ranks(world: World, name: str) -> None:
    results = []
    for on in (world, None):
        _, U = rough(on, 2)
        action = PlaquetteAction(2.7) + 1.1 * Transformed(staggered(4), NETWORKS[name])
        evaluation = action.evaluate(U, action.refresh(DRAW, U), parameters=True)
        numbers = evaluation.value, evaluation.steps, evaluation.dweights.tolist(), evaluation.dparameters.tolist()
        results.append((numbers, evaluation.gradient.to_numpy().tobytes()))
    agree(world, results[0] == results[1], f"{results[0][0]} {results[1][0]}")


@pytest.mark.ranks
def test_gauge_action_of_transformed_links(world: World) -> None:
    _, U = rough(world, 3)
    action = Transformed(PlaquetteAction(2.7), NETWORKS["cask of reach 1"])
    evaluation = action.evaluate(U, None, parameters=True)
    error = directional_error(lambda V: action.evaluate(V, None, gradient=False).value, evaluation.gradient, U, 53, EPS)
    agree(world, error < DIFFERENCE, f"links: {error:.2g}")
    check_parameters(world, action, evaluation.dparameters, U, None)


@pytest.mark.ranks
@pytest.mark.parametrize("name", NETWORKS)
def test_transformed_actions_are_gauge_invariant(world: World, name: str) -> None:
    _, U = rough(world, 2)
    G = Rotation.hot(U.lattice)
    g, W = G.to_numpy(), gauge_rotate(U, G)
    action = PlaquetteAction(2.7) + Transformed(staggered(4), NETWORKS[name])
    phi = staggered(4).refresh(DRAW, U)
    turned = phi.copy().set_global((g @ phi.to_numpy()[..., None])[..., 0])
    one, other = action.evaluate(U, [None, phi]), action.evaluate(W, [None, turned])
    agree(world, math.isclose(one.value, other.value, rel_tol=ROUNDING), f"{one.value} {other.value}")
    F, F_turned = (force(e.gradient, V).to_numpy() for e, V in ((one, U), (other, W)))
    error = distance(F_turned, gauge.rotate_matrices(F, g)) / abs(F).max()
    agree(world, error < SOLVED, f"force: {error:.2g}")


@pytest.mark.ranks
def test_sums_weigh_values_and_gradients(world: World) -> None:
    _, U = rough(world, 2)
    gauge_part, fermion_part = PlaquetteAction(2.7), Transformed(staggered(4), NETWORKS["covnet"])
    phi = staggered(4).refresh(DRAW, U)
    action = gauge_part + 1.3 * fermion_part
    whole, first = action.evaluate(U, [None, phi], parameters=True), gauge_part.evaluate(U, None)
    second = fermion_part.evaluate(U, phi, parameters=True)
    agree(world, whole.value == first.value + 1.3 * second.value, "value")
    expected = first.gradient.to_numpy() + 1.3 * second.gradient.to_numpy()
    agree(world, distance(whole.gradient.to_numpy(), expected) < ROUNDING, "gradient")
    agree(world, whole.dweights.tolist() == [first.value, second.value], "dS/dweight is the term's value")
    agree(world, np.allclose(whole.dparameters, 1.3 * second.dparameters, rtol=1e-15), "dS/dparameter")
    agree(world, whole.steps == second.steps, "steps")
    without = action.evaluate(U, [None, phi], gradient=False)
    agree(world, without.gradient is None and without.value == whole.value, "the value alone")


def test_sums_are_flat_and_keep_their_weights() -> None:
    a, b, c = PlaquetteAction(1.0), staggered(4), staggered(8)
    action = 2.0 * (a + 0.5 * b) + 3.0 * c
    assert action.terms == (a, b, c) and action.weights.tolist() == [2.0, 1.0, 3.0]
    assert action.with_weights([1, 2, 3]).weights.tolist() == [1.0, 2.0, 3.0]
    assert as_sum(a).terms == (a,) and as_sum(action) is action
    assert action.slot == (None, ("staggered", 4, None), ("staggered", 8, None))
    with pytest.raises(ValueError):
        Sum([a, b], [1.0])


def test_parameters_of_a_sum_are_those_of_its_terms_in_order() -> None:
    cask, covnet = (Transformed(staggered(4), NETWORKS[name]) for name in ("cask", "covnet"))
    action = PlaquetteAction(1.0) + cask + 1.1 * covnet
    assert action.parameters.tolist() == [*PARAMETERS.ravel(), 0.1, -0.07]
    moved = action.with_parameters(np.arange(10.0))
    assert moved.parameters.tolist() == list(range(10)) and moved.weights.tolist() == [1.0, 1.0, 1.1]
    assert moved.terms[1].map.parameters.shape == (2, 4) and action.parameters[0] == 0.1
    with pytest.raises(ValueError, match="have 10 parameters, not 9"):
        action.with_parameters(np.zeros(9))
    with pytest.raises(ValueError, match="PlaquetteAction has no parameters, not 2"):
        PlaquetteAction(1.0).with_parameters(np.zeros(2))


@pytest.mark.ranks
def test_several_terms_may_live_on_one_field(world: World) -> None:
    """Masses 0.3 and 0.6 on the phi of mass 0.3: the slots of guide and target are matched by kind."""
    target = as_sum(PlaquetteAction(2.7) + staggered(4, 0.3))
    guide = as_sum(0.9 * PlaquetteAction(2.7) + 0.5 * staggered(4, 0.3) + 0.4 * staggered(4, 0.6))
    agree(world, match_slots(guide, target) == [None, 1, 1])
    lattice = Lattice(EXTENTS[4], 2, world)
    U = Links.from_numpy(lattice, link_array("rough", EXTENTS[4], 2))
    fields = target.refresh(DRAW, U)
    agree(world, fields[0] is None and len(fields) == 2)
    on = [None if slot is None else fields[slot] for slot in match_slots(guide, target)]
    values = [staggered(4, mass).evaluate(U, fields[1], gradient=False).value for mass in (0.3, 0.6)]
    expected = 0.9 * PlaquetteAction(2.7).evaluate(U).value + 0.5 * values[0] + 0.4 * values[1]
    agree(world, math.isclose(guide.evaluate(U, on, gradient=False).value, expected, rel_tol=1e-15))


@pytest.mark.ranks
def test_terms_of_one_kind_draw_different_fields(world: World) -> None:
    _, U = rough(world, 2)
    fields = (staggered(4) + staggered(4)).refresh(DRAW, U)
    agree(world, distance(*(field.to_numpy() for field in fields)) > 0.1)
    xi = [random_vectors(U.lattice, DRAW.of(Stream.PSEUDOFERMION, k)).to_numpy() for k in range(2)]
    agree(world, distance(*xi) > 0.1)


def test_guides_on_other_fields_are_refused() -> None:
    target = as_sum(PlaquetteAction(2.7) + staggered(4))
    for term in (staggered(8), StaggeredAction(MASS, 4, boundary=(1, 1, 1, 1))):
        with pytest.raises(
            ValueError, match=r"guide term 1 lives on fields .*; the target has \[\('staggered', 4, None"
        ):
            match_slots(as_sum(PlaquetteAction(2.7) + term), target)
    two = as_sum(staggered(4) + staggered(4))
    assert match_slots(two, two) == [0, 1]
    with pytest.raises(ValueError, match="guide term 0"):
        match_slots(as_sum(staggered(4) + staggered(4) + staggered(4)), two)


@pytest.mark.ranks
def test_refresh_of_a_transformed_action_is_on_transformed_links(world: World) -> None:
    _, U = rough(world, 2)
    network = NETWORKS["cask"]
    inner = staggered(8)
    phi = Transformed(inner, network).refresh(DRAW, U).to_numpy()
    agree(world, np.array_equal(phi, inner.refresh(DRAW, network(U)).to_numpy()))
    xi = random_vectors(U.lattice, DRAW).to_numpy()
    action = Transformed(inner, network)
    value = action.evaluate(U, action.refresh(DRAW, U), gradient=False).value
    agree(world, math.isclose(value, np.vdot(xi, xi).real, rel_tol=ROUNDING), "its value is |xi|^2 then")
