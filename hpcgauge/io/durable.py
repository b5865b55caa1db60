"""The one door for files that must survive: written beside their name, brought to the disk, then renamed.

Under its name a file is always whole, whenever the process is killed. What cannot be kept is an OSError that says what
to do; nothing here communicates.

Each process writes beside under a name of its own, which says on what machine it is, so that several may write the
same file at once: the last one to rename wins. What a killed process left is removed by the next one that begins to
write in the folder: if its process is gone from this machine or, where it ran on another one, if nothing was written
for a day. There is no lock on it, because locks of files are local to a machine on some NFS mounts, and MPI-IO takes
them itself.
"""

from __future__ import annotations

import errno
import os
import re
import time
from contextlib import suppress
from pathlib import Path

PART = ".part"
UNFINISHED = re.compile(rf".+\.hpcgauge-([0-9]+)-(.+){re.escape(PART)}.*")
DAY = 24 * 3600.0


def beside(path: Path) -> Path:
    """Where this process writes a file before it gets its name; ranks write where rank 0 would."""
    return path.with_name(f"{path.name}.hpcgauge-{os.getpid()}-{_machine()}{PART}")


def _machine() -> str:
    """What numbers processes, by name: the machine, and which count of it, as containers may have one of their own."""
    with suppress(OSError):
        return f"{os.uname().nodename}-{os.stat('/proc/self/ns/pid').st_ino}"
    return os.uname().nodename


def not_written(path: Path, error: BaseException) -> OSError:
    """The error that says which file could not be written, why, and what to do."""
    number = getattr(error, "errno", None) or errno.EIO
    remedy = "Free space on the disk or make the folder writable, then start again"
    if number == errno.ENAMETOOLONG:
        remedy = f"Give a shorter name: {len(beside(path).name) - len(path.name)} letters are added while it is written"
    return OSError(number, f"{path} could not be written ({error}); what was written before is whole. {remedy}")


def put_text(path: Path, text: str) -> None:
    """Makes the file, or replaces it, whole or not at all."""
    put_bytes(path, text.encode())


def put_bytes(path: Path, data: bytes) -> None:
    """Makes the file, or replaces it, whole or not at all."""
    remove_forgotten(path.parent)
    try:
        descriptor = os.open(beside(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            write_fully(descriptor, memoryview(data), 0)
        finally:
            os.close(descriptor)
    except OSError as error:
        remove_beside(path)
        raise not_written(path, error) from error
    publish(path)


def publish(path: Path, is_new: bool = False) -> None:
    """Brings what was written beside to the disk, gives it its name and brings the folder to the disk.

    `is_new`: FileExistsError if the name is taken.
    """
    try:
        to_disk(beside(path))
        if not (is_new and _is_linked(path)):
            os.replace(beside(path), path)
    except FileExistsError:
        remove_beside(path)
        raise
    except OSError as error:
        remove_beside(path)
        raise not_written(path, error) from error
    try:
        to_disk(path.parent)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{path} is new and whole, but its folder could not be brought to the disk ({error}): if the machine fails "
            "now, the file may be gone, or again what it was before. Have the disk looked at, then start again",
        ) from error


def _is_linked(path: Path) -> bool:
    """True if what was written beside has got its name; False where the file system cannot give a file two names.
    FileExistsError if the name is taken."""
    try:
        os.link(beside(path), path)
    except FileExistsError:
        raise
    except OSError:
        return False
    remove_beside(path)
    return True


def remove_beside(path: Path) -> None:
    """Removes what this process's unfinished write left, if it can."""
    with suppress(OSError):
        beside(path).unlink()


def remove_forgotten(folder: Path) -> None:
    """Removes what writers that are gone left in a folder, if it can."""
    with suppress(OSError):
        for path in list(folder.iterdir()):
            writer = UNFINISHED.fullmatch(path.name)
            with suppress(OSError):
                if writer is not None and _is_forgotten(path, int(writer.group(1)), writer.group(2)):
                    path.unlink(missing_ok=True)


def _is_forgotten(path: Path, process: int, machine: str) -> bool:
    """True if the writer of an unfinished file is gone: no process of this machine, or silent for a day."""
    if time.time() - path.lstat().st_mtime > DAY:
        return True
    if machine != _machine():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


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
            raise OSError(error.errno, error.strerror, str(path)) from error
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
