"""Sums and traces over the paths of CASK, with their pullbacks: kernels and the fields they work on."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import final

from hpcgauge.fields.field import MATRICES, Field, Kind, reals
from hpcgauge.kernels.kernel import Kernel, Numbers, reads, updates, writes
from hpcgauge.kernels.loop import run
from hpcgauge.lattice.offsets import Offsets, rectangle


def n_planes(dimensions: int) -> int:
    """The ordered pairs of directions mu, nu != mu."""
    return dimensions * (dimensions - 1)


def path_numbers(dimensions: int, reach: int) -> Kind:
    """A number on each path."""
    return reals(n_planes(dimensions) * 2 * reach)


def slopes(dimensions: int) -> Kind:
    """Cotangents of the steps of paths, in the order of `slopes.h`."""
    return Kind("slopes", "traceless", 2 * (dimensions + n_planes(dimensions)))


@dataclass(frozen=True)
class PathKernels:
    """The kernels of one reach and variant."""

    loop_traces: Kernel
    sum: Kernel
    attention: Kernel
    pullback: Kernel
    trace_pullback: Kernel
    loop_pullback: Kernel
    add_slopes: Kernel
    add_loop_slopes: Kernel


@functools.cache
def path_kernels(reach: int, variant: str) -> PathKernels:
    """Kernels over paths of up to `reach` steps."""
    steps = range(-reach, reach + 1)
    column, ends = rectangle(range(1), steps), Offsets(((1, 0), (-1, 0), (1, -1)))
    W, key = (reads(name, "matrix", rectangle(range(2), steps)) for name in ("W", "key"))
    M, a = reads("M", "matrix", column), reads("a", "real", column)
    shifted = reads("shifted", "real", rectangle(range(1), range(-reach - 1, reach + 1)))
    slopes = writes("slopes", "traceless")
    loop_pullback = updates("slopes", "traceless"), updates("dW", "matrix"), shifted, W
    attention = writes("a", "real"), reads("query", "matrix"), key, reads("loops", "real", column)
    traces = slopes, writes("d_query", "matrix"), shifted, reads("query", "matrix", column), key
    size = (("REACH", reach),)
    choice = (*size, ("PAPER", int(variant == "paper")))
    adding = updates("dW", "matrix"), reads("slopes", "traceless", ends), reads("W", "matrix"), Numbers("kept")
    return PathKernels(
        Kernel("paths.h", (updates("loops", "real"), W), "loop_traces", size),
        Kernel("paths.h", (writes("sum", "matrix"), reads("weights", "real"), W), "path_sum", size),
        Kernel("attention.h", attention, "attention", choice),
        Kernel("pullback.h", (slopes, writes("shifted", "real"), a, M, W), "path_pullback", size),
        Kernel("attention_pullback.h", traces, "trace_pullback", choice),
        Kernel("attention_pullback.h", loop_pullback, "loop_pullback", choice),
        Kernel("slopes.h", adding, "add_slopes", size),
        Kernel("slopes.h", adding, "add_loop_slopes", size),
    )


@final
class Paths:
    """Sums and attention over paths of up to `reach` steps, with their pullbacks, for a variant of CASK."""

    def __init__(self, reach: int, variant: str):
        self.reach, self.kernels = reach, path_kernels(reach, variant)

    def attention(self, query: Field, key: Field, U: Field) -> Field:
        """The attention numbers a. Collective."""
        loops, a = self._path_numbers(U), self._path_numbers(U)
        run(self.kernels.loop_traces, loops=loops, W=U)
        run(self.kernels.attention, a=a, query=query, key=key, loops=loops)
        return a

    def sum(self, a: Field, W: Field) -> Field:
        """sum a P(W). Collective."""
        sum_ = Field(W.lattice, MATRICES, W.precision, W.colors)
        run(self.kernels.sum, sum=sum_, weights=a, W=W)
        return sum_

    def slopes(self, U: Field) -> Field:
        """A field for the pullbacks to work with; what it holds between them is of no use."""
        return Field(U.lattice, slopes(U.lattice.dimensions), U.precision, U.colors)

    def sum_pullback(self, a: Field, M: Field, W: Field, dW: Field, slopes: Field, kept: float) -> Field:
        """For `sum` with cotangent M: the cotangents of the traces behind a, each one step along its path; W's is
        added to `kept` times dW. Collective."""
        shifted = self._path_numbers(W)
        run(self.kernels.pullback, slopes=slopes, shifted=shifted, a=a, M=M, W=W)
        run(self.kernels.add_slopes, dW=dW, slopes=slopes, W=W, kept=kept)
        return shifted

    def trace_pullback(self, shifted: Field, query: Field, key: Field, d_key: Field, slopes: Field) -> Field:
        """For the traces of query and key with such cotangents: query's; key's is left in d_key. Collective."""
        d_query = Field(key.lattice, MATRICES, key.precision, key.colors)
        run(self.kernels.trace_pullback, slopes=slopes, d_query=d_query, shifted=shifted, query=query, key=key)
        run(self.kernels.add_slopes, dW=d_key, slopes=slopes, W=key, kept=0.0)
        return d_query

    def loop_pullback(self, shifted: Field, U: Field, dU: Field, slopes: Field) -> None:
        """For the traces of U, which are subtracted: adds its cotangent to dU. Collective."""
        run(self.kernels.loop_pullback, slopes=slopes, dW=dU, shifted=shifted, W=U)
        run(self.kernels.add_loop_slopes, dW=dU, slopes=slopes, W=U, kept=1.0)

    def _path_numbers(self, U: Field) -> Field:
        return Field(U.lattice, path_numbers(U.lattice.dimensions, self.reach), U.precision, U.colors)
