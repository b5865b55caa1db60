"""What a file or a run folder holds, without loading fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import yaml

from hpcgauge.comm.world import World
from hpcgauge.errors import FileFormatError
from hpcgauge.io import checkpoint, network, recorded
from hpcgauge.io.container import read_container
from hpcgauge.io.gaugefile import open_gauge_file
from hpcgauge.report.history import read_folder
from hpcgauge.report.page import about
from hpcgauge.report.summary import results_of

HDF5 = b"\x89HDF\r\n\x1a\n"
KINDS = (checkpoint.KIND, network.KIND, recorded.KIND)


def describe(path: str | Path) -> dict[str, Any]:
    """The facts of a run folder, a checkpoint, a network or a gauge file, by name; else a FileFormatError."""
    place = Path(path)
    if place.is_dir():
        return _run_folder(place)
    if place.is_file() and place.open("rb").read(len(HDF5)) == HDF5:
        return _container(place)
    return _gauge_file(place)


def _run_folder(path: Path) -> dict[str, Any]:
    run, stored = read_folder(path), path / "config.yaml"
    configuration = yaml.safe_load(stored.read_text(encoding="utf-8")) if stored.is_file() else {}
    phases = {name: len(run.main.phase(name)) for name in ("thermalise", "train", "produce")}
    newest = next(iter(checkpoint.numbered(path / "checkpoint").values()), None)
    facts: dict[str, Any] = {"kind": "run folder", "run": about(configuration), "trajectories": phases}
    facts |= {"controls": list(run.controls), "newest checkpoint": str(newest) if newest else None}
    return facts | {key: value for key, value in results_of(run).items() if isinstance(value, dict)}


def _container(path: Path) -> dict[str, Any]:
    problems = []
    for kind in KINDS:
        try:
            contents = read_container(path, World.alone(), kind, {})
        except FileFormatError as problem:
            problems.append(problem)
            continue
        arrays = {name: _plain(array) for name, array in contents.replicated.items()}
        return {"kind": kind, **dict(contents.attributes), **arrays}
    raise next((problem for problem in problems if ": holds " not in str(problem)), problems[-1])


def _plain(array: numpy.ndarray) -> Any:
    return array.tolist() if array.size <= 64 else f"array {array.shape} of {array.dtype}"


def _gauge_file(path: Path) -> dict[str, Any]:
    file = open_gauge_file(path)
    facts = {"kind": f"gauge file, {file.format}", "extent": file.extent, "colors": file.colors}
    facts |= {"precision": file.precision, "byte order": file.byte_order}
    return facts | dict(file.facts) | {name: f"{value:x}" for name, value in file.sums.items()}
