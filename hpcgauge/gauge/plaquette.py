"""Plaquette, staples and the plaquette action."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any, final

from hpcgauge.action.action import AbstractAction, Evaluation, Prepared
from hpcgauge.fields.field import MATRICES, Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.draws import Draw
from hpcgauge.kernels.kernel import Kernel, Numbers, Sums, reads, writes
from hpcgauge.kernels.loop import Launch, run
from hpcgauge.lattice.offsets import FORWARD, Offsets

STAPLES = Offsets(((1, 0), (-1, 0), (1, -1)))
PLAQUETTE_SUM = Kernel("plaquette.h", (reads("U", "matrix", FORWARD), Sums(1)), "plaquette_sum")
_STAPLES = (writes("sum", "matrix"), reads("U", "matrix", STAPLES), Numbers("factor"))
STAPLE_SUM = Kernel("plaquette.h", _STAPLES, "staple_sum")
STAPLE_AND_PLAQUETTE_SUM = Kernel("plaquette.h", (*_STAPLES, Sums(1)), "staple_and_plaquette_sum")


def n_plaquettes(lattice: Lattice) -> int:
    """Plaquettes of the whole lattice."""
    return lattice.volume * lattice.dimensions * (lattice.dimensions - 1) // 2


def plaquette(U: Field) -> float:
    """The mean of Re tr P / N over sites and planes, 0..1. Collective."""
    return run(PLAQUETTE_SUM, U=U)[0] / (n_plaquettes(U.lattice) * U.colors)


def staple_sum(U: Field, factor: float = 1.0) -> Field:
    """factor sum_{sigma nu} P_{sigma nu,1}(x), all paths around a plaquette from x to x + mu. Collective."""
    sum_ = Field(U.lattice, MATRICES, U.precision)
    run(STAPLE_SUM, sum=sum_, U=U, factor=factor)
    return sum_


@final
class PlaquetteAction(AbstractAction):
    """S = beta sum_plaquettes (1 - Re tr P / N)."""

    def __init__(self, beta: float):
        if not math.isfinite(beta):
            raise ValueError(f"beta = {beta} must be finite")
        self.beta = float(beta)

    @property
    def slot(self) -> Hashable | None:
        return None

    def refresh(self, draw: Draw, U: Field) -> Any:
        return None

    def evaluate(self, U: Field, fields: Any = None, gradient: bool = True, parameters: bool = False) -> Evaluation:
        launch, C = self._launch(U, gradient)
        return Evaluation(self._value(U, *launch()), C)

    def prepare(self, U: Field, fields: Any, gradient: bool = True) -> Prepared:
        launch, C = self._launch(U, gradient)
        return Prepared([launch], lambda: Evaluation(self._value(U, float(launch.sums[0])), C), C)

    def _launch(self, U: Field, gradient: bool) -> tuple[Launch, Field | None]:
        """What sums Re tr P, and the field of the gradient if it is asked for."""
        if not gradient:
            return Launch(PLAQUETTE_SUM, U=U), None
        C = Field(U.lattice, MATRICES, U.precision, U.colors)
        return Launch(STAPLE_AND_PLAQUETTE_SUM, sum=C, U=U, factor=-self.beta / U.colors), C

    def _value(self, U: Field, total: float) -> float:
        """S for a sum of Re tr P."""
        n = n_plaquettes(U.lattice)
        return self.beta * n * (1 - total / (n * U.colors))

    def __repr__(self) -> str:
        return f"PlaquetteAction(beta={self.beta:g})"
