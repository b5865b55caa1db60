"""The exchange of ghosts: own sites travel, packed or from where they lie, to behind the neighbour's own sites."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy

from hpcgauge.comm.world import World
from hpcgauge.lattice.ghosts import Ghosts

# What packs sites: handed triples (empty array of whole blocks, data, numbers of its sites), it gives a function that
# fills the empty arrays with those sites.
Packing = Callable[[Sequence[tuple[Any, Any, numpy.ndarray]]], Callable[[], Any]]

# Messages from so many bytes on are sent from where the sites lie, if they lie in few runs of whole blocks.
LEAST_DIRECT, MOST_RUNS = 16384, 4


class Transport(ABC):
    """How the messages of one exchange get from fields to MPI and back. `is_direct`: MPI reads and writes fields."""

    is_direct: bool

    @abstractmethod
    def outgoing(self, data: Any, sites: numpy.ndarray, shape: tuple[int, ...]) -> Any:
        """An array of this shape for MPI to send, filled with these sites of the data by `gather`."""

    @abstractmethod
    def incoming(self, ghost: Any) -> Any:
        """An array for MPI to fill, whose numbers are in the ghosts after `scatter`."""

    @abstractmethod
    def begin(self) -> None:
        """Nothing; `gather` may be under way, on sites as they are now."""

    @abstractmethod
    def gather(self) -> None:
        """Nothing; outgoing arrays are filled when it returns."""

    @abstractmethod
    def scatter(self) -> None:
        """Nothing; kernels that are launched from now on see the new ghosts."""


@final
class HostTransport(Transport):
    """Fields on the host: ghosts are received where they lie."""

    is_direct = True

    def __init__(self, packing: Packing):
        self._packing = packing
        self._packets: list[tuple[Any, Any, numpy.ndarray]] = []
        self._pack: Callable[[], Any] | None = None

    def outgoing(self, data: Any, sites: numpy.ndarray, shape: tuple[int, ...]) -> Any:
        packed = numpy.empty(shape, data.dtype)
        self._packets.append((packed, data, sites))
        self._pack = self._packing(self._packets)
        return packed

    def incoming(self, ghost: Any) -> Any:
        return ghost

    def begin(self) -> None:
        if self._pack:
            self._pack()

    def gather(self) -> None:
        pass

    def scatter(self) -> None:
        pass


@final
class Halo:
    """The exchange that fills the ghosts of a parity (0 even, 1 odd, 2 both) of `arrays`, each
    data[block][component][lane], any number of times."""

    def __init__(self, world: World, ghosts: Ghosts, arrays: Sequence[Any], transport: Transport, parity: int):
        self.arrays, self._transport = list(arrays), transport
        sends: list[tuple[int, Any]] = []
        receives: list[tuple[int, Any]] = []
        for data in arrays:
            lanes = data.shape[2]
            for message in ghosts.messages:
                part = message.part(parity)
                sites, place = message.sites[part], (message.start + part.start) // lanes
                ghost = data[place : place + len(sites) // lanes]
                runs = _runs(sites, lanes) if transport.is_direct and ghost.nbytes >= LEAST_DIRECT else []
                if 0 < len(runs) <= MOST_RUNS:
                    sends += [(message.target, data[run]) for run in runs]
                    ends = numpy.cumsum([run.stop - run.start for run in runs])[:-1]
                    receives += [(message.source, piece) for piece in numpy.split(ghost, ends)]
                elif len(sites):
                    sends.append((message.target, transport.outgoing(data, sites, ghost.shape)))
                    receives.append((message.source, transport.incoming(ghost)))
        self.exchange = world.exchange(sends, receives)

    def start(self) -> None:
        """Sends the sites as they are now; own sites may be read until `wait`, not written. Collective."""
        self._transport.begin()
        if self._transport.is_direct:
            self.exchange.start()

    def wait(self) -> None:
        """Returns when kernels see the ghosts filled."""
        if not self._transport.is_direct:
            self._transport.gather()
            self.exchange.start()
        self.exchange.wait()
        self._transport.scatter()


def _runs(sites: numpy.ndarray, lanes: int) -> list[slice]:
    """The blocks that hold the sites in order, in runs; none where the sites are not whole blocks. Ranks have equal
    local lattices, so that a run here is a run everywhere."""
    blocks = sites.reshape(-1, lanes)
    if (blocks != blocks[:, :1] + numpy.arange(lanes)).any() or (blocks[:, 0] % lanes).any():
        return []
    numbers = blocks[:, 0] // lanes
    pieces = numpy.split(numbers, numpy.flatnonzero(numpy.diff(numbers) != 1) + 1)
    return [slice(int(piece[0]), int(piece[-1]) + 1) for piece in pieces if len(piece)]
