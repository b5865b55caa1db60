"""Kernels under way on a card's streams, each with one struct as its argument."""

from __future__ import annotations

import ctypes
from typing import Any, final

import numpy

from hpcgauge.fields.card import Card
from hpcgauge.kernels.nvrtc import build_program


@final
class Argument:
    """A struct of 8-byte members that a kernel takes; it is read when the kernel is enqueued or captured."""

    def __init__(self, kind: numpy.dtype, *values: Any):
        self.record = numpy.zeros((), kind)
        for name, value in zip(kind.names or (), values, strict=True):
            self.record[name] = value
        self._pointer = ctypes.c_void_p(self.record.ctypes.data)
        self.address = ctypes.addressof(self._pointer)


def enqueue(
    card: Card, function: int, grid: tuple[int, int], threads: int, argument: Argument, stream: int | None = None
) -> None:
    """Nothing; the kernel is under way on a stream, the card's own by default."""
    where = card.stream if stream is None else stream
    card.driver.launchKernel(function, *grid, 1, threads, 1, 1, 0, where, argument.address, 0)


def device_function(card: Card, name: str) -> int:
    """One of the kernels of site/gpu_program.h."""
    if name not in card.prepared:
        card.prepared[name] = card.function(build_program(card.architecture).code, name)
    return card.prepared[name]
