"""Links: how they are made, checked and moved."""

from __future__ import annotations

import numpy

from hpcgauge.fields.convert import window
from hpcgauge.fields.field import LINKS, MATRICES, ROTATION, Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.draws import Draw, Stream, random_links, random_rotation
from hpcgauge.kernels.kernel import Kernel, Numbers, Sums, reads, updates, writes
from hpcgauge.kernels.loop import run
from hpcgauge.lattice.offsets import FORWARD

MULTIPLY = Kernel("links.h", (writes("C", "matrix"), reads("A", "matrix"), reads("B", "matrix")), "multiply")
UPDATE_LINKS = Kernel("links.h", (updates("U", "matrix"), reads("P", "matrix"), Numbers("step")), "update_links")
KICK = Kernel("links.h", (updates("P", "matrix"), reads("C", "matrix"), reads("U", "matrix"), Numbers("step")), "kick")
FORCE = Kernel("links.h", (writes("F", "matrix"), reads("C", "matrix"), reads("U", "matrix")), "force")
KINETIC = Kernel("links.h", (reads("P", "matrix"), Sums(1)), "kinetic")
REUNITARISE = Kernel("links.h", (updates("U", "matrix"),), "reunitarise")
GAUGE_ROTATE = Kernel(
    "links.h", (writes("rotated", "matrix"), reads("U", "matrix"), reads("G", "matrix", FORWARD)), "gauge_rotate"
)

OFF_GROUP_LIMIT = {"double": 1e-10, "single": 1e-5}


class Links:
    """Constructors of link fields. Each link is an SU(N) matrix U_mu(x), from x to x + mu."""

    @staticmethod
    def unit(lattice: Lattice) -> Field:
        """Links that are all 1."""
        shape = (lattice.dimensions, *reversed(lattice.local_extent), lattice.colors, lattice.colors)
        return Field(lattice, LINKS).set_local(numpy.broadcast_to(numpy.eye(lattice.colors, dtype=complex), shape))

    @staticmethod
    def hot(lattice: Lattice, seed: int = 1) -> Field:
        """Independent links of the invariant measure."""
        return random_links(lattice, Draw(Stream.HOT, seed))

    @staticmethod
    def from_numpy(lattice: Lattice, array: numpy.ndarray, reunitarise: bool = False) -> Field:
        """Links of a global array (mu, t, z, y, x, row, column). Collective.

        ValueError when a link is off the group by more than 1e-10 (1e-5 for single precision data), unless
        `reunitarise` asks for the nearest one.
        """
        expected = (lattice.dimensions, *reversed(lattice.extent), lattice.colors, lattice.colors)
        if array.shape != expected:
            raise ValueError(f"links have shape {array.shape}; {expected} is right")
        return Links.from_local(lattice, array[window(lattice.origin, lattice.local_extent)], reunitarise)

    @staticmethod
    def from_local(lattice: Lattice, array: numpy.ndarray, reunitarise: bool = False) -> Field:
        """Links of every rank's own part, (mu, t, z, y, x, row, column) with local extents; errors as `from_numpy`.

        Collective.
        """
        U = Field(lattice, LINKS).set_local(array)
        if reunitarise:
            return reunitarised(U)
        is_single = array.dtype == numpy.complex64 or lattice.precision == "single"
        limit = OFF_GROUP_LIMIT["single" if is_single else "double"]
        _refuse_off_group(lattice, array, limit)
        return U


class MatrixField:
    """Constructors of fields of one color matrix per link: momenta, forces, gradients, cotangents."""

    @staticmethod
    def zeros(lattice: Lattice) -> Field:
        """Matrices that are all 0."""
        return Field(lattice, MATRICES).fill(0)

    @staticmethod
    def from_numpy(lattice: Lattice, array: numpy.ndarray) -> Field:
        """Matrices of a global array (mu, t, z, y, x, row, column); for SU(2) projected on quaternions."""
        return Field(lattice, MATRICES).set_global(array)

    @staticmethod
    def from_local(lattice: Lattice, array: numpy.ndarray) -> Field:
        """Matrices of every rank's own part, (mu, t, z, y, x, row, column) with local extents."""
        return Field(lattice, MATRICES).set_local(array)


class Rotation:
    """Constructors of fields of one group element per site, G(x)."""

    @staticmethod
    def hot(lattice: Lattice, seed: int = 1) -> Field:
        """Independent elements of the invariant measure."""
        return random_rotation(lattice, Draw(Stream.ROTATION, seed))

    @staticmethod
    def from_numpy(lattice: Lattice, array: numpy.ndarray) -> Field:
        """Group elements of a global array (t, z, y, x, row, column)."""
        return Field(lattice, ROTATION).set_global(array)


def reunitarised(U: Field) -> Field:
    """Links on the group: rows of each made orthonormal in turn, the last one fixed by det = 1. `U` is left alone."""
    fixed = U.copy()
    run(REUNITARISE, U=fixed)
    return fixed


def multiply(A: Field, B: Field) -> Field:
    """A new field, A(x) B(x) for each matrix of two fields that hold as many; of links if both are links."""
    if {A.kind.element, B.kind.element} != {"matrix"} or A.kind.count != B.kind.count:
        raise ValueError(f"A and B must hold as many matrices on a site; they are {A!r} and {B!r}")
    C = Field(A.lattice, A.kind if B.kind.is_group else B.kind, A.precision, A.colors)
    run(MULTIPLY, C=C, A=A, B=B)
    return C


def gauge_rotate(U: Field, G: Field) -> Field:
    """The links G(x) U_mu(x) G(x+mu)^+. Collective."""
    if G.kind.count != ROTATION.count:
        raise ValueError(f"G must be a Rotation, one matrix on a site; it is {G!r}")
    rotated = Field(U.lattice, LINKS, U.precision)
    run(GAUGE_ROTATE, rotated=rotated, U=U, G=G)
    return rotated


def kinetic(P: Field) -> float:
    """-sum tr P^2 = sum pi_a^2 / 2. Collective."""
    return run(KINETIC, P=P)[0]


def force(C: Field, U: Field) -> Field:
    """F = -1/2 TA(C U^+), the change of momenta in unit time, of an action with dS = Re sum tr(C^+ dU)."""
    F = Field(U.lattice, MATRICES, U.precision)
    run(FORCE, F=F, C=C, U=U)
    return F


def off_group(array: numpy.ndarray) -> numpy.ndarray:
    """The largest of |U U^+ - 1| and |det U - 1| for each matrix (..., row, column)."""
    with numpy.errstate(invalid="ignore"):
        product = array @ array.conj().swapaxes(-1, -2) - numpy.eye(array.shape[-1])
        far = numpy.maximum(abs(product).max(axis=(-1, -2)), abs(numpy.linalg.det(array) - 1))
    return numpy.where(numpy.isfinite(far), far, numpy.inf)


def _refuse_off_group(lattice: Lattice, array: numpy.ndarray, limit: float) -> None:
    far = off_group(array)
    worst = numpy.unravel_index(int(far.argmax()), far.shape)
    site = tuple(int(a) + o for a, o in zip(reversed(worst[1:]), lattice.origin, strict=True))
    found = max(lattice.world.allgather((float(far[worst]), int(worst[0]), site)))
    if found[0] > limit:
        raise ValueError(
            f"link mu = {found[1]} at site {found[2]} is off SU({lattice.colors}) by {found[0]:.3g}, over {limit:g};"
            " reunitarise=True takes the nearest links instead"
        )
