"""Worker processes that may crash or hang: each case gets its outcome, whatever happens to its worker."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.support.fuzz.corpus import KINDS
from tests.support.ranks import ROOT, SECONDS_OF_A_HANG, clean_environment

# A case needs a fraction of one; a busy machine gives a process a small part of its time.
SECONDS_FOR_A_CASE = 300.0
MEMORY_DISK = Path("/dev/shm")
# A worker that is silent is ended from here with this signal.
HANG = -signal.SIGKILL
PROGRAM = ("-W", "ignore", "-m", "tests.support.fuzz.worker")


class Worker:
    """One worker process with its folder; started anew when it has died."""

    def __init__(self, seed: int, program: tuple[str, ...] = PROGRAM, seconds: float = SECONDS_FOR_A_CASE) -> None:
        self._seed, self._program, self._seconds = seed, program, seconds
        self._folder = Path(
            tempfile.mkdtemp(prefix="hpcgauge-fuzz-", dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None)
        )
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, number: int) -> dict[str, Any]:
        """The outcome of a case."""
        code, line = self._answer(number)
        if code == HANG:
            # The machine may have been busy with something else: once more, with a new process.
            code, line = self._answer(number)
        if line:
            return json.loads(line.split(b" ", 1)[1])
        what = "hang" if code == HANG else f"crash ({code})"
        return {
            "what": what,
            "wrong": [what],
            "kind": KINDS[number % len(KINDS)],
            "file": "",
            "damage": "",
            "verify": False,
        }

    def _answer(self, number: int) -> tuple[int | None, bytes]:
        """The line of the worker; without one the exit code of the process that was to write it."""
        process = self._started()
        assert process.stdin is not None
        process.stdin.write(f"{number}\n".encode())
        process.stdin.flush()
        line = self._line(process, self._seconds)
        if not line:
            self._end()
        return process.returncode, line

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            command = [sys.executable, *self._program, str(self._folder), str(self._seed)]
            environment = clean_environment(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            if self._line(self._process, SECONDS_OF_A_HANG) != b"ready":
                self._end()
                raise RuntimeError("a worker does not start; its words are above")
        return self._process

    def _line(self, process: subprocess.Popen[bytes], seconds: float) -> bytes:
        """The next line of the worker; nothing if it is silent for so long, or has died."""
        assert process.stdout is not None
        text = b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not text.endswith(b"\n"):
                if not selector.select(seconds):
                    return b""
                if not (piece := os.read(process.stdout.fileno(), 1 << 16)):
                    process.wait(seconds)
                    return b""
                text += piece
        return text.strip()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def close(self) -> None:
        """Ends the process and removes its folder."""
        self._end()
        shutil.rmtree(self._folder, ignore_errors=True)


def outcomes(numbers: Iterator[int], seed: int, n_workers: int, take: Callable[[int, dict[str, Any]], None]) -> None:
    """Hands the outcome of every case to `take`, from so many workers side by side."""
    lock, is_ended = threading.Lock(), threading.Event()
    errors: list[Exception] = []

    def work() -> None:
        worker = Worker(seed)
        try:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None or is_ended.is_set():
                    return
                found = worker.read(number)
                with lock:
                    take(number, found)
        except Exception as error:
            errors.append(error)
        finally:
            worker.close()

    threads = [threading.Thread(target=work) for _ in range(n_workers)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        # What is done by then is told.
        is_ended.set()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
