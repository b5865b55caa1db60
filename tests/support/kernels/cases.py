"""Cases of kernels on lattices: fields made of their inputs, run, compared with the formula."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from hpcgauge.bench.case import INNER_AXES, TOLERANCE, Case, on_parity
from hpcgauge.bench.formulas import SUMS, Result
from hpcgauge.catalogue import Entry, compile_all
from hpcgauge.comm.world import World
from hpcgauge.fields.device import Device
from hpcgauge.fields.field import Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.cuda_source import PROGRAM
from hpcgauge.kernels.kernel import Kernel
from hpcgauge.kernels.loop import run
from hpcgauge.kernels.nvrtc import build_cuda, machine_code
from hpcgauge.kernels.source import Target
from tests.support.emulated import Settings
from tests.support.everywhere import IS_EMULATED

# Four different extents, one of 2; t is long enough to leave an interior on 4 ranks.
EXTENTS = {2: (4, 16), 3: (4, 6, 16), 4: (4, 2, 6, 16)}
# Enough blocks for two threads, also of floats.
THREADED_EXTENT = (4, 4, 6, 16)
PARITIES = ("both", "even", "odd")
# Grids that cut x and others too, by the number of ranks.
MIXED_GRIDS = {1: (1, 1, 1, 1), 2: (2, 1, 1, 1), 4: (2, 1, 1, 2)}


def fields_of(case: Case, lattice: Lattice) -> dict[str, Field]:
    """The inputs of a case as fields."""
    return {
        name: Field(lattice, kind, case.precision, case.colors).set_global(case.inputs[name])
        for name, kind in case.kinds.items()
    }


def run_case(case: Case, fields: dict[str, Field], parity: str = "both") -> tuple[Result, tuple[float, ...]]:
    """What the kernel writes, and its sums. Collective."""
    sums = run(case.entry.kernel, parity, **fields, **case.numbers)
    written = [field.name for field in case.entry.kernel.fields if field.access != "read"]
    return {name: fields[name].to_numpy() for name in written}, sums


def disagreement(case: Case, before: Result, outputs: Result, sums: tuple[float, ...], parity: str = "both") -> str:
    """Empty if outputs and sums agree with the formula within rounding; else what does not."""
    expected, limit, wrong = case.expected(before), TOLERANCE[case.precision], []
    sites = on_parity(case.extent, parity)
    for name, output in outputs.items():
        chosen = sites[(..., *[None] * INNER_AXES[case.kinds[name].element])]
        difference = output - np.where(chosen, expected[name], before[name])
        error = abs(difference).max() / max(1.0, abs(expected[name]).max())
        if not error <= limit:
            wrong.append(f"{name} off by {error:.2g}")
        if np.where(chosen, 0, difference).any():
            wrong.append(f"{name} changed on other sites")
    terms = expected.get(SUMS, np.zeros((0, *sites.shape)))[:, sites]
    for total, parts in zip(sums, terms, strict=True):
        error = abs(total - parts.sum()) / max(1.0, abs(parts).sum())
        if not error <= limit:
            wrong.append(f"a sum off by {error:.2g}")
    return ", ".join(wrong)


def lattice(world: World | None, case: Case, grid: str = "auto", threads: int = 1) -> Lattice:
    """A lattice for a case; kept, so that its tables are made once. World None: alone."""
    return _lattice(world, case.extent, case.colors, case.precision, grid, threads)


@functools.cache
def _lattice(
    world: World | None, extent: tuple[int, ...], colors: int, precision: str, grid: str, threads: int
) -> Lattice:
    own = world or World.alone()
    cut: Any = "auto" if grid == "auto" else MIXED_GRIDS[own.size]
    return Lattice(extent, colors, own, Device("cpu", threads), precision, cut)


def compile_entries(world: World, jobs: list[tuple[Entry, int, int, str]]) -> None:
    """Returns when entries are compiled for (dimensions, colors, precision), for cards where all devices are cards;
    ranks share the work. Collective."""
    wanted = [(entry, *kind) for entry, *kind in jobs if entry.is_for(*kind[1:])]
    n_workers = 2 if world.size == 1 else 1
    if IS_EMULATED:
        for_cards = dict.fromkeys((entry.kernel, entry.cuda_target(*kind)) for entry, *kind in wanted)
        compile_for_cards(list(for_cards)[world.rank :: world.size], n_workers)
    else:
        kernels = dict.fromkeys((entry.kernel, entry.target(*kind)) for entry, *kind in wanted)
        compile_all(list(kernels)[world.rank :: world.size], workers=n_workers)
    world.barrier()


def compile_for_cards(jobs: list[tuple[Kernel, Target]], n_workers: int) -> None:
    """Returns when kernels are compiled for the emulated card, with what stands between them."""
    architecture = f"sm_{Settings().capability}"
    machine_code(PROGRAM, "gpu_program", architecture)
    with ThreadPoolExecutor(n_workers) as pool:
        list(pool.map(lambda job: build_cuda(*job, architecture), jobs))
