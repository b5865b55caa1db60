"""The staggered operator and its solver against formulas and identities."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from hpcgauge.bench.oracle import fermion
from hpcgauge.bench.oracle.algebra import Array
from hpcgauge.comm.world import World
from hpcgauge.errors import PhysicsError
from hpcgauge.fermion.pseudofermion import StaggeredAction
from hpcgauge.fermion.solvers import solve, solve_normal
from hpcgauge.fermion.staggered import Staggered
from hpcgauge.fermion.vectors import ColorVector
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import Links, Rotation, gauge_rotate
from hpcgauge.kernels import host
from hpcgauge.kernels.draws import Draw, Stream
from tests.support.kernels.samples import rough, vector_array
from tests.support.oracle.samples import distance
from tests.support.ranks import agree

# A chain of some tens of roundings of 1.1e-16 on numbers of order one.
ROUNDING = 1e-13
# A solution with residual 1e-13 is off by 1e-13 / m^2 times what it is made of.
TOLERANCE, SOLVED = 1e-13, 1e-11
BOUNDARIES = {2: ((1, -1), (-1, 1)), 3: ((1, 1, -1),), 4: ((1, 1, 1, -1), (-1, 1, -1, 1), (1, 1, 1, 1))}
DRAW = Draw(Stream.PSEUDOFERMION, seed=31, trajectory=2)
MASS = 0.3


# The operator


@pytest.mark.ranks
@pytest.mark.parametrize(("colors", "dimensions"), [(2, 2), (2, 3), (2, 4), (3, 4), (4, 4)])
def test_operator_equals_the_formula(world: World, colors: int, dimensions: int) -> None:
    array, U = rough(world, colors, dimensions)
    chi = vector_array(U)
    field = ColorVector.from_numpy(U.lattice, chi)
    for boundary, compressed in product(BOUNDARIES[dimensions], (False, True)):
        D = Staggered(U, MASS, boundary, compressed)
        agree(world, distance(D(field).to_numpy(), fermion.staggered(array, chi, MASS, boundary)) < ROUNDING, "D")
        expected = fermion.staggered_adjoint(array, chi, MASS, boundary)
        agree(world, distance(D.adjoint(field).to_numpy(), expected) < ROUNDING, "D^+")
        even = D.adjoint_even(field).to_numpy()
        agree(world, distance(even, fermion.keep_parity(expected, 0)) < ROUNDING, "even part of D^+")
        for parity, odd in (("even", 0), ("odd", 1)):
            hopped = fermion.keep_parity(fermion.hopping(array, chi, boundary), odd)
            agree(world, distance(D.hop(field, parity).to_numpy(), hopped) < ROUNDING, f"K on {parity} sites")


@pytest.mark.host
@pytest.mark.ranks
@pytest.mark.parametrize("compressed", [False, True])
def test_large_fields_give_the_same_bits(world: World, monkeypatch: pytest.MonkeyPatch, compressed: bool) -> None:
    """Where fields exceed the caches, links are fetched ahead and, past the last, what is written passes by them."""
    found = []
    for size, caches in enumerate(({2: 2**30, 3: 2**30}, {2: 0, 3: 2**30}, {2: 0, 3: 0})):
        monkeypatch.setattr(host, "cache_size", caches.__getitem__)
        array, _ = rough(world, 3, 4)
        U = Links.from_numpy(Lattice(tuple(reversed(array.shape[1:5])), 3, world), array)
        chi = ColorVector.from_numpy(U.lattice, vector_array(U))
        D, out = Staggered(U, MASS, compressed=compressed), chi.copy()
        launches = D.normal_launches(chi, chi.copy(), out, "even")
        agree(world, all(launch.bound.call.is_large == size for launch in launches), "which are large")
        sums = [launch() for launch in launches]
        found.append((out.to_numpy(), D(chi).to_numpy(), sums))
    for other in found[1:]:
        agree(world, np.array_equal(found[0][0], other[0]) and np.array_equal(found[0][1], other[1]), "bits")
        agree(world, found[0][2] == other[2], "sums")


@pytest.mark.ranks
def test_boundary_is_antiperiodic_in_the_last_direction_by_default(world: World) -> None:
    for dimensions in (2, 3, 4):
        _, U = rough(world, 2, dimensions)
        chi = ColorVector.from_numpy(U.lattice, vector_array(U))
        explicit = Staggered(U, MASS, BOUNDARIES[dimensions][0])(chi).to_numpy()
        agree(world, np.array_equal(Staggered(U, MASS)(chi).to_numpy(), explicit), f"{dimensions} dimensions")


@pytest.mark.ranks
@pytest.mark.parametrize("colors", [2, 3, 4])
def test_adjoint(world: World, colors: int) -> None:
    """<a, D b> = <D^+ a, b>, and D^+D = m^2 - K^2 does not mix parities."""
    _, U = rough(world, colors)
    D, a, b = Staggered(U, MASS), vector_array(U, seed=1), vector_array(U, seed=2)
    left, right = (ColorVector.from_numpy(U.lattice, array) for array in (a, b))
    one, other = np.vdot(a, D(right).to_numpy()), np.vdot(D.adjoint(left).to_numpy(), b)
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    agree(world, abs(one - other) < ROUNDING * size and abs(one) > 1, f"{one} {other}")
    even = ColorVector.from_numpy(U.lattice, fermion.keep_parity(b, 0))
    image = D.adjoint(D(even)).to_numpy()
    agree(world, abs(fermion.keep_parity(image, 1)).max() < 1e-15, "parities mix")
    squared = D.hop(D.hop(even)).to_numpy()
    agree(world, distance(image, MASS**2 * even.to_numpy() - squared) < ROUNDING, "m^2 - K^2")


@pytest.mark.ranks
@pytest.mark.parametrize("colors", [2, 3])
def test_gauge_covariance(world: World, colors: int) -> None:
    _, U = rough(world, colors)
    G, chi = Rotation.hot(U.lattice), vector_array(U)
    V, g = gauge_rotate(U, G), G.to_numpy()

    def turned(array: Array) -> Array:
        return (g @ array[..., None])[..., 0]

    left = Staggered(V, MASS)(ColorVector.from_numpy(U.lattice, turned(chi))).to_numpy()
    right = turned(Staggered(U, MASS)(ColorVector.from_numpy(U.lattice, chi)).to_numpy())
    agree(world, distance(left, right) < ROUNDING, f"D misses by {distance(left, right):.2g}")
    for tastes in (4, 8):
        action = StaggeredAction(MASS, tastes, tolerance=TOLERANCE)
        phi = action.refresh(DRAW, U)
        phi_turned = ColorVector.from_numpy(U.lattice, turned(phi.to_numpy()))
        values = [action.evaluate(*pair, gradient=False).value for pair in ((U, phi), (V, phi_turned))]
        agree(world, math.isclose(*values, rel_tol=ROUNDING), f"{tastes} tastes: {values}")


@pytest.mark.ranks
def test_several_right_hand_sides_give_the_bits_of_each(world: World) -> None:
    _, U = rough(world, 3)
    D, chi = Staggered(U, MASS), vector_array(U, n_rhs=3)
    together = D(ColorVector.from_numpy(U.lattice, chi)).to_numpy()
    each = [D(ColorVector.from_numpy(U.lattice, one)).to_numpy() for one in chi]
    agree(world, np.array_equal(together, np.array(each)))


@pytest.mark.parametrize("dimensions", [2, 3, 4])
def test_free_spectrum(dimensions: int) -> None:
    """The eigenvalues of -K^2 on unit links are sums of sin^2 p, exactly."""
    extent = {2: (4, 6), 3: (2, 4, 6), 4: (4, 4, 4, 4)}[dimensions]
    lattice, boundary = Lattice(extent, 2), BOUNDARIES[dimensions][0]
    D, shape = Staggered(Links.unit(lattice), 0.0, boundary), tuple(reversed(extent))
    columns = []
    for site in np.ndindex(*shape):
        one = np.zeros((*shape, 2), dtype=complex)
        one[(*site, 0)] = 1
        image = D(ColorVector.from_numpy(lattice, one)).to_numpy()
        assert not image[..., 1].any()
        columns.append(image[..., 0].ravel())
    found = np.sort(np.linalg.eigvalsh(-1j * np.array(columns).T) ** 2)
    assert distance(found, fermion.free_spectrum(extent, boundary)) < ROUNDING


@pytest.mark.ranks
@pytest.mark.parametrize(("colors", "extent"), [(2, (4, 4, 4, 4)), (3, (4, 2, 6, 8))])
def test_free_condensate(world: World, colors: int, extent: tuple[int, ...]) -> None:
    """Tr D^-1 per site is N (D^-1)_xx = N mean m / (m^2 + lambda) at every site, for unit links."""
    lattice = Lattice(extent, colors, world)
    D = Staggered(Links.unit(lattice), MASS)
    expected = float(np.mean(MASS / (MASS**2 + fermion.free_spectrum(extent, BOUNDARIES[4][0]))))
    for site in ((0, 0, 0, 0), (3, 1, 1, 2)):
        source = np.zeros((*reversed(extent), colors), dtype=complex)
        source[(*site, 1)] = 1
        solution = solve(D, ColorVector.from_numpy(lattice, source), TOLERANCE)
        found = solution.value.to_numpy()[(*site, 1)]
        agree(world, solution.converged and abs(found - expected) < SOLVED, f"{found} is not {expected}")


def test_free_condensate_of_the_notes() -> None:
    spectrum = fermion.free_spectrum((4, 4, 4, 4), BOUNDARIES[4][0])
    assert 2 * np.mean(MASS / (MASS**2 + spectrum)) == pytest.approx(0.376392, abs=5e-7)


# The solver


@pytest.mark.ranks
@pytest.mark.parametrize("colors", [2, 3, 4])
def test_solution_and_true_residual(world: World, colors: int) -> None:
    array, U = rough(world, colors)
    boundary, b = BOUNDARIES[4][0], vector_array(U)
    solution = solve(Staggered(U, MASS), ColorVector.from_numpy(U.lattice, b), tolerance=1e-10)
    x = solution.value.to_numpy()
    left = np.linalg.norm(b - fermion.staggered(array, x, MASS, boundary)) / np.linalg.norm(b)
    agree(world, solution.converged and solution.residual <= 1e-10 and solution.steps > 10, str(solution.steps))
    agree(world, abs(solution.residual - left) < 1e-3 * left, f"told {solution.residual}, is {left}")
    exact = fermion.solve_normal(array, fermion.staggered_adjoint(array, b, MASS, boundary), MASS, boundary)
    agree(world, distance(x, exact) < 1e-10 / MASS * np.linalg.norm(b), f"off by {distance(x, exact):.2g}")


@pytest.mark.ranks
@pytest.mark.parametrize("parity", ["even", "odd", "both"])
def test_normal_solutions_on_a_parity(world: World, parity: str) -> None:
    array, U = rough(world, 2)
    b = vector_array(U)
    if parity != "both":
        b = fermion.keep_parity(b, ("even", "odd").index(parity))
    solution = solve_normal(Staggered(U, MASS), ColorVector.from_numpy(U.lattice, b), TOLERANCE, parity=parity)
    expected = fermion.solve_normal(array, b, MASS, BOUNDARIES[4][0])
    error = distance(solution.value.to_numpy(), expected)
    agree(world, solution.converged and error < SOLVED, f"{solution.residual:.2g} {error:.2g}")


@pytest.mark.ranks
def test_several_solutions_are_those_of_one_by_one(world: World) -> None:
    """Bit for bit, though the right-hand sides need different numbers of steps and one is zero."""
    array, U = rough(world, 2)
    b = vector_array(U, n_rhs=3)
    b[1] = 0
    for _ in range(8):  # towards the lowest mode: fewer steps, and another |D^+ b| / |b|
        b[2] = fermion.solve_normal(array, b[2], MASS, BOUNDARIES[4][0], 1e-6)
        b[2] /= np.linalg.norm(b[2])
    D = Staggered(U, MASS)
    together = solve(D, ColorVector.from_numpy(U.lattice, b), 1e-9)
    each = [solve(D, ColorVector.from_numpy(U.lattice, one), 1e-9) for one in b]
    agree(world, together.converged and all(one.converged for one in each), "convergence")
    for k, one in enumerate(each):
        same = np.array_equal(together.value.to_numpy()[k], one.value.to_numpy())
        agree(world, same, f"right-hand side {k} differs")
    steps = [one.steps for one in each]
    agree(world, steps[1] == 0 and together.steps == max(steps) and len(set(steps)) == 3, f"{together.steps} {steps}")
    agree(world, together.residual == max(one.residual for one in each), "residual")


@pytest.mark.ranks
def test_solver_bits_do_not_depend_on_the_ranks(world: World) -> None:
    results = []
    for on in (world, None):
        _, U = rough(on, 2)
        solution = solve(Staggered(U, MASS), ColorVector.from_numpy(U.lattice, vector_array(U)), 1e-10)
        results.append((solution.steps, solution.residual, solution.value.to_numpy().tobytes()))
    agree(world, results[0] == results[1], f"{results[0][:2]} {results[1][:2]}")


@pytest.mark.ranks
def test_a_solver_that_does_not_arrive_says_so(world: World) -> None:
    _, U = rough(world, 2)
    solution = solve(Staggered(U, 0.01), ColorVector.from_numpy(U.lattice, vector_array(U)), 1e-10, max_steps=5)
    agree(world, not solution.converged and solution.residual > 1e-10 and solution.steps == 5, str(solution))
    action = StaggeredAction(0.01, 4, max_steps=5)
    phi = action.refresh(DRAW, U)
    for gradient in (True, False):
        with pytest.raises(
            PhysicsError, match=r"mass=0.01, tastes=4.* reached residual [\d.e-]+ in 5 steps, not 1e-12"
        ):
            action.evaluate(U, phi, gradient=gradient)


@pytest.mark.ranks
def test_too_small_a_tolerance_is_not_claimed(world: World) -> None:
    _, U = rough(world, 2)
    solution = solve(Staggered(U, MASS), ColorVector.from_numpy(U.lattice, vector_array(U)), 1e-18, max_steps=500)
    agree(world, not solution.converged and 1e-18 < solution.residual < 1e-14, f"{solution.residual}")


@pytest.mark.ranks
def test_single_precision(world: World) -> None:
    _, U = rough(world, 3)
    b = ColorVector.from_numpy(U.lattice, vector_array(U))
    single = solve(Staggered(U.astype("single"), MASS), b.astype("single"), 1e-5)
    double = solve(Staggered(U, MASS), b, 1e-10)
    error = distance(single.value.to_numpy(), double.value.to_numpy()) / abs(double.value.to_numpy()).max()
    agree(world, single.converged and error < 1e-4, f"{single.residual:.2g} {error:.2g}")
