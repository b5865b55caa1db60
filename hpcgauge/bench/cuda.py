"""`hpcgauge compile --target`: every kernel of the catalogue as machine code for GPUs, and what it takes of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from hpcgauge.bench.case import entries
from hpcgauge.bench.rows import check_numbers
from hpcgauge.errors import ConfigError
from hpcgauge.kernels import nvrtc

DIMENSIONS, RIGHT_HAND_SIDES = 4, 1
# Of a multiprocessor: registers of one of its quarters, and warps that it holds (64 where nothing else is said).
QUARTER_REGISTERS, QUARTERS = 16384, 4
WARPS = {"sm_75": 32, "sm_86": 48, "sm_87": 48, "sm_88": 48, "sm_89": 48, "sm_110": 48, "sm_120": 48, "sm_121": 48}
# Bytes of stack of a thread, at most; docs/gpu.md says what takes any.
MOST_STACK = 512
# In SU(3) double these have no stack and spill nothing.
LEAN = (
    *("staggered_hop", "plaquette_sum", "staple_sum", "staple_pullback", "force", "kick", "update_links", "combine"),
    *("exponential_layer", "exponential_layer_pullback", "path_sum", "attention", "loop_traces"),
)
# In SU(4) double three matrices fill the registers of a thread, and these need more: at most so many bytes of stack.
LARGE = (
    *("exponential_layer_pullback", "three_layers_pullback", "staple_pullback", "path_pullback"),
    *("trace_pullback", "loop_pullback", "trace_pullback (paper)", "loop_pullback (paper)"),
)
MOST_LARGE_STACK = 4096


@dataclass(frozen=True)
class Job:
    """One kernel of the catalogue, to be compiled for so many colors, a precision and a target."""

    kernel: str
    colors: int
    precision: str
    target: str


def names() -> list[str]:
    """The names of all kernels."""
    return list(entries(DIMENSIONS, RIGHT_HAND_SIDES))


def chosen(targets: str, colors: str, precisions: str) -> list[Job]:
    """All kernels for lists such as "sm_80,sm_90", "2,3", "double"; ConfigError for what is not possible."""
    wanted = nvrtc.chosen(targets)
    if not all(part.isdigit() for part in _listed(colors)):
        raise ConfigError(f"--colors {colors!r} is not a list of numbers such as 2,3")
    groups = [(int(count), precision) for count in _listed(colors) for precision in _listed(precisions)]
    for group in groups:
        check_numbers(*group)
    known_kernels = entries(DIMENSIONS, RIGHT_HAND_SIDES).items()
    possible = [(name, *group) for group in groups for name, entry in known_kernels if entry.is_for(*group)]
    return [Job(*kernel, target) for target in wanted for kernel in possible]


def _listed(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",")))


def resources(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """A row for each job, compiled: registers, bytes of stack and of spills of a thread, and how many of the warps that
    a multiprocessor can hold have registers there, as a fraction. DeviceError when there is no CuPy or NVRTC."""
    nvrtc.nvrtc()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(_row, jobs))


def _row(job: Job) -> dict[str, Any]:
    entry = entries(DIMENSIONS, RIGHT_HAND_SIDES)[job.kernel]
    target = entry.cuda_target(DIMENSIONS, job.colors, job.precision)
    found = nvrtc.build_cuda(entry.kernel, target, job.target).resources["launch"]
    return vars(job) | vars(found) | {"occupancy": occupancy(found.registers, job.target)}


def excessive(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with more stack than their kernel may have."""

    def limit(row: dict[str, Any]) -> int:
        group = row["colors"], row["precision"]
        if row["kernel"] in LEAN and group == (3, "double"):
            return 0
        return MOST_LARGE_STACK if row["kernel"] in LARGE and group == (4, "double") else MOST_STACK

    return [row for row in rows if row["stack_bytes"] > limit(row)]


def occupancy(registers: int, target: str) -> float:
    """Warps whose registers a multiprocessor holds, over those that it can hold; registers come in eights."""
    warps = WARPS.get(target, 64)
    return min(QUARTERS * (QUARTER_REGISTERS // (32 * -(-registers // 8) * 8)), warps) / warps


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows for reading."""
    shown = Table()
    for title in rows[0]:
        shown.add_column(title.replace("_", " "), justify="left" if title in ("kernel", "target") else "right")
    for row in rows:
        shown.add_row(*(f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values()))
    return shown
