"""The action of transformed links, S[map(U), fields]."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Any, Protocol, final

import numpy

from hpcgauge.action.action import AbstractAction, Evaluation, Prepared, is_small
from hpcgauge.fields.field import Field
from hpcgauge.kernels.draws import Draw
from hpcgauge.kernels.recording import recording


class LinkMap(Protocol):
    """A map of links to links with parameters, and its pullback: a network.

    One with an attribute `is_straight` that is true does nothing but run kernels on fields, the same at each call, so
    that it may be recorded.
    """

    parameters: numpy.ndarray

    def with_parameters(self, parameters: numpy.ndarray) -> LinkMap: ...

    def apply(self, U: Field) -> tuple[Field, Any]: ...

    def pullback(self, tape: Any, cotangent: Field) -> tuple[Field, numpy.ndarray]: ...


@final
class Transformed(AbstractAction):
    """S[map(U), fields]: the action of transformed links."""

    def __init__(self, action: AbstractAction, link_map: LinkMap):
        self.action, self.map = action, link_map

    def __repr__(self) -> str:
        return f"Transformed({self.action!r}, {self.map!r})"

    @property
    def slot(self) -> Hashable | None:
        return self.action.slot

    def refresh(self, draw: Draw, U: Field) -> Any:
        return self.action.refresh(draw, self.map.apply(U)[0])

    def with_memory(self, fields: Any) -> Any:
        return self.action.with_memory(fields)

    def evaluate(self, U: Field, fields: Any, gradient: bool = True, parameters: bool = False) -> Evaluation:
        V, tape = self.map.apply(U)
        inner = self.action.evaluate(V, fields, gradient or parameters, False)
        if not (gradient or parameters):
            return inner
        assert inner.gradient is not None
        dU, dparameters = self.map.pullback(tape, inner.gradient)
        return Evaluation(inner.value, dU if gradient else None, inner.steps, dparameters=dparameters.ravel())

    def prepare(self, U: Field, fields: Any, gradient: bool = True) -> Prepared:
        if not (getattr(self.map, "is_straight", False) and is_small(U)):
            return super().prepare(U, fields, gradient)
        with recording(U.lattice) as forth:
            V, tape = self.map.apply(U)
        inner = self.action.prepare(V, fields, gradient)
        if inner.gradient is None:
            return Prepared([*forth, *inner.steps], inner.result)
        with recording(U.lattice) as back:
            dU, _ = self.map.pullback(tape, inner.gradient)

        def result() -> Evaluation | None:
            found = inner.result()
            return found and replace(found, gradient=dU)

        return Prepared([*forth, *inner.steps, *back], result, dU)

    @property
    def parameters(self) -> numpy.ndarray:
        return self.map.parameters.ravel()

    def with_parameters(self, parameters: numpy.ndarray) -> Transformed:
        return Transformed(self.action, self.map.with_parameters(parameters.reshape(self.map.parameters.shape)))
