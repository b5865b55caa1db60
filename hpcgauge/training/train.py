"""Training of a guide inside its chain, one update per trajectory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self, final

import numpy

from hpcgauge.action.action import AbstractAction, Sum
from hpcgauge.training.losses import Objective
from hpcgauge.training.optimisers import Memory, Optimiser
from hpcgauge.training.proposal import Proposal
from hpcgauge.training.trainable import Trainable


class Sampler(Protocol):
    """What training needs of hybrid Monte Carlo."""

    target: Sum
    guide: Sum

    def with_guide(self, guide: AbstractAction) -> Self: ...

    def propose(self, state: Any) -> Proposal: ...

    def decide(self, state: Any, proposal: Proposal) -> tuple[Any, Any]: ...


@dataclass(frozen=True)
class Learned:
    """The trained numbers and the optimiser's memory: what a checkpoint holds of training."""

    vector: numpy.ndarray
    memory: Memory


@final
class Learner:
    """One update of the trained numbers for each proposal."""

    def __init__(self, objective: Objective, optimiser: Optimiser):
        self.objective, self.optimiser = objective, optimiser

    def start(self) -> Learned:
        """The trained numbers as they are in the guide, before any update."""
        trainable = self.objective.trainable
        vector = trainable.vector(trainable.guide)
        return Learned(vector, self.optimiser.start(len(vector)))

    def learn(self, learned: Learned, proposal: Proposal) -> tuple[Learned, float]:
        """The numbers after one update, and the loss before it. Collective."""
        value, gradient = self.objective.evaluate(learned.vector, proposal)
        world = proposal.U_0.lattice.world
        # Once, so that ranks on different processors cannot part company.
        updated = self.optimiser.update(learned.memory, learned.vector, gradient) if world.rank == 0 else None
        memory, vector = world.broadcast(updated)
        return Learned(vector, memory), value

    def guide(self, learned: Learned) -> Sum:
        """The guide with these numbers."""
        return self.objective.trainable.guide_with(learned.vector)


@dataclass(frozen=True)
class Trained:
    """What training leaves: the sampler with the trained guide, the chain's state, the numbers, a record per update."""

    hmc: Any
    state: Any
    learned: Learned
    records: list[dict[str, Any]]

    @property
    def guide(self) -> Sum:
        """The trained guide."""
        return self.hmc.guide


def train(
    hmc: Sampler,
    state: Any,
    trajectories: int,
    optimiser: Optimiser,
    loss: str = "trajectory",
    trainable: Trainable | None = None,
    watch: Callable[[dict[str, Any]], None] | None = None,
) -> Trained:
    """The sampler with a guide trained live on so many trajectories, one update on each proposal, accepted or not.

    Trained are the weights of the guide's terms on fields and its network parameters, or what `trainable` says. `watch`
    is given each record, with `loss` beside what the step says. Collective.
    """
    learner = Learner(Objective(hmc.target, trainable or Trainable(hmc.guide), loss), optimiser)
    learned, records = learner.start(), []
    for _ in range(trajectories):
        driven = hmc.with_guide(learner.guide(learned))
        proposal = driven.propose(state)
        state, step = driven.decide(state, proposal)
        learned, value = learner.learn(learned, proposal)
        records.append(step.as_dict() | {"loss": value})
        if watch is not None:
            watch(records[-1])
    return Trained(hmc.with_guide(learner.guide(learned)), state, learned, records)
