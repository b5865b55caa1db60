"""Actions: values and gradients on links, sums with weights, and actions of transformed links."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, final

import numpy

from hpcgauge.fields.field import MATRICES, Field
from hpcgauge.kernels.algebra import add, cleared, copied, scaled
from hpcgauge.kernels.draws import Draw
from hpcgauge.kernels.program import Callback, Program, Step
from hpcgauge.kernels.recording import recording

NO_PARAMETERS = numpy.zeros(0)
MAX_TERMS = 32
# Bytes of links
SMALL = 2**24


@dataclass(frozen=True)
class Evaluation:
    """The value of an action and what was asked for beside it.

    `gradient`: C with dS = Re sum tr(C^+ dU). `dweights`: dS/dweight for each term of a Sum. `dparameters`: dS by the
    network parameters, flat, in the order of `parameters`. `steps`: solver steps spent.
    """

    value: float
    gradient: Field | None = None
    steps: int = 0
    dweights: numpy.ndarray = field(default_factory=lambda: NO_PARAMETERS)
    dparameters: numpy.ndarray = field(default_factory=lambda: NO_PARAMETERS)


@dataclass(frozen=True)
class Prepared:
    """An action as steps of a program, to be done again and again while the links change.

    `result`: what the steps came to; None where they did not come to their end, and `evaluate` has to. `gradient`: the
    field in which they leave C, if it was asked for; it may be changed before they are done again.
    """

    steps: list[Step]
    result: Callable[[], Evaluation | None]
    gradient: Field | None = None


class AbstractAction(ABC):
    """An action S[U, fields]. It holds no state: fields come from `refresh` and are passed in."""

    @property
    @abstractmethod
    def slot(self) -> Hashable | None:
        """The kind of the fields it lives on; None for an action of links alone."""

    @abstractmethod
    def refresh(self, draw: Draw, U: Field) -> Any:
        """Fields drawn with weight exp(-S) at fixed U; None for an action of links alone. Collective."""

    @abstractmethod
    def evaluate(self, U: Field, fields: Any, gradient: bool = True, parameters: bool = False) -> Evaluation:
        """The value, the gradient by the links, and the gradient by trainable parameters, as asked for. Collective."""

    def prepare(self, U: Field, fields: Any, gradient: bool = True) -> Prepared:
        """`evaluate` as steps of a program. Collective."""
        return _in_python(U, gradient, lambda: self.evaluate(U, fields, gradient))

    def with_memory(self, fields: Any) -> Any:
        """Fields to evaluate along one trajectory: beside them what helps later evaluations may be kept."""
        return fields

    @property
    def parameters(self) -> numpy.ndarray:
        """Trainable network parameters, flat."""
        return NO_PARAMETERS

    def with_parameters(self, parameters: numpy.ndarray) -> AbstractAction:
        """The same action with other network parameters."""
        if len(parameters):
            raise ValueError(f"{type(self).__name__} has no parameters, not {len(parameters)}")
        return self

    def __add__(self, other: AbstractAction) -> Sum:
        return Sum((self, other), (1.0, 1.0))

    def __mul__(self, weight: float) -> Sum:
        return Sum((self,), (float(weight),))

    __rmul__ = __mul__


class FamilyAction(AbstractAction):
    """An action without parameters that is evaluated together with others of its family on the same fields."""

    @property
    @abstractmethod
    def family(self) -> Hashable:
        """What terms that are evaluated together have in common."""

    @abstractmethod
    def evaluate_together(
        self, terms: Sequence[AbstractAction], weights: numpy.ndarray, U: Field, fields: Any, gradient: bool
    ) -> Evaluation:
        """What `Sum(terms, weights)` gives, for terms of this family, all on the same fields. Collective."""


@final
class Sum(AbstractAction):
    """sum_k weights[k] terms[k]; sums among the terms are taken apart. `fields` is a list, one entry for each term."""

    terms: tuple[AbstractAction, ...]
    weights: numpy.ndarray

    def __init__(self, terms: Sequence[AbstractAction], weights: Sequence[float] | numpy.ndarray):
        flat: list[tuple[AbstractAction, float]] = []
        for term, weight in zip(terms, weights, strict=True):
            if isinstance(term, Sum):
                flat += [(inner, weight * float(w)) for inner, w in zip(term.terms, term.weights, strict=True)]
            else:
                flat.append((term, float(weight)))
        if len(flat) > MAX_TERMS:
            raise ValueError(f"a sum of {len(flat)} terms; at most {MAX_TERMS} are possible")
        self.terms = tuple(term for term, _ in flat)
        self.weights = numpy.array([weight for _, weight in flat])

    def __repr__(self) -> str:
        return " + ".join(f"{weight:g} * {term!r}" for term, weight in zip(self.terms, self.weights, strict=True))

    @property
    def slot(self) -> Hashable | None:
        return tuple(term.slot for term in self.terms)

    def refresh(self, draw: Draw, U: Field) -> list[Any]:
        """Fields of each term, drawn for weight 1, from instances of their own also where sums are nested."""
        first = MAX_TERMS * draw.instance
        return [term.refresh(draw.of(draw.stream, first + k), U) for k, term in enumerate(self.terms)]

    def evaluate(self, U: Field, fields: list[Any], gradient: bool = True, parameters: bool = False) -> Evaluation:
        steps, total, values, by_parameter = 0, None, numpy.zeros(len(self.terms)), {-1: NO_PARAMETERS}
        for group in self._groups(fields):
            first, own = self.terms[group[0]], fields[group[0]]
            if len(group) == 1 or not isinstance(first, FamilyAction):
                part, weight = first.evaluate(U, own, gradient, parameters), float(self.weights[group[0]])
                values[group] = part.value
                by_parameter[group[0]] = weight * part.dparameters
            else:
                terms = [self.terms[k] for k in group]
                part, weight = first.evaluate_together(terms, self.weights[group], U, own, gradient), 1.0
                values[group] = part.dweights
            steps += part.steps
            if part.gradient is not None:
                total = scaled(part.gradient, weight) if total is None else add(total, part.gradient, weight)
        value = sum(weight * one for weight, one in zip(self.weights, values, strict=True))
        slopes = [by_parameter[k] for k in sorted(by_parameter)]
        return Evaluation(value, total, steps, values, numpy.concatenate(slopes))

    def prepare(self, U: Field, fields: list[Any], gradient: bool = True) -> Prepared:
        groups = self._groups(fields)
        parts = [self._prepare_group(group, U, fields[group[0]], gradient) for group in groups]
        weights = [float(self.weights[group[0]]) if len(group) == 1 else 1.0 for group in groups]
        with recording(U.lattice) as sum_up:
            total = _weighted_sum([part.gradient for part in parts], weights) if gradient else None

        def result() -> Evaluation | None:
            found, values = [part.result() for part in parts], numpy.zeros(len(self.terms))
            for group, one in zip(groups, found, strict=True):
                if one is None:
                    return None
                values[group] = one.value if len(group) == 1 else one.dweights
            value = sum(weight * one for weight, one in zip(self.weights, values, strict=True))
            return Evaluation(value, total, sum(one.steps for one in found if one), values)

        return Prepared([*chain.from_iterable(part.steps for part in parts), *sum_up], result, total)

    def _prepare_group(self, group: list[int], U: Field, fields: Any, gradient: bool) -> Prepared:
        first, terms, weights = self.terms[group[0]], [self.terms[k] for k in group], self.weights[group]
        if len(group) == 1 or not isinstance(first, FamilyAction):
            return first.prepare(U, fields, gradient)
        return _in_python(U, gradient, lambda: first.evaluate_together(terms, weights, U, fields, gradient))

    def _groups(self, fields: list[Any]) -> list[list[int]]:
        """The numbers of the terms, those of one family on the same fields together."""
        groups: dict[Hashable, list[int]] = {}
        for k, (term, own) in enumerate(zip(self.terms, fields, strict=True)):
            key = (term.family, id(own)) if isinstance(term, FamilyAction) else k
            groups.setdefault(key, []).append(k)
        return list(groups.values())

    def with_memory(self, fields: list[Any]) -> list[Any]:
        """Terms that are evaluated together share their fields as they are."""
        kept = list(fields)
        for group in self._groups(fields):
            if len(group) == 1:
                kept[group[0]] = self.terms[group[0]].with_memory(fields[group[0]])
        return kept

    @property
    def parameters(self) -> numpy.ndarray:
        return numpy.concatenate([NO_PARAMETERS, *(term.parameters for term in self.terms)])

    def with_parameters(self, parameters: numpy.ndarray) -> Sum:
        sizes = [len(term.parameters) for term in self.terms]
        if sum(sizes) != len(parameters):
            raise ValueError(f"the terms of this sum have {sum(sizes)} parameters, not {len(parameters)}")
        parts = numpy.split(parameters, numpy.cumsum(sizes)[:-1])
        return Sum([term.with_parameters(part) for term, part in zip(self.terms, parts, strict=True)], self.weights)

    def with_weights(self, weights: Sequence[float] | numpy.ndarray) -> Sum:
        """The same terms with other weights."""
        return Sum(self.terms, [float(weight) for weight in weights])


def as_sum(action: AbstractAction) -> Sum:
    """The action as a Sum, of one term if it is none."""
    return action if isinstance(action, Sum) else Sum((action,), (1.0,))


def match_slots(guide: Sum, target: Sum) -> list[int | None]:
    """For each term of the guide the target's term whose fields it is evaluated on; None for actions of links alone.

    All guide terms of a kind share the target's only slot of that kind; several slots of a kind are taken in order.
    ValueError when the kinds or numbers do not fit.
    """
    matched: list[int | None] = []
    for place, term in enumerate(guide.terms):
        if term.slot is None:
            matched.append(None)
            continue
        candidates = [k for k, other in enumerate(target.terms) if other.slot == term.slot]
        before = sum(1 for other in guide.terms[:place] if other.slot == term.slot)
        alike = sum(1 for other in guide.terms if other.slot == term.slot)
        if not candidates or (len(candidates) > 1 and len(candidates) != alike):
            present = [other.slot for other in target.terms if other.slot is not None]
            raise ValueError(f"guide term {place} lives on fields {term.slot}; the target has {present}")
        matched.append(candidates[before if len(candidates) > 1 else 0])
    return matched


def zero_gradient(U: Field) -> Field:
    """A gradient of zeros for links U."""
    return cleared(Field(U.lattice, MATRICES, U.precision, U.colors))


def is_small(U: Field) -> bool:
    """True where launches take about as long to begin as to run."""
    return U.data.nbytes <= SMALL


def repeated(action: AbstractAction, U: Field, fields: Any, gradient: bool = True) -> Callable[[], Evaluation]:
    """A function that evaluates the action at what U holds when it is called. Both collective."""
    prepared = action.prepare(U, fields, gradient)
    program = Program(prepared.steps)

    def evaluate() -> Evaluation:
        program.run(1)
        return prepared.result() or action.evaluate(U, fields, gradient)

    return evaluate


def _in_python(U: Field, gradient: bool, evaluate: Callable[[], Evaluation]) -> Prepared:
    """One step, in which Python evaluates, and puts the gradient into one field each time."""
    C = Field(U.lattice, MATRICES, U.precision, U.colors) if gradient else None
    found: list[Evaluation] = []

    def step() -> None:
        one = evaluate()
        if C is not None and one.gradient is not None:
            copied(C, one.gradient)
        found[:] = [replace(one, gradient=C)]

    return Prepared([Callback(U.lattice, step)], lambda: found[0], C)


def _weighted_sum(gradients: Sequence[Field | None], weights: Sequence[float]) -> Field:
    """The sum, in the first field."""
    total, *others = [gradient for gradient in gradients if gradient is not None]
    if weights[0] != 1:
        copied(total, total, weights[0])
    for other, weight in zip(others, weights[1:], strict=True):
        add(total, other, weight)
    return total
