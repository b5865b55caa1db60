"""Devices: array module, counted memory, lanes and threads."""

from __future__ import annotations

import functools
import math
import mmap
import os
import platform
import weakref
from pathlib import Path
from typing import Any

import numpy

from hpcgauge.errors import DeviceError

HUGE_PAGE = 2 * 1024 * 1024
ALIGNMENT = 64


class Device:
    """Memory and lanes of the processor that runs the kernels.

    `lanes`: doubles in one SIMD register (floats: twice as many). `bytes_in_use`, `bytes_peak`: what fields hold now,
    and held at most. `bytes_kept`: memory of fields that are gone, kept for fields to come of the same size, as fresh
    pages cost more than most kernels; in use and kept together never pass the peak. `threads`: OpenMP threads of a
    kernel. ValueError for an unknown name, DeviceError when the device cannot be used; there is no fallback.
    """

    def __init__(self, name: str = "cpu", threads: int | None = None, local_size: int = 1):
        if name == "cuda":
            raise DeviceError("device = cuda: this version holds no CUDA back end yet; use device = cpu")
        if name != "cpu":
            raise ValueError(f"device = {name!r} is not known; 'cpu' is possible")
        self.name = name
        self.lanes = host_lanes()
        self.threads = threads or default_threads(local_size)
        self.bytes_in_use = 0
        self.bytes_peak = 0
        self.bytes_kept = 0
        self._kept: dict[int, list[Any]] = {}

    def empty(self, shape: tuple[int, ...], dtype: Any) -> numpy.ndarray:
        """An array that is not initialised, aligned for loads of whole blocks; on huge pages when it is large."""
        n_bytes = math.prod(shape) * numpy.dtype(dtype).itemsize
        region = self._take(n_bytes) or _new_region(n_bytes)
        memory = numpy.frombuffer(region, numpy.uint8)
        self.bytes_in_use += n_bytes
        self.bytes_peak = max(self.bytes_peak, self.bytes_in_use)
        self._keep_below(self.bytes_peak - self.bytes_in_use)
        weakref.finalize(memory, self._release, region, n_bytes)
        start = -memory.ctypes.data % (HUGE_PAGE if n_bytes >= HUGE_PAGE else ALIGNMENT)
        return numpy.ndarray(shape, dtype, memory, start)

    def _take(self, n_bytes: int) -> Any:
        regions = self._kept.get(n_bytes)
        if not regions:
            return None
        self.bytes_kept -= n_bytes
        return regions.pop()

    def _release(self, region: Any, n_bytes: int) -> None:
        self.bytes_in_use -= n_bytes
        self.bytes_kept += n_bytes
        self._kept.setdefault(n_bytes, []).append(region)

    def _keep_below(self, limit: int) -> None:
        """Gives kept memory back to the system, sizes that were used first at first, until it is at most `limit`."""
        while self.bytes_kept > limit:
            n_bytes = next(iter(self._kept))
            if self._take(n_bytes) is None:
                del self._kept[n_bytes]


def _new_region(n_bytes: int) -> Any:
    """Memory with room for an aligned array of `n_bytes`, on huge pages when it is large."""
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
    """$OMP_NUM_THREADS, else the cores that this process may use, over the ranks of the machine."""
    chosen = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return max(1, int(chosen) if chosen.isdigit() else len(os.sched_getaffinity(0)) // local_size)


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
