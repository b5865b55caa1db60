"""The tables of docs/gpu.md: `python -m tests.support.ptx.table`; two right-hand sides where a kernel has several."""

from __future__ import annotations

from hpcgauge.bench.case import Case, entries
from hpcgauge.bench.cuda import occupancy
from hpcgauge.kernels.nvrtc import build_cuda
from tests.support.gpu import Ranks, launch_text, program_of

EXTENT, TARGET = (4, 2, 8, 16), "sm_90"


def row(name: str) -> str:
    """Of a kernel in SU(3) double: what a thread takes of a card, and what it does, as the interpreter counts."""
    case = Case(name, 3, "double", EXTENT)
    takes = build_cuda(case.entry.kernel, case.entry.cuda_target(4, 3, "double"), TARGET).resources["launch"]
    program = program_of(launch_text(case), case.entry.kernel.name)["launch"]
    ranks = Ranks(case, (1, 1, 1, 1), program)
    counts = ranks.launches[0].run(ranks.tables[0].interior[2])
    n = ranks.parts[0].local_volume
    numbers = [counts.instructions, counts.flops, counts.loaded, counts.stored, counts.local]
    used = [takes.registers, takes.stack_bytes, takes.spill_bytes, f"{occupancy(takes.registers, TARGET):.2f}"]
    return " | ".join(["| `" + name + "`", *map(str, used), *(f"{number / n:.0f}" for number in numbers)]) + " |"


if __name__ == "__main__":
    print("\n".join(row(name) for name, entry in entries(4).items()))
