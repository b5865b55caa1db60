"""The translation unit of a kernel for NVRTC, one thread for each site, and the one argument that it takes."""

from __future__ import annotations

import functools

import numpy

from hpcgauge.kernels.kernel import Kernel
from hpcgauge.kernels.source import Target, definitions, header, site_call, views

# Threads of a warp, for whom tables and lists of sites are laid out: two blocks of doubles, one of floats. The same
# numbers stand in site/platform.h (WARP) and site/gpu_sum.h (COPIES).
WARP = 32
LANES = {"double": WARP // 2, "single": WARP}
# A sum is added up in so many places, lest all warps wait for one.
COPIES = 16
# At most so many threads in a block: then a thread may have all 255 registers.
MAX_THREADS = 256


def cuda_source(kernel: Kernel, target: Target) -> str:
    """The translation unit: definitions, the header, and the site function of one thread's site."""
    return f"""{definitions(kernel, target)}#include "lattice.h"
#include "gpu_sum.h"
#include "{header(kernel)}"
using namespace site;

struct Call {{
    const int *neighbours, *coordinates, *extent;
    const int* warps;
    long long n_warps;
    const double* numbers;
    long long* bins;
    const long long* stopped;
    void* fields[{max(len(kernel.fields), 1)}];
}};

extern "C" __global__ void __launch_bounds__({MAX_THREADS}) launch(const Call call) {{
    const unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
    if (thread / WARP >= call.n_warps || (call.stopped && *call.stopped)) return;
    const site::Lattice lattice_{{call.neighbours, nullptr, call.coordinates, call.extent, false, false}};
    {views(kernel, target)}
    const Site site_{{call.warps[thread / WARP] * WARP + int(thread % WARP)}};
    {site_call(kernel)}
    {_sum_addition(kernel)}
}}
"""


def _sum_addition(kernel: Kernel) -> str:
    if not kernel.n_sums:
        return ""
    return (
        f"UNROLL for (int k = 0; k < {kernel.n_sums}; ++k)\n"
        "        add_over_warp(sum_copy(call.bins, thread / WARP, k, "
        f"{kernel.n_sums}), select(counted, totals[k], broadcast(0)));"
    )


@functools.cache
def call_type(n_fields: int) -> numpy.dtype:
    """struct Call of a translation unit: addresses in device memory and the number of warps, all of 8 bytes."""
    names = ("neighbours", "coordinates", "extent", "warps", "n_warps", "numbers", "bins", "stopped")
    return numpy.dtype([*((name, numpy.uint64) for name in names), ("fields", numpy.uint64, (max(n_fields, 1),))])


# The translation unit of site/gpu_program.h, and the structs that its functions take.
PROGRAM = """#define HPC_DOUBLE 1
#define LANES 16
#include "gpu_program.h"
"""


def _struct(*names: str) -> numpy.dtype:
    return numpy.dtype([(name, numpy.uint64) for name in names])


SUM_CALL = _struct("copies", "bins", "sums", "stopped")
STEP = _struct("kind", "out", "a", "b", "flag", "count", "state")
STEPS_CALL = _struct("steps", "n_steps", "stopped", "rounds")
PACKET = _struct("out", "data", "sites", "count", "components", "lanes", "bytes")
CONVERSION = _struct("out", "x", "warps", "n_warps", "components", "is_narrowing")
