"""From a Kernel to a function: its library in the cache.

A library is cached by its content: source, headers, flags and processor, and by its compiler. Where there is no
compiler, the library of any compiler is taken. One process compiles a key while others wait for it, so many may start
at once.
"""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
from pathlib import Path
from typing import Any

from hpcgauge.errors import DeviceError
from hpcgauge.kernels.cache import cache_folder, digest, included, locked, unfinished
from hpcgauge.kernels.compiler import FLAGS, find_compiler, identity, prepared, processor
from hpcgauge.kernels.kernel import SITE_FOLDER, Kernel
from hpcgauge.kernels.source import Target, source


@functools.cache
def build(kernel: Kernel, target: Target) -> Any:
    """The compiled launch function of a kernel, (const Call*, long part), from the cache if it is there.

    Every rank may call it at once. DeviceError when it is not in the cache and there is no compiler or a broken one,
    ValueError when a user's header does not compile.
    """
    problem = DeviceError if kernel.path.parent == SITE_FOLDER else ValueError
    return load_library(source(kernel, target), kernel.name, problem).launch


def is_built(kernel: Kernel, target: Target) -> bool:
    """True if the kernel is in the cache."""
    return _library(source(kernel, target), kernel.name).exists()


def load_library(text: str, name: str, problem: type[Exception] = DeviceError) -> ctypes.CDLL:
    """The shared library of a translation unit, compiled at most once on a machine.

    `problem`: what is raised when the text does not compile.
    """
    library = _library(text, name)
    if not library.exists():
        compiler = find_compiler()
        with locked(library):
            if not library.exists():
                _compile(compiler, text, library, problem)
    return ctypes.CDLL(str(library))


def _library(text: str, name: str) -> Path:
    """Where the library of a translation unit lies in the cache, built or not."""
    folder = cache_folder()
    stem = f"{name}-{digest((text, *included(text), ' '.join(FLAGS), processor()))[:32]}"
    try:
        compiler = digest((identity(find_compiler()),))[:8]
    except DeviceError:
        return min(folder.glob(f"{stem}-*.so"), default=folder / f"{stem}-none.so")
    return folder / f"{stem}-{compiler}.so"


def _compile(compiler: str, text: str, library: Path, problem: type[Exception]) -> None:
    part = unfinished(library)
    unit = library.with_suffix(".cpp")
    name = library.stem.split("-")[0]
    command = [compiler, *FLAGS, *prepared(compiler), f"-I{SITE_FOLDER}", str(unit), "-o", str(part)]
    try:
        unit.write_text(text)
        result = subprocess.run(command, capture_output=True, text=True)
        if not result.returncode:
            os.replace(part, library)
    except OSError as error:
        raise DeviceError(
            f"kernel {name} cannot be compiled: {error}; CXX names another compiler, HPCGAUGE_CACHE another folder"
        ) from None
    finally:
        part.unlink(missing_ok=True)
    if result.returncode:
        lines = result.stderr.splitlines() or [f"{compiler} ended with {result.returncode}"]
        errors = [line for line in lines if "error" in line] or lines
        raise problem(f"kernel {name} does not compile ({unit}): {' | '.join(errors[:3])}")
