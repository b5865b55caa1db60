"""Fits of a guide to recorded proposals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from hpcgauge.action.action import AbstractAction, Sum
from hpcgauge.training.losses import Objective
from hpcgauge.training.optimisers import Optimiser
from hpcgauge.training.proposal import Proposal
from hpcgauge.training.train import Learned, Learner
from hpcgauge.training.trainable import Trainable


@dataclass(frozen=True)
class Fit:
    """What a fit leaves: the guide, its trained numbers, and the mean loss of each epoch."""

    guide: Sum
    learned: Learned
    means: list[float]


def fit(
    proposals: Sequence[Proposal],
    target: AbstractAction,
    trainable: Trainable,
    optimiser: Optimiser | str = "lbfgs",
    epochs: int = 100,
    loss: str = "trajectory",
) -> Fit:
    """The guide trained on recorded proposals.

    An optimiser makes one update on each proposal, in their order; its epoch's mean is over the losses before each
    update. "lbfgs" minimises the mean loss, an iteration an epoch. ValueError without proposals. Collective.
    """
    if not proposals:
        raise ValueError("proposals is empty; at least one recorded trajectory is needed")
    objective = Objective(target, trainable, loss)
    if isinstance(optimiser, str):
        if optimiser != "lbfgs":
            raise ValueError(f"optimiser = {optimiser!r} is not known; 'lbfgs' or an optimiser object is possible")
        vector, means = _minimised(objective, proposals, epochs)
        return Fit(trainable.guide_with(vector), Learned(vector, {}), means)
    learner = Learner(objective, optimiser)
    learned, means = learner.start(), []
    for _ in range(epochs):
        learned, mean = _epoch(learner, learned, proposals)
        means.append(mean)
    return Fit(learner.guide(learned), learned, means)


def _epoch(learner: Learner, learned: Learned, proposals: Sequence[Proposal]) -> tuple[Learned, float]:
    values = []
    for proposal in proposals:
        learned, value = learner.learn(learned, proposal)
        values.append(value)
    return learned, sum(values) / len(values)


def _minimised(objective: Objective, proposals: Sequence[Proposal], epochs: int) -> tuple[numpy.ndarray, list[float]]:
    """The vector of least mean loss found by L-BFGS on rank 0; the other ranks evaluate with it. Collective."""
    world = proposals[0].U_0.lattice.world
    if world.rank != 0:
        while True:
            vector, means = world.broadcast(None)
            if means is not None:
                return vector, means
            objective.mean(vector, proposals)

    def mean(vector: numpy.ndarray) -> tuple[float, numpy.ndarray]:
        world.broadcast((vector, None))
        return objective.mean(vector, proposals)

    start = objective.trainable.vector(objective.trainable.guide)
    return world.broadcast(_lbfgs(mean, start, epochs))


def _lbfgs(function: Any, start: numpy.ndarray, iterations: int) -> tuple[numpy.ndarray, list[float]]:
    from scipy.optimize import minimize  # type: ignore[import-untyped]

    values: list[float] = []
    found = minimize(
        function,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": iterations},
        callback=lambda intermediate_result: values.append(float(intermediate_result.fun)),
    )
    return numpy.asarray(found.x), values
