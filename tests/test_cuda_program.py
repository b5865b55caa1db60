"""What stands between kernels on a GPU (site/gpu_program.h), interpreted: the bits of what the CPU does."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np
import pytest

from hpcgauge.kernels import cuda_source
from hpcgauge.kernels.cuda_source import COPIES, PROGRAM, WARP
from hpcgauge.kernels.program import Kind
from hpcgauge.kernels.runtime import BINS, Packet, Step, runtime
from tests.support.gpu import program_of
from tests.support.ptx.machine import Machine
from tests.support.ptx.memory import Memory
from tests.support.ptx.text import Program
from tests.test_sum import DOUBLES, bins_of, samples

pytestmark = pytest.mark.host


@functools.cache
def programs() -> dict[str, Program]:
    return program_of(PROGRAM, "program")


def call(struct: np.dtype, **members: int) -> bytes:
    filled = np.zeros((), struct)
    for name, value in members.items():
        filled[name] = value
    return filled.tobytes()


def address(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def rounded(bins: np.ndarray) -> list[float]:
    """Every sum by the runtime, which also normalises the bins."""
    for row in bins:
        runtime().normalise(address(row))
    return [runtime().round_bins(address(row)) for row in bins]


def difficult_bins(rng: np.random.Generator, n_sums: int) -> np.ndarray:
    """[copy][sum][bin]: few digits or many, large or small; nothing; halfway between two doubles; refused."""
    copies = np.zeros((COPIES, n_sums, BINS), np.int64)
    for s in range(n_sums):
        for bin_ in rng.integers(0, BINS - 1, rng.integers(1, 7)):
            size = int(rng.integers(1, 59))
            copies[rng.integers(0, COPIES), s, bin_] += rng.integers(-(2**size), 2**size)
    copies[:, 0] = 0
    for s, (odd, rest) in enumerate([(2**53 + 1, 0), (2**53 + 1, 1), (2**53 + 1, -1), (-(2**53) - 3, 0)], start=1):
        copies[:, s] = 0
        copies[0, s, 7], copies[3, s, 0] = odd, rest
    copies[2, 5, BINS - 1] = 1
    return copies


def test_sums_are_collected_normalised_and_rounded_as_on_the_cpu() -> None:
    n_sums = 600
    copies = difficult_bins(np.random.default_rng(1), n_sums)
    wanted = copies.sum(axis=0)
    copies[:, 6], wanted[6] = 0, 0
    copies[:, 6, 5], wanted[6, 6] = 2**62, COPIES * 2**22  # together more than 2^63
    sums = rounded(wanted)
    memory = Memory()
    arrays = copies, np.zeros((n_sums, BINS), np.int64), np.zeros(n_sums), np.zeros(1, np.int64)
    where = [memory.add(array, True) for array in arrays]
    members: Any = dict(zip(("copies", "bins", "sums", "stopped"), where, strict=True))
    arguments = call(cuda_source.SUM_CALL, **members)
    Machine(programs()["collect_sums"], memory, (n_sums, 1), WARP).run(arguments)
    got = memory.read(where[1], wanted)
    assert np.array_equal(got, wanted)
    assert np.array_equal(memory.read(where[2], np.zeros(n_sums)), sums, equal_nan=True)
    assert not memory.read(where[0], copies).any()  # ready for the next launch

    # What several ranks have added up
    bins = 3 * wanted
    members["bins"] = memory.add(bins, False)
    Machine(programs()["round_sums"], memory, (n_sums, 1), WARP).run(call(cuda_source.SUM_CALL, **members))
    assert np.array_equal(memory.read(where[2], np.zeros(n_sums)), rounded(bins), equal_nan=True)


ADD_UP = """#define HPC_DOUBLE 1
#define LANES 16
#include "gpu_sum.h"
using namespace site;
struct Call { const double* x; long long* bins; };
extern "C" __global__ void add_up(const Call call) {
    add_over_warp(sum_copy(call.bins, blockIdx.x, 0, 1), call.x[blockIdx.x * WARP + threadIdx.x]);
}
"""


# Before sm_80 a warp has no reductions of its own.
@pytest.mark.parametrize("architecture", ["sm_75", "sm_80"])
@pytest.mark.parametrize("name", [*samples(), "refused"])
def test_a_warp_adds_exactly(name: str, architecture: str) -> None:
    x = samples().get(name, np.array([1.0, np.nan, -np.inf, 2.0**300, -3.0]))
    x = np.concatenate([x, np.zeros(-len(x) % WARP)])
    memory = Memory()
    copies = np.zeros((COPIES, BINS), np.int64)
    where = memory.add(x, False), memory.add(copies, True)
    program = program_of(ADD_UP, "add_up", architecture)["add_up"]
    Machine(program, memory, (len(x) // WARP, 1), WARP).run(np.array(where).tobytes())
    found = memory.read(where[1], copies).sum(axis=0)
    runtime().normalise(address(found))
    assert np.array_equal(found, bins_of(x, DOUBLES[0]))


# Kind, out, a, b, flag as places in one array of numbers, count
STEPS = [
    (Kind.COPY, 0, 8, None, None, 8),
    (Kind.RATIO, 16, 0, 8, 24, 8),
    (Kind.ABOVE, 24, 0, 16, None, 8),
    (Kind.COPY, 8, 16, None, 24, 4),
    (Kind.STOP, None, 24, None, None, 8),
    (Kind.COPY, 40, 0, None, None, 40),
    (Kind.SHIFT, 80, 84, 88, 90, 1),
    (Kind.STOP, None, 91, None, None, 1),
    (Kind.COPY, 0, 80, None, None, 3),
]
STATE, COUNT = 92, 96


def numbers(seed: int, last: float) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=COUNT)
    x[24:32] = np.arange(8) % 2
    x[91] = last
    return x


def on_cpu(x: np.ndarray) -> int:
    """Rounds done to their end, of one."""
    first = x.ctypes.data
    table = (Step * len(STEPS))()
    for k, (kind, *places, count) in enumerate(STEPS):
        where = [None if place is None else first + 8 * place for place in places]
        table[k] = Step(kind, None, *where, count, first + 8 * STATE)
    return int(runtime().run_program(table, ctypes.c_long(len(STEPS)), ctypes.c_long(1)))


def on_gpu(x: np.ndarray, stopped: int = 0) -> tuple[np.ndarray, int, int]:
    """The numbers, the flag of the stop, and the rounds."""
    memory = Memory()
    first = memory.add(x, True)
    table = np.zeros(len(STEPS), cuda_source.STEP)
    for entry, (kind, *places, count) in zip(table, STEPS, strict=True):
        entry["kind"], entry["count"], entry["state"] = kind, count, first + 8 * STATE
        for name, place in zip(("out", "a", "b", "flag"), places, strict=True):
            entry[name] = 0 if place is None else first + 8 * place
    flags = memory.add(np.array([stopped, 0]), True)
    members = {"steps": memory.add(table, False), "n_steps": len(STEPS), "stopped": flags, "rounds": flags + 8}
    Machine(programs()["run_steps"], memory, (1, 1), WARP).run(call(cuda_source.STEPS_CALL, **members))
    now = memory.read(flags, np.zeros(2, np.int64))
    return memory.read(first, x), int(now[0]), int(now[1])


@pytest.mark.parametrize("last", [0.0, 1.0], ids=["stops", "goes on"])
@pytest.mark.parametrize("seed", range(4))
def test_steps_are_those_of_the_cpu(seed: int, last: float) -> None:
    x = numbers(seed, last)
    got, stopped, rounds = on_gpu(x)
    assert on_cpu(x) == rounds == 1 - stopped and (last or stopped)
    assert np.array_equal(got, x, equal_nan=True)


def test_after_a_stop_steps_do_nothing() -> None:
    x = numbers(1, 1.0)
    got, stopped, rounds = on_gpu(x, stopped=1)
    assert np.array_equal(got, x) and (stopped, rounds) == (1, 0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_packing_is_that_of_the_cpu(dtype: type) -> None:
    rng, lanes = np.random.default_rng(2), 16 if dtype is np.float64 else 32
    data = rng.normal(size=(10, 6, lanes)).astype(dtype)
    sites = rng.integers(0, data.shape[0] * lanes, 2 * WARP)
    wanted = np.zeros((len(sites) // lanes, 6, lanes), dtype)
    addresses = (array.ctypes.data for array in (wanted, data, sites))
    runtime().pack(ctypes.byref(Packet(*addresses, len(sites), 6, lanes, data.itemsize)), ctypes.c_long(1))
    memory = Memory()
    out = memory.add(np.zeros_like(wanted), True)
    members = {"out": out, "data": memory.add(data, False), "sites": memory.add(sites, False), "count": len(sites)}
    members |= {"components": 6, "lanes": lanes, "bytes": data.itemsize}
    Machine(programs()["pack"], memory, (1, 6), 3 * WARP).run(call(cuda_source.PACKET, **members))
    assert np.array_equal(memory.read(out, wanted), wanted)


@pytest.mark.parametrize("is_narrowing", [True, False])
def test_conversion(is_narrowing: bool) -> None:
    double = np.random.default_rng(3).normal(size=(8, 5, 16))
    single = double.reshape(4, 2, 5, 16).transpose(0, 2, 1, 3).reshape(4, 5, 32).astype(np.float32)
    exact = single.reshape(4, 5, 2, 16).transpose(0, 2, 1, 3).reshape(8, 5, 16).astype(np.float64)
    x, wanted = (double, single) if is_narrowing else (single, exact)
    warps = np.array([3, 0, 2], np.int32)
    memory = Memory()
    out = memory.add(np.zeros_like(wanted), True)
    members = {"out": out, "x": memory.add(x, False), "warps": memory.add(warps, False), "n_warps": 3}
    members |= {"components": 5, "is_narrowing": int(is_narrowing)}
    Machine(programs()["convert"], memory, (2, 5), 2 * WARP).run(call(cuda_source.CONVERSION, **members))
    got = memory.read(out, wanted).reshape(4, -1)
    wanted = wanted.reshape(4, -1)
    assert np.array_equal(got[warps], wanted[warps]) and not got[1].any()
