"""What a file or a run folder holds, without loading fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy

from hpcgauge.comm.world import World
from hpcgauge.errors import FileFormatError
from hpcgauge.io import checkpoint, network
from hpcgauge.io.agreement import on_root
from hpcgauge.io.container import checksums, read_container, table_of
from hpcgauge.io.gauge import hdf5links
from hpcgauge.io.seal import Entry
from hpcgauge.report.gauge_info import KINDS, describe_gauge_file
from hpcgauge.report.history import read_folder
from hpcgauge.report.page import about_run
from hpcgauge.report.summary import labels, results_of
from hpcgauge.report.summary import shown as shown_pair

RUN_FOLDER = "run folder"
HDF5 = b"\x89HDF\r\n\x1a\n"


def describe(path: str | Path, world: World | None = None, extent: tuple[int, ...] | None = None) -> dict[str, Any]:
    """The facts of a run folder, a checkpoint, a network or a gauge file, by name; else a FileFormatError. Collective.

    `extent` (x, y, z, t) is needed where a gauge file does not say it.
    """
    here, place = World.alone() if world is None else world, Path(path)
    facts: dict[str, Any] | None = on_root(here, lambda: _facts(place))
    return describe_gauge_file(place, here, extent) if facts is None else facts


def is_gauge_file(facts: dict[str, Any]) -> bool:
    """True if these are facts of a gauge file."""
    return str(facts.get("kind")).startswith("gauge file")


def in_words(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts as they are printed: results by their labels, trained numbers by their names, without what is long."""
    named = labels(facts) if facts.get("kind") == RUN_FOLDER else {}
    pairs = {label: shown_pair(facts[name]) for name, label in named.items() if set(facts[name]) == {"value", "error"}}
    shown = {named.get(name, name): value for name, value in facts.items() if value is not None} | pairs
    if facts.get("kind") == network.KIND:
        for name, is_long in (("attributes", "names"), ("provenance", "configuration")):
            if isinstance(facts.get(name), dict):
                shown[name] = {key: value for key, value in facts[name].items() if key != is_long}
        attributes, numbers = facts.get("attributes"), facts.get("numbers")
        names = attributes.get("names") if isinstance(attributes, dict) else None
        if isinstance(names, list) and isinstance(numbers, list) and len(names) == len(numbers):
            if all(isinstance(name, str) for name in names):
                shown["numbers"] = dict(zip(names, numbers, strict=True))
    return shown


def _facts(place: Path) -> dict[str, Any] | None:
    """The facts of anything but a gauge file."""
    if place.is_dir():
        return _run_folder(place)
    if place.is_file() and place.open("rb").read(len(HDF5)) == HDF5:
        kind = table_of(place).kind
        return None if kind == hdf5links.KIND else _container(place, kind)
    return None


def _run_folder(path: Path) -> dict[str, Any]:
    run = read_folder(path)
    phases = {name: len(run.main.phase(name)) for name in ("thermalise", "train", "produce")}
    newest = next(iter(checkpoint.numbered(path / "checkpoint").values()), None)
    facts: dict[str, Any] = {"kind": RUN_FOLDER, "run": about_run(path), "trajectories": phases}
    facts |= {"controls": list(run.controls), "newest checkpoint": str(newest) if newest else None}
    return facts | {key: value for key, value in results_of(run).items() if isinstance(value, dict)}


def _container(path: Path, kind: str) -> dict[str, Any]:
    if kind not in KINDS:
        raise FileFormatError(f"{path}: holds {kind[:40]!r}, which is nothing of hpcgauge; give another file")
    contents = read_container(path, World.alone(), kind, {})
    replicated = {name: _plain(array) for name, array in contents.replicated.items()}
    sums = checksums(path, World.alone(), kind)
    stored = {name: _stored(entry, computed) for name, (entry, computed) in sums.items()}
    is_right = all(entry.checksum == computed for entry, computed in sums.values())
    verdict = {"verdict": "right" if is_right else "damaged: use an older file"}
    facts = {"kind": kind, **dict(contents.attributes), **replicated, **stored, **verdict}
    return facts | {"kind": kind}  # whatever the file's own words say


def _stored(entry: Entry, computed: int) -> dict[str, Any]:
    """A distributed array: its form, its stored checksum, that of its numbers, and whether they are the same."""
    right = entry.checksum == computed
    form = {"shape": list(entry.shape), "type": entry.dtype.name}
    return {**form, "stored": f"{entry.checksum:016x}", "computed": f"{computed:016x}", "right": right}


def _plain(array: numpy.ndarray) -> Any:
    return array.tolist() if array.size <= 64 else f"array {array.shape} of {array.dtype}"
