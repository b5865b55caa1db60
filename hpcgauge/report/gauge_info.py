"""What a gauge file says of itself, and what its numbers say to that."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from hpcgauge.comm.world import World
from hpcgauge.errors import FileFormatError
from hpcgauge.io import checkpoint, network, recorded
from hpcgauge.io.agreement import on_root
from hpcgauge.io.container import verify_container
from hpcgauge.io.gauge.checksums import DIGITS
from hpcgauge.io.gauge.gaugefile import CHECKS, GaugeFile, open_gauge_file
from hpcgauge.io.gauge.hdf5links import kind_of
from hpcgauge.io.gauge.header import format_extent
from hpcgauge.io.gauge.sweep import Measurement, measure, verify

KINDS = (checkpoint.KIND, network.KIND, recorded.KIND)
NORMALISATION = {"plaquette": "Re tr P / N, mean over sites and planes", "link_trace": "Re tr U / N, mean over links"}


def describe_gauge_file(path: Path, world: World, extent: tuple[int, ...] | None = None) -> dict[str, Any]:
    """The facts of a gauge file by name; everything it stores about its numbers has a verdict. Collective."""
    file = on_root(world, lambda: open_gauge_file(path, extent))
    facts = header_facts(file)
    if file.extent is None:
        return facts | {"lattice": "not in the file: give it with --extent X,Y,Z,T"}
    found = measure(world, file)
    facts |= {name: _sum(name, file.sums[name], found.found.sums[name]) for name in file.sums}
    measured = {"plaquette": found.plaquette, "link_trace": found.link_trace}
    facts |= {name: _mean(file, name, value) for name, value in measured.items()}
    facts["off group"] = found.found.off_group if math.isfinite(found.found.off_group) else None
    told = {name: value for name, value in file.facts.items() if name not in measured}
    return facts | told | {"verdict": _verdict(file, found) or "right"}


def header_facts(file: GaugeFile) -> dict[str, Any]:
    """What the header says about the form of the numbers."""
    facts: dict[str, Any] = {"kind": f"gauge file, {file.format}", "extent": file.extent}
    facts |= {"group": f"SU({file.colors})" if file.colors else None}
    facts["precision"] = file.precision if file.colors else None
    facts["byte order"] = file.byte_order
    if file.header.is_quaternion:
        facts["matrices"] = "quaternions"
    elif file.colors is not None and file.header.rows not in (None, file.colors):
        facts["matrices"] = f"{file.header.rows} rows of {file.colors}"
    return facts


def _sum(name: str, stored: int, computed: int) -> dict[str, Any]:
    """A stored checksum, that of the numbers, and whether they are the same."""
    digits = DIGITS.get(name, 8)
    return {"stored": f"{stored:0{digits}x}", "computed": f"{computed:0{digits}x}", "right": stored == computed}


def _mean(file: GaugeFile, name: str, measured: float) -> dict[str, Any]:
    """A mean of traces as it is measured, and, where it is stored, whether that is right."""
    value = {"measured": measured if math.isfinite(measured) else None, "normalisation": NORMALISATION[name]}
    if name not in file.facts:
        return value
    try:
        file.verify_fact(name, measured)
    except FileFormatError:
        return {"stored": file.facts[name], **value, "right": False}
    return {"stored": file.facts[name], **value, "right": True}


def _verdict(file: GaugeFile, found: Measurement) -> str | None:
    """What is wrong with the file, None if nothing is."""
    try:
        verify(file, found, CHECKS)
    except FileFormatError as error:
        return str(error)
    return None


def in_words(facts: dict[str, Any]) -> dict[str, str]:
    """The facts as lines of text."""
    return {name: _words(value) for name, value in facts.items() if value not in (None, "")}


def _words(value: Any) -> str:
    if isinstance(value, tuple | list):
        return format_extent(tuple(value))
    if not isinstance(value, dict):
        return f"{value:.3g}" if isinstance(value, float) else str(value)
    if "computed" in value:
        return f"{value['stored']}, " + ("right" if value["right"] else f"WRONG: data give {value['computed']}")
    stored, measured = value.get("stored"), value["measured"]
    text = f"{'no number' if measured is None else format(measured, '.12f')} ({value['normalisation']})"
    if stored is None:
        return text
    return f"{text}; stored {stored:.12g}, {'right' if value['right'] else 'WRONG'}"


def check_file(path: Path, world: World, extent: tuple[int, ...] | None = None) -> dict[str, Any]:
    """The name of a file, whether everything it stores about its numbers is right, and what is wrong. Collective."""
    try:
        kind = on_root(world, lambda: kind_of(path))
        if kind in KINDS:
            verify_container(path, world, kind)
            return {"file": str(path), "right": True, "kind": kind, "checked": ["all datasets"]}
        file = on_root(world, lambda: open_gauge_file(path, extent))
        verify(file, measure(world, file), CHECKS)
    except (FileFormatError, OSError) as error:
        return {"file": str(path), "right": False, "message": str(error)}
    checked = [*file.sums, *(name for name in NORMALISATION if name in file.facts), "group"]
    return {"file": str(path), "right": True, **header_facts(file), "checked": checked}


def line(result: dict[str, Any]) -> str:
    """What check_file found, as one line."""
    if not result["right"]:
        name = result["file"]
        return f"{name}: WRONG: {result['message'].removeprefix(f'{name}: ')}"
    form = result["kind"]
    if "extent" in result:
        form += f", {format_extent(result['extent'])}, {result['group']}, {result['precision']}"
    return f"{result['file']}: right ({form}; {', '.join(result['checked'])})"
