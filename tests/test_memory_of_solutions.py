"""Several masses in one sum, and start vectors from earlier solutions of a trajectory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hpcgauge.action.action import AbstractAction, FamilyAction, Sum
from hpcgauge.action.transformed import Transformed
from hpcgauge.comm.world import World
from hpcgauge.fermion.memory import Remembered, solution_of
from hpcgauge.fermion.pseudofermion import StaggeredAction
from hpcgauge.fermion.solvers import Method, solve_normal
from hpcgauge.fermion.staggered import Staggered
from hpcgauge.fields.field import Field
from hpcgauge.gauge.links import force
from hpcgauge.gauge.plaquette import PlaquetteAction
from hpcgauge.kernels.algebra import scaled
from hpcgauge.kernels.draws import Draw, Stream, random_momenta
from hpcgauge.network.covnet import CovNet
from hpcgauge.sampler.hmc import HMC, State
from hpcgauge.sampler.integrators import integrate
from tests.support.chains import thermal
from tests.support.kernels.samples import rough
from tests.support.oracle.samples import distance
from tests.support.ranks import agree

# A solution with residual 1e-13 is off by 1e-13 / m^2 times what it is made of.
TOLERANCE, SOLVED = 1e-13, 1e-11
DRAW = Draw(Stream.PSEUDOFERMION, seed=51)
# What a trajectory at the production tolerance of 1e-12 may miss its start by (PHYSICS.md section 4)
REVERSIBLE = 1e-10
GAUGE, USUAL = PlaquetteAction(2.7), Method()


def term(mass: float, tastes: int = 4, method: Method = USUAL) -> StaggeredAction:
    return StaggeredAction(mass, tastes, tolerance=TOLERANCE, force_tolerance=TOLERANCE, method=method)


def one_by_one(action: Sum, U: Field, fields: list[Any]) -> tuple[list[float], Field]:
    """The terms' values and the gradient of the sum, each term evaluated alone. Collective."""
    parts = [part.evaluate(U, own) for part, own in zip(action.terms, fields, strict=True)]
    total = Sum([GAUGE], [0.0]).evaluate(U, [None]).gradient
    assert total is not None
    array = sum(weight * part.gradient.to_numpy() for weight, part in zip(action.weights, parts, strict=True))
    return [part.value for part in parts], total.set_global(array)


@pytest.mark.ranks
@pytest.mark.parametrize("tastes", [4, 8])
@pytest.mark.parametrize("precision", [None, "mixed"])
def test_several_masses_on_one_phi_are_one_solve(world: World, tastes: int, precision: str | None) -> None:
    _, U = rough(world, 2)
    method = Method(precision)
    smeared = Transformed(term(0.4, tastes), CovNet([[0.1]]))
    terms = [term(0.6, tastes, method), GAUGE, term(0.3, tastes, method), smeared, term(0.4, tastes, method)]
    action = Sum(terms, [0.5, 1.0, -0.2, 0.7, 0.9])
    phi = terms[0].refresh(DRAW, U)
    fields = [phi, None, phi, phi, phi]
    together = action.evaluate(U, fields, parameters=True)
    values, gradient = one_by_one(action, U, fields)
    agree(world, np.allclose(together.dweights, values, rtol=1e-11, atol=0), f"{together.dweights} {values}")
    agree(world, math.isclose(together.value, float(action.weights @ values), rel_tol=1e-11))
    assert together.gradient is not None
    error = distance(force(together.gradient, U).to_numpy(), force(gradient, U).to_numpy())
    agree(world, error < SOLVED, f"force off by {error:.2g}")
    agree(world, together.dparameters.shape == (1,) and bool(together.dparameters.any()), "slopes of the network")
    without = action.evaluate(U, fields, gradient=False)
    agree(world, without.gradient is None and math.isclose(without.value, together.value, rel_tol=1e-11))
    if precision is None:
        lightest = terms[2].evaluate(U, phi).steps
        agree(world, together.steps < 1.5 * lightest + terms[3].evaluate(U, phi).steps, f"{together.steps} steps")


@pytest.mark.ranks
def test_different_fields_are_solved_apart(world: World) -> None:
    _, U = rough(world, 2)
    action = Sum([term(0.3), term(0.4)], [1.0, 1.0])
    fields = action.refresh(DRAW, U)
    found, (values, _) = action.evaluate(U, fields), one_by_one(action, U, fields)
    agree(world, found.dweights.tolist() == values and not np.array_equal(*(one.to_numpy() for one in fields)))


