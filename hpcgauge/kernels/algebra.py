"""Vector algebra on fields."""

from __future__ import annotations

from hpcgauge.fields.field import Field
from hpcgauge.kernels.kernel import Kernel, Numbers, Sums, reads, writes
from hpcgauge.kernels.loop import run

ZERO = Kernel("algebra.h", (writes("out", "any"),), "zero")
COMBINE = Kernel(
    "algebra.h",
    (writes("out", "any"), reads("x", "any"), reads("y", "any"), Numbers("a"), Numbers("b")),
    "combine",
)
INNER = Kernel("algebra.h", (reads("x", "any"), reads("y", "any"), Sums(1)), "inner")


def combine(a: float, x: Field, b: float, y: Field, out: Field | None = None, parity: str = "both") -> Field:
    """a x + b y, in `out` (which may be x or y) or a new field."""
    out = Field(x.lattice, x.kind, x.precision, x.colors) if out is None else out
    run(COMBINE, parity, out=out, x=x, y=y, a=a, b=b)
    return out


def add(to: Field, x: Field, factor: float = 1.0) -> Field:
    """The field `to`, with `factor` times x added to it."""
    return combine(1.0, to, factor, x, out=to)


def zeros_like(x: Field) -> Field:
    """A new field of zeros."""
    return cleared(Field(x.lattice, x.kind, x.precision, x.colors))


def cleared(out: Field) -> Field:
    """The field `out`, all of its numbers 0."""
    run(ZERO, out=out)
    return out


def copied(out: Field, x: Field, factor: float = 1.0) -> Field:
    """The field `out` with the numbers of x, times a factor."""
    return combine(factor, x, 0.0, x, out=out)


def scaled(x: Field, factor: float) -> Field:
    """A new field, factor x."""
    return combine(factor, x, 0.0, x)


def inner(x: Field, y: Field, parity: str = "both") -> float:
    """Re <x, y> over all sites of a parity. For SU(2) matrices the sum of products of quaternion components, half of
    Re tr x^+ y. Collective."""
    return run(INNER, parity, x=x, y=y)[0]
