"""The exchange of ghosts: own sites travel, packed or from where they lie, to behind the neighbour's own sites."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

import numpy

from hpcgauge.comm.world import World
from hpcgauge.lattice.ghosts import Ghosts

# What packs sites: handed triples (empty array of whole blocks, data, numbers of its sites), it gives a function that
# fills the empty arrays with those sites.
Packing = Callable[[Sequence[tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]]], Callable[[], Any]]

# Messages from so many bytes on are sent from where the sites lie, if they lie in few runs of whole blocks.
LEAST_DIRECT, MOST_RUNS = 16384, 4


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
                sites, place = message.sites[part], (message.start + part.start) // lanes
                ghost = data[place : place + len(sites) // lanes]
                runs = _runs(sites, lanes)
                if 0 < len(runs) <= MOST_RUNS and ghost.nbytes >= LEAST_DIRECT:
                    sends += [(message.target, data[run]) for run in runs]
                    ends = numpy.cumsum([run.stop - run.start for run in runs])[:-1]
                    receives += [(message.source, piece) for piece in numpy.split(ghost, ends)]
                elif len(sites):
                    packed = numpy.empty(ghost.shape, data.dtype)
                    packets.append((packed, data, sites))
                    sends.append((message.target, packed))
                    receives.append((message.source, ghost))
        self._pack = packing(packets) if packets else None
        self.exchange = world.exchange(sends, receives)

    def start(self) -> None:
        """Sends the sites as they are now; own sites may be read until `wait`, not written. Collective."""
        if self._pack:
            self._pack()
        self.exchange.start()

    def wait(self) -> None:
        """Returns when the ghosts are filled."""
        self.exchange.wait()


def _runs(sites: numpy.ndarray, lanes: int) -> list[slice]:
    """The blocks that hold the sites in order, in runs; none where the sites are not whole blocks. Ranks have equal
    local lattices, so that a run here is a run everywhere."""
    blocks = sites.reshape(-1, lanes)
    if (blocks != blocks[:, :1] + numpy.arange(lanes)).any() or (blocks[:, 0] % lanes).any():
        return []
    numbers = blocks[:, 0] // lanes
    pieces = numpy.split(numbers, numpy.flatnonzero(numpy.diff(numbers) != 1) + 1)
    return [slice(int(piece[0]), int(piece[-1]) + 1) for piece in pieces if len(piece)]
