"""Solvers in mixed precision: against a dense solve, and with the same bits in any company."""

from __future__ import annotations

import numpy as np
import pytest

from hpcgauge.bench.oracle import fermion
from hpcgauge.comm.world import World
from hpcgauge.fermion.descent import advance_kernel, reduce_kernel
from hpcgauge.fermion.solvers import solve, solve_normal
from hpcgauge.fermion.staggered import Staggered
from hpcgauge.fermion.vectors import ColorVector
from hpcgauge.fields.device import Device
from hpcgauge.fields.field import Field, vectors
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import Links
from hpcgauge.kernels.convert import convert, converted
from hpcgauge.kernels.loop import run
from tests.support.kernels.samples import rough, vector_array
from tests.support.oracle.samples import distance
from tests.support.ranks import agree

# A solution with residual 1e-13 is off by 1e-13 / m^2 times what it is made of.
TOLERANCE, SOLVED = 1e-13, 1e-11
BOUNDARY = (1, 1, 1, -1)
MASS = 0.3


def sources_of(array: np.ndarray, n_rhs: int) -> np.ndarray:
    """Sources that need different numbers of steps: the first is close to a low mode, the last of three is zero."""
    b = vector_array_of(array, n_rhs)
    for _ in range(8):
        b[0] = fermion.solve_normal(array, b[0], MASS, BOUNDARY, 1e-6)
        b[0] /= np.linalg.norm(b[0])
    b[2:] = 0
    return b


def vector_array_of(array: np.ndarray, n_rhs: int) -> np.ndarray:
    g = np.random.default_rng(8)
    shape = (n_rhs, *array.shape[1:-1])
    return g.normal(size=shape) + 1j * g.normal(size=shape)


@pytest.mark.ranks
@pytest.mark.parametrize("colors", [2, 3])
@pytest.mark.parametrize("parity", ["even", "odd", "both"])
def test_mixed_solutions_are_those_of_the_matrix(world: World, colors: int, parity: str) -> None:
    array, U = rough(world, colors)
    b = vector_array(U)
    if parity != "both":
        b = fermion.keep_parity(b, ("even", "odd").index(parity))
    field = ColorVector.from_numpy(U.lattice, b)
    solution = solve_normal(Staggered(U, MASS), field, TOLERANCE, parity=parity, precision="mixed")
    x = solution.value.to_numpy()
    error = distance(x, fermion.solve_normal(array, b, MASS, BOUNDARY))
    agree(world, solution.converged and error < SOLVED, f"{solution.residual:.2g} {error:.2g}")
    back = fermion.staggered_adjoint(array, fermion.staggered(array, x, MASS, BOUNDARY), MASS, BOUNDARY)
    left = np.linalg.norm(b - back) / np.linalg.norm(b)
    agree(world, abs(solution.residual - left) < 0.1 * TOLERANCE, f"told {solution.residual}, is {left}")
    if parity != "both":
        agree(world, not fermion.keep_parity(x, ("odd", "even").index(parity)).any(), "other sites")


@pytest.mark.ranks
@pytest.mark.parametrize("precision", ["double", "mixed"])
@pytest.mark.parametrize("n_rhs", [2, 3])
def test_company_does_not_change_a_bit(world: World, precision: str, n_rhs: int) -> None:
    array, U = rough(world, 2)
    D, b = Staggered(U, MASS), sources_of(array, n_rhs)
    together = solve_normal(D, ColorVector.from_numpy(U.lattice, b), 1e-10, precision=precision)
    each = [solve_normal(D, ColorVector.from_numpy(U.lattice, one), 1e-10, precision=precision) for one in b]
    agree(world, together.converged and all(one.converged for one in each), "convergence")
    for k, one in enumerate(each):
        agree(world, np.array_equal(together.value.to_numpy()[k], one.value.to_numpy()), f"right-hand side {k}")
    steps = [one.steps for one in each]
    agree(world, steps[2:] == [0] * (n_rhs - 2) and 0 < steps[0] < steps[1] <= together.steps, f"{steps}")
    agree(world, together.residual == max(one.residual for one in each), "residual")


@pytest.mark.ranks
@pytest.mark.parametrize("colors", [2, 3])
def test_mixed_bits_do_not_depend_on_ranks_and_threads(world: World, colors: int) -> None:
    found = []
    for place, threads in ((world, 1), (World.alone(), 1), (world, 3)):
        lattice = Lattice((4, 6, 8, 4), colors, place, Device("cpu", threads))
        D, b = Staggered(Links.hot(lattice, 3), 0.1), ColorVector.from_numpy(lattice, noise(lattice))
        solution = solve_normal(D, b, 1e-11, precision="mixed")
        found.append((solution.steps, solution.residual, solution.value.to_numpy().tobytes(), solution.converged))
    agree(world, found[0] == found[1] == found[2] and found[0][3], f"{[one[:2] for one in found]}")


def noise(lattice: Lattice) -> np.ndarray:
    g, shape = np.random.default_rng(4), (*reversed(lattice.extent), lattice.colors)
    return g.normal(size=shape) + 1j * g.normal(size=shape)


@pytest.mark.ranks
def test_a_small_mass_is_solved_too(world: World) -> None:
    """Zero modes, condition 4e8: single precision gets nowhere, and double takes over."""
    _, U = rough(world, 2)
    b = vector_array(U)
    unit = Staggered(Links.unit(U.lattice), 1e-4, (1, 1, 1, 1))
    solution = solve_normal(unit, ColorVector.from_numpy(U.lattice, b), 1e-8, precision="mixed")
    agree(world, solution.converged and solution.residual <= 1e-8, f"{solution}")


