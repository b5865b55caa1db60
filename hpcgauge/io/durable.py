"""The one door for files that must survive: written beside their name, brought to the disk, then renamed.

Under its name a file is always whole, whenever the process is killed. What cannot be kept is an OSError that says what
to do; nothing here communicates.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

PART = ".part"


def beside(path: Path) -> Path:
    """Where a file is written before it gets its name."""
    return path.with_name(path.name + PART)


def not_written(path: Path, error: BaseException) -> OSError:
    """The error that says which file could not be written, why, and what to do."""
    return OSError(
        getattr(error, "errno", None) or errno.EIO,
        f"{path} could not be written ({error}); what was written before is whole. Free space on the disk or make "
        "the folder writable, then start again",
    )


def put_text(path: Path, text: str) -> None:
    """Makes the file, or replaces it, whole or not at all."""
    put_bytes(path, text.encode())


def put_bytes(path: Path, data: bytes) -> None:
    """Makes the file, or replaces it, whole or not at all."""
    try:
        descriptor = os.open(beside(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            write_fully(descriptor, memoryview(data), 0)
        finally:
            os.close(descriptor)
        publish(path)
    except OSError as error:
        remove_beside(path)
        raise not_written(path, error) from error


def publish(path: Path) -> None:
    """Brings what was written beside to the disk, gives it its name and brings the folder to the disk."""
    to_disk(beside(path))
    os.replace(beside(path), path)
    to_disk(path.parent)


def remove_beside(path: Path) -> None:
    """Removes what an unfinished write left, if it can."""
    with suppress(OSError):
        beside(path).unlink()


def make_folder(path: Path) -> None:
    """Makes the folder and those above it, and brings their names to the disk."""
    missing = [folder for folder in (path, *path.parents) if not folder.is_dir()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        to_disk(folder.parent)


def to_disk(path: Path) -> None:
    """Returns when the file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems cannot synchronise a folder, and do not need it.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def reserve(descriptor: int, size: int) -> None:
    """Gives an open file its size, and its room on the disk where the file system can promise it."""
    os.ftruncate(descriptor, size)
    try:
        os.posix_fallocate(descriptor, 0, max(size, 1))
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise


def write_fully(descriptor: int, data: memoryview, offset: int) -> None:
    """Writes all bytes at an offset of an open file."""
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written
