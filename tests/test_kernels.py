"""Every kernel of the catalogue against its NumPy formula, the same bits on every number of ranks and threads.

N = 2, 3, 4 in both precisions, on four different extents, interior and boundary.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hpcgauge.bench.case import Case, entries
from hpcgauge.bench.formulas import Result
from hpcgauge.bench.oracle.kernels import ORACLES
from hpcgauge.comm.world import World
from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.host import MIN_BLOCKS
from tests.support.kernels.cases import (
    EXTENTS,
    PARITIES,
    THREADED_EXTENT,
    compile_entries,
    disagreement,
    fields_of,
    lattice,
    run_case,
)
from tests.support.ranks import agree

CASES = [
    Case(name, colors, precision, EXTENTS[4])
    for colors in (2, 3, 4)
    for precision in ("double", "single")
    for name, entry in entries(4).items()
    if entry.is_for(colors, precision)
]
# A handful in fewer dimensions: neighbours, paths, phases, sums, draws.
FEWER = ("gauge_rotate", "staple_sum", "plaquette_sum", "path_sum", "path_pullback", "staggered_hop", "random_momenta")
LOW_CASES = [Case(name, 2, "double", EXTENTS[dimensions]) for dimensions in (2, 3) for name in FEWER]
# On grids that cut x, so that boundaries lie inside blocks, and on one parity.
SMALL_CASES = [case for case in CASES if (case.colors, case.precision) == (2, "double")]
THREAD_CASES = [replace(case, extent=THREADED_EXTENT) for case in CASES if case.colors == 2]


@pytest.fixture(scope="module", autouse=True)
def compiled(world: World) -> None:
    """All kernels of this file, compiled before the first test. Collective."""
    compile_entries(world, [(c.entry, c.dimensions, c.colors, c.precision) for c in (*CASES, *LOW_CASES)])


def show(case: object) -> str | None:
    if isinstance(case, Case):
        return f"{case.name}-{case.dimensions}d-SU({case.colors})-{case.precision}"
    return None


def check(world: World, case: Case, grid: str, parity: str = "both") -> None:
    """All ranks together give the bits of one rank, and those equal the formula. Collective."""
    outputs, sums = run_case(case, fields_of(case, lattice(world, case, grid)), parity)
    wrong = against_one_rank(case, outputs, sums, parity) if world.rank == 0 else ""
    wrong, first_sums = world.broadcast((wrong, sums))
    agree(world, not wrong and sums == first_sums, wrong or f"sums {sums} differ from those of rank 0, {first_sums}")


def against_one_rank(case: Case, outputs: Result, sums: tuple[float, ...], parity: str) -> str:
    """Empty if the outputs are those of one rank alone and equal the formula."""
    fields = fields_of(case, lattice(None, case))
    before = {name: field.to_numpy() for name, field in fields.items()}
    alone, sums_alone = run_case(case, fields, parity)
    different = [name for name in outputs if not np.array_equal(outputs[name], alone[name])]
    if different or sums != sums_alone:
        return f"{different} and sums {sums} differ from one rank's, sums {sums_alone}"
    return disagreement(case, before, outputs, sums, parity)


def test_every_kernel_has_a_formula() -> None:
    assert set(ORACLES) == set(entries(4)), "hpcgauge/bench/oracle/kernels.py and hpcgauge/catalogue.py differ"


@pytest.mark.ranks
@pytest.mark.parametrize("case", [*CASES, *LOW_CASES], ids=show)
def test_kernel_equals_its_formula(world: World, case: Case) -> None:
    check(world, case, "auto")


@pytest.mark.ranks
@pytest.mark.parametrize("case", SMALL_CASES, ids=show)
@pytest.mark.parametrize("parity", PARITIES)
def test_kernel_on_a_grid_that_cuts_x(world: World, case: Case, parity: str) -> None:
    check(world, case, "mixed", parity)


@pytest.mark.host
@pytest.mark.parametrize("case", THREAD_CASES, ids=show)
def test_two_threads_give_the_bits_of_one(case: Case) -> None:
    one, sums = run_case(case, fields_of(case, lattice(None, case)))
    two, same_sums = run_case(case, fields_of(case, lattice(None, case, threads=2)))
    assert interior_and_boundary(lattice(None, case), case)[0] >= 2 * MIN_BLOCKS
    assert sums == same_sums and all(np.array_equal(one[name], two[name]) for name in one)


def interior_and_boundary(on: Lattice, case: Case) -> tuple[int, int]:
    tables = on.tables(case.entry.kernel.offsets, case.precision)
    return len(tables.interior[2]), len(tables.boundary[2])


@pytest.mark.ranks
def test_interior_and_boundary_are_both_there(world: World) -> None:
    counts = {c.name: interior_and_boundary(lattice(world, c), c) for c in CASES if c.colors == 2}
    both = [name for name, (interior, boundary) in counts.items() if interior and boundary]
    if world.size == 1:
        agree(world, not both and all(interior for interior, _ in counts.values()), "one rank has no boundary")
    else:
        wanted = {"gauge_rotate", "plaquette_sum", "staple_sum", "staggered_hop", "staggered_gradient"}
        agree(world, wanted <= set(both), f"interior and boundary only in {both}")
