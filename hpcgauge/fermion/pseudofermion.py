"""Pseudofermion actions of staggered quarks, 8 or 4 tastes."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import final

import numpy

from hpcgauge.action.action import AbstractAction, Evaluation, FamilyAction, Prepared, is_small, zero_gradient
from hpcgauge.errors import PhysicsError
from hpcgauge.fermion.memory import Remembered
from hpcgauge.fermion.multishift import solve_masses
from hpcgauge.fermion.solvers import Method, Solution, relative, solve_normal
from hpcgauge.fermion.staggered import OPPOSITE, Staggered, check_boundary, default_boundary, gradient_kernel
from hpcgauge.fermion.vectors import inner_all, inner_each
from hpcgauge.fermion.whole import whole_solve
from hpcgauge.fields.field import Field
from hpcgauge.kernels.algebra import copied
from hpcgauge.kernels.draws import Draw, random_vectors
from hpcgauge.kernels.loop import run
from hpcgauge.kernels.recording import recording

USUAL = Method()


@final
class StaggeredAction(FamilyAction):
    """S = phi^+ (D^+D)^-1 phi. 8 tastes: phi = D^+ xi on all sites. 4 tastes: the same phi kept on even sites.

    `boundary`: signs of hops across the boundary, antiperiodic in the last direction by default. `tolerance` of the
    solver for values, `force_tolerance` where a gradient is asked for; `method` of all solves. Several masses on the
    same phi are solved together. ValueError for other numbers of tastes.
    """

    def __init__(
        self,
        mass: float,
        tastes: int,
        boundary: tuple[int, ...] | None = None,
        tolerance: float = 1e-12,
        force_tolerance: float = 1e-12,
        max_steps: int = 10000,
        method: Method = USUAL,
    ):
        if tastes not in (4, 8):
            raise ValueError(f"tastes = {tastes} is not possible without rational powers; 4 and 8 are")
        if not mass > 0:
            raise ValueError(f"mass = {mass} must be above 0")
        if boundary is not None:
            check_boundary(tuple(boundary), len(boundary))
        self.mass, self.tastes = float(mass), tastes
        is_usual = boundary is None or tuple(boundary) == default_boundary(len(boundary))
        self.boundary = None if is_usual or boundary is None else tuple(boundary)
        self.tolerance, self.force_tolerance, self.max_steps = tolerance, force_tolerance, max_steps
        self.method = method

    @property
    def slot(self) -> Hashable | None:
        return "staggered", self.tastes, self.boundary

    @property
    def parity(self) -> str:
        """The sites that phi lives on."""
        return "even" if self.tastes == 4 else "both"

    def operator(self, U: Field) -> Staggered:
        """D on links U, which samplers keep on the group."""
        return Staggered(U, self.mass, self.boundary, compressed=True)

    def refresh(self, draw: Draw, U: Field) -> Field:
        """phi = D^+ xi, xi with weight exp(-xi^+ xi); for 4 tastes its even part. Collective."""
        D, xi = self.operator(U), random_vectors(U.lattice, draw)
        return D.adjoint(xi) if self.tastes == 8 else D.adjoint_even(xi)

    @property
    def family(self) -> Hashable:
        return self.slot, self.tolerance, self.force_tolerance, self.max_steps, self.method

    def with_memory(self, fields: Field) -> Field | Remembered:
        return Remembered(fields, self.method.memory) if self.method.memory else fields

    def evaluate(
        self, U: Field, fields: Field | Remembered, gradient: bool = True, parameters: bool = False
    ) -> Evaluation:
        memory, phi = (fields, fields.phi) if isinstance(fields, Remembered) else (None, fields)
        D, tolerance = self.operator(U), self.force_tolerance if gradient else self.tolerance
        start = memory.start(D, self.parity) if memory else None
        solution = solve_normal(D, phi, tolerance, self.max_steps, self.parity, self.method.precision, start)
        _check(solution, repr(self), tolerance)
        if memory:
            memory.keep(solution.value, self.parity)
        (value,) = inner_each(phi, solution.value, self.parity)
        return Evaluation(value, self._gradient(D, solution.value, (1.0,)) if gradient else None, solution.steps)

    def prepare(self, U: Field, fields: Field | Remembered, gradient: bool = True) -> Prepared:
        """On small lattices, solves in the precision of U from zero are steps of the program."""
        is_simple = self.method.precision in (None, U.precision) and is_small(U)
        if isinstance(fields, Remembered) or not is_simple:
            return super().prepare(U, fields, gradient)
        D, tolerance = self.operator(U), self.force_tolerance if gradient else self.tolerance
        solve = whole_solve(D, fields, self.parity)
        with recording(U.lattice) as steps:
            D.prepare_links(solve.links)
            copied(solve.b, fields)
            own_steps, found = solve.steps(self.mass, tolerance, self.max_steps)
            steps += own_steps
            C = self._gradient_of(D, solve.x, solve.product, (1.0,)) if gradient else None

        def result() -> Evaluation | None:
            if not (relative(found.squares, found.sizes) <= tolerance).all():
                return None
            return Evaluation(float(found.overlaps[0]), C, int(found.rounds[0]))

        return Prepared(steps, result, C)

    def evaluate_together(
        self, terms: Sequence[AbstractAction], weights: numpy.ndarray, U: Field, fields: Field, gradient: bool
    ) -> Evaluation:
        members = [term for term in terms if isinstance(term, StaggeredAction)]
        masses, lightest = [term.mass for term in members], min(members, key=lambda term: term.mass)
        D, tolerance = lightest.operator(U), self.force_tolerance if gradient else self.tolerance
        solution = solve_masses(D, masses, fields, tolerance, self.max_steps, self.parity, self.method.precision)
        _check(solution, " + ".join(repr(term) for term in terms), tolerance)
        values = inner_all(solution.value, fields, self.parity)
        C = self._gradient(D, solution.value, weights) if gradient else None
        value = math.fsum(weight * one for weight, one in zip(weights, values, strict=True))
        return Evaluation(value, C, solution.steps, numpy.array(values))

    def _gradient(self, D: Staggered, X: Field, weights: Sequence[float] | numpy.ndarray) -> Field:
        """C of sum_k weights[k] phi^+ X_k. Collective."""
        # Y = D X; its part m X gives X X^+ - X X^+ = 0, so K X is enough.
        return self._gradient_of(D, X, D.hop(X, OPPOSITE[self.parity]), weights)

    def _gradient_of(self, D: Staggered, X: Field, Y: Field, weights: Sequence[float] | numpy.ndarray) -> Field:
        C = zero_gradient(D.U)
        run(gradient_kernel(D.U.lattice.dimensions, len(weights)), C=C, X=X, Y=Y, boundary=D.boundary, weight=weights)
        return C

    def __repr__(self) -> str:
        return f"StaggeredAction(mass={self.mass:g}, tastes={self.tastes})"


def _check(solution: Solution, what: str, tolerance: float) -> None:
    """Nothing; PhysicsError unless it converged."""
    if solution.converged:
        return
    remedy = "raise solver.max_steps" if math.isfinite(solution.residual) else "the links or phi are no numbers"
    raise PhysicsError(
        f"the solver of {what} reached residual {solution.residual:.3g} in {solution.steps} steps, not "
        f"{tolerance:g}; {remedy}"
    )
