"""Training: optimisers against closed forms, losses against finite differences, live training, fits, the chain."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest

from hpcgauge.action.action import AbstractAction, Sum, as_sum
from hpcgauge.action.transformed import Transformed
from hpcgauge.bench.oracle.algebra import TA
from hpcgauge.comm.world import World
from hpcgauge.errors import PhysicsError
from hpcgauge.fermion.pseudofermion import StaggeredAction
from hpcgauge.gauge.plaquette import PlaquetteAction
from hpcgauge.network.cask import Cask
from hpcgauge.network.covnet import CovNet
from hpcgauge.sampler.hmc import HMC, State
from hpcgauge.sampler.integrators import LEAPFROG
from hpcgauge.training.fit import fit
from hpcgauge.training.losses import LOSSES, Loss, Objective
from hpcgauge.training.optimisers import SGD, Adam
from hpcgauge.training.proposal import Proposal
from hpcgauge.training.train import Learner, train
from hpcgauge.training.trainable import Trainable
from tests.support.chains import BETA, thermal
from tests.support.ranks import agree

GAUGE = PlaquetteAction(BETA)
TARGET = GAUGE + StaggeredAction(mass=0.3, tastes=4)
CASK = Cask([[-0.012, 0.024, 0.014, 0.125]], reach=3)


def cask_guide() -> Sum:
    """Gauge term and two masses on one phi, one of them with a network."""
    with_network = Transformed(StaggeredAction(mass=0.4, tastes=4), CASK)
    return GAUGE + 0.9 * with_network + 0.2 * StaggeredAction(mass=0.6, tastes=4)


def quenched_pair() -> tuple[Sum, Sum]:
    """A gauge target, and a guide that equals it at weight 1 and rho 0."""
    return as_sum(GAUGE), 0.9 * Transformed(GAUGE, CovNet([[0.02]]))


def proposal_of(target: AbstractAction, guide: AbstractAction, world: World | None = None, seed: int = 1) -> Proposal:
    """A short trajectory from thermal links. Collective."""
    return HMC(target, guide, steps=3, length=0.4).propose(State(thermal(world or World.alone()), seed))


# Optimisers


def test_gradient_descent_on_a_parabola() -> None:
    optimiser, theta = SGD(rate=numpy.array([0.1, 0.3])), numpy.array([1.0, -2.0])
    memory = optimiser.start(2)
    for _ in range(5):
        memory, theta = optimiser.update(memory, theta, 2 * theta)
    numpy.testing.assert_allclose(theta, [0.8**5, -2 * 0.4**5], rtol=1e-14)


def test_adam_under_a_constant_gradient_moves_by_the_rate() -> None:
    optimiser, theta = Adam(rate=0.01, epsilon=0.0), numpy.zeros(3)
    memory = optimiser.start(3)
    for step in range(1, 8):
        memory, theta = optimiser.update(memory, theta, numpy.array([3.0, -1e-4, 50.0]))
        numpy.testing.assert_allclose(theta, step * numpy.array([-0.01, 0.01, -0.01]), rtol=1e-12)
    assert memory["updates"] == 7


def test_adam_follows_its_sums() -> None:
    """Both moments are sums over all gradients with weights that fall as beta^k."""
    optimiser, gradients = Adam(rate=0.1, beta1=0.8, beta2=0.95), [0.3, -1.0, 2.0, 0.1]
    memory, theta, expected = optimiser.start(1), numpy.zeros(1), 0.0
    for n, gradient in enumerate(gradients, start=1):
        memory, theta = optimiser.update(memory, theta, numpy.array([gradient]))
        first = sum(0.8 ** (n - k) * g for k, g in enumerate(gradients[:n], start=1)) * 0.2 / (1 - 0.8**n)
        second = sum(0.95 ** (n - k) * g * g for k, g in enumerate(gradients[:n], start=1)) * 0.05 / (1 - 0.95**n)
        expected -= 0.1 * first / (math.sqrt(second) + 1e-8)
        assert theta[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("make", [lambda: SGD(-1.0), lambda: Adam(math.nan), lambda: Adam(0.1, beta1=1.0)])
def test_impossible_rates_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"rate|beta1"):
        make()


# The trained numbers


def test_trained_numbers_go_into_the_guide_and_come_back() -> None:
    guide = cask_guide()
    trainable = Trainable(guide)
    assert trainable.names == ["weight.1", "weight.2", *(f"network.1.{k}" for k in range(4))]
    numpy.testing.assert_array_equal(trainable.vector(guide), [0.9, 0.2, -0.012, 0.024, 0.014, 0.125])
    changed = trainable.guide_with(numpy.arange(6.0))
    numpy.testing.assert_array_equal(changed.weights, [1.0, 0.0, 1.0])
    numpy.testing.assert_array_equal(changed.parameters, [2, 3, 4, 5])
    numpy.testing.assert_array_equal(trainable.vector(changed), numpy.arange(6.0))
    numpy.testing.assert_array_equal(trainable.rates(network=0.1, weights=0.5), [0.5, 0.5, 0.1, 0.1, 0.1, 0.1])
    slopes = Loss(0.0, numpy.array([7.0, 8.0, 9.0]), numpy.arange(4.0))
    numpy.testing.assert_array_equal(trainable.gradient(slopes), [8, 9, 0, 1, 2, 3])


def test_a_part_of_the_numbers_can_be_trained() -> None:
    guide = cask_guide()
    weights_alone = Trainable(guide, network=False)
    assert weights_alone.names == ["weight.1", "weight.2"]
    numpy.testing.assert_array_equal(weights_alone.guide_with(numpy.ones(2)).parameters, guide.parameters)
    network_alone = Trainable(guide, weights="none")
    numpy.testing.assert_array_equal(network_alone.guide_with(numpy.ones(4)).weights, guide.weights)
    assert Trainable(guide, weights=[2], network=False).names == ["weight.2"]
    assert len(Trainable(guide, weights="all").names) == 7


def test_what_cannot_be_trained_is_refused() -> None:
    for options in ({"weights": "none", "network": False}, {"weights": "heavy"}, {"weights": [3]}, {"weights": [1, 1]}):
        with pytest.raises(ValueError, match="weights"):
            Trainable(cask_guide(), **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="vector has 2"):
        Trainable(cask_guide()).guide_with(numpy.ones(2))
    with pytest.raises(ValueError, match="loss = 'square'"):
        Objective(TARGET, Trainable(cask_guide()), "square")
    with pytest.raises(ValueError, match="guide term 1 lives on"):
        Objective(GAUGE, Trainable(cask_guide()), "action")


# Losses


def gradient_by_differences(objective: Objective, vector: numpy.ndarray, proposal: Proposal) -> numpy.ndarray:
    """The gradient by five points in each number."""
    eps, gradient = 3e-4, numpy.zeros(len(vector))
    for k in range(len(vector)):
        values = [
            objective.evaluate(vector + step * eps * numpy.eye(len(vector))[k], proposal)[0] for step in (1, -1, 2, -2)
        ]
        gradient[k] = (8 * (values[0] - values[1]) - (values[2] - values[3])) / (12 * eps)
    return gradient


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("pair", [lambda: (TARGET, cask_guide()), quenched_pair], ids=["cask", "quenched"])
def test_gradient_of_the_loss_is_that_of_its_value(loss: str, pair: Any) -> None:
    target, guide = pair()
    objective = Objective(target, Trainable(guide, weights="all"), loss)
    vector, proposal = objective.trainable.vector(guide), proposal_of(target, guide)
    _, gradient = objective.evaluate(vector, proposal)
    expected = gradient_by_differences(objective, vector, proposal)
    assert abs(gradient - expected).max() < 1e-7 * abs(expected).max()


def values(action: Sum, proposal: Proposal) -> tuple[float, float]:
    """The action at both ends, on the target's phi."""
    fields = [None if term.slot is None else proposal.fields[1] for term in action.terms]
    return tuple(action.evaluate(U, fields, gradient=False).value for U in (proposal.U_0, proposal.U_tau))  # type: ignore[return-value]


