"""What the machine can do: memory streams and multiply-adds, compiled with the flags and types of the kernels.

Streams read or write fields of the kernel's size, on the same kind of memory and with the same threads. Every kind has
variants (several streams or one, ordinary stores or stores past the caches, prefetched or not), of which the fastest
counts. Bytes are those that move: a number that is read once, one that is stored in the ordinary way twice, as it is
fetched before it is overwritten, one that is stored past the caches once.
"""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass
from itertools import product
from typing import final

import numpy

from hpcgauge.fields.device import Device
from hpcgauge.fields.field import NUMBER
from hpcgauge.kernels.build import load_library

UNROLLED = 4
CHAINS, ROUNDS = 16, 4096


@dataclass(frozen=True)
class Variant:
    """A way to pass through memory: `reads` numbers are read for one that is written; `past`: stores pass by the
    caches; `together`: what is read lies together; `prefetch`: vectors ahead."""

    kind: str
    reads: int
    past: bool
    together: bool
    prefetch: int


VARIANTS = (
    *(Variant("stream", 9, *rest) for rest in product((False, True), (False, True), (0, 16, 64))),
    *(Variant("copy", 1, *rest) for rest in product((False, True), (False,), (0, 16))),
    *(Variant("triad", 2, *rest) for rest in product((False, True), (False,), (0, 16))),
)

TEXT = """#include "platform.h"
#include <time.h>
using namespace site;

static double now() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

struct Memory {
    scalar* data;
    long n;  // vectors that are written
};

// One is written from READS others: their sum, or for two the first and a multiple of the second
template <int READS, bool PAST, bool TOGETHER, int AHEAD>
static void pass(const Memory& m) {
    const long across = TOGETHER ? LANES : m.n * LANES, along = TOGETHER ? READS * LANES : LANES;
    scalar* const out = m.data + READS * m.n * LANES;
    #pragma omp for schedule(static) nowait
    for (long i = 0; i < m.n; i += UNROLLED) {
        UNROLL for (int j = 0; j < UNROLLED; ++j) {
            const scalar* const p = m.data + (i + j) * along;
            if (AHEAD) UNROLL for (int k = 0; k < READS; ++k) __builtin_prefetch(p + k * across + AHEAD * LANES);
            real sum = load(p);
            if (READS == 2) sum = fma(broadcast(scalar(0.5)), load(p + across), sum);
            else UNROLL for (int k = 1; k < READS; ++k) sum = sum + load(p + k * across);
            if (PAST) stream(out + (i + j) * LANES, sum);
            else store(out + (i + j) * LANES, sum);
        }
    }
    if (PAST) streams_end();
}

static void multiply_adds(scalar* out) {
    real sum[CHAINS];
    const real factor = broadcast(scalar(0.999)), term = load(out);
    for (int k = 0; k < CHAINS; ++k) sum[k] = broadcast(scalar(k));
    for (long round = 0; round < ROUNDS; ++round)
        UNROLL for (int k = 0; k < CHAINS; ++k) sum[k] = fma(sum[k], factor, term);
    real total = sum[0];
    for (int k = 1; k < CHAINS; ++k) total = total + sum[k];
    #pragma omp critical
    store(out, total * scalar(1e-30));
}

static void (*const PASSES[])(const Memory&) = {
@PASSES@
};

// Seconds of `count` passes, going round the memories
extern "C" __attribute__((visibility("default")))
double passes(long variant, const Memory* memories, long n_memories, long first, long count, long threads) {
    const double start = now();
    for (long k = first; k < first + count; ++k) {
        const Memory& memory = memories[k % n_memories];
        if (threads == 1) PASSES[variant](memory);
        else {
            #pragma omp parallel num_threads(threads)
            PASSES[variant](memory);
        }
    }
    return now() - start;
}

extern "C" __attribute__((visibility("default"))) double arithmetic(scalar* out, long count, long threads) {
    const double start = now();
    for (long k = 0; k < count; ++k) {
        #pragma omp parallel num_threads(threads)
        multiply_adds(out);
    }
    return now() - start;
}

// Seconds of `count` launches, going round the calls
extern "C" __attribute__((visibility("default")))
double launches(void (*launch)(const void*), const void* const* calls, long n_calls, long first, long count) {
    const double start = now();
    for (long k = first; k < first + count; ++k) launch(calls[k % n_calls]);
    return now() - start;
}
"""


