"""Messages between pairs of ranks that travel while the caller works."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, final

# (rank at the other end, contiguous array on the host or on the device)
Message = tuple[int, Any]


@final
class Exchange:
    """Messages under way; it keeps their arrays alive."""

    def __init__(self, requests: list[Any], arrays: list[Any]) -> None:
        self._requests = requests
        self._arrays = arrays

    def wait(self) -> None:
        """Returns when the messages to this rank have arrived and those from it may be overwritten."""
        for request in self._requests:
            request.Wait()
        self._requests, self._arrays = [], []


def start_exchange(communicator: Any, rank: int, sends: Sequence[Message], receives: Sequence[Message]) -> Exchange:
    """The messages, started; those of a rank to itself are copied at once."""
    for other, array in [*sends, *receives]:
        if not array.flags.c_contiguous:
            raise ValueError(f"a message with rank {other} needs a contiguous array, not strides {array.strides}")
    _copy_own(rank, sends, receives)
    foreign = [message for message in [*sends, *receives] if message[0] != rank]
    if not foreign:
        return Exchange([], [])
    if communicator is None:
        raise ValueError(f"a message with rank {foreign[0][0]}, but this process is alone")
    from mpi4py import MPI

    requests = []
    for other, array, tag in _tagged(rank, receives):
        requests.append(communicator.Irecv([array, MPI.BYTE], source=other, tag=tag))
    for other, array, tag in _tagged(rank, sends):
        requests.append(communicator.Isend([array, MPI.BYTE], dest=other, tag=tag))
    return Exchange(requests, [array for _, array in foreign])


def _tagged(rank: int, messages: Sequence[Message]) -> list[tuple[int, Any, int]]:
    """The messages with other ranks and, as tag, how many with the same rank came before."""
    seen: Counter[int] = Counter()
    tagged = []
    for other, array in messages:
        if other != rank:
            tagged.append((other, array, seen[other]))
            seen[other] += 1
    return tagged


def _copy_own(rank: int, sends: Sequence[Message], receives: Sequence[Message]) -> None:
    """The k-th array that this rank sends to itself is copied into the k-th that it receives from itself."""
    sources = [array for other, array in sends if other == rank]
    targets = [array for other, array in receives if other == rank]
    if [array.nbytes for array in sources] != [array.nbytes for array in targets]:
        raise ValueError(f"rank {rank} sends itself {len(sources)} arrays and receives {len(targets)}, or sizes differ")
    for source, target in zip(sources, targets, strict=True):
        target[...] = source.reshape(target.shape)
