"""The translation unit of a kernel: its site function with a loop over blocks around it, for the C++ compiler."""

from __future__ import annotations

from dataclasses import dataclass

from hpcgauge.kernels.kernel import SITE_FOLDER, Argument, Kernel, Numbers

VIEW = {"matrix": "Matrices", "traceless": "TracelessMatrices", "vector": "Vectors", "real": "Reals", "any": "Reals"}


@dataclass(frozen=True)
class Target:
    """What a kernel is compiled for. `counts`: the elements of each field argument, in order."""

    dimensions: int
    colors: int
    precision: str
    lanes: int
    counts: tuple[int, ...]


def source(kernel: Kernel, target: Target) -> str:
    """The translation unit: definitions, the header, and a loop over blocks around the site function."""
    return f"""{definitions(kernel, target)}#include "call.h"
#include "lattice.h"
#include "sum.h"
#include "{header(kernel)}"
using namespace site;

// One thread's share of a part
static void share(const Call& call, const Part& part) {{
    const int* const* const tables = call.tables;
    const site::Lattice lattice_{{tables[0], tables[1], tables[2], tables[3], call.is_large != 0, call.is_large == 2}};
    {views(kernel, target)}
    {_sum_declaration(kernel)}
    #pragma omp for schedule(static) nowait
    for (long i = 0; i < part.n_blocks; ++i) {{
        const Site site_{{part.blocks[i], ONE_BLOCK, nullptr}};
        {site_call(kernel)}
        {_sum_addition(kernel)}
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


def definitions(kernel: Kernel, target: Target) -> str:
    """What the headers of kernels/site want to be defined."""
    vectors, lookup = kernel.offsets.vectors(target.dimensions), kernel.offsets.lookup(target.dimensions)
    d, width = target.dimensions, lookup.shape[2]
    entries = ",".join(str(entry) for entry in lookup.ravel())
    constants = "".join(f"static constexpr int {name} = {value};\n" for name, value in kernel.constants)
    return f"""#define {"HPC_DOUBLE" if target.precision == "double" else "HPC_SINGLE"} 1
#define LANES {target.lanes}
#define N_DIMENSIONS {d}
#define COLORS {target.colors}
#define N_OFFSETS {max(len(vectors), 1)}
#define OFFSET_REACH {kernel.offsets.reach}
static constexpr int PLACE[{d}][{d}][{width}][{width}] = {{{entries}}};
{constants}"""


def header(kernel: Kernel) -> str:
    """The kernel's header as a translation unit includes it."""
    return str(kernel.path) if kernel.path.parent != SITE_FOLDER else kernel.path.name


def views(kernel: Kernel, target: Target) -> str:
    """The fields and numbers of a `call` under the kernel's names for them."""
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


def site_call(kernel: Kernel) -> str:
    """The call of the site function for `site_`, its sums in `totals`, counted where `counted`."""
    names = ["lattice_", "site_", *(a.name for a in kernel.arguments if isinstance(a, Argument | Numbers))]
    if not kernel.n_sums:
        return f"{kernel.name}({', '.join(names)});"
    return (
        f"real totals[{kernel.n_sums}] = {{}};\n        {kernel.name}({', '.join(names)}, totals);\n"
        "        const mask counted = is_true_site(lattice_, site_);"
    )


def _sum_declaration(kernel: Kernel) -> str:
    return f"ExactSums<{kernel.n_sums}> partial;" if kernel.n_sums else ""


def _sum_addition(kernel: Kernel) -> str:
    return "partial.add(totals, counted);" if kernel.n_sums else ""


def _sum_merge(kernel: Kernel) -> str:
    if not kernel.n_sums:
        return ""
    return "#pragma omp critical\n    partial.merge_into((int64*)call.bins);"
