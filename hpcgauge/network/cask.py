"""CASK: gauge covariant attention from Wilson loops (Nagai, Ohno, Tomiya, arXiv:2501.16955, corrected).

One layer, parameters (rho, rho_q, rho_k, rho_v), reach R:
  U^Q, U^K, U^V = stout of U with rho_q, rho_k, rho_v
  a_{x,mu,sigma nu,s} = tan{ pi/(4(N + 0.01)) (Re tr[U^Q_mu P_{sigma nu,s}(U^K)^+] - Re tr[U_mu P_{sigma nu,s}(U)^+]) }
"hypercubic":  U^A = exp(TA(sum a P(U^V) U^+)) U,        U' = exp(rho TA(sum P_1(U^A) U^+)) U
"paper":       a of sigma = + for both sigma, and the sums close with U^V^+ and U^A^+ instead of U^+
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy

from hpcgauge.fields.field import Field
from hpcgauge.gauge.plaquette import staple_sum
from hpcgauge.gauge.stout import (
    exponential_layer,
    exponential_layer_pullback,
    staple_pullback,
    three_layers,
    three_layers_pullback,
)
from hpcgauge.network.covnet import count_of_layers, layer_parameters, new_like
from hpcgauge.network.paths import Paths

VARIANTS = ("hypercubic", "paper")
PARAMETERS = ("rho", "rho_q", "rho_k", "rho_v")


@dataclass(frozen=True)
class CaskTape:
    """What the pullback of a layer needs. `staples`: of U; `mixed`: sum a P(U^V); `attended`: U^A and its staples."""

    U: Field
    staples: Field
    query: Field
    key: Field
    value: Field
    a: Field
    mixed: Field
    attended: Field
    attended_staples: Field


@final
class Cask:
    """A CASK network. `parameters`: array (layers, 4) of rho, rho_q, rho_k, rho_v; row 0 acts first.

    `reach`: longest paths; `variant`: "hypercubic" (equivariant under reflections and rotations) or "paper".
    """

    def __init__(self, parameters: Any, reach: int = 3, variant: str = "hypercubic"):
        if variant not in VARIANTS:
            raise ValueError(f"variant = {variant!r} is not known; {' and '.join(VARIANTS)} are possible")
        if reach < 1:
            raise ValueError(f"reach = {reach} must be at least 1")
        self.parameters = layer_parameters(parameters, PARAMETERS)
        self.reach, self.variant = reach, variant
        self._paths = Paths(reach, variant)

    is_straight = True

    def with_parameters(self, parameters: numpy.ndarray) -> Cask:
        """The same network with other parameters."""
        return Cask(parameters, self.reach, self.variant)

    def __call__(self, U: Field) -> Field:
        """The transformed links. Collective."""
        return self.apply(U)[0]

    def apply(self, U: Field) -> tuple[Field, list[CaskTape]]:
        """The transformed links and the tape for `pullback`. Collective."""
        tapes = []
        for row in self.parameters:
            U, tape = self._layer(U, row)
            tapes.append(tape)
        return U, tapes

    def pullback(self, tape: list[CaskTape], dV: Field) -> tuple[Field, numpy.ndarray]:
        """The cotangents of links and parameters: Re sum tr(dV^+ d net) = Re sum tr(dU^+ dU') + dparameters . dtheta.

        Collective.
        """
        gradient = numpy.zeros_like(self.parameters)
        for row in reversed(range(len(tape))):
            dV, gradient[row] = self._layer_pullback(tape[row], self.parameters[row], dV)
        return dV, gradient

    def _layer(self, U: Field, row: numpy.ndarray) -> tuple[Field, CaskTape]:
        rho, rho_q, rho_k, rho_v = (float(value) for value in row)
        staples = staple_sum(U)
        query, key, value = three_layers(staples, U, (rho_q, rho_k, rho_v))
        a = self._paths.attention(query, key, U)
        mixed = self._paths.sum(a, value)
        attended = exponential_layer(mixed, self._closing(U, value), U, 1.0)
        attended_staples = staple_sum(attended)
        V = exponential_layer(attended_staples, self._closing(U, attended), U, rho)
        return V, CaskTape(U, staples, query, key, value, a, mixed, attended, attended_staples)

    def _closing(self, U: Field, own: Field) -> Field:
        return U if self.variant == "hypercubic" else own

    def _layer_pullback(self, tape: CaskTape, row: numpy.ndarray, dV: Field) -> tuple[Field, numpy.ndarray]:
        rho, rho_q, rho_k, rho_v = (float(number) for number in row)
        U, gradient = tape.U, numpy.zeros(4)
        own = float(self.variant != "hypercubic")  # 1: the exponentials' closing links are no longer U
        dU, d_attended, d_value = (new_like(dV) for _ in range(3))
        slopes = self._paths.slopes(U)
        inputs = (tape.attended_staples, self._closing(U, tape.attended), U, rho)
        dX, gradient[0] = exponential_layer_pullback(inputs, dV, self._closing(dU, d_attended), dU, (1.0 - own, 0.0))
        staple_pullback(dX, tape.attended, d_attended, own)
        inputs = (tape.mixed, self._closing(U, tape.value), U, 1.0)
        d_mixed, _ = exponential_layer_pullback(inputs, d_attended, self._closing(dU, d_value), dU, (1.0 - own, 1.0))
        del dX, d_attended  # memory for what follows
        shifted = self._paths.sum_pullback(tape.a, d_mixed, tape.value, d_value, slopes, own)
        del d_mixed
        d_key = new_like(dV)
        d_query = self._paths.trace_pullback(shifted, tape.query, tape.key, d_key, slopes)
        self._paths.loop_pullback(shifted, U, dU, slopes)
        del shifted, slopes
        three = tape.staples, U, (rho_q, rho_k, rho_v)
        dX, gradient[1:] = three_layers_pullback(three, (d_query, d_key, d_value), dU)
        staple_pullback(dX, U, dU)
        return dU, gradient

    def __repr__(self) -> str:
        return f"Cask({count_of_layers(self.parameters)}, reach={self.reach}, {self.variant!r})"
