"""The exponential layer V_mu = exp(rho TA(X_mu Y_mu^+)) U_mu, and stout smearing (arXiv:hep-lat/0311018) made of it."""

from __future__ import annotations

from collections.abc import Sequence

from hpcgauge.fields.field import LINKS, MATRICES, Field
from hpcgauge.gauge.plaquette import STAPLES, staple_sum
from hpcgauge.kernels.kernel import Kernel, Numbers, Sums, reads, updates, writes
from hpcgauge.kernels.loop import run

_INPUTS = (reads("X", "matrix"), reads("Y", "matrix"), reads("U", "matrix"), Numbers("rho"))
EXPONENTIAL_LAYER = Kernel("layer.h", (writes("V", "matrix"), *_INPUTS), "exponential_layer")
EXPONENTIAL_LAYER_PULLBACK = Kernel(
    "layer.h",
    (
        writes("dX", "matrix"),
        updates("dY", "matrix"),
        updates("dU", "matrix"),
        reads("dV", "matrix"),
        *_INPUTS,
        Numbers("kept", 2),
        Sums(1),
    ),
    "exponential_layer_pullback",
)
_THREE = (reads("X", "matrix"), reads("U", "matrix"), Numbers("rho", 3))
THREE_LAYERS = Kernel("layer.h", (*(writes(f"V{i}", "matrix") for i in range(3)), *_THREE), "three_layers")
THREE_LAYERS_PULLBACK = Kernel(
    "layer.h",
    (
        writes("dX", "matrix"),
        updates("dU", "matrix"),
        *(reads(f"dV{i}", "matrix") for i in range(3)),
        *_THREE,
        Sums(3),
    ),
    "three_layers_pullback",
)
STAPLE_PULLBACK = Kernel(
    "staple_pullback.h",
    (updates("dW", "matrix"), reads("M", "matrix", STAPLES), reads("W", "matrix", STAPLES), Numbers("kept")),
)


def exponential_layer(X: Field, Y: Field, U: Field, rho: float) -> Field:
    """V_mu = exp(rho TA(X_mu Y_mu^+)) U_mu."""
    V = Field(U.lattice, LINKS, U.precision)
    run(EXPONENTIAL_LAYER, V=V, X=X, Y=Y, U=U, rho=rho)
    return V


def exponential_layer_pullback(
    inputs: tuple[Field, Field, Field, float], dV: Field, dY: Field, dU: Field, kept: tuple[float, float] = (1.0, 1.0)
) -> tuple[Field, float]:
    """dX and d/drho for the cotangent dV; the cotangents of Y and U are added to dY and dU, which may be one field.

    `inputs` are X, Y, U, rho. `kept`: what dY and dU held counts so much; with 0 they may hold anything. Of one field,
    dU comes first. Collective.
    """
    X, Y, U, rho = inputs
    dX = Field(U.lattice, MATRICES, U.precision)
    (drho,) = run(EXPONENTIAL_LAYER_PULLBACK, dX=dX, dY=dY, dU=dU, dV=dV, X=X, Y=Y, U=U, rho=rho, kept=kept)
    return dX, drho


def three_layers(X: Field, U: Field, rho: Sequence[float]) -> tuple[Field, Field, Field]:
    """V_mu = exp(rho TA(X_mu U_mu^+)) U_mu for three rho."""
    first, second, third = (Field(U.lattice, LINKS, U.precision) for _ in range(3))
    run(THREE_LAYERS, V0=first, V1=second, V2=third, X=X, U=U, rho=rho)
    return first, second, third


def three_layers_pullback(
    inputs: tuple[Field, Field, Sequence[float]], dV: tuple[Field, Field, Field], dU: Field
) -> tuple[Field, tuple[float, ...]]:
    """dX and the three d/drho for the cotangents dV; the cotangent of U is added to dU.

    `inputs` are X, U, rho. Collective.
    """
    X, U, rho = inputs
    dX = Field(U.lattice, MATRICES, U.precision)
    slopes = run(THREE_LAYERS_PULLBACK, dX=dX, dU=dU, dV0=dV[0], dV1=dV[1], dV2=dV[2], X=X, U=U, rho=rho)
    return dX, slopes


def staple_pullback(M: Field, W: Field, dW: Field, kept: float = 1.0) -> None:
    """Adds the cotangent of W to `kept` times dW (0: it may hold anything), for the staple sum of W with cotangent M.

    Collective.
    """
    run(STAPLE_PULLBACK, dW=dW, M=M, W=W, kept=kept)


def stout(U: Field, rho: float) -> Field:
    """V_mu = exp(rho TA(sum_{sigma nu} P_{sigma nu,1}(U) U_mu^+)) U_mu. Collective."""
    return exponential_layer(staple_sum(U), U, U, rho)
