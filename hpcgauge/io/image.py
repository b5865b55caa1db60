"""A file in memory that keeps only what was written: HDF5 lays out large datasets here without their numbers.

The layout then goes to the disk through ordinary writes, whose errors are those of the system: HDF5 itself cannot give
back a file whose disk is full.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, final

from hpcgauge.io.durable import reserve, write_fully

PAGE = 4096


@final
class Image(io.RawIOBase):
    """The file: pages by their number, zeros where nothing was written."""

    def __init__(self) -> None:
        super().__init__()
        self._pages: dict[int, bytearray] = {}
        self._at = self._size = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def truncate(self, size: int | None = None) -> int:
        self._size = self._at if size is None else size
        return self._size

    def readinto(self, buffer: Any) -> int:
        target = memoryview(buffer).cast("B")
        done = 0
        while done < len(target):
            page, inside = divmod(self._at + done, PAGE)
            n = min(PAGE - inside, len(target) - done)
            held = self._pages.get(page)
            target[done : done + n] = bytes(n) if held is None else held[inside : inside + n]
            done += n
        self._at += done
        return done

    def write(self, data: Any) -> int:
        source = memoryview(data).cast("B")
        done = 0
        while done < len(source):
            page, inside = divmod(self._at + done, PAGE)
            n = min(PAGE - inside, len(source) - done)
            self._pages.setdefault(page, bytearray(PAGE))[inside : inside + n] = source[done : done + n]
            done += n
        self._at += done
        self._size = max(self._size, self._at)
        return done

    def save(self, path: Path) -> None:
        """Makes the file on the disk, with room for all of it and everything that was written here."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            reserve(descriptor, self._size)
            for page, content in sorted(self._pages.items()):
                start = page * PAGE
                write_fully(descriptor, memoryview(content)[: max(0, self._size - start)], start)
        finally:
            os.close(descriptor)
