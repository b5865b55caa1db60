"""Messages between pairs of ranks that travel while the caller works, prepared once and sent any number of times."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Sequence
from typing import Any, final

# (rank at the other end, contiguous array on the host or on the device)
Message = tuple[int, Any]


@final
class Exchange:
    """Messages to and from other ranks and this one. It keeps their arrays alive, and MPI's part of it is given back
    when it is gone; then arrays of messages that are still under way, where MPI may write, are added to `given_up`.
    `sends`, `receives`: the messages; `bytes_sent`: of all that this rank sends."""

    def __init__(
        self,
        communicator: Any,
        rank: int,
        sends: Sequence[Message],
        receives: Sequence[Message],
        given_up: list[Any],
    ) -> None:
        self.sends, self.receives = list(sends), list(receives)
        self.bytes_sent = sum(array.nbytes for _, array in sends)
        for other, array in [*sends, *receives]:
            if not _is_contiguous(array):
                raise ValueError(f"a message with rank {other} needs a contiguous array, not strides {array.strides}")
        self._own = _own_pairs(rank, sends, receives)
        self._requests: list[Any] = []
        foreign = [message for message in [*sends, *receives] if message[0] != rank]
        if not foreign:
            return
        if communicator is None:
            raise ValueError(f"a message with rank {foreign[0][0]}, but this process is alone")
        from mpi4py import MPI

        for other, array, tag in _tagged(rank, receives):
            self._requests.append(communicator.Recv_init([array, MPI.BYTE], source=other, tag=tag))
        for other, array, tag in _tagged(rank, sends):
            self._requests.append(communicator.Send_init([array, MPI.BYTE], dest=other, tag=tag))
        self._start_all, self._wait_all = MPI.Prequest.Startall, MPI.Request.Waitall
        weakref.finalize(self, _give_back, self._requests, [array for _, array in foreign], given_up)

    def start(self) -> Exchange:
        """This exchange, with its messages under way; those of a rank to itself are copied at once. Not to be started
        again before `wait`."""
        for target, source in self._own:
            target[...] = source
        if self._requests:
            self._start_all(self._requests)
        return self

    def wait(self) -> None:
        """Returns when the messages to this rank have arrived and those from it may be overwritten."""
        if self._requests:
            self._wait_all(self._requests)


def _give_back(requests: list[Any], arrays: list[Any], given_up: list[Any]) -> None:
    from mpi4py import MPI

    if MPI.Is_finalized():
        return
    if not MPI.Request.Testall(requests):
        given_up.append(arrays)
    for request in requests:
        request.Free()


def _is_contiguous(array: Any) -> bool:
    """True if the array's numbers lie one after another in memory."""
    expected = array.itemsize
    for length, stride in zip(reversed(array.shape), reversed(array.strides), strict=True):
        if length > 1 and stride != expected:
            return False
        expected *= length
    return True


def _tagged(rank: int, messages: Sequence[Message]) -> list[tuple[int, Any, int]]:
    """The messages with other ranks and, as tag, how many with the same rank came before."""
    seen: Counter[int] = Counter()
    tagged = []
    for other, array in messages:
        if other != rank:
            tagged.append((other, array, seen[other]))
            seen[other] += 1
    return tagged


def _own_pairs(rank: int, sends: Sequence[Message], receives: Sequence[Message]) -> list[tuple[Any, Any]]:
    """(target, source): the k-th array from this rank to itself goes into the k-th that it receives from itself."""
    sources = [array for other, array in sends if other == rank]
    targets = [array for other, array in receives if other == rank]
    if [array.nbytes for array in sources] != [array.nbytes for array in targets]:
        raise ValueError(f"rank {rank} sends itself {len(sources)} arrays and receives {len(targets)}, or sizes differ")
    return [(target, source.reshape(target.shape)) for source, target in zip(sources, targets, strict=True)]
