"""The exchange of ghosts: own sites are packed, travel, and land behind the neighbour's own sites."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

import numpy

from hpcgauge.comm.world import World
from hpcgauge.lattice.ghosts import Ghosts

# What packs sites: handed triples (empty array of whole blocks, data, numbers of its sites), it gives a function that
# fills the empty arrays with those sites.
Packing = Callable[[Sequence[tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]]], Callable[[], Any]]


@final
class Halo:
    """The exchange that fills the ghosts of a parity (0 even, 1 odd, 2 both) of `arrays`, each
    data[block][component][lane], any number of times."""

    def __init__(self, world: World, ghosts: Ghosts, arrays: Sequence[numpy.ndarray], packing: Packing, parity: int):
        self.arrays = list(arrays)
        sends: list[tuple[int, numpy.ndarray]] = []
        receives: list[tuple[int, numpy.ndarray]] = []
        packets = []
        for data in arrays:
            lanes = data.shape[2]
            for message in ghosts.messages:
                part = message.part(parity)
                if part.start == part.stop:
                    continue
                first, last = (message.start + part.start) // lanes, (message.start + part.stop) // lanes
                packed = numpy.empty((last - first, *data.shape[1:]), data.dtype)
                packets.append((packed, data, message.sites[part]))
                sends.append((message.target, packed))
                receives.append((message.source, data[first:last]))
        self._pack = packing(packets)
        self._exchange = world.exchange(sends, receives)

    def start(self) -> None:
        """Sends the sites as they are now; own sites may be read until `wait`, not written. Collective."""
        self._pack()
        self._exchange.start()

    def wait(self) -> None:
        """Returns when the ghosts are filled."""
        self._exchange.wait()