def test_losses_of_values_are_squares_of_differences() -> None:
    target, guide = as_sum(TARGET), cask_guide()
    proposal, trainable = proposal_of(target, guide), Trainable(guide)
    S_0, S_tau = values(target, proposal)
    guide_0, guide_tau = values(guide, proposal)
    found = {name: Objective(target, trainable, name).evaluate(trainable.vector(guide), proposal)[0] for name in LOSSES}
    assert found["action"] == pytest.approx((S_tau - guide_tau) ** 2, rel=1e-8)
    assert found["trajectory"] == pytest.approx((S_tau - guide_tau - S_0 + guide_0) ** 2, rel=1e-8)
    assert found["trajectory"] == pytest.approx((proposal.dH - proposal.dH_guide) ** 2, rel=1e-8)


def test_force_loss_is_the_norm_of_the_difference_of_forces() -> None:
    target, guide = as_sum(TARGET), cask_guide()
    proposal = proposal_of(target, guide)
    U, forces = proposal.U_tau.to_numpy(), []
    for action in (target, guide):
        fields = [None if term.slot is None else proposal.fields[1] for term in action.terms]
        C = action.evaluate(proposal.U_tau, fields).gradient
        assert C is not None
        forces.append(-0.5 * TA(C.to_numpy() @ U.conj().swapaxes(-1, -2)))
    expected = (abs(forces[1] - forces[0]) ** 2).sum()
    trainable = Trainable(guide)
    value, _ = Objective(target, trainable, "force").evaluate(trainable.vector(guide), proposal)
    assert value == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("loss", LOSSES)
def test_loss_of_the_target_itself_vanishes(loss: str) -> None:
    target = as_sum(TARGET)
    trainable = Trainable(target)
    value, gradient = Objective(target, trainable, loss).evaluate(numpy.ones(1), proposal_of(target, target))
    assert value < 1e-16
    assert abs(gradient).max() < 1e-5


