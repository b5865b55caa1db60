"""Launches, rounded sums, programs, packed ghosts, and conjugate gradients made of them."""

from __future__ import annotations

import ctypes
from fractions import Fraction

import numpy as np
import pytest

import hpcgauge as hg
from hpcgauge.comm.world import World
from hpcgauge.fermion.descent import Descent
from hpcgauge.fermion.solvers import solve_normal
from hpcgauge.fermion.vectors import inner_each
from hpcgauge.fields.device import Device
from hpcgauge.fields.field import LINKS, Field, vectors
from hpcgauge.gauge.plaquette import PLAQUETTE_SUM, STAPLE_SUM, plaquette, staple_sum
from hpcgauge.kernels import program
from hpcgauge.kernels.algebra import COMBINE, inner
from hpcgauge.kernels.draws import Draw, Stream, random_vectors
from hpcgauge.kernels.loop import Launch
from hpcgauge.kernels.program import Program
from hpcgauge.kernels.runtime import packing, runtime
from hpcgauge.network.paths import path_kernels
from tests.support.ranks import agree

EXTENT = (4, 6, 8, 4)


@pytest.fixture(scope="module")
def lattice(world: World) -> hg.Lattice:
    return hg.Lattice(EXTENT, colors=2, world=world)


@pytest.fixture(scope="module")
def alone() -> hg.Lattice:
    return hg.Lattice(EXTENT, colors=2)


def noise(lattice: hg.Lattice, n_rhs: int = 1, instance: int = 0) -> Field:
    return random_vectors(lattice, Draw(Stream.NOISE, 7, instance=instance), n_rhs)


def test_bins_are_rounded_to_the_nearest_number() -> None:
    g, round_bins = np.random.default_rng(5), runtime().round_bins
    bins = np.zeros(16, np.int64)
    pointer = bins.ctypes.data_as(ctypes.c_void_p)
    for _ in range(1000):
        bins[:] = 0
        chosen = g.integers(0, 15, g.integers(1, 6))
        bins[chosen] = g.integers(-(2**62), 2**62, chosen.size) >> g.integers(0, 63, chosen.size)
        held = sum((Fraction(int(d)) * Fraction(2) ** (40 * k - 280) for k, d in enumerate(bins[:15])), Fraction(0))
        assert round_bins(pointer) == float(held)
    bins[15] = 1
    assert np.isnan(round_bins(pointer))


@pytest.mark.ranks
def test_a_launch_is_run_again_with_other_numbers(world: World, lattice: hg.Lattice) -> None:
    U = hg.Links.hot(lattice, 3)
    out = Field(lattice, LINKS)
    launch = Launch(COMBINE, out=out, x=U, y=U, a=1.0, b=0.0)
    assert launch() == () and launch.bound.bins().shape == (0, 16)
    first = inner(out, U)
    launch.numbers[:] = 0.5, 0.25
    launch()
    agree(world, inner(out, U) == 0.75 * first)


@pytest.mark.ranks
def test_a_launch_follows_fields_whose_memory_moves(world: World, lattice: hg.Lattice) -> None:
    U = hg.Links.hot(lattice, 3)
    launch = Launch(PLAQUETTE_SUM, U=U)
    before = launch()
    address = U.address
    wide = path_kernels(3, "hypercubic").sum
    weights = Field(lattice, hg.fields.field.reals(4 * 3 * 2 * 3)).fill(1.0)
    Launch(wide, sum=Field(lattice, hg.fields.field.MATRICES), weights=weights, W=U)
    agree(world, launch() == before)
    U.fill(0.0)
    agree(world, launch() == (0.0,) and (world.size == 1 or U.address != address))


@pytest.mark.ranks
def test_sums_are_the_same_on_any_number_of_ranks_and_threads(
    world: World, lattice: hg.Lattice, alone: hg.Lattice
) -> None:
    expected = plaquette(hg.Links.hot(alone, 3))
    agree(world, plaquette(hg.Links.hot(lattice, 3)) == expected)
    threaded = hg.Lattice(EXTENT, colors=2, world=world, device=Device("cpu", threads=3))
    agree(world, plaquette(hg.Links.hot(threaded, 3)) == expected)


def test_wrong_arguments_are_refused(alone: hg.Lattice) -> None:
    U = hg.Links.unit(alone)
    other = hg.Links.unit(hg.Lattice(EXTENT, colors=2))
    with pytest.raises(ValueError, match="must agree, and be one object"):
        Launch(COMBINE, out=U, x=U, y=other, a=1.0, b=1.0)
    with pytest.raises(ValueError, match="has precision single"):
        Launch(COMBINE, out=U, x=U, y=U.astype("single"), a=1.0, b=1.0)
    with pytest.raises(ValueError, match="must hold a matrix field"):
        Launch(PLAQUETTE_SUM, U=noise(alone))
    with pytest.raises(ValueError, match=r"takes \['U'\], not \['V'\]"):
        Launch(PLAQUETTE_SUM, V=U)
    with pytest.raises(ValueError, match="the same field, is read elsewhere"):
        Launch(STAPLE_SUM, sum=U, U=U, factor=1.0)
    with pytest.raises(ValueError, match="has 2 numbers, 1 are right"):
        Launch(STAPLE_SUM, sum=staple_sum(U), U=U, factor=(1.0, 2.0))


