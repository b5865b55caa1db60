"""The processor as a device: memory on huge pages, lanes, caches, threads."""

from __future__ import annotations

import functools
import mmap
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy

from hpcgauge.fields.hardware import Hardware

HUGE_PAGE = 2 * 1024 * 1024
ALIGNMENT = 64


@final
class Host(Hardware):
    """Memory of the processor; arrays are NumPy's."""

    name, architecture = "cpu", ""

    def __init__(self) -> None:
        self.lanes = host_lanes()

    @property
    def identity(self) -> str:
        return ""

    @property
    def description(self) -> str:
        return "cpu"

    def demand(self, n_bytes: float, what: str = "more") -> None:
        """Nothing."""

    def region(self, n_bytes: int) -> Any:
        if n_bytes < HUGE_PAGE:
            return bytearray(n_bytes + ALIGNMENT)
        # Private: shared memory, Python's default, gets no huge pages.
        region = mmap.mmap(-1, n_bytes + HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            try:
                region.madvise(mmap.MADV_HUGEPAGE)
            except OSError:
                pass  # a kernel built without transparent huge pages: ordinary pages serve as well
        return region

    def array(self, region: Any, shape: tuple[int, ...], dtype: Any) -> numpy.ndarray:
        memory = numpy.frombuffer(region, numpy.uint8)
        alignment = HUGE_PAGE if isinstance(region, mmap.mmap) else ALIGNMENT
        return numpy.ndarray(shape, dtype, memory, -memory.ctypes.data % alignment)

    def owner(self, array: numpy.ndarray) -> Any:
        base = array
        while isinstance(base.base, numpy.ndarray):
            base = base.base
        return base

    def address(self, array: numpy.ndarray) -> int:
        return array.ctypes.data

    def read(self, array: numpy.ndarray) -> numpy.ndarray:
        return array

    def write(self, array: numpy.ndarray, values: numpy.ndarray | float) -> None:
        array[...] = values

    def copy(self, out: numpy.ndarray, x: numpy.ndarray) -> None:
        out[...] = x

    def numbers(self, values: Sequence[float]) -> numpy.ndarray:
        return numpy.array(values, dtype=float)

    def table(self, array: numpy.ndarray) -> numpy.ndarray:
        return numpy.ascontiguousarray(array)


@functools.cache
def cache_size(level: int) -> int:
    """Bytes of the data cache of a level that a core uses; where the system does not tell, 1 MiB."""
    found = {}
    for folder in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        files = [folder / name for name in ("type", "level", "size")]
        kind, number, size = (path.read_text().strip() if path.exists() else "" for path in files)
        if kind in ("Data", "Unified") and number and size.endswith("K"):
            found[int(number)] = int(size[:-1]) * 1024
    return found.get(level, 2**20)


def default_threads(local_size: int) -> int:
    """$OMP_NUM_THREADS, else the cores that this process may use, over the ranks of the machine.

    ValueError where the variable is no number of at least 1.
    """
    chosen = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if chosen and not (chosen.isdecimal() and int(chosen)):
        raise ValueError(f"OMP_NUM_THREADS = {chosen} must be an integer, at least 1, or not be set")
    return max(1, int(chosen) if chosen else len(os.sched_getaffinity(0)) // local_size)


def host_lanes() -> int:
    """Doubles in the widest SIMD register that this processor's compiler flags will use: 8, 4 or 2."""
    if platform.machine() in ("x86_64", "AMD64"):
        text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
        flags = next((line.split(":")[1].split() for line in text.splitlines() if line.startswith("flags")), [])
        if "avx512f" in flags and "avx512dq" in flags:
            return 8
        if "avx2" in flags and "fma" in flags:
            return 4
    return 2
