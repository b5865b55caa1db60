"""A whole solve as steps of a program, where the set-up of solves costs more than their steps: on small lattices."""

from __future__ import annotations

from typing import final

import numpy

from hpcgauge.fermion.descent import Descent, difference_kernel
from hpcgauge.fermion.staggered import OPPOSITE, Staggered, hop_kernel
from hpcgauge.fermion.vectors import inner_each_kernel
from hpcgauge.fields.field import Field
from hpcgauge.kernels import program
from hpcgauge.kernels.algebra import COMBINE, ZERO, zeros_like
from hpcgauge.kernels.loop import Launch
from hpcgauge.kernels.program import Step


@final
class WholeSolve:
    """x with D^+D x = b on the sites of a parity, from x = 0 in one recursion, on fields of its own.

    Before its steps are done, `links` must hold what D multiplies with and `b` the source. Afterwards: `x`; `product`,
    K x on the opposite parity; arrays with a number for each right-hand side: `sizes`, |b|^2, `squares`,
    |b - D^+D x|^2 made anew, `overlaps`, Re <b, x>; `rounds`, an array with the number of steps of the recursion.
    """

    def __init__(self, D: Staggered, like: Field, parity: str):
        self.links, n_rhs = D.empty_links(), like.kind.count
        self.x, self.b, self.product, r, q = (zeros_like(like) for _ in range(5))
        self._limits = numpy.zeros(n_rhs)
        descent = Descent(self.x, r, q, parity)
        descent.begin(D.on(self.links))
        inner = inner_each_kernel(n_rhs)
        size, overlap = (Launch(inner, parity, x=self.b, y=y) for y in (self.b, self.x))
        residual = Launch(difference_kernel(n_rhs), parity, r=r, b=self.b, q=q)
        hop = Launch(hop_kernel(D.is_compressed), OPPOSITE[parity], out=self.product, W=self.links, psi=self.x, b=1.0)
        self.sizes, self.squares, self.overlaps = size.sums, residual.sums, overlap.sums
        recursion, self._loop = descent.whole(self.sizes, self._limits)
        self._mass_square = descent.product[-1].numbers[:1]
        self.rounds = self._loop.done
        begin = Launch(ZERO, out=self.x), Launch(ZERO, out=descent.p), _copy(r, self.b), size
        self._steps = [*begin, *recursion, _copy(descent.p, self.x), *descent.product, residual, overlap, hop]

    def steps(self, mass: float, tolerance: float, max_steps: int) -> list[Step]:
        """The steps for a mass, until |r| is at most the tolerance times |b|."""
        limits = numpy.full(len(self._limits), tolerance**2)
        return [
            program.copy(self._mass_square, numpy.array([mass**2])),
            program.copy(self._limits, limits),
            program.copy(self._loop.rounds, numpy.array([float(max_steps)])),
            *self._steps,
        ]


def whole_solve(D: Staggered, like: Field, parity: str) -> WholeSolve:
    """The solve for operators such as D and sources such as `like`, made once for a lattice."""
    key = WholeSolve, like.kind, like.precision, like.colors, parity, D.is_compressed
    kept = like.lattice.prepared
    if key not in kept:
        kept[key] = WholeSolve(D, like, parity)
    return kept[key]


def _copy(out: Field, x: Field) -> Launch:
    return Launch(COMBINE, out=out, x=x, y=x, a=1.0, b=0.0)
