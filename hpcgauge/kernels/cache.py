"""The cache of compiled kernels: files named by their content, made by one process while others wait."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from hpcgauge.errors import DeviceError
from hpcgauge.kernels.kernel import SITE_FOLDER

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"(.+?)"', re.MULTILINE)


def cache_folder() -> Path:
    """The folder of compiled kernels: $HPCGAUGE_CACHE, else hpcgauge/ in the user's cache folder."""
    chosen = os.environ.get("HPCGAUGE_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = Path(chosen) if chosen else base / "hpcgauge"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeviceError(f"the kernel cache {folder} cannot be made ({error.strerror}); set HPCGAUGE_CACHE") from None
    return folder


def digest(parts: Iterable[str]) -> str:
    """A name for the content of texts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode())
        digest.update(b"\0")
    return digest.hexdigest()


@contextlib.contextmanager
def locked(library: Path) -> Iterator[None]:
    """Only one process at a time is inside, for one library."""
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context(open(library.with_suffix(".lock"), "w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            raise DeviceError(
                f"the kernel cache {library.parent} cannot be locked ({error.strerror}); set HPCGAUGE_CACHE to a "
                "folder that can be written, of a file system with locks"
            ) from None
        yield


def unfinished(file: Path) -> Path:
    """Where a file of the cache is written first: processes of several machines may share the folder."""
    return file.with_suffix(f".{os.uname().nodename}.{os.getpid()}.part")


def included(text: str) -> list[str]:
    """The contents of every header that a text includes, directly or not, each once, in the order of inclusion.

    A header is looked for beside the one that includes it, then in kernels/site.
    """
    found: dict[Path, str] = {}

    def follow(text: str, folder: Path) -> None:
        for name in INCLUDE.findall(text):
            path = next((path for path in (folder / name, SITE_FOLDER / name) if path.is_file()), None)
            if path is not None and path.resolve() not in found:
                found[path.resolve()] = path.read_text()
                follow(found[path.resolve()], path.parent)

    follow(text, SITE_FOLDER)
    return list(found.values())
