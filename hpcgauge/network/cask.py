"""CASK: gauge covariant attention from Wilson loops (Nagai, Ohno, Tomiya, arXiv:2501.16955, corrected).

One layer, parameters (rho, rho_q, rho_k, rho_v), reach R:
  U^Q, U^K, U^V = stout of U with rho_q, rho_k, rho_v
  a_{x,mu,sigma nu,s} = tan{ pi/(4(N + 0.01)) (Re tr[U^Q_mu P_{sigma nu,s}(U^K)^+] - Re tr[U_mu P_{sigma nu,s}(U)^+]) }
"hypercubic":  U^A = exp(TA(sum a P(U^V) U^+)) U,        U' = exp(rho TA(sum P_1(U^A) U^+)) U
"paper":       a of sigma = + for both sigma, and the sums close with U^V^+ and U^A^+ instead of U^+
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, final

import numpy

from hpcgauge.fields.field import LINKS, MATRICES, Field, reals
from hpcgauge.gauge.plaquette import staple_sum
from hpcgauge.gauge.stout import exponential_layer, exponential_layer_pullback, staple_pullback
from hpcgauge.kernels.algebra import add, zeros_like
from hpcgauge.kernels.kernel import Kernel, reads, updates, writes
from hpcgauge.kernels.loop import run
from hpcgauge.lattice.offsets import rectangle
from hpcgauge.network.covnet import layer_parameters

VARIANTS = ("hypercubic", "paper")
PARAMETERS = ("rho", "rho_q", "rho_k", "rho_v")


@dataclass(frozen=True)
class PathKernels:
    """The kernels of one reach and variant."""

    traces: Kernel
    sum: Kernel
    pullback: Kernel
    attention: Kernel
    attention_pullback: Kernel


@functools.cache
def path_kernels(reach: int, variant: str) -> PathKernels:
    """Kernels over paths of up to `reach` steps."""
    forward, around = rectangle(range(2), range(-reach, reach + 1)), rectangle(range(-1, 2), range(-reach, reach + 1))
    size = (("REACH", reach),)
    choice = (*size, ("PAPER", int(variant == "paper")))
    W = reads("W", "matrix", forward)
    return PathKernels(
        Kernel("paths.h", (writes("traces", "real"), reads("M", "matrix"), W), "path_traces", size),
        Kernel("paths.h", (writes("sum", "matrix"), reads("weights", "real"), W), "path_sum", size),
        Kernel(
            "paths.h",
            (
                updates("dW", "matrix"),
                reads("weights", "real", around),
                reads("M", "matrix", around),
                reads("W", "matrix", around),
            ),
            "path_pullback",
            size,
        ),
        Kernel(
            "attention.h",
            (writes("a", "real"), reads("query_key", "real"), reads("plain", "real")),
            "attention",
            choice,
        ),
        Kernel(
            "attention.h",
            (updates("da", "real"), writes("negative", "real"), reads("a", "real")),
            "attention_pullback",
            choice,
        ),
    )


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
        kernels = path_kernels(self.reach, self.variant)
        staples = staple_sum(U)
        query, key, value = (exponential_layer(staples, U, U, r) for r in (rho_q, rho_k, rho_v))
        query_key, plain, a = (self._path_numbers(U) for _ in range(3))
        run(kernels.traces, traces=query_key, M=query, W=key)
        run(kernels.traces, traces=plain, M=U, W=U)
        run(kernels.attention, a=a, query_key=query_key, plain=plain)
        mixed = Field(U.lattice, MATRICES, U.precision)
        run(kernels.sum, sum=mixed, weights=a, W=value)
        attended = exponential_layer(mixed, self._closing(U, value), U, 1.0)
        attended_staples = staple_sum(attended)
        V = exponential_layer(attended_staples, self._closing(U, attended), U, rho)
        return V, CaskTape(U, staples, query, key, value, a, mixed, attended, attended_staples)

    def _closing(self, U: Field, own: Field) -> Field:
        return U if self.variant == "hypercubic" else own

    def _path_numbers(self, U: Field) -> Field:
        dimensions = U.lattice.dimensions
        return Field(U.lattice, reals(dimensions * (dimensions - 1) * 2 * self.reach), U.precision, U.colors)

    def _layer_pullback(self, tape: CaskTape, row: numpy.ndarray, dV: Field) -> tuple[Field, numpy.ndarray]:
        rho, rho_q, rho_k, rho_v = (float(number) for number in row)
        kernels = path_kernels(self.reach, self.variant)
        U, gradient = tape.U, numpy.zeros(4)
        dU, d_attended, d_value, d_key = (zeros_like(dV) for _ in range(4))
        inputs = (tape.attended_staples, self._closing(U, tape.attended), U, rho)
        dX, gradient[0] = exponential_layer_pullback(inputs, dV, self._closing(dU, d_attended), dU)
        staple_pullback(dX, tape.attended, d_attended)
        inputs = (tape.mixed, self._closing(U, tape.value), U, 1.0)
        d_mixed, _ = exponential_layer_pullback(inputs, d_attended, self._closing(dU, d_value), dU)
        run(kernels.pullback, dW=d_value, weights=tape.a, M=d_mixed, W=tape.value)

        da, negative = self._path_numbers(U), self._path_numbers(U)
        run(kernels.traces, traces=da, M=d_mixed, W=tape.value)
        run(kernels.attention_pullback, da=da, negative=negative, a=tape.a)
        d_query, direct = (Field(U.lattice, LINKS, U.precision) for _ in range(2))
        run(kernels.sum, sum=d_query, weights=da, W=tape.key)
        run(kernels.pullback, dW=d_key, weights=da, M=tape.query, W=tape.key)
        run(kernels.sum, sum=direct, weights=negative, W=U)
        run(kernels.pullback, dW=dU, weights=negative, M=U, W=U)
        add(dU, direct)
        for place, (rho_x, cotangent) in enumerate(((rho_q, d_query), (rho_k, d_key), (rho_v, d_value)), start=1):
            inputs = (tape.staples, U, U, rho_x)
            dX, gradient[place] = exponential_layer_pullback(inputs, cotangent, dU, dU)
            staple_pullback(dX, U, dU)
        return dU, gradient

    def __repr__(self) -> str:
        return f"Cask({len(self.parameters)} layers, reach={self.reach}, {self.variant!r})"
