"""Derivatives of functions of link fields by finite differences along U -> exp(eps Q) U."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hpcgauge.fields.field import Field
from hpcgauge.gauge.links import UPDATE_LINKS
from hpcgauge.kernels.draws import Draw, Stream, random_momenta
from hpcgauge.kernels.loop import run
from tests.support.oracle.differences import gradient_pairing, richardson

Value = Callable[[Field], float]


def moved(U: Field, Q: Field, eps: float) -> Field:
    """exp(eps Q) U."""
    V = U.copy()
    run(UPDATE_LINKS, U=V, P=Q, step=eps)
    return V


def five_point(value: Callable[[float], float], eps: float) -> float:
    """The derivative at 0, error O(eps^4)."""
    one, minus_one, two, minus_two = (value(step * eps) for step in (1, -1, 2, -2))
    return (8 * (one - minus_one) - (two - minus_two)) / (12 * eps)


def directional_error(value: Value, gradient: Field, U: Field, seed: int, eps: float) -> float:
    """|five-point difference - Re sum tr(C^+ Q U)| for one random direction Q, relative to |C|. Collective.

    The difference is extrapolated once (error eps^6); what remains is rounding, 1e-16 |value| / eps.
    """
    Q = random_momenta(U.lattice, Draw(Stream.NOISE, seed))
    numeric = richardson(lambda step: five_point(lambda s: value(moved(U, Q, s)), step), eps)
    C = gradient.to_numpy()
    return abs(numeric - gradient_pairing(C, U.to_numpy(), Q.to_numpy())) / float(np.linalg.norm(C))