@pytest.mark.ranks
def test_a_start_vector_is_the_best_of_the_span(world: World) -> None:
    """For phi = sum_k a_k D^+D x_k of remembered x_k the start vector is the solution; it takes the newest three."""
    _, U = rough(world, 2)
    D, g = Staggered(U, 0.3), np.random.default_rng(1)
    noise = [term(0.3).refresh(Draw(Stream.PSEUDOFERMION, 5, instance=k), U) for k in range(4)]
    phi = Field(U.lattice, noise[0].kind).set_global(sum(g.normal() * one.to_numpy() for one in noise[1:]))
    memory = Remembered(phi, 3)
    agree(world, memory.start(D, "even") is None, "nothing is remembered at first")
    for one in noise:
        memory.keep(solve_normal(D, one, TOLERANCE, parity="even").value, "even")
    start = memory.start(D, "even")
    assert start is not None
    error = distance(start.to_numpy(), solve_normal(D, phi, TOLERANCE, parity="even").value.to_numpy())
    agree(world, error < SOLVED, f"{error:.2g}")
    memory.keep(scaled(start, 2.0), "even")
    memory.keep(scaled(start, -3.0), "even")
    again = memory.start(D, "even")
    assert again is not None
    agree(world, distance(again.to_numpy(), start.to_numpy()) < SOLVED, "parallel solutions do no harm")


def test_elimination_leaves_out_what_is_not_new() -> None:
    g = np.random.default_rng(2)
    basis = g.normal(size=(4, 9))
    matrix, x = basis @ basis.T, g.normal(size=4)
    assert distance(solution_of(matrix, matrix @ x), x) < 1e-12
    twice = np.vstack([basis[:2], basis[:1], np.zeros((1, 9))])
    found = solution_of(twice @ twice.T, twice @ twice.T @ np.array([1.0, 2.0, 0.0, 0.0]))
    assert distance(found, np.array([1.0, 2.0, 0.0, 0.0])) < 1e-12
    assert not solution_of(np.full((2, 2), np.nan), np.ones(2)).any()


def trajectory_pair(memory: int, precision: str | None = None) -> tuple[AbstractAction, AbstractAction]:
    """A target and a guide behind a network, both with start vectors."""
    method = Method(precision, memory)
    guide = GAUGE + 1.1 * Transformed(StaggeredAction(0.4, 4, method=method), CovNet([[0.05]]))
    return GAUGE + StaggeredAction(0.3, 4, method=method), guide


@pytest.mark.parametrize("precision", [None, "mixed"])
def test_trajectories_with_start_vectors_are_reversible(world: World, precision: str | None) -> None:
    """max|dU| and dH, there and back, each trajectory with a memory of its own, at the production tolerance 1e-12."""
    target, guide = trajectory_pair(3, precision)
    U_0 = thermal(world)
    hmc = HMC(target, guide, steps=3, length=0.5)
    P = random_momenta(U_0.lattice, Draw(Stream.MOMENTUM, 3))
    fields = hmc.target.refresh(DRAW, U_0)
    U, energies = U_0.copy(), []
    for _ in range(2):
        kept = hmc.guide.with_memory([None, fields[1]])
        energies.append(hmc.target.evaluate(U, fields, gradient=False).value)
        integrate(hmc.moves, U, P, [lambda V, kept=kept: hmc.guide.evaluate(V, kept).gradient])
        P = scaled(P, -1.0)
    energies.append(hmc.target.evaluate(U, fields, gradient=False).value)
    error = distance(U.to_numpy(), U_0.to_numpy())
    agree(world, error < REVERSIBLE, f"max|dU| = {error:.2g}")
    change = energies[2] - energies[0]
    agree(world, abs(change) < REVERSIBLE * abs(energies[0]), f"dS = {change:.2g}")


@pytest.mark.ranks
def test_a_chain_with_start_vectors_is_a_function_of_the_state(world: World) -> None:
    """The same bits after a stop, on any number of ranks, and fewer steps than without."""
    found = []
    for on in (world, World.alone()):
        hmc = HMC(*trajectory_pair(3), steps=4, length=0.5)
        state, records = State(thermal(on), 7), []
        for _ in range(3):
            state, record = hmc.step(state)
            records.append(record)
            if not len(found):
                hmc = HMC(*trajectory_pair(3), steps=4, length=0.5)
                state = State(state.U.copy(), state.seed, state.trajectory)
        found.append(([(one.dH, one.dH_guide, one.solver_steps) for one in records], state.U.to_numpy().tobytes()))
    agree(world, found[0] == found[1], f"{found[0][0]} {found[1][0]}")
    without = HMC(*trajectory_pair(0), steps=4, length=0.5).propose(State(thermal(world), 7))
    first = found[0][0][0]
    agree(world, first[2] < without.solver_steps and abs(first[0] - without.dH) < 1e-8, f"{first} {without.dH}")


def test_actions_remember_nothing_by_default() -> None:
    assert not isinstance(GAUGE, FamilyAction) and GAUGE.with_memory(None) is None
