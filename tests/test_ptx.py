"""Every kernel as the GPU gets it, its PTX interpreted: the bits of the CPU, and the formula.

Two ranks, interior and boundary, N = 2 and 3 in both precisions, and N = 4. There is no card: tests/support/ptx
stands in.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hpcgauge.bench.case import Case, entries
from hpcgauge.comm.world import World
from hpcgauge.kernels.cuda_source import WARP
from hpcgauge.kernels.nvrtc import machine_code, nvrtc
from tests.support.gpu import ARCHITECTURE, Ranks, difference, launch_text, program_of
from tests.support.kernels.cases import compile_entries
from tests.support.ptx.text import Program, PtxError

pytestmark = pytest.mark.host

# Cut in t: a slice is one warp of each parity, and the middle of a rank's eight is interior also for reach 3.
EXTENT, GRID = (4, 2, 8, 16), (1, 1, 1, 2)
CASES = [
    Case(name, colors, precision, EXTENT)
    for colors in (2, 3)
    for precision in ("double", "single")
    for name, entry in entries(4).items()
    if entry.is_for(colors, precision)
]
# Those of SU(4) that take long; tools/validate has them.
LONG = "paths.h", "attention.h", "pullback.h", "attention_pullback.h"
# Fewer dimensions, and general matrices.
OTHERS = [
    *(Case(name, 2, "double", (8, 32)) for name in ("staggered_hop", "path_sum", "plaquette_sum", "random_momenta")),
    *(Case(name, 2, "double", (4, 8, 16)) for name in ("staggered_hop", "staple_sum", "gauge_rotate")),
    *(
        Case(name, 4, "double", EXTENT)
        for name, entry in entries(4).items()
        if entry.is_for(4, "double") and entry.kernel.header not in LONG
    ),
]
ONE_PARITY = [Case(name, 2, "double", EXTENT) for name in ("staggered_hop_add", "staple_sum", "random_momenta")]


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """All kernels of this file for CPU and GPU, compiled before the first test."""
    nvrtc()
    compile_entries(World.alone(), [(c.entry, c.dimensions, c.colors, c.precision) for c in (*CASES, *OTHERS)])
    texts = {launch_text(case): case.entry.kernel.name for case in (*CASES, *OTHERS)}
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(lambda text: machine_code(text, texts[text], ARCHITECTURE), texts))


def program(case: Case, text: str = "") -> Program:
    return program_of(text or launch_text(case), case.entry.kernel.name)["launch"]


def show(case: object) -> str | None:
    return f"{case.name}-{case.dimensions}d-SU({case.colors})-{case.precision}" if isinstance(case, Case) else None


@pytest.mark.parametrize("case", [*CASES, *OTHERS], ids=show)
def test_interpreted_kernel_gives_the_bits_of_the_cpu(case: Case) -> None:
    ranks = Ranks(case, (*GRID[-case.dimensions :],), program(case))
    if case.extent == EXTENT and case.entry.kernel.offsets.pairs:
        assert all(len(tables.interior[2]) and len(tables.boundary[2]) for tables in ranks.tables)
    wrong = difference(ranks)
    assert not wrong, wrong


@pytest.mark.parametrize("case", ONE_PARITY, ids=show)
@pytest.mark.parametrize("parity", ["even", "odd"])
def test_interpreted_kernel_on_one_parity(case: Case, parity: str) -> None:
    wrong = difference(Ranks(case, GRID, program(case)), parity)
    assert not wrong, wrong


HOP = Case("staggered_hop_add", 2, "double", EXTENT)
TEXT_FAULTS = {
    "the number of a warp instead of its place": ("call.warps[thread / WARP]", "int(thread / WARP)"),
    "a thread of the next warp": ("thread / WARP >= call.n_warps", "thread / WARP > call.n_warps"),
    "coordinates where neighbours belong": ("lattice_{call.neighbours", "lattice_{call.coordinates"),
    "a number too far": ("b = call.numbers + 1", "b = call.numbers + 2"),
    "a field too far": ("call.fields[1]", "call.fields[2]"),
    "every value in the first copy and sum": ("thread / WARP, k, 2)", "thread / WARP, 0, 2)"),
}


@pytest.mark.parametrize("fault", TEXT_FAULTS)
def test_a_fault_in_the_cuda_text_is_caught(fault: str) -> None:
    text, (right, wrong) = launch_text(HOP), TEXT_FAULTS[fault]
    assert right in text
    assert is_caught(Ranks(HOP, GRID, program(HOP, text.replace(right, wrong))))


def is_caught(ranks: Ranks) -> bool:
    """True if the memory checker or the comparison finds something."""
    try:
        return bool(difference(ranks))
    except PtxError:
        return True


def test_arguments_in_the_wrong_place_are_caught() -> None:
    ranks = Ranks(HOP, GRID, program(HOP))
    for launch in ranks.launches:
        launch.call["fields"][[0, 3]] = launch.call["fields"][[3, 0]]
    with pytest.raises(PtxError, match=r"store of 8 bytes outside of the buffers.*st\.global"):
        ranks.run()


def test_a_ghost_that_is_not_there_is_caught() -> None:
    ranks = Ranks(HOP, GRID, program(HOP))
    launch, neighbours = ranks.launches[0], ranks.tables[0].neighbours
    beyond = np.where(neighbours == neighbours.max(), neighbours + WARP, neighbours)
    launch.call["neighbours"] = launch.memory.add(beyond, False)
    with pytest.raises(PtxError, match=r"load of 8 bytes outside of the buffers.*ld\.global"):
        ranks.run()


def test_a_stopped_program_does_nothing() -> None:
    ranks = Ranks(HOP, GRID, program(HOP))
    before = ranks.fields[0]["out"].data.copy()
    launch = ranks.launches[0]
    launch.call["stopped"] = launch.memory.add(np.ones(1, np.int64), False)
    launch.run(ranks.tables[0].interior[2])
    assert not launch.finish().any() and np.array_equal(ranks.fields[0]["out"].data, before)
