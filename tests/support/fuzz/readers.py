"""What every reader makes of a file: a fingerprint of what it found, or its refusal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy

from hpcgauge.comm.world import World
from hpcgauge.config import read
from hpcgauge.errors import ConfigError, FileFormatError
from hpcgauge.io.checkpoint import newest_valid, read_checkpoint
from hpcgauge.io.container import Contents
from hpcgauge.io.gauge.gaugefile import open_gauge_file
from hpcgauge.io.gauge.links import read_links
from hpcgauge.io.network import read_network
from hpcgauge.io.record import read_history
from hpcgauge.io.recorded import read_trajectory
from hpcgauge.report.info import describe
from tests.support.fuzz.corpus import GAUGE, TEXTS

ALONE = World.alone()
# The plaquette needs a lattice of even extents and kernels for the group: the checks of io/ alone are made here.
CHECKS = ("checksum", "link_trace")
NAMES = {
    "checkpoint": "000007.h5",
    "trajectory": "000003.h5",
    "history": "history.jsonl",
    "network": "network.h5",
    "configuration": "config.yaml",
}
REFUSALS = {"configuration": (ConfigError,)}


class WrongShape(Exception):
    """What was read is not what the file says that it is."""


def name_of(kind: str) -> str:
    """The name under which a file of this kind is looked for."""
    return NAMES.get(kind, "file")


def refusals(kind: str) -> tuple[type[Exception], ...]:
    """The errors with which a file of this kind may be refused."""
    return REFUSALS.get(kind, (FileFormatError,))


def found_in(kind: str, path: Path, extent: tuple[int, ...] | None, verify: bool) -> str:
    """The fingerprint of what stands in the file."""
    return READERS[kind](path, extent, verify)


def described(kind: str, path: Path) -> None:
    """Nothing, after `hpcgauge info` has said what it finds."""
    if kind == "configuration":
        (path.parent / NAMES["history"]).touch()
    json.dumps(describe(path.parent if kind in TEXTS else path), default=str)


def _gauge(path: Path, extent: tuple[int, ...] | None, verify: bool) -> str:
    file = open_gauge_file(path, extent)
    known, colors = file.complete()
    if verify:
        links = read_links(path, ALONE, extent, CHECKS).to_numpy()
    else:
        links = file.read_local((0, 0, 0, 0), known)
    if links.shape != (4, *reversed(known), colors, colors):
        raise WrongShape(f"{links.shape} on {known} of SU({colors})")
    return _fingerprint(links)


def _everything(name: str, shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(0, n) for n in shape)


def _contents(contents: Contents) -> str:
    """The fingerprint of arrays and attributes; each array has the shape that it is said to have."""
    for name, part in contents.arrays.items():
        if part.local.shape != part.global_shape:
            raise WrongShape(f"{name}: {part.local.shape} of {part.global_shape}")
    arrays = {name: part.local for name, part in contents.arrays.items()} | dict(contents.replicated)
    said = json.dumps(contents.attributes, sort_keys=True)
    return _fingerprint(*(arrays[name] for name in sorted(arrays))) + said + ",".join(sorted(arrays))


def _checkpoint(path: Path, extent: tuple[int, ...] | None, verify: bool) -> str:
    newest = newest_valid(path.parent, ALONE)
    if newest.path is None:
        raise FileFormatError(newest.messages[0])
    return _contents(read_checkpoint(path, ALONE, _everything))


def _network(path: Path, extent: tuple[int, ...] | None, verify: bool) -> str:
    network = read_network(path, ALONE, 2)
    said = [network.variant, network.reach, network.colors, network.attributes]
    return _fingerprint(*network.parameters.values()) + json.dumps(said)


def _trajectory(path: Path, extent: tuple[int, ...] | None, verify: bool) -> str:
    return _contents(read_trajectory(path.parent, 3, ALONE, _everything))


def _history(path: Path, extent: tuple[int, ...] | None, verify: bool) -> str:
    records = read_history(path)
    if not all(isinstance(record, dict) for record in records):
        raise WrongShape("a record that is no mapping")
    return json.dumps(records)


def _configuration(path: Path, extent: tuple[int, ...] | None, verify: bool) -> str:
    return str(read(path))


def _fingerprint(*arrays: Any) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.shape}{array.dtype}".encode() + numpy.ascontiguousarray(array).tobytes())
    return found.hexdigest()


READERS: dict[str, Callable[[Path, tuple[int, ...] | None, bool], str]] = {
    **dict.fromkeys(GAUGE, _gauge),
    "checkpoint": _checkpoint,
    "network": _network,
    "trajectory": _trajectory,
    "history": _history,
    "configuration": _configuration,
}
