"""The chain: phases, hooks, stopping and going on."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from hpcgauge.action.transformed import Transformed
from hpcgauge.comm.world import World
from hpcgauge.gauge.links import Links
from hpcgauge.gauge.plaquette import PlaquetteAction
from hpcgauge.network.covnet import CovNet
from hpcgauge.sampler.chain import Chain, ChainState, Hooks, Phase
from hpcgauge.sampler.hmc import HMC, State
from hpcgauge.training.fit import fit
from hpcgauge.training.losses import Objective
from hpcgauge.training.optimisers import Adam
from hpcgauge.training.proposal import Proposal
from hpcgauge.training.train import Learner
from hpcgauge.training.trainable import Trainable
from tests.support.chains import BETA, lattice_on, thermal

TARGET = PlaquetteAction(BETA)
GUIDE = 0.98 * Transformed(TARGET, CovNet([[0.005]]))
TRAINABLE = Trainable(GUIDE, weights="all")
PHASES = (Phase("thermalise", 3), Phase("train", 4, trains=True), Phase("produce", 5, is_physics=True))


class Log:
    """What the hooks of a chain were given."""

    def __init__(self, stop_at: int | None = None):
        self.records: list[dict[str, Any]] = []
        self.checkpoints: list[ChainState] = []
        self.proposals: list[tuple[str, Proposal]] = []
        self.stop_at = stop_at

    def hooks(self, every: int = 10) -> Hooks:
        """Hooks that write this log."""
        return Hooks(
            record=self.records.append,
            measure=lambda state: {"measured": state.trajectory},
            checkpoint=self.checkpoints.append,
            proposal=lambda phase, proposal: self.proposals.append((phase, proposal)),
            is_stopping=lambda: len(self.records) == self.stop_at,
            every=every,
        )

    def lines(self) -> list[dict[str, Any]]:
        """The records without their times."""
        return [{key: value for key, value in record.items() if key != "seconds"} for record in self.records]


def chain_of(log: Log, phases: tuple[Phase, ...] = PHASES, every: int = 10) -> Chain:
    """A chain that learns weight and rho."""
    learner = Learner(Objective(TARGET, TRAINABLE, "trajectory"), Adam(0.001))
    return Chain(HMC(TARGET, GUIDE, steps=3, length=0.5), phases, learner, log.hooks(every))


def start() -> ChainState:
    """Where the chains begin."""
    return ChainState(State(thermal(World.alone()), seed=4))


def test_phases_follow_each_other() -> None:
    log = Log()
    chain = chain_of(log, every=5)
    end = chain.run(start())
    assert end.state.trajectory == chain.trajectories == 12
    assert [record["trajectory"] for record in log.records] == list(range(1, 13))
    assert [record["phase"] for record in log.records] == ["thermalise"] * 3 + ["train"] * 4 + ["produce"] * 5
    assert [record["trajectory"] for record in log.records if "loss" in record] == [4, 5, 6, 7]
    assert [record["measured"] for record in log.records if "measured" in record] == [8, 9, 10, 11, 12]
    assert [now.state.trajectory for now in log.checkpoints] == [3, 5, 7, 10, 12]
    assert [phase for phase, _ in log.proposals] == [record["phase"] for record in log.records]
    wanted = ["trajectory", "phase", "accepted", "dH", "dH_guide", "plaquette", "solver_steps", "seconds"]
    assert list(log.records[0]) == wanted


def test_the_guide_is_trained_and_then_frozen() -> None:
    log = Log()
    chain_of(log, every=1).run(start())
    learned = [now.learned for now in log.checkpoints]
    assert learned[2] is None
    vectors = [one.vector.tolist() for one in learned if one is not None]
    assert len({tuple(vector) for vector in vectors[:4]}) == 4
    assert all(vector == vectors[3] for vector in vectors[3:])
    assert len({record["dH"] == record["dH_guide"] for record in log.records}) == 1


@pytest.mark.parametrize("stop_at", [2, 3, 5, 9])
def test_a_stopped_chain_goes_on_as_if_nothing_had_been(stop_at: int) -> None:
    whole, first, second = Log(), Log(stop_at), Log()
    end = chain_of(whole).run(start())
    chain_of(first).run(start())
    stopped = first.checkpoints[-1]
    assert stopped.state.trajectory == stop_at
    array = stopped.state.U.to_numpy()
    again = State(Links.from_numpy(lattice_on(World.alone()), array), stopped.state.seed, stopped.state.trajectory)
    resumed = chain_of(second).run(ChainState(again, stopped.learned))
    assert first.lines() + second.lines() == whole.lines()
    numpy.testing.assert_array_equal(resumed.state.U.to_numpy(), end.state.U.to_numpy())


def test_a_phase_can_end_in_a_fit_to_its_proposals() -> None:
    log = Log()

    def fitted(now: ChainState) -> ChainState:
        proposals = [proposal for phase, proposal in log.proposals if phase == "record"]
        return ChainState(now.state, fit(proposals, TARGET, TRAINABLE, epochs=30).learned)

    chain = chain_of(log, (Phase("record", 4, finish=fitted), Phase("produce", 2)))
    end = chain.run(start())
    assert end.learned is not None
    numpy.testing.assert_allclose(end.learned.vector, [1.0, 0.0], atol=1e-2)
    assert log.checkpoints[0].learned is end.learned  # the fit is in the checkpoint at the end of its phase
    changes = [abs(record["dH"] - record["dH_guide"]) for record in log.records]
    assert max(changes[4:]) < 0.1 * max(changes[:4])


def test_more_production_goes_on_from_the_end() -> None:
    short, more, whole = Log(), Log(), Log()
    longer = (*PHASES[:2], Phase("produce", 7, is_physics=True))
    chain_of(more, longer).run(chain_of(short).run(start()))
    chain_of(whole, longer).run(start())
    assert short.lines() + more.lines() == whole.lines()


def test_training_without_a_learner_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\['train'\] train"):
        Chain(HMC(TARGET, steps=3), PHASES)
