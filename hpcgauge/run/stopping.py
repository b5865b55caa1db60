"""Stopping cleanly: a signal asks, the chain ends after the trajectory with a checkpoint."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, final

from hpcgauge.comm.world import World

ASKING = (signal.SIGTERM, signal.SIGUSR1)  # SIGUSR1: what SLURM is told to send before the time limit


@final
class Stopping:
    """A context in which SIGTERM or SIGUSR1 to any rank asks all ranks to stop."""

    def __init__(self, world: World):
        self._world, self._asked = world, False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stopping:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in ASKING}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True

    def is_asked(self) -> bool:
        """True, on all ranks alike, once any rank was asked. Collective."""
        return self._world.any(self._asked)
