"""Integrators: tables, merging, counts, order, reversibility, time scales."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy
import pytest

from hpcgauge.action.action import AbstractAction, Evaluation
from hpcgauge.comm.world import World
from hpcgauge.fields.field import Field
from hpcgauge.gauge.links import kinetic
from hpcgauge.gauge.plaquette import PlaquetteAction
from hpcgauge.kernels.algebra import scaled
from hpcgauge.kernels.draws import Draw, Stream, random_momenta
from hpcgauge.sampler.hmc import HMC, State
from hpcgauge.sampler.integrators import (
    FORCE_GRADIENT,
    FOURTH_ORDER,
    LEAPFROG,
    OMELYAN,
    SCHEMES,
    Level,
    Scheme,
    integrate,
    moves,
)
from tests.support.chains import BETA, thermal
from tests.support.ranks import agree

ORDERS = {"leapfrog": 2, "omelyan": 2, "fourth_order": 4, "force_gradient": 4}
# Steps where the leading power of the step size rules: a ratio within 15 % of 2^order.
STEPS = {"leapfrog": 16, "omelyan": 8, "fourth_order": 6, "force_gradient": 10}


class Counted(AbstractAction):
    """An action that counts how often its gradient is asked for."""

    def __init__(self, action: AbstractAction):
        self.action, self.gradients = action, 0

    @property
    def slot(self) -> Hashable | None:
        return self.action.slot

    def refresh(self, draw: Draw, U: Field) -> Any:
        return self.action.refresh(draw, U)

    def evaluate(self, U: Field, fields: Any, gradient: bool = True, parameters: bool = False) -> Evaluation:
        self.gradients += gradient
        return self.action.evaluate(U, fields, gradient, parameters)


@pytest.mark.parametrize(
    ("order", "coefficients", "says"),
    [
        ("PQP", (0.5, 1.0), "one coefficient"),
        ("PXP", (0.5, 1.0, 0.5), "letter"),
        ("PQQ", (1.0, 0.5, 0.5), "reversible"),
        ("PQP", (0.4, 1.0, 0.6), "reversible"),
        ("PQP", (0.4, 1.0, 0.4), "kicks"),
        ("PQP", (0.5, 0.9, 0.5), "moves"),
    ],
)
def test_wrong_tables_are_refused(order: str, coefficients: tuple[float, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Scheme(order, coefficients)


def test_wrong_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="steps = 0"):
        Level(LEAPFROG, 0, (0,))
    with pytest.raises(ValueError, match="empty"):
        moves([], 1.0)


@pytest.mark.parametrize(
    ("scheme", "forces"),
    [(OMELYAN, 15), (LEAPFROG, 8), (FOURTH_ORDER, 36), (FORCE_GRADIENT, 22)],
)
def test_seven_steps_ask_for_so_many_forces(scheme: Scheme, forces: int) -> None:
    action = Counted(PlaquetteAction(BETA))
    HMC(action, scheme=scheme, steps=7).propose(State(thermal(World.alone()), seed=1))
    assert action.gradients == forces


def test_guide_values_at_the_ends_cost_nothing() -> None:
    guide = Counted(PlaquetteAction(BETA))
    proposal = HMC(PlaquetteAction(BETA), guide, steps=7).propose(State(thermal(World.alone()), seed=1))
    assert guide.gradients == 15
    # The guide's values come with the staples, the target's from plaquettes: sums of 1536 terms of order one.
    assert abs(proposal.dH - proposal.dH_guide) <= 1536 * 1e-15 * BETA


@pytest.mark.parametrize("outer", SCHEMES.values(), ids=SCHEMES)
@pytest.mark.parametrize("inner", SCHEMES.values(), ids=SCHEMES)
def test_time_scales_cover_the_trajectory(outer: Scheme, inner: Scheme) -> None:
    table = moves([Level(outer, 3, (0,)), Level(inner, 2, (1,))], length=0.7)
    rounding = 1e-12
    for level in (0, 1):
        assert abs(sum(m.step for m in table if m.level == level) - 0.7) < rounding
    assert abs(sum(m.step for m in table if m.letter == "Q") - 0.7) < rounding
    between = "".join(m.letter for m in table).split("Q")
    assert all(len(kicks) <= 2 for kicks in between)  # one for each level at most: all others are merged
    letters = [(m.letter, round(m.step, 12)) for m in table if m.letter == "Q"]
    assert letters == letters[::-1]


def test_schemes_that_begin_with_a_move_merge_moves() -> None:
    table = moves([Level(Scheme("QPQ", (0.5, 1.0, 0.5)), 3, (0,))], length=3.0)
    assert [m.letter for m in table] == list("QPQPQPQ")
    assert [m.step for m in table] == [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5]


def energy_errors(hmcs: Sequence[HMC], U: Field) -> list[float]:
    """The rms dH of each sampler over the same three momenta."""
    return [math.sqrt(sum(hmc.propose(State(U, seed)).dH ** 2 for seed in (11, 12, 13)) / 3) for hmc in hmcs]


@pytest.mark.parametrize("name", ORDERS)
def test_energy_error_falls_with_the_order(name: str) -> None:
    action, U = PlaquetteAction(BETA), thermal(World.alone())
    n = STEPS[name]
    coarse, fine = energy_errors([HMC(action, scheme=SCHEMES[name], steps=k) for k in (n, 2 * n)], U)
    assert coarse / fine == pytest.approx(2 ** ORDERS[name], rel=0.15)


@pytest.mark.parametrize(("scheme", "order", "n"), [(OMELYAN, 2, 6), (FORCE_GRADIENT, 4, 5)])
def test_energy_error_of_time_scales_falls_with_the_order(scheme: Scheme, order: int, n: int) -> None:
    action, U = 0.3 * PlaquetteAction(BETA) + 0.7 * PlaquetteAction(BETA), thermal(World.alone())
    hmcs = [HMC(action, levels=[Level(scheme, k, (0,)), Level(scheme, 2, (1,))]) for k in (n, 2 * n)]
    coarse, fine = energy_errors(hmcs, U)
    assert coarse / fine == pytest.approx(2**order, rel=0.15)


@pytest.mark.ranks
@pytest.mark.parametrize("name", SCHEMES)
def test_trajectories_are_reversible(world: World, name: str) -> None:
    action, start = PlaquetteAction(BETA), thermal(world)
    table = moves([Level(SCHEMES[name], 4, (0,))], length=1.0)

    def gradient(U: Field) -> Field:
        found = action.evaluate(U).gradient
        assert found is not None
        return found

    U, P = start.copy(), random_momenta(start.lattice, Draw(Stream.MOMENTUM, 3))
    K = kinetic(P)
    integrate(table, U, P, [gradient])
    is_moved = abs(U.to_numpy() - start.to_numpy()).max() > 0.1
    P = scaled(P, -1.0)
    integrate(table, U, P, [gradient])
    error = abs(U.to_numpy() - start.to_numpy()).max()
    agree(world, is_moved and error <= 1e-10 and numpy.isclose(kinetic(P), K, rtol=1e-10), f"|dU| = {error}")
