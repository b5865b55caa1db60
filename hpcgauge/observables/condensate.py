"""The condensate Tr D^-1 / V of staggered quarks by noise sources.

K is antihermitian, so Re xi^+ D^-1 xi = m xi^+ (D^+D)^-1 xi source by source, and Tr D^-1 = m Tr (D^+D)^-1: the second
form is taken, one solve without another hop. The direction of xi with weight exp(-xi^+ xi) is uniform on a sphere of n
complex numbers, so that n xi^+ A xi / xi^+ xi has the mean Tr A exactly; its variance, (Tr A^2 - (Tr A)^2 / n) n/(n+1),
is without the fluctuation of |xi| that xi^+ A xi, of variance Tr A^2, suffers from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy

from hpcgauge.errors import PhysicsError
from hpcgauge.fermion.solvers import solve_normal
from hpcgauge.fermion.staggered import Staggered
from hpcgauge.fermion.vectors import inner_each
from hpcgauge.fields.field import Field
from hpcgauge.kernels.draws import Draw, Stream, random_vectors
from hpcgauge.observables.statistics import in_brackets

# Sources that are solved at once; what is left over is solved one by one, so that only two sizes are ever compiled.
TOGETHER = 4


@dataclass(frozen=True)
class Condensate:
    """Tr D^-1 / V (colour trace, both parities), its error over the sources (NaN for one source), solver steps."""

    value: float
    error: float
    steps: int

    def __str__(self) -> str:
        return in_brackets(self.value, self.error)


def condensate(
    U: Field,
    mass: float,
    sources: int,
    seed: int = 1,
    trajectory: int = 0,
    boundary: tuple[int, ...] | None = None,
    tolerance: float = 1e-10,
) -> Condensate:
    """Tr D^-1 / V for naive staggered quarks, from noise that depends on seed and trajectory alone.

    `boundary`: antiperiodic in the last direction by default. ValueError for a mass that is not above 0 or no sources,
    PhysicsError when the solver does not reach the tolerance. Collective.
    """
    if not mass > 0:
        raise ValueError(f"mass = {mass} must be above 0")
    if sources < 1:
        raise ValueError(f"sources = {sources} must be at least 1")
    D, values, steps = Staggered(U, mass, boundary, compressed=True), [], 0
    for xi in _noise(U, sources, Draw(Stream.NOISE, seed, trajectory)):
        solution = solve_normal(D, xi, tolerance)
        if not solution.converged:
            raise PhysicsError(
                f"the solver of the condensate (mass {mass:g}) reached residual {solution.residual:.3g} in "
                f"{solution.steps} steps, not {tolerance:g}; a larger tolerance or mass, or double precision, is needed"
            )
        pairs = zip(inner_each(xi, solution.value), inner_each(xi, xi), strict=True)
        values += [U.colors * mass * product / size for product, size in pairs]
        steps += solution.steps
    error = float(numpy.std(values, ddof=1)) / math.sqrt(sources) if sources > 1 else math.nan
    return Condensate(float(numpy.mean(values)), error, steps)


def _noise(U: Field, sources: int, draw: Draw) -> Iterator[Field]:
    whole, left = divmod(sources, TOGETHER)
    for instance, n_rhs in enumerate([TOGETHER] * whole + [1] * left):
        xi = random_vectors(U.lattice, draw.of(Stream.NOISE, instance), n_rhs)
        yield xi if xi.precision == U.precision else xi.astype(U.precision)
