"""Color vectors: constructors of vector fields, one or several right-hand sides."""

from __future__ import annotations

import functools

import numpy

from hpcgauge.fields.field import Field, vectors
from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.kernel import Kernel, Sums, reads
from hpcgauge.kernels.loop import run


class ColorVector:
    """Constructors of fields of color vectors chi(x)."""

    @staticmethod
    def zeros(lattice: Lattice, n_rhs: int = 1) -> Field:
        """Vectors that are all 0."""
        return Field(lattice, vectors(n_rhs)).fill(0)

    @staticmethod
    def from_numpy(lattice: Lattice, array: numpy.ndarray) -> Field:
        """Vectors of a global array (t, z, y, x, color) or (rhs, t, z, y, x, color)."""
        array = numpy.asarray(array)
        n_rhs = len(array) if array.ndim == lattice.dimensions + 2 else 1
        return Field(lattice, vectors(n_rhs)).set_global(array)


def inner_each(x: Field, y: Field, parity: str = "both") -> tuple[float, ...]:
    """Re <x, y> for each right-hand side. Collective."""
    return run(inner_each_kernel(x.kind.count), parity, x=x, y=y)


@functools.cache
def inner_each_kernel(n_rhs: int) -> Kernel:
    """The kernel of `inner_each` for a number of right-hand sides."""
    return Kernel("algebra.h", (reads("x", "vector"), reads("y", "vector"), Sums(n_rhs)), "inner_each")


def inner_all(x: Field, y: Field, parity: str = "both") -> tuple[float, ...]:
    """Re <x_k, y> for each right-hand side x_k and the only y. Collective."""
    return run(inner_all_kernel(x.kind.count), parity, x=x, y=y)


@functools.cache
def inner_all_kernel(n_rhs: int) -> Kernel:
    """The kernel of `inner_all` for a number of right-hand sides."""
    return Kernel("algebra.h", (reads("x", "vector"), reads("y", "vector"), Sums(n_rhs)), "inner_all")
