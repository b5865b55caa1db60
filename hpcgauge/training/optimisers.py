"""Optimisers: what they remember is explicit, as arrays by name, so that a checkpoint can hold it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, final

import numpy

Array = numpy.ndarray
Memory = Mapping[str, Array]


class Optimiser(Protocol):
    """A rule that moves parameters against a gradient."""

    def start(self, size: int) -> Memory:
        """The memory before the first update of `size` parameters."""

    def update(self, memory: Memory, parameters: Array, gradient: Array) -> tuple[Memory, Array]:
        """The memory and the parameters after one update."""


def _check_rate(rate: float | Array) -> None:
    if not numpy.all(numpy.isfinite(rate)) or numpy.any(numpy.less(rate, 0)):
        raise ValueError(f"rate = {rate} must be finite and not negative")


def cosine(update: int, updates: int | None) -> float:
    """The factor of the rate in update 1, 2, ...: from 1 to 0 along a cosine over `updates`; 1 without a number."""
    return 1.0 if updates is None else 0.5 * (1 + math.cos(math.pi * min(update - 1, updates) / updates))


@final
@dataclass(frozen=True, eq=False)
class SGD:
    """theta <- theta - rate g; `rate` is one number, or one for each parameter; it falls to 0 over `updates`."""

    rate: float | Array
    updates: int | None = None

    def __post_init__(self) -> None:
        _check_rate(self.rate)

    def start(self, size: int) -> Memory:
        """The number of updates, 0."""
        return {"updates": numpy.zeros(1, dtype=numpy.int64)}

    def update(self, memory: Memory, parameters: Array, gradient: Array) -> tuple[Memory, Array]:
        """The memory and the parameters after one update."""
        updates = memory["updates"] + 1
        return {"updates": updates}, parameters - cosine(int(updates[0]), self.updates) * self.rate * gradient


@final
@dataclass(frozen=True, eq=False)
class Adam:
    """Adam (arXiv:1412.6980, algorithm 1); `rate`: one number, or one for each parameter; it falls to 0 over `updates`.

    m <- beta1 m + (1 - beta1) g,  v <- beta2 v + (1 - beta2) g^2,
    theta <- theta - rate m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon)
    """

    rate: float | Array
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    updates: int | None = None

    def __post_init__(self) -> None:
        _check_rate(self.rate)
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least 0 and below 1")

    def start(self, size: int) -> Memory:
        """Both moments and the number of updates, all 0."""
        return {"first": numpy.zeros(size), "second": numpy.zeros(size), "updates": numpy.zeros(1, dtype=numpy.int64)}

    def update(self, memory: Memory, parameters: Array, gradient: Array) -> tuple[Memory, Array]:
        """The memory and the parameters after one update."""
        updates = memory["updates"] + 1
        t = int(updates[0])
        first = self.beta1 * memory["first"] + (1 - self.beta1) * gradient
        second = self.beta2 * memory["second"] + (1 - self.beta2) * gradient**2
        direction = first / (1 - self.beta1**t) / (numpy.sqrt(second / (1 - self.beta2**t)) + self.epsilon)
        step = cosine(t, self.updates) * self.rate * direction
        return {"first": first, "second": second, "updates": updates}, parameters - step
