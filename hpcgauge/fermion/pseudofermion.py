"""Pseudofermion actions of staggered quarks, 8 or 4 tastes."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import final

from hpcgauge.action import AbstractAction, Evaluation, zero_gradient
from hpcgauge.errors import PhysicsError
from hpcgauge.fermion.solvers import solve_normal
from hpcgauge.fermion.staggered import Staggered, check_boundary, default_boundary, gradient_kernel
from hpcgauge.fermion.vectors import inner_each
from hpcgauge.fields.field import Field
from hpcgauge.kernels.draws import Draw, random_vectors
from hpcgauge.kernels.loop import run


@final
class StaggeredAction(AbstractAction):
    """S = phi^+ (D^+D)^-1 phi. 8 tastes: phi = D^+ xi on all sites. 4 tastes: the same phi kept on even sites.

    `boundary`: signs of hops across the boundary, antiperiodic in the last direction by default. `tolerance` of the
    solver for values, `force_tolerance` where a gradient is asked for. ValueError for other numbers of tastes.
    """

    def __init__(
        self,
        mass: float,
        tastes: int,
        boundary: tuple[int, ...] | None = None,
        tolerance: float = 1e-12,
        force_tolerance: float = 1e-12,
        max_steps: int = 10000,
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

    @property
    def slot(self) -> Hashable | None:
        return "staggered", self.tastes, self.boundary

    @property
    def parity(self) -> str:
        """The sites that phi lives on."""
        return "even" if self.tastes == 4 else "both"

    def operator(self, U: Field) -> Staggered:
        """D on links U."""
        return Staggered(U, self.mass, self.boundary)

    def refresh(self, draw: Draw, U: Field) -> Field:
        """phi = D^+ xi, xi with weight exp(-xi^+ xi); for 4 tastes its even part. Collective."""
        D, xi = self.operator(U), random_vectors(U.lattice, draw)
        return D.adjoint(xi) if self.tastes == 8 else D.adjoint_even(xi)

    def evaluate(self, U: Field, fields: Field, gradient: bool = True, parameters: bool = False) -> Evaluation:
        D = self.operator(U)
        tolerance = self.force_tolerance if gradient else self.tolerance
        solution = solve_normal(D, fields, tolerance, self.max_steps, self.parity)
        if not solution.converged:
            is_number = math.isfinite(solution.residual)
            remedy = "raise solver.max_steps" if is_number else "the links or phi are no numbers"
            raise PhysicsError(
                f"the solver of {self!r} reached residual {solution.residual:.3g} in {solution.steps} steps, "
                f"not {tolerance:g}; {remedy}"
            )
        X = solution.value
        (value,) = inner_each(fields, X, self.parity)
        if not gradient:
            return Evaluation(value, steps=solution.steps)
        # Y = D X; its part m X gives X X^+ - X X^+ = 0, so K X is enough.
        Y = D.hop(X, "odd" if self.tastes == 4 else "both")
        C = zero_gradient(U)
        kernel = gradient_kernel(U.lattice.dimensions, 1)
        run(kernel, C=C, X=X, Y=Y, boundary=D.boundary, weight=1.0)
        return Evaluation(value, C, solution.steps)

    def __repr__(self) -> str:
        return f"StaggeredAction(mass={self.mass:g}, tastes={self.tastes})"