@functools.cache
def timing_library(precision: str, lanes: int) -> ctypes.CDLL:
    """The compiled streams, with a loop that times launches. DeviceError when there is no compiler."""
    cpp = {False: "false", True: "true"}
    names = (f"    pass<{v.reads}, {cpp[v.past]}, {cpp[v.together]}, {v.prefetch}>," for v in VARIANTS)
    flags = {"LANES": lanes, "UNROLLED": UNROLLED, "CHAINS": CHAINS, "ROUNDS": ROUNDS}
    flags["HPC_DOUBLE" if precision == "double" else "HPC_SINGLE"] = 1
    defined = "".join(f"#define {name} {value}\n" for name, value in flags.items())
    library = load_library(defined + TEXT.replace("@PASSES@", "\n".join(names)), "limits")
    for function in (library.passes, library.arithmetic, library.launches):
        function.restype = ctypes.c_double
    return library


class Memory(ctypes.Structure):
    """struct Memory of the text."""

    _fields_ = [("data", ctypes.c_void_p), ("n", ctypes.c_long)]


@final
class Stream:
    """A variant on memories of `n_bytes` each. `bytes`: what one call moves."""

    flops: float = 0.0

    def __init__(self, variant: Variant, arrays: list[numpy.ndarray], n_bytes: int, device: Device, lanes: int):
        self.name: str = variant.kind
        self.threads = device.threads
        vector = lanes * arrays[0].itemsize
        n = max(UNROLLED, n_bytes // vector // (variant.reads + 1) // UNROLLED * UNROLLED)
        # Streams a multiple of 4096 bytes apart fall into the same few lines of a cache.
        n -= UNROLLED * (n * vector % 4096 == 0 and n > UNROLLED)
        self.bytes: float = n * vector * (variant.reads + (1 if variant.past else 2))
        precision = next(name for name, dtype in NUMBER.items() if arrays[0].dtype == dtype)
        self._library, self._place = timing_library(precision, lanes), VARIANTS.index(variant)
        self._arrays, self._first = arrays, 0
        self._memories = (Memory * len(arrays))(*(Memory(array.ctypes.data, n) for array in arrays))

    def settle(self, count: int) -> None:
        """As many untimed calls."""
        self.seconds(count)

    def seconds(self, count: int) -> float:
        """The time of `count` calls."""
        numbers = (len(self._arrays), self._first, count, self.threads)
        self._first += count
        return float(self._library.passes(ctypes.c_long(self._place), self._memories, *map(ctypes.c_long, numbers)))


@final
class MultiplyAdds:
    """Chains of multiply-adds in registers. `flops`: of one call."""

    name: str = "fma"
    bytes: float = 0.0

    def __init__(self, device: Device, precision: str, lanes: int):
        self.threads = device.threads
        self.flops = 2.0 * CHAINS * ROUNDS * lanes * device.threads
        self._library, self._out = timing_library(precision, lanes), device.empty((lanes,), NUMBER[precision])
        self._out[:] = 0

    def settle(self, count: int) -> None:
        """Nothing is to be done."""

    def seconds(self, count: int) -> float:
        """The time of `count` calls."""
        out = ctypes.c_void_p(self._out.ctypes.data)
        return float(self._library.arithmetic(out, ctypes.c_long(count), ctypes.c_long(self.threads)))


def stream_memory(device: Device, precision: str, n_bytes: int, n_sets: int) -> list[numpy.ndarray]:
    """Arrays of at least `n_bytes` each, written once so that their pages are there."""
    least = UNROLLED * (max(v.reads for v in VARIANTS) + 1) * 64
    arrays = []
    for _ in range(n_sets):
        array = device.empty((max(n_bytes, least) // numpy.dtype(NUMBER[precision]).itemsize,), NUMBER[precision])
        array[:] = 1
        arrays.append(array)
    return arrays
