"""The whole files that are damaged: real ones of other codes, and every kind that hpcgauge writes."""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy

from hpcgauge.comm.world import World
from hpcgauge.config import resolved_yaml
from hpcgauge.fields.device import Device
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import Links
from hpcgauge.io.checkpoint import write_checkpoint
from hpcgauge.io.container import Contents
from hpcgauge.io.distributed import Distributed
from hpcgauge.io.gauge.header import ByteOrder, Precision
from hpcgauge.io.gauge.links import write_links
from hpcgauge.io.network import NetworkFile, save_network
from hpcgauge.io.recorded import record_trajectory
from tests.support.fuzz.sealed import unsealed
from tests.support.gaugefiles import DATA, FIELD, FORMAT, PRIVATE, SMALL, lime, nersc, numbers, openqcd, random_links
from tests.support.gaugeoracles import scidac
from tests.support.jobs import described
from tests.support.ranks import ROOT

GAUGE = ("nersc", "lime", "milc", "openqcd", "hirep", "hdf5")
CONTAINERS = ("checkpoint", "network", "trajectory")
TEXTS = ("history", "configuration")
KINDS = (*GAUGE, *CONTAINERS, *TEXTS)
LINES = 12
FIRST_SCHEMA = "schema 1"


@dataclass(frozen=True)
class Whole:
    """A whole file: its kind, a name, its bytes, and the extents if the reader must be told them."""

    kind: str
    name: str
    content: bytes
    extent: tuple[int, ...] | None = None


def real_folder() -> Path:
    """The folder of real gauge files; it need not be there."""
    return Path(os.environ.get("HPCGAUGE_CONFIGURATIONS", ROOT.parent / "shared" / "configurations"))


def corpus() -> dict[str, list[Whole]]:
    """The whole files by kind, always in the same order."""
    found: dict[str, list[Whole]] = {kind: [] for kind in KINDS}
    for whole in (*_real(), *_gauge(), *_containers(), *_texts()):
        found[whole.kind].append(whole)
    return found


def _real() -> list[Whole]:
    """The files of other codes."""
    folder, found = real_folder(), []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        content = path.read_bytes()
        if content.startswith(b"BEGIN_HEADER"):
            kind = "nersc"
        elif content.startswith(bytes.fromhex("456789ab")):
            kind = "lime"
        elif path.name.startswith("milc"):
            kind = "milc"
        elif path.name.startswith("openqcd"):
            kind = "openqcd"
        else:
            continue
        found.append(Whole(kind, path.name, content, (4, 4, 4, 4) if path.name.startswith("su2") else None))
    return found


def _gauge() -> list[Whole]:
    """Small files: those that hpcgauge writes, and what others have written differently."""
    found = [_written(form, *more) for form, *more in WRITTEN]
    found += [
        Whole("nersc", f"{rows} rows, {order}", nersc(random_links(3), rows, order, real))
        for rows, order, real in ((3, "IEEE32", "<f4"), (2, None, ">f4"))
    ]
    described = ("ildg-format", FORMAT)
    private = (("scidac-private-file-xml", b"<dims>2 4 2 6 </dims>\0"), ("scidac-private-record-xml", PRIVATE))
    first_version = tuple((name, b"<multifile>1</multifile><globaldata>0</globaldata>" + xml) for name, xml in private)
    checksum = "<suma>{:x}</suma><sumb>{:x}</sumb>".format(*scidac(DATA, prod(SMALL))).encode()
    open_in_time = random_links(3)
    open_in_time[3, -1] = 0
    return [
        *found,
        Whole("openqcd", "open in time", openqcd(open_in_time)),
        Whole("lime", "ildg", lime(described, FIELD)),
        Whole("lime", "ildg and scidac", lime(*private, described, FIELD, ("scidac-checksum", checksum))),
        Whole("lime", "scidac", lime(*private, ("scidac-binary-data", DATA))),
        Whole("lime", "scidac, version 1.0", lime(*first_version, ("scidac-binary-data", DATA))),
        Whole("lime", "only data", lime(FIELD), SMALL),
        Whole("lime", "only data, single", lime(("ildg-binary-data", numbers(random_links(2), 2, ">f4"))), SMALL),
    ]


