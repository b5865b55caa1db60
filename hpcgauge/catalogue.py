"""The catalogue: every kernel of the package, with the kinds of the fields it runs on. Tests and `compile` use it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module

from hpcgauge.fermion.descent import advance_kernel, difference_kernel, reduce_kernel
from hpcgauge.fermion.memory import overlaps_kernel, superposed_kernel
from hpcgauge.fermion.multishift import placed_kernel, shifted_difference_kernel
from hpcgauge.fermion.staggered import (
    gradient_kernel,
    hop_add_kernel,
    hop_kernel,
    hop_links_kernel,
    hop_links_kind,
    hop_rows_kind,
)
from hpcgauge.fermion.vectors import inner_all_kernel, inner_each_kernel
from hpcgauge.fields.field import MATRICES, ROTATION, Kind, vectors
from hpcgauge.fields.host import host_lanes
from hpcgauge.kernels import nvrtc
from hpcgauge.kernels.build import Target, build, is_built
from hpcgauge.kernels.cuda_source import LANES
from hpcgauge.kernels.kernel import Kernel
from hpcgauge.kernels.runtime import runtime
from hpcgauge.network.cask import VARIANTS
from hpcgauge.network.paths import path_kernels, path_numbers, slopes

# Where kernels are names of a module.
MODULES = (
    "kernels.algebra",
    "kernels.draws",
    "gauge.links",
    "gauge.plaquette",
    "gauge.stout",
    "sampler.hmc",
    "observables.loops",
)
# How the names of kernels on compressed links end
COMPRESSED = " (compressed)"
# Numbers are drawn in double precision, and rounded later.
DOUBLE_ONLY = ("random_group", "random_momenta", "random_vectors")
# What a solve in mixed precision runs in single.
IN_SINGLE_STEPS = ("zero", "staggered_hop", "staggered_hop_add", "advance", "reduce", "inner_each")
# Fields with one vector on a site instead of one for each right-hand side.
SINGLE_VECTORS = {
    "inner_all": ("y",),
    "shifted_difference": ("b",),
    "placed": ("x",),
    "overlaps": ("b",),
    "superposed": ("out",),
}
# Fields with one matrix on a site instead of one for each direction.
SINGLE_MATRICES = {
    "gauge_rotate": ("G",),
    "extend_line": ("longer", "line"),
    "line_trace": ("line",),
    "rectangle_trace": ("S", "far", "top", "T"),
}


@dataclass(frozen=True)
class Entry:
    """A kernel and the kind of each of its fields."""

    kernel: Kernel
    kinds: tuple[Kind, ...]

    def is_for(self, colors: int, precision: str) -> bool:
        """True if there is such a kernel for so many colors in a precision."""
        is_possible = precision == "double" or self.kernel.name not in DOUBLE_ONLY
        return is_possible and (colors == 3 or not _is_compressed(self.kernel))

    def target(self, dimensions: int, colors: int, precision: str) -> Target:
        """What it is compiled for on this machine."""
        counts = tuple(
            kind.components(dimensions, colors) if field.element == "any" else kind.elements(dimensions)
            for field, kind in zip(self.kernel.fields, self.kinds, strict=True)
        )
        return Target(dimensions, colors, precision, host_lanes() * (2 if precision == "single" else 1), counts)

    def cuda_target(self, dimensions: int, colors: int, precision: str) -> Target:
        """What it is compiled for on a GPU."""
        return replace(self.target(dimensions, colors, precision), lanes=LANES[precision])


def _is_compressed(kernel: Kernel) -> bool:
    """True if it is about links of SU(3) in two rows."""
    return any(field.name == "W" and field.element == "real" for field in kernel.fields)


def all_kernels(dimensions: int, reach: int, n_rhs: int) -> dict[str, Kernel]:
    """Every kernel by the name of its site function; those of the paper's variant of CASK end in " (paper)",
    those on compressed links in " (compressed)"."""
    found: dict[str, Kernel] = {}
    for module in MODULES:
        found |= {k.name: k for k in vars(import_module(f"hpcgauge.{module}")).values() if isinstance(k, Kernel)}
    made = (
        hop_links_kernel(dimensions, False),
        hop_links_kernel(dimensions, True),
        gradient_kernel(dimensions, n_rhs),
        inner_each_kernel(n_rhs),
        inner_all_kernel(n_rhs),
        advance_kernel(n_rhs),
        reduce_kernel(n_rhs),
        difference_kernel(n_rhs),
        shifted_difference_kernel(n_rhs),
        placed_kernel(n_rhs),
        overlaps_kernel(n_rhs),
        superposed_kernel(n_rhs),
    )
    found |= {kernel.name: kernel for kernel in made}
    for is_compressed, ending in ((False, ""), (True, COMPRESSED)):
        for kernel in (hop_kernel(is_compressed), hop_add_kernel(n_rhs, is_compressed)):
            found[kernel.name + ending] = kernel
    for variant in VARIANTS:
        for kernel in vars(path_kernels(reach, variant)).values():
            if kernel not in found.values():
                found[f"{kernel.name} ({variant})" if kernel.name in found else kernel.name] = kernel
    return found


def all_entries(dimensions: int, reach: int, n_rhs: int) -> dict[str, Entry]:
    """Every kernel with the kinds it runs on; where there are several, the name ends in " on " and the kind's name."""
    on_paths = path_numbers(dimensions, reach)
    usual = {"matrix": MATRICES, "vector": vectors(n_rhs), "real": on_paths, "any": MATRICES}
    special = {"slopes": slopes(dimensions)}
    found: dict[str, Entry] = {}
    for name, kernel in all_kernels(dimensions, reach, n_rhs).items():
        single = dict.fromkeys(SINGLE_MATRICES.get(kernel.name, ()), ROTATION)
        single |= dict.fromkeys(SINGLE_VECTORS.get(kernel.name, ()), vectors(1))
        if "hop" in kernel.name:
            single |= {"W": (hop_rows_kind if _is_compressed(kernel) else hop_links_kind)(dimensions)}
        kinds = [(special | single).get(field.name) or usual[field.element] for field in kernel.fields]
        found[name] = Entry(kernel, tuple(kinds))
        if kernel.name in ("random_group", "shifted"):
            found[f"{name} on {ROTATION.name}"] = Entry(kernel, (ROTATION,) * len(kinds))
        if any(field.element == "any" for field in kernel.fields):
            found[f"{name} on vectors"] = Entry(kernel, (vectors(n_rhs),) * len(kinds))
    return found


def is_compiled(kernel: Kernel, target: Target, architecture: str = "") -> bool:
    """True if the kernel is in the cache; `architecture`: of a card, empty for this processor."""
    return nvrtc.is_compiled(kernel, target, architecture) if architecture else is_built(kernel, target)


def compile_all(jobs: Iterable[tuple[Kernel, Target]], architecture: str = "", workers: int | None = None) -> int:
    """The number of different kernels, all compiled, with what runs them, for cards of an architecture (empty: for this
    processor); `workers` compilers at a time, by default one for each core."""
    if architecture:
        nvrtc.build_program(architecture)
    else:
        runtime()
    distinct = list(dict.fromkeys(jobs))

    def compile_one(job: tuple[Kernel, Target]) -> None:
        if architecture:
            nvrtc.build_cuda(*job, architecture)
        else:
            build(*job)

    with ThreadPoolExecutor(workers or len(os.sched_getaffinity(0))) as pool:
        list(pool.map(compile_one, distinct))
    return len(distinct)
