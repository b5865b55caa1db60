"""Site functions compiled into small shared libraries and called on numpy arrays."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

KERNELS = Path(__file__).resolve().parents[2] / "hpcgauge" / "kernels"
FLAGS = ["-O3", "-std=c++17", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
FLAGS += ["-Wno-psabi", "-Wno-unknown-pragmas", "-Wall", "-Wextra", "-Werror"]

# What NVRTC has built in, as plain C++: the GPU branch of platform.h then runs here, one number at a time.
GPU_WORDS = """
#define __CUDACC__ 1
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__
inline void __syncwarp() {}
inline double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double __dsqrt_rn(double a) { return __builtin_sqrt(a); }
inline float __fsqrt_rn(float a) { return __builtin_sqrtf(a); }
template <class To, class From> inline To reread(From a) { To b; __builtin_memcpy(&b, &a, sizeof a); return b; }
inline long long __double_as_longlong(double a) { return reread<long long>(a); }
inline double __longlong_as_double(long long a) { return reread<double>(a); }
inline int __float_as_int(float a) { return reread<int>(a); }
inline float __int_as_float(int a) { return reread<float>(a); }
template <class Value> inline Value __shfl_xor_sync(unsigned, Value a, int) { return a; }
inline unsigned long long atomicAdd(unsigned long long* p, unsigned long long a) { return (*p += a) - a; }
"""


class Target(NamedTuple):
    """One way to compile: precision, lanes, instruction set; `gpu` takes the GPU branch of platform.h."""

    precision: str
    lanes: int
    march: str = "native"
    gpu: bool = False

    @property
    def dtype(self) -> type[np.floating]:
        """The numpy type of the site code's numbers."""
        return np.float64 if self.precision == "double" else np.float32


def targets(precision: str) -> list[Target]:
    """Ways to compile that this machine can run: several lanes, instruction sets, and the GPU branch."""
    lanes = (8, 4, 2) if precision == "double" else (16, 8, 4)
    found = [Target(precision, n) for n in lanes] + [Target(precision, 1, gpu=True)]
    if platform.machine() == "x86_64":
        found += [Target(precision, lanes[0], "x86-64"), Target(precision, lanes[2], "x86-64")]
        if "avx2" in Path("/proc/cpuinfo").read_text():
            found += [Target(precision, lanes[0], "x86-64-v3"), Target(precision, lanes[1], "x86-64-v3")]
    return found


@functools.cache
def _folder() -> str:
    return tempfile.mkdtemp(prefix="hpcgauge-site-")


@functools.cache
def library(source: str, target: Target, *extra: str) -> ctypes.CDLL:
    """The C++ text `source` (it may include "site/...") compiled for `target` and loaded."""
    text = (GPU_WORDS if target.gpu else "") + source
    flags = [*FLAGS, f"-march={target.march}", f"-DHPC_{target.precision.upper()}", f"-DLANES={target.lanes}", *extra]
    path = Path(_folder()) / (hashlib.sha256(repr((text, flags)).encode()).hexdigest()[:16] + ".so")
    compiler = os.environ.get("CXX", "g++")
    command = [compiler, *flags, f"-I{KERNELS}", "-shared", "-fPIC", "-x", "c++", "-", "-o", str(path)]
    result = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    if result.returncode:
        raise RuntimeError(result.stderr)
    return ctypes.CDLL(str(path))


def aligned(array: np.ndarray) -> np.ndarray:
    """A copy of the array that begins at a multiple of 128 bytes."""
    space = np.empty(array.nbytes + 128, dtype=np.uint8)
    start = -space.ctypes.data % 128
    copy = space[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    """The address of the array's data."""
    return ctypes.c_void_p(array.ctypes.data)
