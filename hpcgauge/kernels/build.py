"""From a Kernel to a function: the printed translation unit, the compiler, the cache.

A library is cached by its content: source, headers, flags and processor, and by its compiler. Where there is no
compiler, the library of any compiler is taken. One process compiles a key while others wait for it, so many may start
at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcgauge.errors import DeviceError
from hpcgauge.kernels.kernel import SITE_FOLDER, Argument, Kernel, Numbers

FLAGS = (
    "-std=c++17 -O2 -march=native -ffp-contract=off -fno-math-errno -fno-trapping-math -fopenmp -shared -fPIC"
    " -fvisibility=hidden -Wno-psabi -Wno-unknown-pragmas"
).split()
# A thread that has less to do than this costs more than it saves, and very much more on a busy machine.
MIN_BLOCKS = 32
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"(.+?)"', re.MULTILINE)
VIEW = {"matrix": "Matrices", "traceless": "TracelessMatrices", "vector": "Vectors", "real": "Reals", "any": "Reals"}


@dataclass(frozen=True)
class Target:
    """What a kernel is compiled for. `counts`: the elements of each field argument, in order."""

    dimensions: int
    colors: int
    precision: str
    lanes: int
    counts: tuple[int, ...]


@functools.cache
def build(kernel: Kernel, target: Target) -> Any:
    """The compiled launch function of a kernel, (const Call*, long part), from the cache if it is there.

    Every rank may call it at once. DeviceError when it is not in the cache and there is no compiler or a broken one,
    ValueError when a user's header does not compile.
    """
    problem = DeviceError if kernel.path.parent == SITE_FOLDER else ValueError
    return load_library(source(kernel, target), kernel.name, problem).launch


def source(kernel: Kernel, target: Target) -> str:
    """The translation unit: definitions, the header, and a loop over blocks around the site function."""
    vectors = kernel.offsets.vectors(target.dimensions)
    constants = "".join(f"static constexpr int {name} = {value};\n" for name, value in kernel.constants)
    return f"""#define {"HPC_DOUBLE" if target.precision == "double" else "HPC_SINGLE"} 1
#define LANES {target.lanes}
#define N_DIMENSIONS {target.dimensions}
#define COLORS {target.colors}
#define N_OFFSETS {max(len(vectors), 1)}
#define OFFSET_REACH {kernel.offsets.reach}
{_place_table(kernel, target)}
{constants}#include "call.h"
#include "lattice.h"
#include "sum.h"
#include "{kernel.path if kernel.path.parent != SITE_FOLDER else kernel.path.name}"
using namespace site;

// One thread's share of a part
static void share(const Call& call, const Part& part) {{
    const site::Lattice lattice_{{call.tables[0], call.tables[1], call.tables[2], call.tables[3], call.is_large != 0}};
    {_views(kernel, target)}
    {_sum_declaration(kernel)}
    #pragma omp for schedule(static) nowait
    for (long i = 0; i < part.n_blocks; ++i) {{
        const Site site_{{part.blocks[i], ONE_BLOCK, nullptr}};
        {_call(kernel)}
    }}
    if (call.is_large) streams_end();
    {_sum_merge(kernel)}
}}

extern "C" __attribute__((visibility("default"))) void launch(const Call* call, long part) {{
    const Part& chosen = call->parts[part];
    if (chosen.n_threads == 1) return share(*call, chosen);
    #pragma omp parallel num_threads(chosen.n_threads)
    share(*call, chosen);
}}
"""


def _place_table(kernel: Kernel, target: Target) -> str:
    lookup = kernel.offsets.lookup(target.dimensions)
    width = lookup.shape[2]
    entries = ",".join(str(entry) for entry in lookup.ravel())
    return f"static constexpr int PLACE[{target.dimensions}][{target.dimensions}][{width}][{width}] = {{{entries}}};"


def _views(kernel: Kernel, target: Target) -> str:
    lines = []
    for index, (field, count) in enumerate(zip(kernel.fields, target.counts, strict=True)):
        inner = f"(scalar*)call.fields[{index}]"
        braces = f"{{{inner}}}" if VIEW[field.element] == "Reals" else f"{{{{{inner}}}}}"
        lines.append(f"const {VIEW[field.element]}<{count}> {field.name}{braces};")
    start = 0
    for number in kernel.numbers:
        lines.append(f"const double* const {number.name} = call.numbers + {start};")
        start += number.count
    return "\n    ".join(lines)


def _call(kernel: Kernel) -> str:
    names = ["lattice_", "site_", *(a.name for a in kernel.arguments if isinstance(a, Argument | Numbers))]
    if not kernel.n_sums:
        return f"{kernel.name}({', '.join(names)});"
    return (
        f"real totals[{kernel.n_sums}] = {{}};\n        {kernel.name}({', '.join(names)}, totals);\n"
        "        const mask counted = is_true_site(lattice_, site_);\n"
        f"        UNROLL for (int k = 0; k < {kernel.n_sums}; ++k)"
        " partial[k].add(select(counted, totals[k], broadcast(0)));"
    )


def _sum_declaration(kernel: Kernel) -> str:
    return f"ExactSum partial[{kernel.n_sums}];" if kernel.n_sums else ""


def _sum_merge(kernel: Kernel) -> str:
    if not kernel.n_sums:
        return ""
    return (
        "#pragma omp critical\n    "
        f"for (int k = 0; k < {kernel.n_sums}; ++k) partial[k].merge_into((int64*)call.bins + k * SUM_BINS);"
    )


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
        with _locked(library):
            if not library.exists():
                _compile(compiler, text, library, problem)
    return ctypes.CDLL(str(library))


def _library(text: str, name: str) -> Path:
    """Where the library of a translation unit lies in the cache, built or not."""
    folder = cache_folder()
    stem = f"{name}-{_digest((text, *_included(text), ' '.join(FLAGS), _processor()))[:32]}"
    try:
        compiler = _digest((_compiler_identity(find_compiler()),))[:8]
    except DeviceError:
        return min(folder.glob(f"{stem}-*.so"), default=folder / f"{stem}-none.so")
    return folder / f"{stem}-{compiler}.so"


def _digest(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode())
        digest.update(b"\0")
    return digest.hexdigest()


@contextlib.contextmanager
def _locked(library: Path) -> Iterator[None]:
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


def _compile(compiler: str, text: str, library: Path, problem: type[Exception]) -> None:
    # Processes of several machines may share the folder.
    part = library.with_suffix(f".{os.uname().nodename}.{os.getpid()}.part")
    unit = library.with_suffix(".cpp")
    name = library.stem.split("-")[0]
    command = [compiler, *FLAGS, f"-I{SITE_FOLDER}", str(unit), "-o", str(part)]
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


@functools.cache
def find_compiler() -> str:
    """The path of the C++ compiler: $CXX, else g++, c++ or clang++. DeviceError when there is none."""
    for name in (os.environ.get("CXX"), "g++", "c++", "clang++"):
        path = shutil.which(name) if name else None
        if path:
            return path
    raise DeviceError("no C++ compiler was found: install g++ (Debian: apt-get install g++) or set CXX")


@functools.cache
def _compiler_identity(compiler: str) -> str:
    path = Path(compiler).resolve()
    status = path.stat()
    return f"{path} {status.st_size} {status.st_mtime_ns}"


@functools.cache
def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return "\n".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}))


def _included(text: str) -> list[str]:
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
