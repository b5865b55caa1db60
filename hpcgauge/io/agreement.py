"""Work that can fail on one rank and must then fail on all: the ranks agree before anyone goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hpcgauge.comm.world import World
from hpcgauge.errors import ConfigError, DeviceError, FileFormatError, NewerFileError, PhysicsError

T = TypeVar("T")

# The kinds of error that other ranks repeat; anything else is a bug and becomes a RuntimeError there.
REPEATED: tuple[type[Exception], ...] = (
    NewerFileError,
    FileFormatError,
    ConfigError,
    ValueError,
    PhysicsError,
    DeviceError,
    OSError,
    MemoryError,
)


def _kind(error: Exception) -> type[Exception]:
    """The most special repeated kind of this error."""
    return next((kind for kind in REPEATED if isinstance(error, kind)), RuntimeError)


def on_every_rank(world: World, action: Callable[[], T]) -> T:
    """What the action returns on this rank; if it raised on any rank, every rank raises that kind of error. Collective.

    The action may hold collective calls only if these cannot be left early by one rank.
    """
    result: list[T] = []
    failure: Exception | None = None
    try:
        result.append(action())
    except Exception as error:
        failure = error
    told = world.allgather(None if failure is None else (_kind(failure), str(failure)))
    if failure is not None:
        raise failure
    for rank, failed in enumerate(told):
        if failed is not None:
            kind, text = failed
            raise kind(f"{text} (told by rank {rank})")
    return result[0]


def on_root(world: World, action: Callable[[], T]) -> T:
    """What the action returns on rank 0, on every rank; its error likewise. Collective."""
    value = on_every_rank(world, lambda: action() if world.rank == 0 else None)
    shared: T = world.broadcast(value)
    return shared
