"""Which numbers of a guide are trained, as one flat vector: weights of its terms, then network parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, final

import numpy

from hpcgauge.action.action import Sum, as_sum


class Slopes(Protocol):
    """Derivatives by all weights and by all network parameters: an Evaluation, or the slope of a loss."""

    @property
    def dweights(self) -> numpy.ndarray: ...

    @property
    def dparameters(self) -> numpy.ndarray: ...


@final
class Trainable:
    """The trained numbers of a guide; all its others stay as they are in `guide`.

    `weights`: "fermion" (of the terms that live on fields), "all", "none", or the numbers of the terms. `network`: the
    network parameters too. ValueError when nothing is left to train.
    """

    def __init__(self, guide: Sum, weights: str | Sequence[int] = "fermion", network: bool = True):
        self.guide = as_sum(guide)
        self.terms = _chosen(self.guide, weights)
        self.network = network and len(self.guide.parameters) > 0
        if not self.terms and not self.network:
            raise ValueError(f"nothing to train: weights = {weights!r}, network = {network}; the guide has no others")

    @property
    def names(self) -> list[str]:
        """A name for each entry: weight.TERM, network.TERM.PARAMETER."""
        names = [f"weight.{term}" for term in self.terms]
        if self.network:
            counts = [len(term.parameters) for term in self.guide.terms]
            names += [f"network.{term}.{k}" for term, count in enumerate(counts) for k in range(count)]
        return names

    def vector(self, guide: Sum) -> numpy.ndarray:
        """The trained numbers of a guide of this shape."""
        return self._joined(guide.weights, guide.parameters)

    def guide_with(self, vector: numpy.ndarray) -> Sum:
        """The guide with these trained numbers."""
        if len(vector) != len(self.names):
            raise ValueError(f"the vector has {len(vector)} numbers; {len(self.names)} are right, for {self.names}")
        weights = self.guide.weights.copy()
        weights[list(self.terms)] = vector[: len(self.terms)]
        guide = self.guide.with_weights(weights)
        return guide.with_parameters(numpy.array(vector[len(self.terms) :])) if self.network else guide

    def gradient(self, slopes: Slopes) -> numpy.ndarray:
        """The derivatives by the trained numbers, out of those by all."""
        return self._joined(slopes.dweights, slopes.dparameters)

    def rates(self, network: float, weights: float) -> numpy.ndarray:
        """A learning rate for each entry."""
        counts = len(self.terms), len(self.names) - len(self.terms)
        return numpy.repeat([weights, network], counts)

    def _joined(self, weights: numpy.ndarray, parameters: numpy.ndarray) -> numpy.ndarray:
        return numpy.concatenate([weights[list(self.terms)], parameters if self.network else parameters[:0]])


def _chosen(guide: Sum, weights: str | Sequence[int]) -> tuple[int, ...]:
    if not isinstance(weights, str):
        chosen = tuple(int(term) for term in weights)
        if any(not 0 <= term < len(guide.terms) for term in chosen) or len(set(chosen)) != len(chosen):
            raise ValueError(f"weights = {chosen}: different numbers from 0 to {len(guide.terms) - 1} are right")
        return chosen
    if weights not in ("fermion", "all", "none"):
        raise ValueError(f"weights = {weights!r} is not known; 'fermion', 'all', 'none' or numbers of terms are")
    if weights == "none":
        return ()
    return tuple(k for k, term in enumerate(guide.terms) if weights == "all" or term.slot is not None)