@pytest.mark.ranks
def test_arithmetic_between_launches(world: World, lattice: hg.Lattice) -> None:
    numbers = lattice.numbers
    a, b, flag, kept = numbers([3.0, 1.0]), numbers([2.0, 0.0]), numbers([0.0, 0.0]), numbers([0.0, 0.0])
    out, copied = numbers([1.0, 1.0]), numbers([0.0, 0.0])
    steps = [
        Launch(PLAQUETTE_SUM, U=hg.Links.unit(lattice)),
        program.above(flag, a, numbers([2.5, 1.0])),
        program.ratio(out, a, b, flag),
        program.copy(copied, out),
        program.copy(kept, a, flag),
    ]
    agree(world, Program(steps).run(1) == 1)
    found = [np.array(x).tolist() for x in (flag, out, copied, kept)]
    agree(world, found == [[1, 0], [1.5, 1], [1.5, 1], [3, 0]], str(found))
    with pytest.raises(ValueError, match=r"RATIO: .* float64 \(2,\) is right"):
        program.ratio(out, a, numbers([1.0, 1.0, 1.0]), flag)


@pytest.mark.ranks
def test_a_program_ends_at_its_stop(world: World, lattice: hg.Lattice) -> None:
    U = hg.Links.unit(lattice)
    halving = Launch(COMBINE, out=U, x=U, y=U, a=0.5, b=0.0)
    limit, flag = lattice.numbers([1e-6]), lattice.numbers([1.0])
    size = Launch(PLAQUETTE_SUM, U=U)
    steps = Program([program.stop_unless(flag), halving, size, program.above(flag, size.sums, limit)])
    # The plaquette falls by 2^-4 each time, from 6 V; the flag falls with the round that brings it below the limit.
    expected = 1 + int(np.floor(np.log2(12 * lattice.volume * 1e6) / 4))
    agree(world, steps.run(1000) == expected, f"{expected}")
    flag[:] = 1
    agree(world, steps.run(1000) == 1)
    flag[:], limit[:] = 1, -1
    agree(world, steps.run(300) == 300)


@pytest.mark.parametrize("precision", ["double", "single"])
def test_packed_sites(precision: str) -> None:
    g = np.random.default_rng(2)
    lanes = 8 if precision == "double" else 16
    data = g.normal(size=(9, 5, lanes)).astype(np.float64 if precision == "double" else np.float32)
    sites = g.integers(0, 9 * lanes, 3 * lanes)
    out = np.zeros((3, 5, lanes), data.dtype)
    packing([(out, data, sites)])()
    assert np.array_equal(out.transpose(0, 2, 1).reshape(-1, 5), data.transpose(0, 2, 1).reshape(-1, 5)[sites])


@pytest.mark.ranks
@pytest.mark.parametrize("parity", ["even", "both"])
def test_one_call_and_single_steps_give_the_same_bits(world: World, lattice: hg.Lattice, parity: str) -> None:
    D, b = hg.Staggered(hg.Links.hot(lattice, 3), 0.3), noise(lattice, 2)
    found = []
    for way in ("run", "run_stepped"):
        x, r = Field(lattice, b.kind).fill(0), b.copy()
        recursion = Descent(x, r, Field(lattice, b.kind).fill(0), parity)
        recursion.begin(D)
        recursion.restart(np.array(inner_each(b, b, parity)))
        recursion.goals[:] = 1e-20 * np.array(recursion.squares)
        steps = getattr(recursion.program, way)(1000)
        recursion.settle()
        found.append((steps, x.to_numpy().tobytes(), np.array(recursion.squares).tobytes()))
    agree(world, found[0] == found[1] and 10 < found[0][0] < 1000)


@pytest.mark.ranks
@pytest.mark.parametrize(("precision", "tolerance"), [("double", 1e-10), ("single", 1e-5)])
def test_solutions_are_the_same_on_any_number_of_ranks(world: World, precision: str, tolerance: float) -> None:
    found = []
    for place in (world, World.alone()):
        lattice = hg.Lattice(EXTENT, colors=3, world=place, precision=precision)
        solution = solve_normal(hg.Staggered(hg.Links.hot(lattice, 3), 0.3), noise(lattice), tolerance)
        found.append((solution.steps, solution.residual, solution.converged, solution.value.to_numpy().tobytes()))
    agree(world, found[0] == found[1] and found[0][2])


@pytest.mark.ranks
def test_right_hand_sides_are_solved_as_if_alone(world: World, lattice: hg.Lattice) -> None:
    D = hg.Staggered(hg.Links.unit(lattice), 0.3)
    sources = np.stack([noise(lattice, instance=k).to_numpy() for k in range(4)])
    sources[1] *= 1e-3
    # A standing wave of the lowest momentum is an eigenvector; it is reached at once.
    sources[2] = np.cos(np.pi * np.arange(EXTENT[3]) / EXTENT[3])[:, None, None, None, None]
    sources[3] = 0
    together = solve_normal(D, hg.ColorVector.from_numpy(lattice, sources), 1e-8)
    single = [solve_normal(D, hg.ColorVector.from_numpy(lattice, source), 1e-8) for source in sources]
    agree(world, np.array_equal(together.value.to_numpy(), np.stack([one.value.to_numpy() for one in single])))
    agree(world, together.steps == max(one.steps for one in single))
    agree(world, single[3].steps == 0 < single[2].steps <= 2 < single[1].steps, f"{[one.steps for one in single]}")


@pytest.mark.ranks
def test_what_cannot_be_solved_ends_soon(world: World, lattice: hg.Lattice) -> None:
    D = hg.Staggered(hg.Links.hot(lattice, 3), 0.3)
    spoilt = Field(lattice, vectors(1)).fill(np.nan)
    lost = solve_normal(D, spoilt, 1e-10)
    agree(world, not lost.converged and lost.steps == 0 and np.isnan(lost.residual))
    short = solve_normal(D, noise(lattice), 1e-10, max_steps=5)
    agree(world, not short.converged and short.steps == 5 and short.residual < 1)
    nothing = solve_normal(D, Field(lattice, vectors(1)).fill(0), 1e-10)
    agree(world, nothing.converged and nothing.steps == 0 and not nothing.value.to_numpy().any())
