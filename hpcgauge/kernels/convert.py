"""Fields of one precision from those of the other, by compiled code."""

from __future__ import annotations

from hpcgauge.fields.field import Field
from hpcgauge.kernels.backend import backend_of
from hpcgauge.lattice.offsets import PARITY


def convert(out: Field, x: Field, parity: str = "both") -> Field:
    """The field `out` with the numbers of x, of the other precision, on the sites of a parity.

    ValueError when the fields differ in anything else, or not in precision.
    """
    same = out.lattice is x.lattice and (out.kind, out.colors) == (x.kind, x.colors)
    if not same or out.precision == x.precision:
        raise ValueError(f"convert: {x!r} into {out!r}; the same kind and lattice in the other precision is right")
    if parity not in PARITY:
        raise ValueError(f"convert: parity = {parity!r} is none of 'even', 'odd', 'both'")
    backend_of(x.lattice.device).convert(out, x, parity)
    out.touch()
    return out


def converted(x: Field, precision: str) -> Field:
    """The field x itself where it has this precision, else a new one."""
    if x.precision == precision:
        return x
    return convert(Field(x.lattice, x.kind, precision, x.colors), x)