# Format, colours, precision and byte order; the kind of file is that of the format.
WRITTEN: tuple[tuple[str, int, Precision, ByteOrder | None], ...] = (
    ("nersc", 3, "double", "big"),
    ("nersc", 3, "single", "little"),
    ("nersc", 2, "double", "little"),
    ("nersc", 4, "single", "big"),
    ("nersc-2x3", 3, "single", "big"),
    ("ildg", 3, "double", None),
    ("ildg", 2, "single", None),
    ("milc", 3, "single", "little"),
    ("milc", 3, "single", "big"),
    ("openqcd", 3, "double", None),
    ("hirep", 2, "double", None),
    ("hirep", 3, "double", None),
    ("hirep-quaternions", 2, "double", None),
    ("hdf5", 2, "double", None),
    ("hdf5", 3, "single", None),
)


def _written(form: str, colors: int, precision: Precision, byte_order: ByteOrder | None) -> Whole:
    """A file that hpcgauge has written."""
    lattice = Lattice(SMALL, colors, World.alone(), Device("cpu", threads=1))
    U = Links.from_numpy(lattice, random_links(colors))
    kind = {"ildg": "lime"}.get(form, form.partition("-")[0])
    with tempfile.TemporaryDirectory() as name:
        path = write_links(U, Path(name, "links"), form, precision, byte_order)
        # The same at any time of the day.
        content = re.sub(rb"_DATE = .{28}", b"_DATE = Thu Jan 01 00:00:00 1970 UTC", path.read_bytes())
        if form == "milc":
            content = content[:20] + b"Thu Jan  1 00:00:00 1970".ljust(64, b"\0") + content[84:]
        return Whole(kind, f"{form}, SU({colors}), {precision}, {byte_order}", content)


def _containers() -> list[Whole]:
    """A checkpoint of a training chain, a network and a recorded trajectory."""
    alone, random = World.alone(), numpy.random.default_rng(1)
    links = random.normal(size=(4, 2, 2, 2, 2, 2, 2)) + 0j
    field = random.normal(size=(1, 2, 2, 2, 2, 2)) + 0j
    spread = {name: Distributed(array.shape, (0,) * array.ndim, array) for name, array in (("a", links), ("b", field))}
    learned = {"vector": random.normal(size=5), "memory.first": random.normal(size=5), "memory.updates": numpy.array(3)}
    attributes = {"trajectory": 7, "seed": 1, "history": [120, "0" * 64]}
    network = NetworkFile(
        {"numbers": random.normal(size=5)},
        "ordered",
        3,
        2,
        {"names": list("abcde"), "seed": 1},
        {"loss": field.real.ravel()},
    )
    energies = {"S_0": 1.0, "S_tau": 2.0, "dH": 1.0, "dH_guide": 0.5, "terms": 1}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        state = write_checkpoint(folder, 7, alone, Contents({"links": spread["a"]}, learned, attributes))
        save_network(folder / "network.h5", alone, network)
        arrays = {"start": spread["a"], "end": spread["a"], "field.0": spread["b"]}
        moved = record_trajectory(folder / "moved", 3, alone, arrays, energies)
        paths = {"checkpoint": state, "network": folder / "network.h5", "trajectory": moved}
        found = [Whole(kind, kind, path.read_bytes()) for kind, path in paths.items()]
    return found + [Whole(whole.kind, FIRST_SCHEMA, unsealed(whole.content)) for whole in found]


def _texts() -> list[Whole]:
    """A history and a configuration."""
    lines = [
        {"trajectory": n, "phase": "produce", "accepted": n % 3 > 0, "dH": 0.1 * n, "plaquette": 0.6, "seconds": 0.01}
        for n in range(1, LINES + 1)
    ]
    history = "".join(json.dumps(line) + "\n" for line in lines)
    return [
        Whole("history", "history.jsonl", history.encode()),
        Whole("configuration", "config.yaml", resolved_yaml(described()).encode()),
    ]
