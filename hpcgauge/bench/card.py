"""Rows of `hpcgauge bench` on a card: graphs of many launches, beside copies and triads in memory of the card.

Bytes are those that a card moves: what a kernel reads once, and what it writes once.
Times are of the host's clock, from a synchronised card to a synchronised card, over graphs so long that the way of the
first launch to the card does not count.
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, final

from hpcgauge._version import VERSION
from hpcgauge.bench.card_limits import WRITTEN_SHARE, Graph, Limits
from hpcgauge.bench.count import Counts, count
from hpcgauge.bench.measure import check_sets
from hpcgauge.bench.periodic import Periodic
from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.card_kernel import CardBound, card_of
from hpcgauge.kernels.loop import Launch
from hpcgauge.kernels.nvrtc import nvrtc

# Launches in a graph
CALLS = 50
SAMPLES = 9
N_SETS = 3
PACKAGES = ("cupy-cuda13x", "cupy-cuda12x", "cupy")


@final
class Launches:
    """Launches of a kernel on sets of fields in turns: `graph` on one rank, else one by one with their exchanges."""

    def __init__(self, periodic: Periodic, n_sets: int):
        self.periodic = periodic
        kernel, numbers = periodic.case.entry.kernel, periodic.case.numbers
        self.sets = [periodic.fields() for _ in range(n_sets)]
        self.launches = [Launch(kernel, periodic.parity, **fields, **numbers) for fields in self.sets]
        at_neighbours = [field.name for field in kernel.fields if field.offsets.pairs]
        self._changing = [key for key in at_neighbours if key != "U"] or at_neighbours
        self._card = card_of(periodic.lattice.device)
        self._graph: Graph | None = None

    def check(self) -> None:
        """Nothing; WrongResult when a set, filled anew, is not what the formula makes of it. Collective."""
        check_sets(self.periodic, self.sets, self.launches)

    def seconds(self) -> float:
        """The time of one call of the slowest rank. Collective."""
        world = self.periodic.lattice.world
        if world.size > 1:
            world.barrier()
            return max(world.allgather(self._one_by_one()))
        if self._graph is None:
            self._graph = Graph(self._card, [self._enqueue(k % len(self.launches)) for k in range(CALLS)])
        return self._graph.seconds()

    def _enqueue(self, place: int) -> Callable[[], None]:
        bound = self.launches[place].bound
        assert isinstance(bound, CardBound)
        return bound.whole

    def _one_by_one(self) -> float:
        runtime, stream = self._card.runtime, self._card.stream
        runtime.streamSynchronize(stream)
        start = time.perf_counter()
        for k in range(CALLS):
            place = k % len(self.launches)
            for key in self._changing:
                self.sets[place][key].touch()
            self.launches[place].execute()
        runtime.streamSynchronize(stream)
        return (time.perf_counter() - start) / CALLS

    def close(self) -> None:
        """Gives the graph back."""
        if self._graph is not None:
            self._graph.close()


def measure(name: str, lattice: Lattice, limits: Limits) -> dict[str, Any]:
    """The row of a kernel of the catalogue. WrongResult when it is not what its formula says. Collective."""
    world, card = lattice.world, card_of(lattice.device)
    parity = "even" if name.startswith("staggered_hop") else "both"
    counts = count(name, lattice.dimensions, lattice.colors, lattice.precision, parity)
    footprint = counts.touched * lattice.local_volume
    kernel = Launches(Periodic(name, lattice, parity), _number_of_sets(lattice, footprint))
    kernel.check()
    times, of_limits = [], []
    for _ in range(SAMPLES):
        times.append(kernel.seconds())
        of_limits.append(limits.sample(world))
    kernel.check()
    kernel.close()
    return {
        "kernel": name,
        "device": "cuda",
        "card": card.title,
        "architecture": card.architecture,
        "extent": list(lattice.extent),
        "colors": lattice.colors,
        "precision": lattice.precision,
        "parity": parity,
        "ranks": world.size,
        "sets": len(kernel.sets),
        "footprint": int(footprint * world.size),
        **_figures(counts, lattice.volume, times, limits.rates(of_limits, world.size)),
        "checked": True,
    }


def _number_of_sets(lattice: Lattice, footprint: float) -> int:
    """One where a set of fields fits in the card's cache, as in a solver that uses it over and over; else 3, or what
    half of the free memory holds. Collective."""
    card = card_of(lattice.device)
    if footprint <= card.properties["l2CacheSize"]:
        return 1
    possible = card.runtime.memGetInfo()[0] / 2 / footprint
    return int(min(lattice.world.allgather(min(N_SETS, max(1, possible)))))


def _figures(counts: Counts, volume: int, times: Sequence[float], rates: dict[str, float]) -> dict[str, Any]:
    """Times, rates of all ranks together, and the rate over that of the limit with the nearest share of writing."""
    seconds, n_bytes, flops = median(times), counts.moved * volume, counts.flops * volume
    limit = min(rates, key=lambda kind: abs(WRITTEN_SHARE[kind] - (counts.bytes - counts.touched) / counts.moved))
    return {
        "seconds": seconds,
        "seconds_min": min(times),
        "samples": len(times),
        "flops": flops,
        "bytes": n_bytes,
        "gflops": flops / seconds / 1e9,
        "gbytes_per_s": n_bytes / seconds / 1e9,
        **{f"{kind}_gbytes_per_s": rate / 1e9 for kind, rate in rates.items()},
        "limited_by": limit,
        "fraction_of_limit": n_bytes / seconds / rates[limit],
    }


def machine(lattice: Lattice) -> dict[str, Any]:
    """What the rows were measured with."""
    card = card_of(lattice.device)
    free, total = card.runtime.memGetInfo()
    return {
        "hpcgauge": VERSION,
        "card": card.title,
        "architecture": card.architecture,
        "multiprocessors": card.properties["multiProcessorCount"],
        "last_cache": card.properties["l2CacheSize"],
        "memory": total,
        "memory_free": free,
        "driver": card.runtime.driverGetVersion(),
        "runtime": card.runtime.runtimeGetVersion(),
        "nvrtc": list(nvrtc().getVersion()),
        "cupy": _cupy_version(),
        "ranks": lattice.world.size,
        "process_grid": list(lattice.process_grid),
    }


def _cupy_version() -> str:
    """The version of the package that CuPy came with; empty when it came otherwise."""
    for name in PACKAGES:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""
