"""What a card's memory can do when nothing else is to be done: copies, and triads a = b + s c, as graphs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, final

import numpy

from hpcgauge.comm.world import World
from hpcgauge.fields.card import ON_DEVICE, Card
from hpcgauge.fields.device import Device
from hpcgauge.kernels.card_kernel import card_of
from hpcgauge.kernels.cuda_source import MAX_THREADS, WARP
from hpcgauge.kernels.enqueue import Argument, enqueue
from hpcgauge.kernels.nvrtc import machine_code

RELAXED = 2
# A graph is launched so often in a sample that a sample takes as long as this.
SAMPLE_SECONDS, MOST_GRAPHS = 5e-3, 100
# Three arrays hold so many times what the card's cache holds, if a part of the free memory is enough for that.
CACHES, PART_OF_FREE = 8, 1 / 8
# What is written of all that is moved.
WRITTEN_SHARE = {"copy": 1 / 2, "triad": 1 / 3}
PAIR_BYTES = 16
TRIAD = numpy.dtype([(name, numpy.uint64) for name in ("out", "x", "y", "n_pairs")])
TEXT = """struct alignas(16) Pair { double first, second; };
struct Triad { Pair* out; const Pair* x; const Pair* y; long long n_pairs; };
extern "C" __global__ void triad(const Triad call) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= call.n_pairs) return;
    const Pair x = call.x[i], y = call.y[i];
    call.out[i] = Pair{__fma_rn(3.0, y.first, x.first), __fma_rn(3.0, y.second, x.second)};
}
"""


@final
class Graph:
    """Calls that are under way on a card's stream when they return, as one graph. `seconds`: of one call, shortly."""

    def __init__(self, card: Card, calls: Sequence[Callable[[], Any]]):
        self._card, self._n_calls, self._n_graphs = card, len(calls), 1
        runtime = card.runtime
        runtime.streamBeginCapture(card.stream, RELAXED)
        for call in calls:
            call()
        graph = runtime.streamEndCapture(card.stream)
        self._graph = runtime.graphInstantiate(graph)
        runtime.graphDestroy(graph)
        taken = min(self._taken() for _ in range(2))
        self._n_graphs = min(MOST_GRAPHS, max(1, round(SAMPLE_SECONDS / taken)))

    def seconds(self) -> float:
        """The time of one call."""
        return self._taken() / (self._n_graphs * self._n_calls)

    def _taken(self) -> float:
        runtime, stream = self._card.runtime, self._card.stream
        runtime.streamSynchronize(stream)
        start = time.perf_counter()
        for _ in range(self._n_graphs):
            runtime.graphLaunch(self._graph, stream)
        runtime.streamSynchronize(stream)
        return time.perf_counter() - start

    def close(self) -> None:
        """Gives the graph back."""
        self._card.runtime.graphExecDestroy(self._graph)


@final
class Limits:
    """Copies and triads of arrays beyond the card's cache. `out`, `x`, `y`: the arrays, of doubles; `bytes`: what one
    of each kind moves, read and written."""

    def __init__(self, device: Device):
        card = card_of(device)
        free, _ = card.runtime.memGetInfo()
        n_bytes = int(min(CACHES * card.properties["l2CacheSize"], PART_OF_FREE * free)) // 3 // PAIR_BYTES * PAIR_BYTES
        self.out, self.x, self.y = arrays = [device.empty((n_bytes // 8,), "f8") for _ in range(3)]
        for array in arrays:
            card.write(array, 0)
        self.bytes = {"copy": 2 * n_bytes, "triad": 3 * n_bytes}
        function = card.function(machine_code(TEXT, "triad", card.architecture).code, "triad")
        _, best = card.driver.occupancyMaxPotentialBlockSize(function, 0, MAX_THREADS)
        threads, n_pairs = max(WARP, best // WARP * WARP), n_bytes // PAIR_BYTES
        argument = Argument(TRIAD, self.out.address, self.x.address, self.y.address, n_pairs)
        calls = {
            "copy": lambda: card.runtime.memcpyAsync(self.out.address, self.x.address, n_bytes, ON_DEVICE, card.stream),
            "triad": lambda: enqueue(card, function, (-(-n_pairs // threads), 1), threads, argument),
        }
        self.graphs = {kind: Graph(card, [call]) for kind, call in calls.items()}

    def sample(self, world: World) -> dict[str, float]:
        """The time of one of each kind, of the slowest rank. Collective."""
        return {kind: max(world.allgather(graph.seconds())) for kind, graph in self.graphs.items()}

    def rates(self, samples: Sequence[dict[str, float]], n_ranks: int) -> dict[str, float]:
        """Bytes in a second of all ranks together, by the kind."""
        return {kind: n_ranks * self.bytes[kind] / median(times[kind] for times in samples) for kind in self.graphs}
