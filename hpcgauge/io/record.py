"""The history of a run: one JSON line for each trajectory, appended by rank 0."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, final

from hpcgauge.comm.world import World
from hpcgauge.errors import FileFormatError, PhysicsError
from hpcgauge.io.agreement import on_root
from hpcgauge.io.durable import to_disk, write_fully
from hpcgauge.io.plain import is_finite, plain, to_json

READ_AT_ONCE = 1 << 20
MOST_BRACKETS = 10_000


class Mark(NamedTuple):
    """How far a history had come: bytes, and the SHA-256 of these bytes."""

    length: int
    sha256: str


# The mark of a history without lines: where a run without a checkpoint goes on.
BEGINNING = Mark(0, hashlib.sha256().hexdigest())


@final
class History:
    """The lines of one file; what is there already is kept, a torn last line too until truncate_to. Collective."""

    def __init__(self, path: str | Path, world: World) -> None:
        self.path, self._world = Path(path), world
        self._length, self._hash = on_root(world, self._start), hashlib.sha256()
        if world.rank == 0:
            self._hash = _hash_of(self.path, self._length)

    def _start(self) -> int:
        """The length of the file, which is made if it is not there. On rank 0."""
        is_new = not self.path.exists()
        with self.path.open("ab") as file:
            length = file.tell()
        if is_new:
            to_disk(self.path.parent)
        return length

    def append(self, record: Mapping[str, Any]) -> None:
        """Adds one line on rank 0 (nothing on other ranks); a number that is not finite is lost physics."""
        if self._world.rank != 0:
            return
        for key, value in record.items():
            if not is_finite(plain(value)):
                raise PhysicsError(
                    f"trajectory {record.get('trajectory')}: {key} = {value}; the run stops, the last checkpoint is "
                    "whole. Smaller integrator steps or a tighter solver may help"
                )
        line = (to_json(record) + "\n").encode()
        try:
            descriptor = os.open(self.path, os.O_WRONLY)
            try:
                write_fully(descriptor, memoryview(line), self._length)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._not_written(error) from error
        self._length += len(line)
        self._hash.update(line)

    def _not_written(self, error: OSError) -> OSError:
        """The error that says what to do."""
        return OSError(
            error.errno,
            f"{self.path} could not be written ({error.strerror}); free space on the disk or make the file "
            "writable, then start again: the run goes on from its last checkpoint",
        )

    def mark(self) -> Mark:
        """Length and hash of what is written, brought to the disk first: for the checkpoint. Collective."""
        return on_root(self._world, self._synchronised)

    def _synchronised(self) -> Mark:
        """The mark, once the lines are on the disk. On rank 0."""
        try:
            to_disk(self.path)
        except OSError as error:
            raise self._not_written(error) from error
        return Mark(self._length, self._hash.hexdigest())

    def truncate_to(self, mark: Mark) -> None:
        """Drops the lines after a mark; refused if the file is not what it was at the mark. Collective."""
        on_root(self._world, lambda: self._truncate(Mark(*mark)))

    def _truncate(self, mark: Mark) -> None:
        """Cuts the file, once its first bytes are known to be those of the mark. On rank 0."""
        size = self.path.stat().st_size
        start = _hash_of(self.path, mark.length) if size >= mark.length else None
        if start is None or start.hexdigest() != mark.sha256:
            raise FileFormatError(
                f"{self.path}: {size} bytes that do not start with the {mark.length} bytes the checkpoint was written "
                f"with (SHA-256 {mark.sha256}); put the original file back, or start afresh in another folder"
            )
        os.truncate(self.path, mark.length)
        self._length, self._hash = mark.length, start


def _hash_of(path: Path, length: int) -> Any:
    """The SHA-256 of the first bytes of a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while length > 0 and (piece := file.read(min(length, READ_AT_ONCE))):
            found.update(piece)
            length -= len(piece)
    return found


def read_history(path: str | Path) -> list[dict[str, Any]]:
    """The records of a file, the oldest first; a last line without its end is left out."""
    lines = Path(path).read_bytes().split(b"\n")[:-1]
    return [_record(line, f"{path}: line {number}") for number, line in enumerate(lines, start=1)]


def _record(line: bytes, where: str) -> dict[str, Any]:
    """The record in a line; FileFormatError if that is no mapping from names to values."""
    try:
        # Python's reader needs much memory for deep nesting before it gives up.
        if line.count(b"[") + line.count(b"{") > MOST_BRACKETS:
            raise ValueError("nested")
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{where} is no JSON ({error}); remove it or put the original back") from None
    if not isinstance(record, dict):
        raise FileFormatError(f"{where} holds {line[:40]!r}, no mapping; remove it or put the original back")
    return record
