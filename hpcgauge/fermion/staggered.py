"""The naive staggered operator D = m + K on links, with boundary signs of its own."""

from __future__ import annotations

import functools
from typing import final

from hpcgauge.fields.field import Field
from hpcgauge.kernels.kernel import Kernel, Numbers, Sums, reads, updates, writes
from hpcgauge.kernels.loop import Launch, run
from hpcgauge.lattice.offsets import BACKWARD, FORWARD, STAR

OPPOSITE = {"even": "odd", "odd": "even", "both": "both"}


def boundary_numbers(dimensions: int) -> Numbers:
    """The kernel argument of boundary signs."""
    return Numbers("boundary", dimensions)


@functools.cache
def hop_kernel(dimensions: int) -> Kernel:
    """out = b K psi."""
    return Kernel(
        "staggered.h",
        (
            writes("out", "vector"),
            reads("U", "matrix", BACKWARD),
            reads("psi", "vector", STAR),
            boundary_numbers(dimensions),
            Numbers("b"),
        ),
        "staggered_hop_only",
    )


@functools.cache
def hop_add_kernel(dimensions: int, n_rhs: int) -> Kernel:
    """out = a chi + b K psi, and Re <chi, out> for each right-hand side."""
    return Kernel(
        "staggered.h",
        (
            writes("out", "vector"),
            reads("U", "matrix", BACKWARD),
            reads("psi", "vector", STAR),
            reads("chi", "vector"),
            boundary_numbers(dimensions),
            Numbers("a"),
            Numbers("b"),
            Sums(n_rhs),
        ),
        "staggered_hop",
    )


@functools.cache
def gradient_kernel(dimensions: int, n_rhs: int) -> Kernel:
    """C += weight eta [X(x) Y^+(x+mu) - Y(x) X^+(x+mu)]."""
    return Kernel(
        "staggered.h",
        (
            updates("C", "matrix"),
            reads("X", "vector", FORWARD),
            reads("Y", "vector", FORWARD),
            boundary_numbers(dimensions),
            Numbers("weight", n_rhs),
        ),
        "staggered_gradient",
    )


@final
class Staggered:
    """D = m + K, K = 1/2 sum_mu eta_mu(x) [U_mu(x) d_{x+mu} - U_mu^+(x-mu) d_{x-mu}], eta = 1, (-1)^x, (-1)^(x+y), ...

    `boundary`: the sign of a hop across the boundary in each direction; antiperiodic in the last by default.
    ValueError for signs that are not 1 or -1, or not one for each direction.
    """

    def __init__(self, U: Field, mass: float, boundary: tuple[int, ...] | None = None):
        dimensions = U.lattice.dimensions
        self.U, self.mass = U, float(mass)
        self.boundary = tuple(boundary) if boundary is not None else default_boundary(dimensions)
        check_boundary(self.boundary, dimensions)

    def __call__(self, chi: Field) -> Field:
        """D chi. Collective."""
        return self._shifted(chi, 1.0)

    def adjoint(self, chi: Field) -> Field:
        """D^+ chi = (m - K) chi. Collective."""
        return self._shifted(chi, -1.0)

    def _shifted(self, chi: Field, b: float) -> Field:
        out = chi.copy()
        kernel = hop_add_kernel(self.U.lattice.dimensions, chi.kind.count)
        run(kernel, "both", out=out, U=self.U, psi=chi, chi=chi, boundary=self.boundary, a=self.mass, b=b)
        return out

    def adjoint_even(self, chi: Field) -> Field:
        """(D^+ chi) on even sites, zero on odd ones. Collective."""
        out = Field(chi.lattice, chi.kind, chi.precision, chi.colors).fill(0)
        kernel = hop_add_kernel(self.U.lattice.dimensions, chi.kind.count)
        run(kernel, "even", out=out, U=self.U, psi=chi, chi=chi, boundary=self.boundary, a=self.mass, b=-1.0)
        return out

    def hop(self, psi: Field, parity: str = "both") -> Field:
        """K psi on the sites of a parity, zero elsewhere. Collective."""
        out = Field(psi.lattice, psi.kind, psi.precision, psi.colors).fill(0)
        kernel = hop_kernel(self.U.lattice.dimensions)
        run(kernel, parity, out=out, U=self.U, psi=psi, boundary=self.boundary, b=1.0)
        return out

    def normal_launches(self, psi: Field, middle: Field, out: Field, parity: str) -> tuple[Launch, Launch]:
        """Two launches that leave out = D^+D psi = (m^2 - K^2) psi on a parity; the second sums Re <psi, out>."""
        dimensions = self.U.lattice.dimensions
        common = {"U": self.U, "boundary": self.boundary}
        first = Launch(hop_kernel(dimensions), OPPOSITE[parity], out=middle, psi=psi, b=1.0, **common)
        kernel = hop_add_kernel(dimensions, psi.kind.count)
        second = Launch(kernel, parity, out=out, psi=middle, chi=psi, a=self.mass**2, b=-1.0, **common)
        return first, second


def default_boundary(dimensions: int) -> tuple[int, ...]:
    """Periodic in all directions but the last."""
    return (1,) * (dimensions - 1) + (-1,)


def check_boundary(boundary: tuple[int, ...], dimensions: int) -> None:
    """Nothing; ValueError unless there is a sign for each direction."""
    if len(boundary) != dimensions or any(sign not in (1, -1) for sign in boundary):
        raise ValueError(f"boundary = {list(boundary)} must hold {dimensions} signs, each 1 or -1")
