"""A whole solve as steps of a program, where the set-up of solves costs more than their steps: on small lattices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

from hpcgauge.fermion.descent import Descent, difference_kernel
from hpcgauge.fermion.staggered import OPPOSITE, Staggered, hop_kernel
from hpcgauge.fermion.vectors import inner_each_kernel
from hpcgauge.fields.field import Field
from hpcgauge.kernels import program
from hpcgauge.kernels.algebra import COMBINE, ZERO, zeros_like
from hpcgauge.kernels.loop import Launch
from hpcgauge.kernels.program import Step


@dataclass(frozen=True)
class Outcome:
    """Numbers for each right-hand side: `sizes`, |b|^2; `squares`, |b - D^+D x|^2 made anew; `overlaps`, Re <b, x>.
    `rounds`: the number of steps of the recursion."""

    sizes: Any
    squares: Any
    overlaps: Any
    rounds: Any


@final
class WholeSolve:
    """x with D^+D x = b on the sites of a parity, from x = 0 in one recursion, on fields of its own.

    Before its steps are done, `links` must hold what D multiplies with and `b` the source. Afterwards: `x`, and
    `product`, K x on the opposite parity. All is written anew by the next solve.
    """

    def __init__(self, D: Staggered, like: Field, parity: str):
        self.links, n_rhs = D.empty_links(), like.kind.count
        self.x, self.b, self.product, r, q = (zeros_like(like) for _ in range(5))
        self._numbers = like.lattice.numbers
        self._limits = self._numbers([0.0] * n_rhs)
        descent = Descent(self.x, r, q, parity)
        descent.begin(D.on(self.links))
        inner = inner_each_kernel(n_rhs)
        size, overlap = (Launch(inner, parity, x=self.b, y=y) for y in (self.b, self.x))
        residual = Launch(difference_kernel(n_rhs), parity, r=r, b=self.b, q=q)
        hop = Launch(hop_kernel(D.is_compressed), OPPOSITE[parity], out=self.product, W=self.links, psi=self.x, b=1.0)
        recursion, self._loop = descent.whole(size.sums, self._limits)
        self._found = size.sums, residual.sums, overlap.sums, self._loop.done
        self._mass_square = descent.product[-1].numbers[:1]
        begin = Launch(ZERO, out=self.x), Launch(ZERO, out=descent.p), _copy(r, self.b), size
        self._steps = [*begin, *recursion, _copy(descent.p, self.x), *descent.product, residual, overlap, hop]

    def steps(self, mass: float, tolerance: float, max_steps: int) -> tuple[list[Step], Outcome]:
        """The steps for a mass, until |r| is at most the tolerance times |b|, and what they will have come to."""
        begin = (
            program.copy(self._mass_square, self._numbers([mass**2])),
            program.copy(self._limits, self._numbers([tolerance**2] * len(self._limits))),
            program.copy(self._loop.rounds, self._numbers([float(max_steps)])),
        )
        outcome = [self._numbers([0.0] * len(found)) for found in self._found]
        end = (program.copy(own, found) for own, found in zip(outcome, self._found, strict=True))
        return [*begin, *self._steps, *end], Outcome(*outcome)


def whole_solve(D: Staggered, like: Field, parity: str) -> WholeSolve:
    """The solve for operators such as D and sources such as `like`, made once for a lattice."""
    key = WholeSolve, like.kind, like.precision, like.colors, parity, D.is_compressed
    kept = like.lattice.prepared
    if key not in kept:
        kept[key] = WholeSolve(D, like, parity)
    return kept[key]


def _copy(out: Field, x: Field) -> Launch:
    return Launch(COMBINE, out=out, x=x, y=x, a=1.0, b=0.0)
