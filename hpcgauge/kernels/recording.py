"""Recordings: what functions made of launches would do, as a list for a program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.program import Step


@contextmanager
def recording(lattice: Lattice) -> Iterator[list[Step]]:
    """The launches that `run` is asked for inside, none of them made.

    A function that does nothing but run kernels on fields is called once inside, and done as often as is wanted by a
    Program of this list, on the same fields, its new ones included. Sums come out as NaN, and fields cannot be read,
    filled or converted there: nothing may depend on numbers. ValueError inside another recording of the lattice.
    """
    if lattice.recorded is not None:
        raise ValueError("a recording of this lattice is open already")
    steps = lattice.recorded = list[Step]()
    try:
        yield steps
    finally:
        lattice.recorded = None
