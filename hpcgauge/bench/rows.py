"""`hpcgauge bench`: what is asked for, checked; rows for one kernel or all; the table."""

from __future__ import annotations

import difflib
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.table import Table

from hpcgauge._version import VERSION
from hpcgauge.bench import card
from hpcgauge.bench.case import entries
from hpcgauge.bench.count import prepare
from hpcgauge.bench.measure import measure
from hpcgauge.comm.world import World
from hpcgauge.errors import ConfigError
from hpcgauge.fields.card import Card
from hpcgauge.fields.host import cache_size
from hpcgauge.fields.lattice import PRECISIONS, Lattice

MOST_COLORS = 8
DEVICES = ("cpu", "cuda")
TABLE_WIDTH = 132
COLUMNS = {
    "kernel": "kernel",
    "seconds": "time, us",
    "seconds_min": "least",
    "gflops": "GFLOP/s",
    "gbytes_per_s": "GB/s",
    "stream_gbytes_per_s": "stream",
    "copy_gbytes_per_s": "copy",
    "triad_gbytes_per_s": "triad",
    "fma_gflops": "fma",
    "limited_by": "limit",
    "fraction_of_limit": "fraction",
}


def parse_extent(text: str) -> tuple[int, ...]:
    """The extents in "16,16,16,16"; ConfigError when they are not 2 to 4 even numbers."""
    parts = text.split(",")
    extent = tuple(int(part) for part in parts if part.strip().isdigit())
    if len(extent) != len(parts) or not 2 <= len(extent) <= 4 or any(n < 2 or n % 2 for n in extent):
        raise ConfigError(f"--extent {text!r} is not 2 to 4 even numbers, such as 16,16,16,16")
    return extent


def bench(
    world: World,
    kernel: str | None,
    extent: tuple[int, ...],
    colors: int,
    precision: str,
    report: Callable[[str], None],
    device: str = "cpu",
) -> dict[str, Any]:
    """The machine in words, and a row for the kernel, or for all of the catalogue that exist in the precision.

    `report` is told what is being done. ConfigError for what is not possible, DeviceError when the device cannot be
    used. Collective.
    """
    check_numbers(colors, precision)
    if device not in DEVICES:
        raise ConfigError(f"--device {device!r} is not known; {' and '.join(DEVICES)} are possible")
    names = _chosen(kernel, len(extent), colors, precision)
    lattice = Lattice(extent, colors, world, device, precision)
    is_on_card = isinstance(lattice.device.hardware, Card)
    report("compiling")
    prepare(world, names, len(extent), colors, precision)
    limits = card.Limits(lattice.device) if is_on_card else None
    rows = []
    for name in names:
        report(name)
        rows.append(measure(name, lattice) if limits is None else card.measure(name, lattice, limits))
    return {"machine": card.machine(lattice) if is_on_card else machine(lattice), "rows": rows}


def check_numbers(colors: int, precision: str) -> None:
    """Nothing; ConfigError when there is no such group or precision."""
    if precision not in PRECISIONS:
        raise ConfigError(f"--precision {precision!r} is not known; {' and '.join(PRECISIONS)} are possible")
    if not 2 <= colors <= MOST_COLORS:
        raise ConfigError(f"--colors {colors} must be 2 to {MOST_COLORS}")


def _chosen(kernel: str | None, dimensions: int, colors: int, precision: str) -> list[str]:
    """The names of the kernels to be measured."""
    known = entries(dimensions, 1)
    possible = [name for name, entry in known.items() if entry.is_for(colors, precision)]
    if kernel is None:
        return possible
    if kernel not in known:
        near = difflib.get_close_matches(kernel, known, n=3, cutoff=0.4) or list(known)[:3]
        raise ConfigError(f"--kernel {kernel!r} is not in the catalogue; near it are {', '.join(near)}")
    if kernel not in possible:
        right = next(c for c in (colors, 3) if known[kernel].is_for(c, "double"))
        raise ConfigError(f"--kernel {kernel} is not for these; --colors {right} --precision double will do")
    return [kernel]


def machine(lattice: Lattice) -> dict[str, Any]:
    """What the rows were measured with."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {
        "hpcgauge": VERSION,
        "processor": model,
        "doubles_per_register": lattice.device.lanes,
        "private_cache": cache_size(2),
        "last_cache": cache_size(3),
        "ranks": lattice.world.size,
        "process_grid": list(lattice.process_grid),
        "threads": lattice.device.threads,
    }


def table(found: dict[str, Any]) -> Table:
    """The rows for reading."""
    first, used = found["rows"][0], found["machine"]
    extent = "x".join(str(length) for length in first["extent"])
    title = f"SU({first['colors']}), {extent}, {first['precision']}; ranks {used['ranks']}"
    where = used["card"] if "card" in used else f"threads {used['threads']}; {used['processor']}"
    shown = Table(title=f"{title}; {where}")
    columns = {key: title for key, title in COLUMNS.items() if key in first}
    for title in columns.values():
        shown.add_column(title, justify="left" if title in ("kernel", "limit") else "right")
    for row in found["rows"]:
        shown.add_row(*(_in_words(key, row[key]) for key in columns))
    return shown


def _in_words(key: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value * 1e6:.1f}" if key.startswith("seconds") else f"{value:.{2 if key.startswith('fraction') else 1}f}"