def test_a_loss_that_is_no_number_stops_the_run() -> None:
    target, guide = quenched_pair()
    proposal = proposal_of(target, guide)
    broken = Proposal(0, proposal.U_0, proposal.U_tau, proposal.fields, 0.0, math.nan, 0.0, 0.0)
    with pytest.raises(PhysicsError, match="loss is nan"):
        Objective(target, Trainable(guide), "action").evaluate(numpy.array([0.0]), broken)


# Training


@pytest.mark.parametrize("loss", LOSSES)
def test_lbfgs_finds_the_target(loss: str) -> None:
    target, guide = quenched_pair()
    proposals = [proposal_of(target, guide, seed=seed) for seed in (1, 2)]
    found = fit(proposals, target, Trainable(guide, weights="all"), "lbfgs", epochs=60, loss=loss)
    numpy.testing.assert_allclose(found.learned.vector, [1.0, 0.0], atol=1e-3)
    assert found.means[-1] < 1e-4 * found.means[0]
    numpy.testing.assert_array_equal(found.guide.weights, found.learned.vector[:1])


def test_fit_by_an_optimiser_makes_one_update_per_proposal() -> None:
    target, guide = quenched_pair()
    proposals = [proposal_of(target, guide, seed=seed) for seed in (1, 2)]
    trainable = Trainable(guide, weights="all")
    found = fit(proposals, target, trainable, Adam(0.01), epochs=3)
    assert found.learned.memory["updates"] == 6
    assert len(found.means) == 3
    objective = Objective(target, trainable, "trajectory")
    assert (
        found.means[-1]
        < found.means[0]
        == pytest.approx(objective.mean(trainable.vector(guide), proposals)[0], rel=0.5)
    )
    for arguments in ({"proposals": []}, {"proposals": proposals, "optimiser": "newton"}):
        with pytest.raises(ValueError, match=r"proposals is empty|'newton'"):
            fit(target=target, trainable=trainable, **arguments)  # type: ignore[arg-type]


def test_live_training_brings_the_guide_to_the_target() -> None:
    target, guide = quenched_pair()
    hmc = HMC(target, guide, steps=4, length=0.5)
    seen: list[dict[str, Any]] = []
    state, trainable = State(thermal(World.alone()), seed=2), Trainable(guide, weights="all")
    trained = train(
        hmc, state, 60, Adam(trainable.rates(network=0.002, weights=0.01)), "trajectory", trainable, seen.append
    )
    assert seen == trained.records
    assert trained.state.trajectory == len(seen) == 60
    losses = [record["loss"] for record in seen]
    assert numpy.mean(losses[-10:]) < 0.02 * numpy.mean(losses[:5])
    assert abs(trained.guide.weights[0] - 1) < 0.02
    assert guide.weights[0] == 0.9  # the guide that was given stays as it was
    assert trained.hmc.target is hmc.target


@pytest.mark.ranks
@pytest.mark.parametrize("loss", ["trajectory", "force"])
def test_live_training_is_the_same_on_every_number_of_ranks(world: World, loss: str) -> None:
    def trained_on(place: World) -> tuple[Any, ...]:
        guide = GAUGE + Transformed(StaggeredAction(mass=1.2, tastes=4), CASK)
        hmc = HMC(GAUGE + StaggeredAction(mass=1.0, tastes=4), guide, scheme=LEAPFROG, steps=1, length=0.1)
        trained = train(hmc, State(thermal(place), seed=2), 2, Adam(0.01), loss)
        return trained.learned.vector.tolist(), [record["loss"] for record in trained.records]

    together, alone = trained_on(world), trained_on(World.alone())
    agree(world, together == alone, f"{together} on {world.size} ranks, {alone} on one")


@pytest.mark.ranks
def test_fits_are_the_same_on_every_number_of_ranks(world: World) -> None:
    def fitted_on(place: World) -> tuple[Any, ...]:
        target, guide = quenched_pair()
        proposals = [proposal_of(target, guide, place)]
        found = fit(proposals, target, Trainable(guide, weights="all"), epochs=3)
        return found.learned.vector.tolist(), found.means

    together, alone = fitted_on(world), fitted_on(World.alone())
    agree(world, together == alone, f"{together} on {world.size} ranks, {alone} on one")


def test_an_update_does_not_touch_what_was_learned_before() -> None:
    target, guide = quenched_pair()
    learner = Learner(Objective(target, Trainable(guide), "action"), Adam(0.1))
    before = learner.start()
    after, loss = learner.learn(before, proposal_of(target, guide))
    assert loss > 0
    assert before.memory["updates"] == 0 and after.memory["updates"] == 1
    numpy.testing.assert_array_equal(before.vector, [0.02])
    numpy.testing.assert_array_equal(learner.guide(after).parameters, after.vector)
