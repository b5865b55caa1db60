"""Several masses in one Krylov space."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpcgauge.bench.oracle import fermion
from hpcgauge.comm.world import World
from hpcgauge.fermion import multishift
from hpcgauge.fermion.multishift import FEW, solve_masses
from hpcgauge.fermion.solvers import solve_normal
from hpcgauge.fermion.staggered import Staggered
from hpcgauge.fermion.vectors import ColorVector
from hpcgauge.fields.field import Field
from hpcgauge.kernels.algebra import scaled
from tests.support.kernels.samples import rough, vector_array
from tests.support.oracle.samples import distance
from tests.support.ranks import agree

# A solution with residual 1e-13 is off by 1e-13 / m^2 times what it is made of.
TOLERANCE, SOLVED = 1e-13, 1e-11
BOUNDARY = (1, 1, 1, -1)
# The lightest is not the first, and one comes twice.
MASSES, LEAST = (0.6, 0.3, 0.4, 0.6, 1.5), 0.3


@pytest.mark.ranks
@pytest.mark.parametrize("colors", [2, 3])
@pytest.mark.parametrize("parity", ["even", "both"])
@pytest.mark.parametrize(("precision", "count"), [(None, 1), (None, 2), (None, 5), ("mixed", FEW - 1), ("mixed", FEW)])
def test_every_mass_is_solved(world: World, colors: int, parity: str, precision: str | None, count: int) -> None:
    array, U = rough(world, colors)
    b = vector_array(U)
    if parity == "even":
        b = fermion.keep_parity(b, 0)
    masses, source = MASSES[:count], ColorVector.from_numpy(U.lattice, b)
    solution = solve_masses(Staggered(U, min(masses)), masses, source, TOLERANCE, parity=parity, precision=precision)
    X = solution.value.to_numpy().reshape(count, *b.shape)
    for x, mass in zip(X, masses, strict=True):
        error = distance(x, fermion.solve_normal(array, b, mass, BOUNDARY))
        agree(world, solution.converged and error < SOLVED, f"{mass}: {solution.residual:.2g} {error:.2g}")


@pytest.mark.ranks
def test_cost_is_that_of_the_lightest(world: World) -> None:
    _, U = rough(world, 2)
    b = ColorVector.from_numpy(U.lattice, vector_array(U))
    together = solve_masses(Staggered(U, LEAST), MASSES, b, 1e-9)
    alone = solve_normal(Staggered(U, LEAST), b, 1e-9)
    agree(world, together.converged and together.steps == alone.steps, f"{together.steps} {alone.steps}")
    agree(world, np.array_equal(together.value.to_numpy()[1], alone.value.to_numpy()), "the lightest is as if alone")


@pytest.mark.ranks
def test_bits_do_not_depend_on_the_ranks(world: World) -> None:
    found = []
    for on in (world, None):
        _, U = rough(on, 2)
        b = ColorVector.from_numpy(U.lattice, vector_array(U))
        solution = solve_masses(Staggered(U, LEAST), MASSES, b, 1e-11)
        found.append((solution.steps, solution.residual, solution.converged, solution.value.to_numpy().tobytes()))
    agree(world, found[0] == found[1] and found[0][2], f"{found[0][:3]} {found[1][:3]}")


@pytest.mark.ranks
def test_a_solution_that_has_drifted_is_made_better(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    array, U = rough(world, 2)
    b, descend = vector_array(U), multishift._descend

    def drifting(*arguments: Any) -> tuple[list[Field], int]:
        found, steps = descend(*arguments)
        return [found[0], scaled(found[1], 1 + 1e-6), found[2]], steps

    monkeypatch.setattr(multishift, "_descend", drifting)
    masses, source = (0.3, 0.4, 0.6), ColorVector.from_numpy(U.lattice, b)
    solution = solve_masses(Staggered(U, LEAST), masses, source, TOLERANCE)
    alone = [solve_normal(Staggered(U, mass), source, TOLERANCE).steps for mass in masses]
    agree(world, solution.converged and max(alone) < solution.steps < max(alone) + alone[1], f"{solution} {alone}")
    for x, mass in zip(solution.value.to_numpy(), masses, strict=True):
        agree(world, distance(x, fermion.solve_normal(array, b, mass, BOUNDARY)) < SOLVED, f"{mass}")


@pytest.mark.ranks
def test_what_is_not_solved_is_said(world: World) -> None:
    _, U = rough(world, 2)
    D, masses = Staggered(U, 0.05), (0.05, 0.1, 0.3)
    b = ColorVector.from_numpy(U.lattice, vector_array(U))
    short = solve_masses(D, masses, b, 1e-10, max_steps=5)
    agree(world, not short.converged and short.residual > 1e-10, f"{short}")
    deep = solve_masses(D, masses, b, 1e-18, max_steps=500)
    agree(world, not deep.converged and 1e-18 < deep.residual < 1e-13, f"{deep}")
    none = solve_masses(D, masses, ColorVector.zeros(U.lattice), 1e-10)
    agree(world, none.converged and none.steps == 0 and not none.value.to_numpy().any(), "zero source")


def test_what_is_no_family_of_masses_is_refused() -> None:
    _, U = rough(None, 2)
    b, two = ColorVector.zeros(U.lattice), ColorVector.zeros(U.lattice, 2)
    with pytest.raises(ValueError, match="b has 2 right-hand sides; 1 is right"):
        solve_masses(Staggered(U, 0.3), [0.3], two, 1e-10)
    with pytest.raises(ValueError, match=r"masses = \[0.3, 0.4\] must be at least 0.35, the operator's"):
        solve_masses(Staggered(U, 0.35), [0.3, 0.4], b, 1e-10)
