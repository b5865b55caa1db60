"""Polyakov and Wilson loops. Lines grow, and fields move, by one site a step, so ghosts are all that ranks exchange."""

from __future__ import annotations

import numpy

from hpcgauge.fields.field import Field, Kind
from hpcgauge.kernels.kernel import Kernel, Numbers, Sums, reads, writes
from hpcgauge.kernels.loop import run
from hpcgauge.lattice.offsets import FORWARD

LINE = Kind("line", "matrix", 1, is_group=True)
DIRECTION = Numbers("direction")
EXTEND_LINE = Kernel(
    "loops.h",
    (writes("longer", "matrix"), reads("U", "matrix"), reads("line", "matrix", FORWARD), DIRECTION),
    "extend_line",
)
LINE_TRACE = Kernel("loops.h", (reads("line", "matrix"), Sums(2)), "line_trace")
RECTANGLE_TRACE = Kernel(
    "loops.h",
    (reads("S", "matrix"), reads("far", "matrix"), reads("top", "matrix"), reads("T", "matrix"), Sums(1)),
    "rectangle_trace",
)
SHIFTED = Kernel("shift.h", (writes("out", "any"), reads("source", "any", FORWARD), DIRECTION), "shifted")


def polyakov_loop(U: Field, direction: int = -1) -> complex:
    """The mean of tr L / N, L the product of all links of a line along `direction`, over all lines.

    ValueError for a direction that the lattice does not have. Collective.
    """
    dimensions = U.lattice.dimensions
    if not -dimensions <= direction < dimensions:
        raise ValueError(f"direction = {direction} must be at least {-dimensions} and below {dimensions}")
    direction %= dimensions
    # tr L is the same from every site of a line, so the mean over lines is the mean over sites.
    real, imaginary = run(LINE_TRACE, line=line(U, direction, U.lattice.extent[direction]))
    return complex(real, imaginary) / (U.lattice.volume * U.colors)


def wilson_loop(U: Field, r: int, t: int) -> float:
    """The mean of Re tr W / N over sites and space directions: r steps in space, t steps along the last direction.

    ValueError unless both sides are at least 1. Collective.
    """
    if r < 1 or t < 1:
        raise ValueError(f"a Wilson loop of sides r = {r}, t = {t} is none; both must be at least 1")
    time = U.lattice.dimensions - 1
    T, total = line(U, time, t), 0.0
    for mu in range(time):
        S = line(U, mu, r)
        total += run(RECTANGLE_TRACE, S=S, far=shifted(T, mu, r), top=shifted(S, time, t), T=T)[0]
    return total / (U.lattice.volume * time * U.colors)


def line(U: Field, direction: int, length: int) -> Field:
    """U_mu(x) U_mu(x+mu) ... U_mu(x+(length-1)mu) on every site, mu = `direction`. Collective."""
    shape = (1, *reversed(U.lattice.local_extent), U.colors, U.colors)
    now, after = (Field(U.lattice, LINE, U.precision, U.colors) for _ in range(2))
    now.set_local(numpy.broadcast_to(numpy.eye(U.colors, dtype=complex), shape))
    for _ in range(length):
        run(EXTEND_LINE, longer=after, U=U, line=now, direction=direction)
        now, after = after, now
    return now


def shifted(field: Field, direction: int, steps: int = 1) -> Field:
    """A new field whose value at x is the field's at x + steps mu, mu = `direction`, steps at least 0. Collective."""
    now, after = field.copy(), field.copy()
    for _ in range(steps):
        run(SHIFTED, out=after, source=now, direction=direction)
        now, after = after, now
    return now
