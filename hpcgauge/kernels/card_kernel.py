"""Launches on a card: machine code, records in device memory, sums by the device kernels of site/gpu_program.h."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import final

import numpy

from hpcgauge.fields.card import TO_DEVICE, TO_HOST, Card, CardArray
from hpcgauge.fields.device import Device
from hpcgauge.fields.field import Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.backend import Bound, Compiled
from hpcgauge.kernels.cuda_source import COPIES, LANES, MAX_THREADS, SUM_CALL, WARP, call_type
from hpcgauge.kernels.enqueue import Argument, device_function, enqueue
from hpcgauge.kernels.kernel import Kernel
from hpcgauge.kernels.nvrtc import build_cuda
from hpcgauge.kernels.runtime import BINS
from hpcgauge.kernels.source import Target
from hpcgauge.lattice.offsets import PARITY, Offsets
from hpcgauge.lattice.tables import warp_tables


@final
class CardTables:
    """The tables of an offset set in device memory. `parts`: (address, number of warps) of interior and boundary."""

    def __init__(self, lattice: Lattice, offsets: Offsets):
        tables, hardware = warp_tables(lattice.ghosts(offsets)), lattice.device.hardware
        extent = numpy.array(lattice.extent, dtype=numpy.int32)
        self.kept = [hardware.table(array) for array in (tables.neighbours, tables.coordinates, extent)]
        self.pointers = [array.address for array in self.kept]
        self.parts = []
        for pair in zip(tables.interior, tables.boundary, strict=True):
            lists = [hardware.table(warps) for warps in pair]
            self.kept += lists
            self.parts.append([(array.address, len(warps)) for array, warps in zip(lists, pair, strict=True)])


def card_tables(lattice: Lattice, offsets: Offsets) -> CardTables:
    """The tables of an offset set, made once."""
    key = CardTables, offsets
    if key not in lattice.prepared:
        lattice.prepared[key] = CardTables(lattice, offsets)
    return lattice.prepared[key]


@final
class CardKernel(Compiled):
    """Machine code for the fields of a lattice on a card."""

    def __init__(self, kernel: Kernel, fields: Sequence[Field], counts: tuple[int, ...], parity: str):
        first = fields[0]
        lattice = first.lattice
        self.card = card_of(lattice.device)
        target = Target(lattice.dimensions, first.colors, first.precision, LANES[first.precision], counts)
        self.function = self.card.function(build_cuda(kernel, target, self.card.architecture).code, "launch")
        _, best = self.card.driver.occupancyMaxPotentialBlockSize(self.function, 0, MAX_THREADS)
        self.threads = max(WARP, best // WARP * WARP)
        self.n_sums, self.tables = kernel.n_sums, card_tables(lattice, kernel.offsets)
        self.parts = self.tables.parts[PARITY[parity]]

    def bind(self, addresses: Sequence[int], numbers: Sequence[float]) -> CardBound:
        return CardBound(self, addresses, numbers)


@final
class CardBound(Bound):
    """Numbers and sums lie on the card, copies of the sums too, in which warps add up. `addresses`: of the fields."""

    def __init__(self, kernel: CardKernel, addresses: Sequence[int], numbers: Sequence[float]):
        card, n_sums = kernel.card, kernel.n_sums
        self._kernel, self._card = kernel, card
        self._numbers, self._sums = card.numbers(numbers), card.numbers([0.0] * n_sums)
        self._bins, self._copies = (card.small(k * n_sums * BINS, numpy.int64) for k in (1, COPIES))
        if n_sums:
            card.write(self._copies, 0)
        self.addresses = tuple(addresses)
        self._calls = [self._call(place, count, addresses) for place, count in kernel.parts]
        sums = (self._copies.address, self._bins.address, self._sums.address)
        self._collect = Argument(SUM_CALL, *sums, never_stopped(card).address)

    def _call(self, place: int, count: int, addresses: Sequence[int]) -> Argument:
        tables = self._kernel.tables.pointers
        own = self._numbers.address, self._copies.address, 0, list(addresses) or [0]
        return Argument(call_type(len(addresses)), *tables, place, count, *own)

    @property
    def numbers(self) -> CardArray:
        return self._numbers

    @property
    def sums(self) -> CardArray:
        return self._sums

    def values(self) -> tuple[float, ...]:
        return tuple(self._card.read(self._sums).tolist()) if self._kernel.n_sums else ()

    def point(self, addresses: Sequence[int]) -> None:
        places = tuple(addresses)
        if places != self.addresses:
            self.addresses = places
            for call in self._calls:
                call.record["fields"][: len(places)] = places

    def part(self, number: int, stopped: int = 0) -> None:
        """Nothing; the kernel is under way on the interior (0) or the boundary (1), unless `stopped` says not to."""
        call = self._calls[number]
        call.record["stopped"] = stopped
        n_warps, threads = int(call.record["n_warps"]), self._kernel.threads
        if n_warps:
            enqueue(self._card, self._kernel.function, (-(-n_warps * WARP // threads), 1), threads, call)

    def collect(self, stopped: int | None = None) -> None:
        """Nothing; the sums of this rank are made, unless stopped."""
        if self._kernel.n_sums:
            self._collect.record["stopped"] = stopped or never_stopped(self._card).address
            self._on_sums("collect_sums")

    def start(self) -> None:
        self.part(0)

    def finish(self) -> None:
        self.part(1)
        self.collect()

    def whole(self) -> None:
        self.start()
        self.finish()

    def bins(self) -> numpy.ndarray:
        card, host = self._card, self._host_bins
        card.runtime.memcpyAsync(host.ctypes.data, self._bins.address, host.nbytes, TO_HOST, card.stream)
        card.wait()
        return host

    @functools.cached_property
    def _host_bins(self) -> numpy.ndarray:
        return self._card.pinned((self._kernel.n_sums, BINS), numpy.int64)

    def round_bins(self) -> None:
        card, host = self._card, self._host_bins
        self._collect.record["stopped"] = never_stopped(card).address
        card.runtime.memcpyAsync(self._bins.address, host.ctypes.data, host.nbytes, TO_DEVICE, card.stream)
        self._on_sums("round_sums")

    def _on_sums(self, name: str) -> None:
        enqueue(self._card, device_function(self._card, name), (self._kernel.n_sums, 1), WARP, self._collect)


def card_of(device: Device) -> Card:
    """The card of a device."""
    assert isinstance(device.hardware, Card), "a device that is no card"
    return device.hardware


def never_stopped(card: Card) -> CardArray:
    """A flag that is never set."""
    if never_stopped not in card.prepared:
        card.prepared[never_stopped] = flag = card.small(1, numpy.int64)
        card.write(flag, 0)
    return card.prepared[never_stopped]
