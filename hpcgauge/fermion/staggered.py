"""The naive staggered operator D = m + K on links, with boundary signs of its own."""

from __future__ import annotations

import functools
from typing import final

from hpcgauge.fields.field import Field, Kind, reals
from hpcgauge.kernels.algebra import zeros_like
from hpcgauge.kernels.convert import converted
from hpcgauge.kernels.kernel import Kernel, Numbers, Sums, reads, updates, writes
from hpcgauge.kernels.loop import Launch, run
from hpcgauge.lattice.offsets import BACKWARD, FORWARD, STAR

# Numbers of a compressed SU(3) matrix, its upper two rows
ROW_REALS = 12
# What a hop multiplies with, in full or compressed
ELEMENT = {False: "matrix", True: "real"}
OPPOSITE = {"even": "odd", "odd": "even", "both": "both"}


def boundary_numbers(dimensions: int) -> Numbers:
    """The kernel argument of boundary signs."""
    return Numbers("boundary", dimensions)


def hop_links_kind(dimensions: int) -> Kind:
    """The kind of what a hop multiplies with: a matrix for each direction forth and back, in turns."""
    return Kind("hop links", "matrix", 2 * dimensions)


def hop_rows_kind(dimensions: int) -> Kind:
    """The same for three colors as 12 numbers for each matrix, and one for all signs."""
    return reals(2 * dimensions * ROW_REALS + 1)


@functools.cache
def hop_links_kernel(dimensions: int, is_compressed: bool) -> Kernel:
    """W_{2 mu} = eta_mu U_mu(x), W_{2 mu + 1} = -eta_mu U_mu(x-mu)^+, eta with boundary signs."""
    return Kernel(
        "staggered.h",
        (writes("W", ELEMENT[is_compressed]), reads("U", "matrix", BACKWARD), boundary_numbers(dimensions)),
        "hop_rows" if is_compressed else "hop_links",
    )


@functools.cache
def hop_kernel(is_compressed: bool) -> Kernel:
    """out = b K psi."""
    fields = writes("out", "vector"), reads("W", ELEMENT[is_compressed]), reads("psi", "vector", STAR)
    return Kernel("staggered.h", (*fields, Numbers("b")), "staggered_hop")


@functools.cache
def hop_add_kernel(n_rhs: int, is_compressed: bool) -> Kernel:
    """out = a chi + b K psi, and Re <chi, out> for each right-hand side."""
    fields = (
        writes("out", "vector"),
        reads("W", ELEMENT[is_compressed]),
        reads("psi", "vector", STAR),
        reads("chi", "vector"),
    )
    return Kernel("staggered.h", (*fields, Numbers("a"), Numbers("b"), Sums(n_rhs)), "staggered_hop_add")


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
    `compressed`: links of SU(3) are read as two rows and the third is made anew; they must be on the group to rounding.
    (Other matrices are read as they are; those of SU(2) have 4 numbers anyway.) Links are prepared at the first use,
    with signs and both directions at each site; they must not change afterwards. ValueError for signs that are not 1
    or -1, or not one for each direction.
    """

    def __init__(self, U: Field, mass: float, boundary: tuple[int, ...] | None = None, compressed: bool = False):
        dimensions = U.lattice.dimensions
        self.U, self.mass = U, float(mass)
        self.boundary = tuple(boundary) if boundary is not None else default_boundary(dimensions)
        check_boundary(self.boundary, dimensions)
        self.is_compressed = compressed and U.colors == 3

    def __repr__(self) -> str:
        return f"Staggered({self.U!r}, mass={self.mass:g}, boundary={self.boundary})"

    @functools.cached_property
    def links(self) -> Field:
        """What a hop multiplies with. Collective at the first use."""
        return self.prepare_links(self.empty_links())

    def empty_links(self) -> Field:
        """A new field for what a hop multiplies with."""
        dimensions = self.U.lattice.dimensions
        kind = hop_rows_kind(dimensions) if self.is_compressed else hop_links_kind(dimensions)
        return Field(self.U.lattice, kind, self.U.precision, self.U.colors)

    def prepare_links(self, W: Field) -> Field:
        """The field W, which holds what a hop multiplies with. Collective."""
        kernel = hop_links_kernel(self.U.lattice.dimensions, self.is_compressed)
        run(kernel, W=W, U=self.U, boundary=self.boundary)
        return W

    def on(self, W: Field) -> Staggered:
        """The same operator on prepared links."""
        return self._with(self.mass, W)

    def astype(self, precision: str) -> Staggered:
        """The same operator on links rounded to "single", or from there to "double". Collective at the first use."""
        return self._with(self.mass, converted(self.links, precision))

    def with_mass(self, mass: float) -> Staggered:
        """The same operator with another mass. Collective at the first use."""
        return self._with(mass, self.links)

    def _with(self, mass: float, links: Field) -> Staggered:
        other = Staggered(self.U, mass, self.boundary, self.is_compressed)
        other.links = links
        return other

    def __call__(self, chi: Field) -> Field:
        """D chi. Collective."""
        return self._shifted(chi, 1.0)

    def adjoint(self, chi: Field) -> Field:
        """D^+ chi = (m - K) chi. Collective."""
        return self._shifted(chi, -1.0)

    def _shifted(self, chi: Field, b: float) -> Field:
        out = chi.copy()
        run(self._hop_add(chi), "both", out=out, W=self.links, psi=chi, chi=chi, a=self.mass, b=b)
        return out

    def adjoint_even(self, chi: Field) -> Field:
        """(D^+ chi) on even sites, zero on odd ones. Collective."""
        out = zeros_like(chi)
        run(self._hop_add(chi), "even", out=out, W=self.links, psi=chi, chi=chi, a=self.mass, b=-1.0)
        return out

    def hop(self, psi: Field, parity: str = "both") -> Field:
        """K psi on the sites of a parity, zero elsewhere. Collective."""
        out = zeros_like(psi)
        run(hop_kernel(self.is_compressed), parity, out=out, W=self.links, psi=psi, b=1.0)
        return out

    def normal_launches(self, psi: Field, middle: Field, out: Field, parity: str) -> tuple[Launch, Launch]:
        """Two launches that leave out = D^+D psi = (m^2 - K^2) psi on a parity; the second sums Re <psi, out>.

        Collective at the first use.
        """
        W = self.links
        first = Launch(hop_kernel(self.is_compressed), OPPOSITE[parity], out=middle, W=W, psi=psi, b=1.0)
        square = self.mass**2
        second = Launch(self._hop_add(psi), parity, out=out, W=W, psi=middle, chi=psi, a=square, b=-1.0)
        return first, second

    def _hop_add(self, chi: Field) -> Kernel:
        return hop_add_kernel(chi.kind.count, self.is_compressed)


def default_boundary(dimensions: int) -> tuple[int, ...]:
    """Periodic in all directions but the last."""
    return (1,) * (dimensions - 1) + (-1,)


def check_boundary(boundary: tuple[int, ...], dimensions: int) -> None:
    """Nothing; ValueError unless there is a sign for each direction."""
    if len(boundary) != dimensions or any(sign not in (1, -1) for sign in boundary):
        raise ValueError(f"boundary = {list(boundary)} must hold {dimensions} signs, each 1 or -1")
