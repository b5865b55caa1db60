"""The staggered operator, its solver and pseudofermion actions against formulas, identities and finite differences."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from hpcgauge.action import Evaluation
from hpcgauge.comm.world import World
from hpcgauge.errors import PhysicsError
from hpcgauge.fermion.pseudofermion import StaggeredAction
from hpcgauge.fermion.solvers import solve, solve_normal
from hpcgauge.fermion.staggered import Staggered
from hpcgauge.fermion.vectors import ColorVector
from hpcgauge.fields.field import ROTATION, Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import Links, Rotation, gauge_rotate
from hpcgauge.kernels.draws import Draw, Stream, random_vectors
from tests.support.kernels.cases import complex_normal
from tests.support.kernels.differences import directional_error
from tests.support.oracle import fermion, gauge
from tests.support.oracle.algebra import TA, Array, adjoint
from tests.support.oracle.samples import distance
from tests.support.ranks import agree

# A chain of some tens of roundings of 1.1e-16 on numbers of order one.
ROUNDING = 1e-13
# A solution with residual 1e-13 is off by 1e-13 / m^2 times what it is made of.
TOLERANCE, SOLVED = 1e-13, 1e-11
# Extrapolated five-point differences: what is left is rounding, 1e-16 |function| / eps, relative to the gradient.
DIFFERENCE = 1e-8
EXTENTS = {2: (4, 8), 3: (4, 6, 8), 4: (4, 2, 6, 8)}
BOUNDARIES = {2: ((1, -1), (-1, 1)), 3: ((1, 1, -1),), 4: ((1, 1, 1, -1), (-1, 1, -1, 1), (1, 1, 1, 1))}
DRAW = Draw(Stream.PSEUDOFERMION, seed=31, trajectory=2)
MASS = 0.3


def rough(world: World | None, colors: int, dimensions: int = 4) -> tuple[Array, Field]:
    """Rough links as an array and as a field. Collective."""
    array = gauge.rough_links(EXTENTS[dimensions], colors, 30, 0.6)
    return array, Links.from_numpy(Lattice(EXTENTS[dimensions], colors, world), array)


def vector_array(U: Field, n_rhs: int = 1, seed: int = 32) -> Array:
    """Normal vectors; with one right-hand side there is no axis for it."""
    shape = (*reversed(U.lattice.extent), U.colors)
    return complex_normal(np.random.default_rng(seed), shape if n_rhs == 1 else (n_rhs, *shape))


# The operator


@pytest.mark.ranks
@pytest.mark.parametrize(("colors", "dimensions"), [(2, 2), (2, 3), (2, 4), (3, 4), (4, 4)])
def test_operator_equals_the_formula(world: World, colors: int, dimensions: int) -> None:
    array, U = rough(world, colors, dimensions)
    chi = vector_array(U)
    field = ColorVector.from_numpy(U.lattice, chi)
    for boundary in BOUNDARIES[dimensions]:
        D = Staggered(U, MASS, boundary)
        agree(world, distance(D(field).to_numpy(), fermion.staggered(array, chi, MASS, boundary)) < ROUNDING, "D")
        expected = fermion.staggered_adjoint(array, chi, MASS, boundary)
        agree(world, distance(D.adjoint(field).to_numpy(), expected) < ROUNDING, "D^+")
        even = D.adjoint_even(field).to_numpy()
        agree(world, distance(even, fermion.keep_parity(expected, 0)) < ROUNDING, "even part of D^+")
        for parity, odd in (("even", 0), ("odd", 1)):
            hopped = fermion.keep_parity(fermion.hopping(array, chi, boundary), odd)
            agree(world, distance(D.hop(field, parity).to_numpy(), hopped) < ROUNDING, f"K on {parity} sites")


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


# The action


def action_at(
    world: World, colors: int, tastes: int, dimensions: int = 4
) -> tuple[StaggeredAction, Array, Field, Field]:
    """An action, links as an array and as a field, and phi drawn on them. Collective."""
    array, U = rough(world, colors, dimensions)
    action = StaggeredAction(MASS, tastes, tolerance=TOLERANCE, force_tolerance=TOLERANCE)
    return action, array, U, action.refresh(DRAW, U)


@pytest.mark.ranks
@pytest.mark.parametrize("tastes", [4, 8])
@pytest.mark.parametrize(("colors", "dimensions"), [(2, 2), (2, 3), (2, 4), (3, 4), (4, 4)])
def test_action_equals_the_formula(world: World, colors: int, dimensions: int, tastes: fermion.Tastes) -> None:
    action, array, U, phi = action_at(world, colors, tastes, dimensions)
    boundary, xi = BOUNDARIES[dimensions][0], random_vectors(U.lattice, DRAW).to_numpy()
    expected = fermion.heat_bath(array, xi, MASS, boundary, tastes)
    agree(world, distance(phi.to_numpy(), expected) < ROUNDING, "phi")
    evaluation, value = action.evaluate(U, phi), fermion.pseudofermion_action(array, expected, MASS, boundary)
    agree(world, math.isclose(evaluation.value, value, rel_tol=ROUNDING), f"{evaluation.value} {value}")
    agree(world, evaluation.steps > 0 and evaluation.gradient is not None, "steps and gradient")
    found, right = gradient_in_algebra(evaluation, U), fermion.pseudofermion_gradient(array, expected, MASS, boundary)
    error = distance(found, TA(right @ adjoint(array)))
    agree(world, error < SOLVED, f"gradient off by {error:.2g}")
    if tastes == 8:
        agree(world, math.isclose(evaluation.value, np.vdot(xi, xi).real, rel_tol=ROUNDING), "S = |xi|^2 at the start")
    else:
        agree(world, not fermion.keep_parity(phi.to_numpy(), 1).any(), "phi lives on even sites")


def gradient_in_algebra(evaluation: Evaluation, U: Field) -> Array:
    """TA(C U^+), what a change of the links inside the group sees of a gradient. Collective."""
    assert evaluation.gradient is not None
    return TA(evaluation.gradient.to_numpy() @ adjoint(U.to_numpy()))


@pytest.mark.ranks
@pytest.mark.parametrize("tastes", [4, 8])
@pytest.mark.parametrize("colors", [2, 3])
def test_gradient_is_the_finite_difference(world: World, colors: int, tastes: int) -> None:
    action, _, U, phi = action_at(world, colors, tastes)
    C = action.evaluate(U, phi).gradient
    error = directional_error(lambda V: action.evaluate(V, phi, gradient=False).value, C, U, 33, 1e-2)
    agree(world, error < DIFFERENCE, f"{error:.2g}")


@pytest.mark.ranks
def test_boundary_signs_are_those_given(world: World) -> None:
    array, U = rough(world, 2)
    for boundary in BOUNDARIES[4]:
        action = StaggeredAction(MASS, 8, boundary, tolerance=TOLERANCE)
        phi = action.refresh(DRAW, U)
        value = action.evaluate(U, phi, gradient=False).value
        expected = fermion.pseudofermion_action(array, phi.to_numpy(), MASS, boundary)
        agree(world, math.isclose(value, expected, rel_tol=ROUNDING), f"{boundary}: {value} {expected}")


@pytest.mark.ranks
@pytest.mark.parametrize("tastes", [4, 8])
def test_bits_do_not_depend_on_the_ranks(world: World, tastes: int) -> None:
    results = []
    for on in (world, None):
        action, _, U, phi = action_at(on, 2, tastes)
        evaluation = action.evaluate(U, phi)
        results.append((evaluation.value, evaluation.steps, evaluation.gradient.to_numpy().tobytes()))
    agree(world, results[0] == results[1], f"{results[0][:2]} {results[1][:2]}")


@pytest.mark.ranks
def test_heat_bath_has_its_weight(world: World) -> None:
    """<S> = number of complex components of phi, by the equipartition of a Gaussian, for both numbers of tastes."""
    _, U = rough(world, 2)
    for tastes, components in ((4, 2 * U.lattice.volume // 2), (8, 2 * U.lattice.volume)):
        action = StaggeredAction(MASS, tastes)
        values = []
        for trajectory in range(20):
            phi = action.refresh(Draw(Stream.PSEUDOFERMION, 34, trajectory), U)
            values.append(action.evaluate(U, phi, gradient=False).value)
        error = math.sqrt(components / len(values))
        agree(world, abs(np.mean(values) - components) < 4 * error, f"{tastes}: {np.mean(values)}, not {components}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mass": 0.3, "tastes": 2}, "tastes = 2 is not possible without rational powers; 4 and 8 are"),
        ({"mass": 0.0, "tastes": 4}, "mass = 0.0 must be above 0"),
        ({"mass": float("nan"), "tastes": 4}, "mass = nan must be above 0"),
        ({"mass": 0.3, "tastes": 4, "boundary": (1, 1, 1, 2)}, r"boundary = \[1, 1, 1, 2\] must hold 4 signs"),
    ],
)
def test_impossible_actions_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StaggeredAction(**arguments)


def test_boundary_of_another_dimension_is_refused() -> None:
    U = Links.unit(Lattice((4, 4), 2))
    with pytest.raises(ValueError, match=r"boundary = \[1, 1, -1\] must hold 2 signs"):
        Staggered(U, MASS, (1, 1, -1))


def test_slots_tell_kinds_of_fields_apart() -> None:
    slots = {StaggeredAction(m, n, b).slot for m, n, b in product((0.3, 0.4), (4, 8), (None, (1, 1, 1, 1)))}
    assert len(slots) == 4 and None not in slots
    assert Field(Lattice((4, 4)), ROTATION).kind.count == 1
