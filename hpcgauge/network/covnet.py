"""CovNet: layers of trainable stout smearing (Nagai and Tomiya, arXiv:2103.11965)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy

from hpcgauge.fields.field import Field
from hpcgauge.gauge.plaquette import staple_sum
from hpcgauge.gauge.stout import exponential_layer, exponential_layer_pullback, staple_pullback


@dataclass(frozen=True)
class StoutTape:
    """What the pullback of a stout layer needs: its input, the staple sum, rho."""

    U: Field
    staples: Field
    rho: float


def stout_apply(U: Field, rho: float) -> tuple[Field, StoutTape]:
    """V = exp(rho TA(sum P U^+)) U and the tape of its pullback. Collective."""
    staples = staple_sum(U)
    return exponential_layer(staples, U, U, rho), StoutTape(U, staples, rho)


def stout_pullback(tape: StoutTape, dV: Field) -> tuple[Field, float]:
    """The cotangent of the input and d/d rho. Collective."""
    dU = new_like(dV)
    dX, drho = exponential_layer_pullback((tape.staples, tape.U, tape.U, tape.rho), dV, dU, dU, (1.0, 0.0))
    staple_pullback(dX, tape.U, dU)
    return dU, drho


@final
class CovNet:
    """Layers of stout smearing with trainable rho. `parameters`: array (layers, 1); row 0 acts first."""

    def __init__(self, parameters: Any):
        self.parameters = layer_parameters(parameters, ("rho",))

    is_straight = True

    def with_parameters(self, parameters: numpy.ndarray) -> CovNet:
        """The same network with other parameters."""
        return CovNet(parameters)

    def __call__(self, U: Field) -> Field:
        """The transformed links. Collective."""
        return self.apply(U)[0]

    def apply(self, U: Field) -> tuple[Field, list[StoutTape]]:
        """The transformed links and the tape for `pullback`. Collective."""
        tapes = []
        for (rho,) in self.parameters:
            U, tape = stout_apply(U, float(rho))
            tapes.append(tape)
        return U, tapes

    def pullback(self, tape: list[StoutTape], dV: Field) -> tuple[Field, numpy.ndarray]:
        """The cotangents of links and parameters: Re sum tr(dV^+ d net) = Re sum tr(dU^+ dU') + dparameters . dtheta.

        Collective.
        """
        gradient = numpy.zeros_like(self.parameters)
        for row in reversed(range(len(tape))):
            dV, gradient[row, 0] = stout_pullback(tape[row], dV)
        return dV, gradient

    def __repr__(self) -> str:
        return f"CovNet({count_of_layers(self.parameters)})"


def new_like(x: Field) -> Field:
    """A field of the kind of x that is not initialised."""
    return Field(x.lattice, x.kind, x.precision, x.colors)


def count_of_layers(parameters: numpy.ndarray) -> str:
    """The number of layers in words."""
    return f"{len(parameters)} layer{'s' if len(parameters) != 1 else ''}"


def layer_parameters(parameters: Any, names: tuple[str, ...]) -> numpy.ndarray:
    """Parameters as an array (layers, len(names)); ValueError for another shape or numbers that are not finite."""
    array = numpy.array(parameters, dtype=float)
    if array.ndim != 2 or array.shape[1] != len(names) or not len(array):
        right = f"(layers, {len(names)}) is right, for {', '.join(names)}"
        raise ValueError(f"parameters have shape {array.shape}; {right}")
    if not numpy.isfinite(array).all():
        raise ValueError(f"parameters {array.tolist()} must be finite")
    return array
