"""Loops and condensate: NumPy oracle, exact numbers, the same bits on any process grid, nothing gathered."""

from __future__ import annotations

import math

import numpy as np
import pytest

import hpcgauge as hg
from hpcgauge.bench.oracle import algebra, fermion, gauge
from hpcgauge.comm.world import World
from hpcgauge.fermion.solvers import solve_normal
from hpcgauge.fermion.vectors import inner_each
from hpcgauge.fields.device import Device
from hpcgauge.observables.condensate import condensate
from hpcgauge.observables.loops import line, polyakov_loop, shifted, wilson_loop
from hpcgauge.symmetry import rough_links
from tests.support.ranks import agree

# A loop is a chain of some tens of roundings on numbers of order one; sums add none.
ROUNDING = {"double": 1e-14, "single": 1e-5}
# An estimate is off by more than this many errors once in 16000 times.
ERRORS = 4
ANTIPERIODIC = (1, 1, 1, -1)
FREE_CONDENSATE = 0.376392
EXTENTS = {2: (4, 16), 3: (2, 4, 8), 4: (2, 4, 6, 8)}


def lattice(world: World, extent: tuple[int, ...], colors: int = 2, precision: str = "double") -> hg.Lattice:
    # One thread: these lattices are too small to share, and the other core may be another rank's.
    return hg.Lattice(extent, colors=colors, world=world, precision=precision, device=Device(threads=1))


@pytest.mark.ranks
@pytest.mark.parametrize("colors", [2, 3, 4])
@pytest.mark.parametrize("dims", [2, 3, 4])
def test_loops_are_the_oracle(world: World, dims: int, colors: int) -> None:
    for precision in ("double", "single") if dims == 4 else ("double",):
        U = rough_links(lattice(world, EXTENTS[dims], colors, precision), 3)
        array, limit = U.to_numpy(), ROUNDING[precision]
        for direction in (*range(dims), -1):
            expected = gauge.polyakov_loop(array, direction % dims)
            agree(world, abs(polyakov_loop(U, direction) - expected) < limit)
        for r, t in ((1, 1), (1, 2), (3, 2)):
            agree(world, abs(wilson_loop(U, r, t) - gauge.wilson_loop(array, r, t)) < limit)


