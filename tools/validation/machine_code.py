"""Every kernel of the catalogue for GPUs, without a card: as machine code for four generations, and that of SU(4)
interpreted."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from measure import Row
from points import Known

from hpcgauge.bench import cuda
from hpcgauge.bench.case import Case, entries
from hpcgauge.comm.world import World

KINDS = (("sm_75,sm_80,sm_90,sm_100", "2,3"), ("sm_80", "4"))
PRECISIONS = "double,single"
# As in tests/test_ptx.py: two ranks, interior and boundary.
EXTENT, GRID = (4, 2, 8, 16), (1, 1, 1, 2)


def machine_code() -> list[Row]:
    """How many kernels have more stack than they may; DeviceError where one does not compile, or NVRTC is missing."""
    began = time.perf_counter()
    rows = cuda.resources([job for kind in KINDS for job in cuda.chosen(*kind, PRECISIONS)])
    return [_none(f"{len(rows)} kernels for GPUs", "with too much stack", len(cuda.excessive(rows)), began)]


def interpreted() -> list[Row]:
    """How many kernels of SU(4), their PTX interpreted, have other bits than on the CPU, or are off the formula."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from tests.support.gpu import Ranks, difference, launch_text, program_of
    from tests.support.kernels.cases import compile_entries

    began = time.perf_counter()
    cases = [Case(name, 4, "double", EXTENT) for name, entry in entries(4).items() if entry.is_for(4, "double")]
    compile_entries(World.alone(), [(case.entry, 4, 4, "double") for case in cases])
    n_wrong = 0
    for case in cases:
        program = program_of(launch_text(case), case.entry.kernel.name)["launch"]
        n_wrong += bool(difference(Ranks(case, GRID, program)))
    return [_none(f"{len(cases)} kernels of SU(4), PTX", "with other bits", n_wrong, began)]


def _none(name: str, quantity: str, found: int, began: float) -> Row:
    return Row(name, quantity, found, 0, Known(0, 0.5, 0), time.perf_counter() - began)
