"""From a Kernel to a function: the printed translation unit and its library in the cache.

A library is cached by its content: source, headers, flags and processor, and by its compiler. Where there is no
compiler, the library of any compiler is taken. One process compiles a key while others wait for it, so many may start
at once.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcgauge.errors import DeviceError
from hpcgauge.kernels.compiler import (
    FLAGS,
    cache_folder,
    digest,
    find_compiler,
    identity,
    locked,
    prepared,
    processor,
    unfinished,
)
from hpcgauge.kernels.kernel import SITE_FOLDER, Argument, Kernel, Numbers

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
    const int* const* const tables = call.tables;
    const site::Lattice lattice_{{tables[0], tables[1], tables[2], tables[3], call.is_large != 0, call.is_large == 2}};
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
        "        partial.add(totals, is_true_site(lattice_, site_));"
    )


def _sum_declaration(kernel: Kernel) -> str:
    return f"ExactSums<{kernel.n_sums}> partial;" if kernel.n_sums else ""


def _sum_merge(kernel: Kernel) -> str:
    if not kernel.n_sums:
        return ""
    return "#pragma omp critical\n    partial.merge_into((int64*)call.bins);"


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
    stem = f"{name}-{digest((text, *_included(text), ' '.join(FLAGS), processor()))[:32]}"
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
