"""The folder of a run: its files, and the lock that keeps a second run out."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import final

from hpcgauge.comm.world import World
from hpcgauge.errors import ConfigError
from hpcgauge.io.agreement import on_root
from hpcgauge.io.durable import make_folder

# A launcher that kills its ranks may end before they are gone: a job that is started again at once waits for them.
SECONDS_FOR_THE_LAST = 2.0


@final
class RunFolder:
    """The folder of one run, made if it is not there. Collective."""

    def __init__(self, path: str | Path, world: World) -> None:
        self.path, self._world = Path(path), world
        self._lock: int | None = None
        on_root(world, self._make)

    def _make(self) -> None:
        """Makes the folder. On rank 0."""
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"{self.path} is a file; give a folder for the run (--out DIR)")
        try:
            make_folder(self.path)
        except OSError as error:
            raise OSError(
                error.errno, f"{self.path} cannot be made ({error.strerror}); give another folder (--out DIR)"
            ) from error

    @property
    def configuration(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def history(self) -> Path:
        """One line for each trajectory."""
        return self.path / "history.jsonl"

    @property
    def summary(self) -> Path:
        """The numbers at the end."""
        return self.path / "summary.json"

    @property
    def network(self) -> Path:
        """The trained parameters."""
        return self.path / "network.h5"

    @property
    def checkpoints(self) -> Path:
        """The folder of the states."""
        return self.path / "checkpoint"

    @property
    def trajectories(self) -> Path:
        """The folder of the recorded trajectories."""
        return self.path / "trajectories"

    @property
    def report(self) -> Path:
        """The folder of the report."""
        return self.path / "report"

    def lock(self) -> None:
        """Keeps every other run out of the folder until unlock(), or until rank 0 ends in any way. Collective."""
        on_root(self._world, self._take)

    def unlock(self) -> None:
        """Lets other runs in. Collective."""
        on_root(self._world, self._release)

    def __enter__(self) -> RunFolder:
        self.lock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Not collective: after an error on one rank the others may never come here.
        self._release()

    def _take(self) -> None:
        """Locks a file of the folder and writes into it who did. On rank 0."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(descriptor)
        except BlockingIOError:
            holder = os.pread(descriptor, 256, 0).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise ConfigError(
                f"{self.path} is in use by {holder}; wait until that run has ended, or give another folder (--out DIR)"
            ) from None
        except OSError:
            os.close(descriptor)
            raise
        self._lock = descriptor
        with suppress(OSError):  # who holds it is only told; the lock does not need room on the disk
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def _release(self) -> None:
        """Lets go of the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _lock(descriptor: int) -> None:
    """Returns with the lock; BlockingIOError if another process holds it for longer than the end of one takes."""
    limit = time.monotonic() + SECONDS_FOR_THE_LAST
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > limit:
                raise
        time.sleep(0.05)
