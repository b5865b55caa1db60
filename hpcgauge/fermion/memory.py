"""Start vectors of a solve from earlier solutions of the same trajectory (chronological inversion, hep-lat/9509012)."""

from __future__ import annotations

import functools
from typing import final

import numpy

from hpcgauge.fermion.multishift import placed_kernel
from hpcgauge.fermion.staggered import Staggered
from hpcgauge.fields.field import Field, vectors
from hpcgauge.kernels.algebra import zeros_like
from hpcgauge.kernels.kernel import Kernel, Numbers, Sums, reads, writes
from hpcgauge.kernels.loop import run

# A solution counts as new if this part of its norm, squared and by D^+D, is not in the span of newer ones.
IS_NEW = 1e-12


@functools.cache
def overlaps_kernel(n_rhs: int) -> Kernel:
    """Re <v_i, w_j>, row by row, then Re <v_i, b>."""
    fields = reads("v", "vector"), reads("w", "vector"), reads("b", "vector")
    return Kernel("algebra.h", (*fields, Sums(n_rhs * n_rhs + n_rhs)), "overlaps")


@functools.cache
def superposed_kernel(n_rhs: int) -> Kernel:
    """out = sum_k a_k v_k."""
    return Kernel("algebra.h", (writes("out", "vector"), reads("v", "vector"), Numbers("a", n_rhs)), "superposed")


@final
class Remembered:
    """A source phi with the last `size` solutions of D^+D x = phi, on links that moved a little between them."""

    def __init__(self, phi: Field, size: int):
        self.phi, self.size, self.count = phi, size, 0
        self._solutions = Field(phi.lattice, vectors(size), phi.precision, phi.colors).fill(0)

    def keep(self, x: Field, parity: str) -> None:
        """Nothing; x is remembered in place of the oldest solution."""
        run(placed_kernel(self.size), parity, out=self._solutions, x=x, place=self.count % self.size)
        self.count += 1

    def start(self, D: Staggered, parity: str) -> Field | None:
        """x = sum_k a_k x_k with the least <x, D^+D x> / 2 - <x, phi>, a real; None at first. Collective."""
        if not self.count:
            return None
        v = self._solutions
        middle, w = zeros_like(v), zeros_like(v)
        for launch in D.normal_launches(v, middle, w, parity):
            launch()
        sums = numpy.array(run(overlaps_kernel(self.size), parity, v=v, w=w, b=self.phi))
        matrix, right = sums[: -self.size].reshape(self.size, self.size), sums[-self.size :]
        newest_first = [(self.count - 1 - k) % self.size for k in range(self.size)]
        a = numpy.zeros(self.size)
        a[newest_first] = solution_of(matrix[numpy.ix_(newest_first, newest_first)], right[newest_first])
        x = zeros_like(self.phi)
        run(superposed_kernel(self.size), parity, out=x, v=v, a=a)
        return x


def solution_of(matrix: numpy.ndarray, right: numpy.ndarray) -> numpy.ndarray:
    """x with matrix x = right by elimination in order, 0 where a row is not new; the same bits on every machine."""
    rows, found, used = numpy.column_stack([matrix, right]), numpy.zeros(len(right)), []
    for i in range(len(right)):
        if not rows[i, i] > IS_NEW * matrix[i, i]:
            continue
        used.append(i)
        for j in range(i + 1, len(right)):
            rows[j] -= rows[j, i] / rows[i, i] * rows[i]
    for i in reversed(used):
        found[i] = (rows[i, -1] - sum(rows[i, k] * found[k] for k in used if k > i)) / rows[i, i]
    return found
