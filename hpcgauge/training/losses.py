"""Losses: how far a guide S_eff is from the target S on one proposal, and the slope by everything trainable.

The links U_0 and U_tau and the fields are constants.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy

from hpcgauge.action.action import AbstractAction, Evaluation, as_sum, match_slots
from hpcgauge.errors import PhysicsError
from hpcgauge.fields.field import Field
from hpcgauge.gauge.links import UPDATE_LINKS, force, kinetic
from hpcgauge.kernels.algebra import add
from hpcgauge.kernels.loop import run
from hpcgauge.training.proposal import Proposal
from hpcgauge.training.trainable import Trainable

# The rms move of a link in the directional derivative. Where the guide has a network of reach 3 the difference misses
# 1e-8 of the gradient, which falls as the fourth power; the solver's rounding, 1e-12 over the move, is below that.
RMS_MOVE = 1e-3
FOURTH_ORDER = ((1, 8.0), (-1, -8.0), (2, -1.0), (-2, 1.0))  # f'(0) = sum_k c_k f(k eps) / (12 eps)


@dataclass(frozen=True)
class Loss:
    """The loss on one proposal and its derivatives by the guide's weights and network parameters."""

    value: float
    dweights: numpy.ndarray
    dparameters: numpy.ndarray


@final
class Pair:
    """A guide beside the target whose fields it lives on. ValueError when their slots do not match."""

    def __init__(self, target: AbstractAction, guide: AbstractAction):
        self.target, self.guide = as_sum(target), as_sum(guide)
        self.slots = match_slots(self.guide, self.target)

    def with_guide(self, guide: AbstractAction) -> Pair:
        """Another guide beside the same target."""
        return Pair(self.target, guide)

    def evaluate_guide(self, U: Field, proposal: Proposal, gradient: bool = False) -> Evaluation:
        """S_eff and its slopes, or its gradient by the links. Collective."""
        fields: list[Any] = [None if slot is None else proposal.fields[slot] for slot in self.slots]
        return self.guide.evaluate(U, fields, gradient=gradient, parameters=not gradient)


def action_loss(pair: Pair, proposal: Proposal) -> Loss:
    """(S - S_eff)^2 at U_tau, the paper's. Collective."""
    end = pair.evaluate_guide(proposal.U_tau, proposal)
    return _square(end.value - proposal.S_tau, end.dweights, end.dparameters)


def trajectory_loss(pair: Pair, proposal: Proposal) -> Loss:
    """The square of the change of S - S_eff from U_0 to U_tau. Collective."""
    start = pair.evaluate_guide(proposal.U_0, proposal)
    end = pair.evaluate_guide(proposal.U_tau, proposal)
    change = (end.value - start.value) - (proposal.S_tau - proposal.S_0)
    return _square(change, end.dweights - start.dweights, end.dparameters - start.dparameters)


def force_loss(pair: Pair, proposal: Proposal) -> Loss:
    """|V|^2 = -sum tr V^2 of V = F_eff - F at U_tau, F = -1/2 TA(C U^+).

    A move exp(eps V) U changes S_eff by 2 sum tr(F_eff V) eps, so d|V|^2/dtheta = -d/deps dS_eff/dtheta along the fixed
    V: a fourth-order central difference. Collective.
    """
    U = proposal.U_tau
    effective = pair.evaluate_guide(U, proposal, gradient=True)
    exact = pair.target.evaluate(U, proposal.fields)
    assert effective.gradient is not None and exact.gradient is not None
    V = force(add(effective.gradient, exact.gradient, -1.0), U)
    value = kinetic(V)
    n_weights, n_parameters = len(pair.guide.weights), len(pair.guide.parameters)
    dweights, dparameters = numpy.zeros(n_weights), numpy.zeros(n_parameters)
    if value > 0:
        eps = RMS_MOVE / math.sqrt(value / (U.lattice.volume * U.lattice.dimensions))
        for k, coefficient in FOURTH_ORDER:
            moved = U.copy()
            run(UPDATE_LINKS, U=moved, P=V, step=k * eps)
            there = pair.evaluate_guide(moved, proposal)
            dweights -= coefficient / (12 * eps) * there.dweights
            dparameters -= coefficient / (12 * eps) * there.dparameters
    return _finite(Loss(float(value), dweights, dparameters))


LOSSES: dict[str, Callable[[Pair, Proposal], Loss]] = {
    "action": action_loss,
    "trajectory": trajectory_loss,
    "force": force_loss,
}


@final
class Objective:
    """A loss as a function of the trained numbers. ValueError for an unknown loss, or a guide on other fields."""

    def __init__(self, target: AbstractAction, trainable: Trainable, loss: str):
        if loss not in LOSSES:
            raise ValueError(f"loss = {loss!r} is not known; {', '.join(LOSSES)} are possible")
        self.pair = Pair(target, trainable.guide)
        self.trainable, self.loss = trainable, LOSSES[loss]

    def evaluate(self, vector: numpy.ndarray, proposal: Proposal) -> tuple[float, numpy.ndarray]:
        """The loss on one proposal and its gradient. Collective."""
        loss = self.loss(self.pair.with_guide(self.trainable.guide_with(vector)), proposal)
        return loss.value, self.trainable.gradient(loss)

    def mean(self, vector: numpy.ndarray, proposals: Sequence[Proposal]) -> tuple[float, numpy.ndarray]:
        """The mean over proposals and its gradient. Collective."""
        parts = [self.evaluate(vector, proposal) for proposal in proposals]
        total = sum((gradient for _, gradient in parts), numpy.zeros(len(vector)))
        return math.fsum(value for value, _ in parts) / len(parts), total / len(parts)


def _square(difference: float, dweights: numpy.ndarray, dparameters: numpy.ndarray) -> Loss:
    return _finite(Loss(float(difference**2), 2 * difference * dweights, 2 * difference * dparameters))


def _finite(loss: Loss) -> Loss:
    slopes = numpy.concatenate([loss.dweights, loss.dparameters])
    if not math.isfinite(loss.value) or not numpy.isfinite(slopes).all():
        raise PhysicsError(f"the loss is {loss.value} with slopes {slopes.tolist()}; a smaller learning rate may help")
    return loss
