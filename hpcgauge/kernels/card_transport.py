"""Ghosts between a card and MPI: packed by a kernel, through pinned memory of the host, or as they are on the card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy

from hpcgauge.comm.halo import Transport
from hpcgauge.fields.card import TO_DEVICE, TO_HOST, Card, CardArray
from hpcgauge.kernels.cuda_source import MAX_THREADS, PACKET
from hpcgauge.kernels.enqueue import Argument, device_function, enqueue


@dataclass(frozen=True)
class Parcel:
    """Sites of a field to be packed into `packed`; `kept`: what the packing reads. `host`: where they are sent from, if
    not from the card."""

    packet: Argument
    grid: tuple[int, int]
    packed: CardArray
    kept: tuple[Any, ...]
    host: numpy.ndarray | None


@final
class CardTransport(Transport):
    """Packing and copies go on beside the interior, on the card's second stream, in order: a buffer is copied to the
    card before it is received into again. With `is_aware`, MPI is handed memory of the card, when nothing is under way
    on it."""

    is_direct = False

    def __init__(self, card: Card, is_aware: bool):
        self._card, self._is_aware, self._pack = card, is_aware, device_function(card, "pack")
        self._parcels: list[Parcel] = []
        self._incoming: list[tuple[CardArray, numpy.ndarray]] = []
        # Of all transports: a stream that has come to a later record of an event has been at the earlier ones.
        self._written, self._packed, self._filled = map(card.event, ("written", "packed", "filled"))

    def outgoing(self, data: CardArray, sites: numpy.ndarray, shape: tuple[int, ...]) -> Any:
        card = self._card
        host = None if self._is_aware else card.pinned(shape, data.dtype)
        packed, places = card.empty(shape, data.dtype), card.table(sites)
        _, components, lanes = shape
        where = packed.address, data.address, places.address
        packet = Argument(PACKET, *where, len(sites), components, lanes, data.itemsize)
        grid = -(-len(sites) // MAX_THREADS), components
        self._parcels.append(Parcel(packet, grid, packed, (places, data), host))
        return packed if host is None else host

    def incoming(self, ghost: CardArray) -> Any:
        if self._is_aware:
            return ghost
        host = self._card.pinned(ghost.shape, ghost.dtype)
        self._incoming.append((ghost, host))
        return host

    def begin(self) -> None:
        card, runtime = self._card, self._card.runtime
        runtime.eventRecord(self._written, card.stream)
        runtime.streamWaitEvent(card.side, self._written)
        for parcel in self._parcels:
            enqueue(card, self._pack, parcel.grid, MAX_THREADS, parcel.packet, card.side)
            if parcel.host is not None:
                place, n_bytes = parcel.packed.address, parcel.packed.nbytes
                runtime.memcpyAsync(parcel.host.ctypes.data, place, n_bytes, TO_HOST, card.side)
        runtime.eventRecord(self._packed, card.side)

    def gather(self) -> None:
        self._card.runtime.eventSynchronize(self._packed)

    def scatter(self) -> None:
        card, runtime = self._card, self._card.runtime
        for ghost, host in self._incoming:
            runtime.memcpyAsync(ghost.address, host.ctypes.data, ghost.nbytes, TO_DEVICE, card.side)
        runtime.eventRecord(self._filled, card.side)
        runtime.streamWaitEvent(card.stream, self._filled)
