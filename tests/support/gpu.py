"""Kernels on a card that is not there: tables, fields and the call as a host hands them over.

The PTX is interpreted, or else the memory and the machine of tests.support.emulated.byhand are named.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

from hpcgauge.bench.case import Case
from hpcgauge.bench.formulas import Result
from hpcgauge.comm.world import World
from hpcgauge.fields import convert
from hpcgauge.fields.device import Device
from hpcgauge.fields.field import Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.cuda_source import COPIES, LANES, WARP, call_type, cuda_source
from hpcgauge.kernels.loop import Launch as HostLaunch
from hpcgauge.kernels.nvrtc import machine_code
from hpcgauge.kernels.runtime import BINS, runtime
from hpcgauge.lattice.offsets import PARITY
from hpcgauge.lattice.tables import WarpTables, warp_tables
from tests.support.kernels.cases import disagreement, fields_of, lattice
from tests.support.ptx.machine import Counts, Machine
from tests.support.ptx.memory import Memory
from tests.support.ptx.text import Program, parse

# The last block has threads to spare.
THREADS = 3 * WARP
# The PTX of all is the same but for its header.
ARCHITECTURE = "sm_80"
# What holds arrays, and what runs a program when it is made of program, memory, grid and threads.
INTERPRETER = (Memory, Machine)


class OneOf:
    """A world of several ranks as one of them sees it who never speaks to the others."""

    def __init__(self, rank: int, size: int):
        self.rank, self.size, self.local_rank, self.local_size = rank, size, rank, size

    def allgather(self, value: Any) -> list[Any]:
        return [value] * self.size


@functools.cache
def lattices(extent: tuple[int, ...], grid: tuple[int, ...], precision: str) -> tuple[Lattice, ...]:
    """The parts of all ranks, laid out for a GPU."""
    device = Device("cpu", threads=1)
    device.lanes = LANES["double"]
    n_ranks = int(np.prod(grid))
    worlds: list[Any] = [OneOf(rank, n_ranks) if n_ranks > 1 else World.alone() for rank in range(n_ranks)]
    return tuple(Lattice(extent, 3, world, device, precision, grid) for world in worlds)


def exchange(fields: list[Field], ghosts: list[Any]) -> None:
    """Fills the ghosts of a field on all ranks."""
    for field_, plan in zip(fields, ghosts, strict=True):
        field_.reserve(plan)
    lanes = fields[0].data.shape[2]
    for field_, plan in zip(fields, ghosts, strict=True):
        for k, message in enumerate(plan.messages):
            source = fields[message.source].data
            sites = ghosts[message.source].messages[k].sites
            packed = source[sites // lanes, :, sites % lanes].reshape(-1, lanes, source.shape[1]).transpose(0, 2, 1)
            first = message.start // lanes
            field_.data[first : first + len(packed)] = packed


class Launch:
    """One rank's launches of a kernel. `call`: struct Call, which a test may change. `executor`: as INTERPRETER."""

    def __init__(self, program: Any, case: Case, fields: dict[str, Field], tables: WarpTables, executor: Any):
        memory, self.machine = executor
        self.program, self.memory, kernel = program, memory(), case.entry.kernel
        self.fields = [fields[argument.name] for argument in kernel.fields]
        self.call = np.zeros((), call_type(len(kernel.fields)))
        given = {
            "neighbours": tables.neighbours,
            "coordinates": tables.coordinates,
            "extent": np.array(case.extent, np.int32),
            "numbers": np.concatenate([np.zeros(0), *case.numbers.values()]),
            "stopped": np.zeros(1, np.int64),
        }
        for name, array in given.items():
            self.call[name] = self.memory.add(array, False)
        self._bins = np.zeros((COPIES, kernel.n_sums, BINS), np.int64)
        self.call["bins"] = self._where_bins = self.memory.add(self._bins, True)
        for k, argument in enumerate(kernel.fields):
            self.call["fields"][k] = self.memory.add(self.fields[k].data, argument.access != "read")
        self._where = [int(address) for address in self.call["fields"]]

    def run(self, warps: np.ndarray) -> Any:
        """Runs the kernel on a list of warps; what was counted where PTX is interpreted."""
        call = self.call.copy()
        call["warps"], call["n_warps"] = self.memory.add(warps, False), len(warps)
        n_blocks = -(-len(warps) * WARP // THREADS)
        return self.machine(self.program, self.memory, (n_blocks, 1), THREADS).run(call.tobytes())

    def finish(self) -> np.ndarray:
        """The bins [sum][16] of this rank; what was written is in the fields then."""
        for field, address in zip(self.fields, self._where, strict=False):
            field.data[:] = self.memory.read(address, field.data)
        bins = self.memory.read(self._where_bins, self._bins).sum(axis=0)
        for row in bins:
            runtime().normalise(ctypes.c_void_p(row.ctypes.data))
        return bins


def program_of(text: str, name: str, architecture: str = ARCHITECTURE) -> dict[str, Program]:
    """The entry functions of a translation unit."""
    return parse(machine_code(text, name, architecture).ptx)


def launch_text(case: Case) -> str:
    """The translation unit of a case's kernel."""
    return cuda_source(case.entry.kernel, case.entry.cuda_target(case.dimensions, case.colors, case.precision))


class Ranks:
    """All ranks of a case: fields with ghosts, tables, and a launch for each. `program`: what `executor` runs."""

    def __init__(self, case: Case, grid: tuple[int, ...], program: Any, executor: Any = INTERPRETER):
        self.case, self.parts = case, lattices(case.extent, grid, case.precision)
        offsets = case.entry.kernel.offsets
        self.ghosts = [part.ghosts(offsets) for part in self.parts]
        self.tables = [warp_tables(plan) for plan in self.ghosts]
        made = {
            name: [Field(part, kind, case.precision, case.colors).set_global(case.inputs[name]) for part in self.parts]
            for name, kind in case.kinds.items()
        }
        for argument in case.entry.kernel.fields:
            if argument.offsets.pairs:
                exchange(made[argument.name], self.ghosts)
        self.fields = [{name: fields[rank] for name, fields in made.items()} for rank in range(len(self.parts))]
        together = zip(self.fields, self.tables, strict=True)
        self.launches = [Launch(program, case, *own, executor) for own in together]

    def run(self, parity: int = 2) -> tuple[Result, np.ndarray, list[Counts]]:
        """What the kernel writes, the bins of its sums, and what was counted, of interiors and boundaries."""
        counts, bins = [], np.zeros((self.case.entry.kernel.n_sums, BINS), np.int64)
        for launch, tables in zip(self.launches, self.tables, strict=True):
            parts = [part[parity] for part in (tables.interior, tables.boundary) if len(part[parity])]
            counts += filter(None, map(launch.run, parts))
            bins += launch.finish()
        for row in bins:
            runtime().normalise(ctypes.c_void_p(row.ctypes.data))
        written = [field.name for field in self.case.entry.kernel.fields if field.access != "read"]
        return {name: self._whole(name) for name in written}, bins, counts

    def _whole(self, name: str) -> np.ndarray:
        """A field of all ranks, as `Field.to_numpy` has it."""
        parts = [(fields[name].local_to_numpy(), part) for fields, part in zip(self.fields, self.parts, strict=True)]
        first = parts[0][0][0]
        shape = (first.shape[0], *reversed(self.case.extent), *first.shape[1 + self.case.dimensions :])
        whole = np.empty(shape, first.dtype)
        for (local, origin), part in parts:
            whole[convert.window(origin, part.local_extent)] = local
        return whole[0] if self.case.kinds[name].count == 1 else whole


def difference(ranks: Ranks, parity: str = "both") -> str:
    """Empty if the launches of a case give the bits of the CPU and the numbers of the formula."""
    case = ranks.case
    outputs, bins, _ = ranks.run(PARITY[parity])
    fields = fields_of(case, lattice(None, case))
    before = {name: field.to_numpy() for name, field in fields.items()}
    host = HostLaunch(case.entry.kernel, parity, **fields, **case.numbers)
    sums = host()
    different = [name for name in outputs if not np.array_equal(outputs[name], fields[name].to_numpy())]
    if different or not np.array_equal(bins, host.bound.bins()):
        return f"{different} or the sums differ from the CPU's"
    return disagreement(case, before, outputs, sums, parity)
