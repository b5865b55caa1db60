"""Recordings, loops and callbacks in programs, and actions as programs: the bits of `evaluate`, on links that move."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hpcgauge as hg
from hpcgauge.action.action import AbstractAction, Evaluation, is_small, repeated
from hpcgauge.comm.world import World
from hpcgauge.fermion.memory import Remembered
from hpcgauge.fermion.pseudofermion import StaggeredAction
from hpcgauge.fermion.solvers import Method
from hpcgauge.fields.field import Field
from hpcgauge.gauge.links import KICK, UPDATE_LINKS, force
from hpcgauge.gauge.plaquette import PLAQUETTE_SUM, plaquette, staple_sum
from hpcgauge.kernels import program
from hpcgauge.kernels.algebra import COMBINE
from hpcgauge.kernels.draws import Draw, Stream, random_momenta
from hpcgauge.kernels.loop import Launch, run
from hpcgauge.kernels.program import Callback, Loop, Program
from hpcgauge.kernels.recording import recording
from hpcgauge.sampler.integrators import FORCE_GRADIENT, LEAPFROG, Level, integrate, moves
from tests.support.ranks import agree

EXTENT = (4, 6, 8, 4)
PARAMETERS = np.array([[-0.012, 0.024, 0.014, 0.125], [0.03, -0.02, 0.01, 0.05]])
DRAW = Draw(Stream.PSEUDOFERMION, seed=5)


def lattice_on(world: World, colors: int = 2) -> hg.Lattice:
    return hg.Lattice(EXTENT, colors=colors, world=world)


def moved(U: Field, seed: int) -> None:
    """Nothing; the links are others afterwards, in the same field."""
    run(UPDATE_LINKS, U=U, P=random_momenta(U.lattice, Draw(Stream.MOMENTUM, seed)), step=0.2)


@pytest.mark.ranks
@pytest.mark.parametrize("name", ["hypercubic", "paper", "covnet"])
def test_a_recorded_network_does_what_it_does_when_called(world: World, name: str) -> None:
    net = hg.CovNet([[0.1]]) if name == "covnet" else hg.Cask(PARAMETERS, variant=name)
    lattice = lattice_on(world)
    U, dV = hg.Links.hot(lattice, 3), random_momenta(lattice, Draw(Stream.MOMENTUM, 9))
    with recording(lattice) as steps:
        V, tape = net.apply(U)
        dU, slopes = net.pullback(tape, dV)
    assert np.isnan(slopes).any(), "no kernel has run"
    again = Program(steps)
    for seed in range(3):
        moved(U, seed)
        again.run(1)
        expected, tape = net.apply(U)
        pulled, _ = net.pullback(tape, dV)
        agree(world, V.to_numpy().tobytes() == expected.to_numpy().tobytes())
        agree(world, dU.to_numpy().tobytes() == pulled.to_numpy().tobytes())


@pytest.mark.ranks
def test_numbers_are_not_there_while_launches_are_recorded(world: World) -> None:
    lattice = lattice_on(world)
    U = hg.Links.hot(lattice, 3)
    before, value = U.to_numpy(), plaquette(U)
    attempts = (U.to_numpy, U.local_to_numpy, U.copy, U.touch, lambda: U.fill(0), lambda: U.astype("single"))
    for attempt in attempts:
        with recording(lattice), pytest.raises(ValueError, match="by hand in a recording; only kernels"):
            attempt()
    with recording(lattice) as steps:
        assert np.isnan(plaquette(U))
        run(UPDATE_LINKS, U=U, P=U, step=1.0)
        with pytest.raises(ValueError, match="open already"), recording(lattice):
            pass
    agree(world, len(steps) == 2 and np.array_equal(U.to_numpy(), before) and plaquette(U) == value)


@pytest.mark.ranks
def test_loops_and_callbacks_are_steps(world: World) -> None:
    """Halved three times a loop, twice: 2^-6; the callback sees what the steps before it left."""
    lattice = lattice_on(world)
    U, seen = hg.Links.unit(lattice), []
    halving, size = Launch(COMBINE, out=U, x=U, y=U, a=0.5, b=0.0), Launch(PLAQUETTE_SUM, U=U)
    loop = Loop([halving])
    loop.rounds[0] = 3
    full, scale = float(size()[0]), lattice.numbers([0.0])
    steps = [loop, size, program.product(scale, size.sums, lattice.numbers([1 / full]))]
    agree(world, Program(steps).run(2) == 2 and loop.done[0] == 3)
    agree(world, scale[0] == 2.0 ** -(4 * 6), f"{scale}")
    watched = Program([*steps, Callback(lattice, lambda: seen.append(float(scale[0])))])
    agree(world, watched.run(2) == 2 and seen == [2.0**-36, 2.0**-48], f"{seen}")


@pytest.mark.ranks
def test_a_loop_ends_at_a_stop_and_what_follows_goes_on(world: World) -> None:
    lattice = lattice_on(world)
    U, flag, after = hg.Links.unit(lattice), lattice.numbers([1.0]), lattice.numbers([0.0])
    halving, size = Launch(COMBINE, out=U, x=U, y=U, a=0.5, b=0.0), Launch(PLAQUETTE_SUM, U=U)
    limit = lattice.numbers([size()[0] * 2.0**-10])
    loop = Loop([program.stop_unless(flag), halving, size, program.above(flag, size.sums, limit)])
    loop.rounds[0] = 100
    agree(world, Program([loop, program.copy(after, loop.done)]).run(1) == 1)
    agree(world, after[0] == loop.done[0] == 3, f"{loop.done}")


class Twisted(AbstractAction):
    """An action that knows nothing of programs: half the plaquette action, its gradient in a new field each time."""

    @property
    def slot(self) -> None:
        return None

    def refresh(self, draw: Draw, U: Field) -> None:
        return None

    def evaluate(self, U: Field, fields: Any, gradient: bool = True, parameters: bool = False) -> Evaluation:
        found = hg.PlaquetteAction(1.3).evaluate(U, gradient=gradient)
        return found


def guides() -> dict[str, AbstractAction]:
    heavy = hg.StaggeredAction(0.4, 4)
    behind = hg.Transformed(heavy, hg.Cask(PARAMETERS))
    mixed = hg.StaggeredAction(0.3, 8, method=Method(precision="mixed"))
    return {
        "plain": hg.PlaquetteAction(2.7) + hg.StaggeredAction(0.3, 4),
        "eight tastes": 0.9 * hg.PlaquetteAction(2.7) + hg.StaggeredAction(0.3, 8),
        "weights": 0.8 * behind + 1.1 * hg.PlaquetteAction(2.7) + -0.2 * hg.StaggeredAction(0.5, 4),
        "network alone": hg.Sum([behind], [1.0]),
        "several masses": hg.PlaquetteAction(2.7) + 1.3 * hg.StaggeredAction(0.5, 4) + -0.3 * heavy,
        "mixed": hg.PlaquetteAction(2.7) + mixed,
        "own action": Twisted() + hg.Transformed(Twisted(), hg.CovNet([[0.1]])),
    }


@pytest.mark.ranks
@pytest.mark.parametrize("name", list(guides()))
@pytest.mark.parametrize("colors", [2, 3])
def test_an_action_as_a_program_gives_the_bits_of_evaluate(world: World, name: str, colors: int) -> None:
    lattice, action = lattice_on(world, colors), guides()[name]
    U = hg.Links.hot(lattice, 3)
    phi = {4: StaggeredAction(0.3, 4).refresh(DRAW, U), 8: StaggeredAction(0.3, 8).refresh(DRAW, U)}
    fields = [None if term.slot is None else phi[term.slot[1]] for term in action.terms]
    with_force, energy = repeated(action, U, fields), repeated(action, U, fields, gradient=False)
    for seed in range(2):
        moved(U, seed)
        pairs = (with_force(), action.evaluate(U, fields)), (energy(), action.evaluate(U, fields, False))
        for found, expected in pairs:
            agree(world, (found.value, found.steps) == (expected.value, expected.steps), f"{found} {expected}")
            agree(world, found.dweights.tobytes() == expected.dweights.tobytes())
            agree(world, (found.gradient is None) == (expected.gradient is None))
            if found.gradient is not None and expected.gradient is not None:
                agree(world, found.gradient.to_numpy().tobytes() == expected.gradient.to_numpy().tobytes())


@pytest.mark.ranks
def test_a_solve_that_stays_above_its_tolerance_is_made_by_evaluate(world: World) -> None:
    """|b - A x| cannot be made so small: the steps have no result, and `evaluate`, which tries further, refuses."""
    lattice = lattice_on(world)
    U = hg.Links.hot(lattice, 3)
    action = hg.StaggeredAction(0.1, 4, force_tolerance=2e-16)
    phi = action.refresh(DRAW, U)
    prepared = action.prepare(U, phi)
    Program(prepared.steps).run(1)
    agree(world, prepared.result() is None)
    with pytest.raises(hg.PhysicsError, match="reached residual"):
        repeated(action, U, phi)()
    few = hg.StaggeredAction(0.1, 4, max_steps=3)
    with pytest.raises(hg.PhysicsError, match="in 3 steps"):
        repeated(few, U, phi)()


@pytest.mark.ranks
def test_start_vectors_and_large_lattices_are_left_to_evaluate(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lattice = lattice_on(world)
    U = hg.Links.hot(lattice, 3)
    action = hg.StaggeredAction(0.3, 4, method=Method(memory=2))
    phi = action.refresh(DRAW, U)
    remembered = action.with_memory(phi)
    assert isinstance(remembered, Remembered)
    evaluate = repeated(action, U, remembered)
    first, second = evaluate(), evaluate()
    agree(world, second.steps < first.steps and abs(second.value - first.value) < 1e-9 * first.value)
    guide = hg.Transformed(hg.StaggeredAction(0.3, 4), hg.Cask(PARAMETERS))
    agree(world, is_small(U) and len(guide.prepare(U, phi).steps) > 20)
    monkeypatch.setattr("hpcgauge.action.action.SMALL", 0)
    agree(world, [type(step) for step in guide.prepare(U, phi).steps] == [Callback])


@pytest.mark.ranks
def test_kicks_follow_gradients_of_other_fields(world: World) -> None:
    """Two levels, one whose gradient is the same field each time and one with new fields, against kicks one by one."""
    lattice = lattice_on(world)
    U, P = hg.Links.hot(lattice, 3), random_momenta(lattice, Draw(Stream.MOMENTUM, 4))
    V, Q = U.copy(), P.copy()
    table = moves([Level(FORCE_GRADIENT, 2, (0,)), Level(LEAPFROG, 2, (1,))], 0.3)
    same = {}

    def kept(W: Field) -> Field:
        if W not in same:
            same[W] = repeated(hg.PlaquetteAction(2.0), W, None)
        found = same[W]().gradient
        assert found is not None
        return found

    integrate(table, U, P, [kept, lambda W: staple_sum(W, -0.5)])
    for move in table:
        gradients = [lambda W: hg.PlaquetteAction(2.0).evaluate(W).gradient, lambda W: staple_sum(W, -0.5)]
        if move.letter == "Q":
            run(UPDATE_LINKS, U=V, P=Q, step=move.step)
            continue
        at = V
        if move.letter == "G":
            at = V.copy()
            run(UPDATE_LINKS, U=at, P=force(gradients[move.level](V), V), step=move.shift)
        run(KICK, P=Q, C=gradients[move.level](at), U=at, step=move.step)
    agree(world, U.to_numpy().tobytes() == V.to_numpy().tobytes() and P.to_numpy().tobytes() == Q.to_numpy().tobytes())
