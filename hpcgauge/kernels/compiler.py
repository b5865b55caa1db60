"""The C++ compiler, and its header of vector instructions in compiled form."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

from hpcgauge.errors import DeviceError
from hpcgauge.kernels.cache import cache_folder, digest, locked, unfinished

FLAGS = (
    "-std=c++17 -O2 -march=native -ffp-contract=off -fno-math-errno -fno-trapping-math -fopenmp -shared -fPIC"
    " -fvisibility=hidden -Wno-psabi -Wno-unknown-pragmas"
).split()
# The compiler's own header that platform.h includes: more than half of what a small kernel compiles
INTRINSICS = """#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif
"""


@functools.cache
def find_compiler() -> str:
    """The path of the C++ compiler: $CXX, else g++, c++ or clang++. DeviceError when it is not there."""
    chosen = os.environ.get("CXX")
    for name in (chosen,) if chosen else ("g++", "c++", "clang++"):
        path = shutil.which(name)
        if path:
            return path
    if chosen:
        raise DeviceError(f"CXX = {chosen!r} is no program; set CXX to the path of a C++ compiler, or unset it")
    raise DeviceError("no C++ compiler was found: install g++ (Debian: apt-get install g++) or set CXX")


@functools.cache
def identity(compiler: str) -> str:
    """What is another string for another compiler, of another version too."""
    path = Path(compiler).resolve()
    status = path.stat()
    return f"{path} {status.st_size} {status.st_mtime_ns}"


@functools.cache
def processor() -> str:
    """What is another string on a machine whose processor differs."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return "\n".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}))


@functools.cache
def _is_gcc(compiler: str) -> bool:
    return "Free Software Foundation" in _output_of(compiler, "--version")


def prepared(compiler: str) -> tuple[str, ...]:
    """Flags with which a compiler finds INTRINSICS compiled, made at most once on a machine; none if it is not GCC."""
    if not _is_gcc(compiler):
        return ()
    key = digest((INTRINSICS, " ".join(FLAGS), processor(), identity(compiler)))
    header = cache_folder() / f"intrinsics-{key[:32]}.h"
    compiled = header.with_suffix(".h.gch")
    if not compiled.exists():
        with locked(compiled):
            if not compiled.exists():
                _prepare(compiler, header, compiled)
    return ("-include", str(header)) if compiled.exists() else ()


def _prepare(compiler: str, header: Path, compiled: Path) -> None:
    """Nothing; the compiled header is there, unless the compiler cannot make it."""
    part = unfinished(compiled)
    try:
        header.write_text(INTRINSICS)
        _output_of(compiler, *FLAGS, "-x", "c++-header", str(header), "-o", str(part))
        if part.exists():
            os.replace(part, compiled)
    except OSError:
        # What is wrong with the folder is said when the kernel itself is compiled.
        return
    finally:
        part.unlink(missing_ok=True)


def _output_of(*command: str) -> str:
    """What a command printed, nothing if it failed."""
    try:
        result = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return ""
    return "" if result.returncode else result.stdout