@pytest.mark.ranks
@pytest.mark.parametrize("cut", [0, 1, 3])
def test_loops_across_a_cut_of_any_direction(world: World, cut: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits as on one rank, and no field is gathered."""
    extent = tuple(8 if mu == cut else 2 for mu in range(4))
    grid = tuple(world.size if mu == cut else 1 for mu in range(4))
    alone = hg.Links.hot(lattice(World.alone(), extent, 3), seed=4)
    U = hg.Links.hot(hg.Lattice(extent, colors=3, world=world, device=Device(threads=1), process_grid=grid), seed=4)
    monkeypatch.setattr(World, "gather_arrays", lambda *_: pytest.fail("a field was gathered"))
    agree(world, polyakov_loop(U, cut) == polyakov_loop(alone, cut))
    agree(world, wilson_loop(U, 3, 2) == wilson_loop(alone, 3, 2))


@pytest.mark.ranks
def test_lines_and_shifts(world: World) -> None:
    U = hg.Links.hot(lattice(world, (2, 4, 6, 8), 3), seed=5)
    chi = hg.ColorVector.from_numpy(U.lattice, np.random.default_rng(6).standard_normal((2, 8, 6, 4, 2, 3)) + 0j)
    array, vectors = U.to_numpy(), chi.to_numpy()
    for mu in range(4):
        agree(world, abs(line(U, mu, 5).to_numpy() - gauge.line(array, mu, 5)).max() < ROUNDING["double"])
        agree(world, (shifted(U, mu, 3).to_numpy() == algebra.shift(array, mu, 3)).all())
        agree(world, (shifted(chi, mu).to_numpy() == algebra.shift(vectors, mu, 1, trailing=1)).all())
    agree(world, (shifted(U, 0, 0).to_numpy() == array).all())


@pytest.mark.ranks
def test_loops_of_known_links(world: World) -> None:
    unit = hg.Links.unit(lattice(world, (4, 4, 4, 8), 3))
    agree(world, hg.polyakov_loop(unit) == 1 and hg.wilson_loop(unit, 2, 3) == 1)
    plane = hg.Links.hot(lattice(world, (4, 8)), seed=7)
    agree(world, abs(wilson_loop(plane, 1, 1) - hg.plaquette(plane)) < ROUNDING["double"])
    # The centre: links in t of one time slice times z turn the Polyakov loop by z and leave closed loops alone.
    U = hg.Links.hot(unit.lattice, seed=8)
    array, z = U.to_numpy(), np.exp(2j * np.pi / 3)
    array[3, 5] *= z
    turned = hg.Links.from_numpy(unit.lattice, array)
    agree(world, abs(polyakov_loop(turned) - z * polyakov_loop(U)) < ROUNDING["double"])
    agree(world, abs(wilson_loop(turned, 2, 2) - wilson_loop(U, 2, 2)) < ROUNDING["double"])


@pytest.mark.ranks
def test_loops_are_gauge_invariant(world: World) -> None:
    for map_ in (polyakov_loop, lambda U: wilson_loop(U, 2, 3)):
        for group in ("gauge", "translation"):
            error = hg.symmetry.check(map_, group, lattice(world, (4, 4, 2, 4), 3), samples=1)
            agree(world, error < ROUNDING["double"])


def test_impossible_loops_and_condensates() -> None:
    U = hg.Links.unit(lattice(World.alone(), (2, 2, 4)))
    for direction in (3, -4):
        with pytest.raises(ValueError, match="direction"):
            polyakov_loop(U, direction)
    with pytest.raises(ValueError, match="r = 0"):
        wilson_loop(U, 0, 2)
    with pytest.raises(ValueError, match="mass = 0"):
        condensate(U, mass=0, sources=1)
    with pytest.raises(ValueError, match="sources = 0"):
        condensate(U, mass=0.3, sources=0)
    with pytest.raises(ValueError, match="boundary"):
        condensate(U, mass=0.3, sources=1, boundary=(1, 1))
    with pytest.raises(hg.PhysicsError, match="residual"):
        condensate(hg.Links.hot(U.lattice), mass=0.3, sources=1, tolerance=1e-25)


@pytest.mark.ranks
def test_free_condensate(world: World) -> None:
    n_sources = 120
    measured = hg.condensate(hg.Links.unit(lattice(world, (4, 4, 4, 4))), mass=0.3, sources=n_sources)
    agree(world, abs(measured.value - FREE_CONDENSATE) < ERRORS * measured.error, str(measured))
    # The spread that the module's formula predicts: A = m (D^+D)^-1 of n = 512 rows, known up to 1/sqrt(2 sources).
    A, n = np.repeat(0.3 / (0.09 + fermion.free_spectrum((4, 4, 4, 4), ANTIPERIODIC)), 2), 512
    variance = (np.sum(A**2) - A.sum() ** 2 / n) * n / (n + 1)
    predicted = math.sqrt(variance / n_sources) / 256
    agree(
        world, abs(measured.error / predicted - 1) < ERRORS / math.sqrt(2 * n_sources), f"{measured.error}, {predicted}"
    )
    # D^+D has four different eigenvalues, so four steps solve four sources.
    agree(world, measured.steps == 4 * n_sources / 4, str(measured.steps))


def test_condensate_is_the_exact_trace() -> None:
    """Unit sources: the trace itself."""
    U = rough_links(lattice(World.alone(), (2, 4, 2, 4), 3), 9)
    D, total = hg.Staggered(U, 0.3), 0.0
    n = 3 * U.lattice.volume
    for unit in np.eye(n, dtype=complex).reshape(n // 4, 4, 4, 2, 4, 2, 3):
        source = hg.ColorVector.from_numpy(U.lattice, unit)
        total += sum(inner_each(source, hg.solve(D, source, tolerance=1e-13).value))
    exact = fermion.condensate(U.to_numpy(), 0.3, ANTIPERIODIC)
    assert total / U.lattice.volume == pytest.approx(exact, rel=1e-12)
    measured = condensate(U, 0.3, sources=60, seed=2)
    assert abs(measured.value - exact) < ERRORS * measured.error
    periodic = condensate(U, 0.3, sources=60, boundary=(1, 1, 1, 1))
    exact = fermion.condensate(U.to_numpy(), 0.3, (1, 1, 1, 1))
    assert abs(periodic.value - exact) < ERRORS * periodic.error


def test_both_forms_of_the_condensate_agree_source_by_source() -> None:
    U = rough_links(lattice(World.alone(), (2, 4, 4, 4)), 10)
    D, random = hg.Staggered(U, 0.2), np.random.default_rng(11)
    xi = hg.ColorVector.from_numpy(
        U.lattice, random.standard_normal((4, 4, 4, 2, 2)) + 1j * random.standard_normal((4, 4, 4, 2, 2))
    )
    (inverse,) = inner_each(xi, hg.solve(D, xi, tolerance=1e-13).value)
    (normal,) = inner_each(xi, solve_normal(D, xi, 1e-13).value)
    assert inverse == pytest.approx(0.2 * normal, rel=1e-12)


@pytest.mark.ranks
def test_condensate_depends_on_seed_and_trajectory_alone(world: World) -> None:
    extent = (2, 2, 4, 8)
    first = condensate(hg.Links.hot(lattice(world, extent)), 0.3, sources=6, seed=3, trajectory=7)
    alone = hg.Links.hot(lattice(World.alone(), extent))
    agree(world, first == condensate(alone, 0.3, sources=6, seed=3, trajectory=7))
    for other in ({"seed": 4, "trajectory": 7}, {"seed": 3, "trajectory": 8}):
        agree(world, condensate(alone, 0.3, sources=6, **other).value != first.value)
    single = condensate(alone.astype("single"), 0.3, sources=6, seed=3, trajectory=7, tolerance=1e-5)
    agree(world, abs(single.value - first.value) < 1e-4 and single.value != first.value)
    agree(world, math.isnan(condensate(alone, 0.3, sources=1).error))
