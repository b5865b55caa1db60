"""One row for a kernel: its time beside what the machine can do, measured in turns."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, Protocol, final

from hpcgauge.bench.case import Case
from hpcgauge.bench.count import Counts, count
from hpcgauge.bench.limits import VARIANTS, MultiplyAdds, Stream, stream_memory, timing_library
from hpcgauge.bench.periodic import Periodic
from hpcgauge.comm.world import World
from hpcgauge.fields.field import Field
from hpcgauge.fields.host import cache_size
from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.host import call_of
from hpcgauge.kernels.loop import Launch
from hpcgauge.kernels.runtime import runtime

N_SETS = 3
# A sample is so many calls that it takes this long; as many are taken as fit in the time of a kernel.
SAMPLE_SECONDS, KERNEL_SECONDS = 2e-4, 1.5
LEAST_SAMPLES, MOST_SAMPLES = 5, 200
# Of the numbers that a stream touches, the part that is written; a kernel is held against the nearest.
WRITTEN_SHARE = {"stream": 1 / 10, "copy": 1 / 2, "triad": 1 / 3}
# Variants of a limit that stay after the first samples.
TRIED, KEPT = 2, 2
MOST_CALLS = 50
# After so many calls the caches hold what they hold in a solver.
UNTIMED = 3
# Fields that kernels update are set back after so many calls, before numbers grow out of range.
CALLS_BETWEEN_FILLS = 100
MEMORY = Path("/proc/meminfo")


class WrongResult(RuntimeError):
    """A kernel that does not do what its formula says; no figure is given for it."""


class Probe(Protocol):
    """Something to be timed. `bytes`, `flops`: of one call on one rank. `settle`: untimed calls, after which its data
    lie in the caches that they lie in when it is called over and over, and nothing else is."""

    name: str
    bytes: float
    flops: float

    def settle(self, count: int) -> None:
        """Nothing comes back. Collective."""
        ...

    def seconds(self, count: int) -> float:
        """The time of `count` calls. Collective."""
        ...


@final
class Rotation:
    """Launches of a kernel on several sets of fields in turns.

    On one rank they are called from compiled code. On several, from Python, and ghosts move in every call: those of the
    fields beside the links U, which change seldom, or of U where nothing else is read at neighbours.
    """

    def __init__(self, periodic: Periodic, n_sets: int):
        self.name, self.periodic = "kernel", periodic
        kernel, numbers = periodic.case.entry.kernel, periodic.case.numbers
        self.sets = [periodic.fields() for _ in range(n_sets)]
        self.launches = [Launch(kernel, periodic.parity, **fields, **numbers) for fields in self.sets]
        share, counts = periodic.lattice.local_volume, self._counts(periodic.case)
        self.bytes, self.flops = counts.bytes * share, counts.flops * share
        self.written_share = counts.bytes / counts.touched - 1
        self.updated = [field.name for field in kernel.fields if field.access == "update"]
        at_neighbours = [field.name for field in kernel.fields if field.offsets.pairs]
        self._changing = [key for key in at_neighbours if key != "U"] or at_neighbours
        self._first = self._calls = 0
        self._library = timing_library(periodic.lattice.precision, periodic.lattice.lanes(periodic.lattice.precision))
        addresses = (ctypes.addressof(call_of(launch)) for launch in self.launches)
        self._pointers = (ctypes.c_void_p * n_sets)(*addresses)

    def _counts(self, case: Case) -> Counts:
        is_large = call_of(self.launches[0]).is_large
        return count(case.name, case.dimensions, case.colors, case.precision, self.periodic.parity, is_large)

    def check(self) -> None:
        """Nothing; WrongResult when a set, filled anew, is not what the formula makes of it. Collective."""
        check_sets(self.periodic, self.sets, self.launches)
        self._calls = 0

    def settle(self, count: int) -> None:
        """As many untimed calls; fields that are updated are set back from time to time. Collective."""
        if self._calls > CALLS_BETWEEN_FILLS:
            for fields, key in product(self.sets, self.updated):
                self.periodic.fill(fields, key)
            self._calls = 0
        self.seconds(count)

    def seconds(self, count: int) -> float:
        """The time of `count` calls. Collective."""
        self._calls += count
        first, self._first = self._first, self._first + count
        if self.periodic.lattice.world.size == 1:
            whole = ctypes.cast(runtime().whole_launch, ctypes.c_void_p)
            numbers = (len(self.launches), first, count)
            return float(self._library.launches(whole, self._pointers, *map(ctypes.c_long, numbers)))
        start = time.perf_counter()
        for k in range(first, first + count):
            place = k % len(self.launches)
            for key in self._changing:
                self.sets[place][key].touch()
            self.launches[place]()
        return time.perf_counter() - start


def check_sets(periodic: Periodic, sets: Sequence[dict[str, Field]], launches: Sequence[Launch]) -> None:
    """Nothing; WrongResult when a set, filled anew, is not what the formula makes of it. Collective."""
    world = periodic.lattice.world
    for fields, launch in zip(sets, launches, strict=True):
        for key in periodic.written:
            periodic.fill(fields, key)
        wrong = periodic.disagreement(fields, launch())
        if world.any(wrong):
            texts = [text for text in world.allgather(wrong) if text]
            raise WrongResult(f"kernel {periodic.case.name} is wrong: {texts[0]}")


def sampled(world: World, probes: Sequence[Probe]) -> dict[Probe, list[float]]:
    """Seconds of a call of the slowest rank for every probe, sampled in turns: some calls untimed, then some that can
    be timed. The fastest variants of a kind of probe go on after the first samples, the others drop out. Collective."""
    counts = {probe: _calls(world, probe) for probe in probes}
    samples: dict[Probe, list[float]] = {probe: [] for probe in probes}
    for _ in range(TRIED):
        _sample(world, counts, samples)
    for name in {probe.name for probe in probes}:
        rivals = [probe for probe in probes if probe.name == name]
        ranked = sorted(rivals, key=lambda probe: min(samples[probe]) / max(probe.bytes, probe.flops))
        for slow in ranked[KEPT:]:
            del counts[slow], samples[slow]
    round_seconds = sum((counts[probe] + 1) * times[-1] for probe, times in samples.items())
    wanted = int(KERNEL_SECONDS / round_seconds)
    for _ in range(min(max(wanted, LEAST_SAMPLES), MOST_SAMPLES)):
        _sample(world, counts, samples)
    return samples


def _calls(world: World, probe: Probe) -> int:
    """How many calls make a sample. Collective."""
    probe.settle(1)
    calls = 1
    while calls < MOST_CALLS:
        taken = max(world.allgather(probe.seconds(calls)))
        if taken >= SAMPLE_SECONDS / 2:
            calls = max(1, round(calls * SAMPLE_SECONDS / taken))
            break
        calls *= 4
    return min(calls, MOST_CALLS)


def _sample(world: World, counts: dict[Probe, int], samples: dict[Probe, list[float]]) -> None:
    """One more sample of every probe. Collective."""
    for probe, calls in counts.items():
        probe.settle(UNTIMED)
        world.barrier()
        samples[probe].append(max(world.allgather(probe.seconds(calls) / calls)))


def number_of_sets(world: World, footprint: float) -> int:
    """One where a set of fields fits in the last cache, as in a solver that uses it over and over; else 3, or what half
    of the free memory holds, streams beside fields. Collective."""
    if footprint * world.local_size <= cache_size(3):
        return 1
    return min(world.allgather(int(min(N_SETS, max(1, free_memory() / world.local_size / 2 / (2 * footprint))))))


def free_memory() -> int:
    """Bytes that programs may still take on this machine."""
    lines = MEMORY.read_text().splitlines() if MEMORY.exists() else []
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable")]
    return int(found[0]) * 1024 if found else os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def measure(name: str, lattice: Lattice) -> dict[str, Any]:
    """The row of a kernel of the catalogue. WrongResult when it is not what its formula says. Collective."""
    world, device, precision = lattice.world, lattice.device, lattice.precision
    parity = "even" if name.startswith("staggered_hop") else "both"
    touched = count(name, lattice.dimensions, lattice.colors, precision, parity).touched
    footprint = int(touched * lattice.local_volume)
    n_sets = number_of_sets(world, footprint)
    kernel = Rotation(Periodic(name, lattice, parity), n_sets)
    kernel.check()
    memory, lanes = stream_memory(device, precision, footprint, n_sets), lattice.lanes(precision)
    streams = [Stream(variant, memory, footprint, device, lanes) for variant in VARIANTS]
    probes: list[Probe] = [kernel, MultiplyAdds(device, precision, lanes), *streams]
    samples = sampled(world, probes)
    kernel.check()
    return {
        "kernel": name,
        "device": "cpu",
        "extent": list(lattice.extent),
        "colors": lattice.colors,
        "precision": precision,
        "parity": parity,
        "ranks": world.size,
        "threads": device.threads,
        "sets": n_sets,
        "footprint": footprint * world.size,
        **_figures(kernel, samples, world.size),
        "checked": True,
    }


def _figures(kernel: Rotation, samples: dict[Probe, list[float]], n_ranks: int) -> dict[str, Any]:
    """Times, rates of all ranks together, and the time that the limits leave over that of the kernel."""
    rates = _rates(samples, n_ranks)
    seconds, n_bytes, flops = median(samples[kernel]), kernel.bytes * n_ranks, kernel.flops * n_ranks
    nearest = min(WRITTEN_SHARE, key=lambda kind: abs(WRITTEN_SHARE[kind] - kernel.written_share))
    needed = {nearest: n_bytes / rates[nearest], "fma": flops / rates["fma"]}
    limit = max(needed, key=lambda kind: needed[kind])
    return {
        "seconds": seconds,
        "seconds_min": min(samples[kernel]),
        "samples": len(samples[kernel]),
        "flops": flops,
        "bytes": n_bytes,
        "gflops": flops / seconds / 1e9,
        "gbytes_per_s": n_bytes / seconds / 1e9,
        **{f"{kind}_gbytes_per_s": rates[kind] / 1e9 for kind in WRITTEN_SHARE},
        "fma_gflops": rates["fma"] / 1e9,
        "limited_by": limit,
        "fraction_of_limit": needed[limit] / seconds,
    }


def _rates(samples: dict[Probe, list[float]], n_ranks: int) -> dict[str, float]:
    """Bytes or operations in a second of all ranks together: of streams the median, the best of the variants of every
    kind; of multiply-adds, which wait for nothing but the processor, the best sample."""
    rates: dict[str, float] = {}
    for probe, times in samples.items():
        seconds = min(times) if probe.name == "fma" else median(times)
        rate = n_ranks * max(probe.bytes, probe.flops) / seconds
        rates[probe.name] = max(rate, rates.get(probe.name, 0.0))
    return rates