@pytest.mark.ranks
@pytest.mark.parametrize("precision", ["double", "mixed"])
def test_what_cannot_be_solved_is_said(world: World, precision: str) -> None:
    _, U = rough(world, 2)
    D, b = Staggered(U, MASS), ColorVector.from_numpy(U.lattice, vector_array(U))
    short = solve_normal(D, b, 1e-10, max_steps=5, precision=precision)
    agree(world, not short.converged and short.steps == 5 and 1e-10 < short.residual < 1, f"{short}")
    deep = solve_normal(D, b, 1e-18, max_steps=500, precision=precision)
    agree(world, not deep.converged and 1e-18 < deep.residual < 1e-14, f"{deep.residual}")
    nothing = solve_normal(D, Field(U.lattice, vectors(1)).fill(0), 1e-10, precision=precision)
    agree(world, nothing.converged and nothing.steps == 0 and not nothing.value.to_numpy().any(), "zero source")
    spoilt = solve_normal(D, Field(U.lattice, vectors(1)).fill(np.nan), 1e-10, precision=precision)
    agree(world, not spoilt.converged and spoilt.steps == 0 and np.isnan(spoilt.residual), "NaN")


@pytest.mark.ranks
@pytest.mark.parametrize("precision", ["double", "mixed"])
def test_a_solve_goes_on_from_a_start_vector(world: World, precision: str) -> None:
    array, U = rough(world, 2)
    D, b = Staggered(U, MASS), vector_array(U)
    field = ColorVector.from_numpy(U.lattice, b)
    rough_one, whole = solve_normal(D, field, 1e-5), solve_normal(D, field, TOLERANCE, precision=precision)
    kept = rough_one.value.to_numpy()
    further = solve_normal(D, field, TOLERANCE, precision=precision, start=rough_one.value)
    agree(world, further.converged and further.steps < 0.75 * whole.steps, f"{further.steps} {whole.steps}")
    agree(world, distance(further.value.to_numpy(), fermion.solve_normal(array, b, MASS, BOUNDARY)) < SOLVED)
    agree(world, np.array_equal(kept, rough_one.value.to_numpy()), "the start vector is left as it is")
    done = solve_normal(D, field, 1e-10, precision=precision, start=whole.value)
    agree(world, done.converged and done.steps == 0, f"{done.steps}")


@pytest.mark.ranks
def test_solve_in_mixed_precision(world: World) -> None:
    array, U = rough(world, 3)
    b = vector_array(U)
    solution = solve(Staggered(U, MASS), ColorVector.from_numpy(U.lattice, b), 1e-10, precision="mixed")
    left = b - fermion.staggered(array, solution.value.to_numpy(), MASS, BOUNDARY)
    agree(world, solution.converged and np.linalg.norm(left) <= 1.001e-10 * np.linalg.norm(b), f"{solution.residual}")


def test_impossible_precisions_are_refused() -> None:
    _, U = rough(None, 2)
    b = ColorVector.from_numpy(U.lattice, vector_array(U))
    with pytest.raises(ValueError, match="precision = 'single' for a source in double precision; 'double' or 'mixed'"):
        solve_normal(Staggered(U, MASS), b, 1e-5, precision="single")
    with pytest.raises(ValueError, match="precision = 'mixed' for a source in single precision; 'single' is right"):
        solve_normal(Staggered(U.astype("single"), MASS), b.astype("single"), 1e-5, precision="mixed")


def test_right_hand_sides_at_rest_are_left_alone() -> None:
    lattice = Lattice((4, 4, 4, 4), 2)
    x, p, r = (ColorVector.from_numpy(lattice, vector_array_of(np.zeros((1, 4, 4, 4, 4, 2, 2)), 2)) for _ in range(3))
    before = x.to_numpy()
    run(advance_kernel(2), x=x, p=p, r=r, alpha=(0.5, 2.0), gamma=(1.0, 1.0), beta=(0.25, 3.0), flag=(1.0, 0.0))
    assert np.array_equal(x.to_numpy()[1], before[1]) and np.array_equal(p.to_numpy()[1], before[1])
    assert distance(x.to_numpy()[0], 1.5 * before[0]) < 1e-15 and distance(p.to_numpy()[0], 1.25 * before[0]) < 1e-15
    sums = run(reduce_kernel(2), r=r, q=x, alpha=(1.0, 1.0), flag=(0.0, 1.0))
    assert np.array_equal(r.to_numpy()[0], before[0]) and not r.to_numpy()[1].any() and sums == (0, 0)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("extent", [(2, 2, 2), (4, 6, 8, 10)])
def test_converted_fields(extent: tuple[int, ...], threads: int) -> None:
    lattice = Lattice(extent, 3, device=Device("cpu", threads))
    U = Links.hot(lattice, 5)
    single = converted(U, "single")
    assert np.array_equal(single.by_site, U.astype("single").by_site)
    assert np.array_equal(converted(single, "double").by_site, U.astype("single").astype("double").by_site)
    assert converted(U, "double") is U
    even = convert(Field(lattice, U.kind, "single").fill(0), U, "even").to_numpy()
    odd = np.indices(even.shape)[1:-2].sum(axis=0) % 2 == 1
    assert not even[odd].any() and np.array_equal(even[~odd], single.to_numpy()[~odd])


def test_conversions_that_make_no_sense_are_refused() -> None:
    U = Links.unit(Lattice((4, 4), 2))
    with pytest.raises(ValueError, match="the other precision is right"):
        convert(U.copy(), U)
    with pytest.raises(ValueError, match="parity = 'all'"):
        convert(U.astype("single"), U, "all")
