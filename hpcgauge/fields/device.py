"""Devices: array module, counted memory, lanes and threads."""

from __future__ import annotations

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
    and held at most. `threads`: OpenMP threads of a kernel. ValueError for an unknown name, DeviceError when the device
    cannot be used; there is no fallback.
    """

    def __init__(self, name: str = "cpu", threads: int | None = None, local_size: int = 1):
        if name == "cuda":
            raise DeviceError("device = cuda: this version holds no CUDA back end yet; use device = cpu")
        if name != "cpu":
            raise ValueError(f"device = {name!r} is not known; 'cpu' is possible")
        self.name = name
        self.lanes = host_lanes()
        self.threads = threads or max(1, len(os.sched_getaffinity(0)) // local_size)
        self.bytes_in_use = 0
        self.bytes_peak = 0

    def empty(self, shape: tuple[int, ...], dtype: Any) -> numpy.ndarray:
        """An array that is not initialised, aligned for loads of whole blocks; on huge pages when it is large."""
        n_bytes = int(numpy.prod(shape)) * numpy.dtype(dtype).itemsize
        memory = _map_huge_pages(n_bytes) if n_bytes >= HUGE_PAGE else numpy.empty(n_bytes + ALIGNMENT, numpy.uint8)
        alignment = HUGE_PAGE if n_bytes >= HUGE_PAGE else ALIGNMENT
        start = -memory.ctypes.data % alignment
        array = memory[start : start + n_bytes].view(dtype).reshape(shape)
        self.bytes_in_use += n_bytes
        self.bytes_peak = max(self.bytes_peak, self.bytes_in_use)
        weakref.finalize(memory, self._release, n_bytes)
        return array

    def _release(self, n_bytes: int) -> None:
        self.bytes_in_use -= n_bytes


def _map_huge_pages(n_bytes: int) -> numpy.ndarray:
    region = mmap.mmap(-1, n_bytes + HUGE_PAGE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        try:
            region.madvise(mmap.MADV_HUGEPAGE)
        except OSError:
            pass  # a kernel built without transparent huge pages: ordinary pages serve as well
    return numpy.frombuffer(region, numpy.uint8)


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
