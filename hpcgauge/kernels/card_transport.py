"""Ghosts between a card and MPI: packed by a kernel, through pinned memory of the host."""

from __future__ import annotations

from typing import Any, final

import numpy

from hpcgauge.comm.halo import Transport
from hpcgauge.fields.card import TO_DEVICE, TO_HOST, Card, CardArray
from hpcgauge.kernels.cuda_source import MAX_THREADS, PACKET
from hpcgauge.kernels.enqueue import Argument, device_function, enqueue


@final
class PinnedTransport(Transport):
    """Packing and copies go on beside the interior, on the card's second stream, in order: a buffer is copied to the
    card before it is received into again."""

    is_direct = False

    def __init__(self, card: Card):
        self._card, self._pack = card, device_function(card, "pack")
        self._outgoing: list[tuple[Argument, tuple[int, int], Any, numpy.ndarray]] = []
        self._incoming: list[tuple[CardArray, numpy.ndarray]] = []
        self._written, self._packed, self._filled = (card.event() for _ in range(3))

    def outgoing(self, data: CardArray, sites: numpy.ndarray, shape: tuple[int, ...]) -> numpy.ndarray:
        card, host = self._card, self._card.pinned(shape, data.dtype)
        packed, places = card.scratch(shape, data.dtype), card.table(sites.astype(numpy.int64))
        _, components, lanes = shape
        where = packed.address, data.address, places.address
        packet = Argument(PACKET, *where, len(sites), components, lanes, data.itemsize)
        grid = -(-len(sites) // MAX_THREADS), components
        self._outgoing.append((packet, grid, (packed, places, data), host))
        return host

    def incoming(self, ghost: CardArray) -> numpy.ndarray:
        host = self._card.pinned(ghost.shape, ghost.dtype)
        self._incoming.append((ghost, host))
        return host

    def begin(self) -> None:
        card, runtime = self._card, self._card.runtime
        runtime.eventRecord(self._written, card.stream)
        runtime.streamWaitEvent(card.side, self._written)
        for packet, grid, (packed, _, _), host in self._outgoing:
            enqueue(card, self._pack, grid, MAX_THREADS, packet, card.side)
            runtime.memcpyAsync(host.ctypes.data, packed.address, packed.nbytes, TO_HOST, card.side)
        runtime.eventRecord(self._packed, card.side)

    def gather(self) -> None:
        self._card.runtime.eventSynchronize(self._packed)

    def scatter(self) -> None:
        card, runtime = self._card, self._card.runtime
        for ghost, host in self._incoming:
            runtime.memcpyAsync(ghost.address, host.ctypes.data, ghost.nbytes, TO_DEVICE, card.side)
        runtime.eventRecord(self._filled, card.side)
        runtime.streamWaitEvent(card.stream, self._filled)

