"""The trained numbers of a guide in files: what a run leaves, and what a run starts from."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy

from hpcgauge._version import VERSION
from hpcgauge.action.action import Sum
from hpcgauge.comm.world import World
from hpcgauge.config import Run
from hpcgauge.config.schema import GuideSection
from hpcgauge.errors import ConfigError, FileFormatError, NewerFileError
from hpcgauge.fields.lattice import Lattice
from hpcgauge.io.agreement import on_root
from hpcgauge.io.network import NetworkFile, read_network, save_network
from hpcgauge.io.record import read_history
from hpcgauge.training.trainable import Trainable

NUMBERS = "numbers"
STARTED_FROM = "started_from"
# What makes the architecture of a term's network.
ARCHITECTURE = ("kind", "layers", "reach", "variant")


def save_guide(
    path: Path,
    run: Run,
    lattice: Lattice,
    trainable: Trainable,
    vector: numpy.ndarray,
    history: dict[str, numpy.ndarray],
) -> None:
    """Writes the trained numbers of a guide, by name, with the history of their training. Collective."""
    assert run.guide is not None
    networks = [term.network for term in run.guide.fermion if term.network is not None]
    described = NetworkFile(
        {NUMBERS: vector},
        variant=networks[0].variant if networks else "none",
        reach=(networks[0].reach or 1) if networks else 0,
        colors=lattice.colors,
        attributes={
            "names": trainable.names,
            "guide": run.guide.model_dump(mode="json"),
            "seed": run.chain.seed,
        },
        history=history,
        provenance=provenance(run, _ancestors(path.parent, lattice)),
    )
    save_network(path, lattice.world, described)


def provenance(run: Run, ancestors: list[dict[str, Any]]) -> dict[str, Any]:
    """Where trained numbers come from: programs, ensemble, configuration, and what they were started from."""
    fermion = run.action.fermion
    return {
        "versions": {"hpcgauge": VERSION, "numpy": numpy.__version__, "python": platform.python_version()},
        "ensemble": {
            "group": f"SU({run.lattice.colors})",
            "extent": list(run.lattice.extent),
            "beta": run.action.gauge.beta,
            "fermion": None if fermion is None else fermion.model_dump(mode="json"),
            "seed": run.chain.seed,
        },
        "configuration": run.model_dump(mode="json"),
        STARTED_FROM: ancestors,
    }


def live_history(path: Path, world: World) -> dict[str, numpy.ndarray]:
    """The loss of each step of live training, and its trajectory, out of a history. Collective."""
    lines = on_root(world, lambda: [line for line in read_history(path) if "loss" in line])
    return {
        "trajectory": numpy.array([line["trajectory"] for line in lines], dtype=numpy.int64),
        "loss": numpy.array([line["loss"] for line in lines], dtype=float),
    }


def kept(folder: Path) -> Path:
    """A chain's own copy of the network that it started from."""
    return folder / "start.h5"


def started(guide: Sum, run: Run, lattice: Lattice, folder: Path, say: Callable[[str], None]) -> Sum:
    """The guide with the numbers of the file `guide.start`; the guide itself without one. Collective.

    Of the weights, those that this run trains are taken. A chain that has begun goes on with its own copy of the file.
    """
    assert run.guide is not None
    if run.guide.start is None:
        return guide
    history, copy = folder / "history.jsonl", kept(folder)
    has_begun = on_root(lattice.world, lambda: history.is_file() and history.stat().st_size > 0)
    if has_begun and not on_root(lattice.world, copy.is_file):
        raise ConfigError(f"{copy}, the network that this chain started from, is gone; put it back, or start afresh")
    source = copy if has_begun else Path(run.guide.start)
    try:
        network = read_network(source, lattice.world, lattice.colors)
    except FileFormatError as error:
        if has_begun:
            raise
        remedy = "" if isinstance(error, NewerFileError) else "; give the network.h5 of a run"
        raise type(error)(f"guide.start = {run.guide.start}: {error}{remedy}") from error
    _refuse_other_architecture(network, run)
    if not has_begun:
        network = replace(network, provenance={**network.provenance, STARTED_FROM: _line(network, run)})
        save_network(copy, lattice.world, network)
        say(_said(network, run))
    chosen = Trainable(guide, "fermion" if run.guide.train_weights else "none")
    found = dict(zip(network.attributes["names"], network.parameters[NUMBERS].tolist(), strict=True))
    before = dict(zip(chosen.names, chosen.vector(guide).tolist(), strict=True))
    return chosen.guide_with(numpy.array([found.get(name, value) for name, value in before.items()]))


def _line(network: NetworkFile, run: Run) -> list[dict[str, Any]]:
    """The networks that this run's numbers come from, the oldest first."""
    assert run.guide is not None
    trained = network.provenance.get("ensemble")
    now = {"file": run.guide.start, "sha256": network.sha256, "trained_on": trained, "into": list(run.lattice.extent)}
    return [*_listed(network), now]


def _listed(network: NetworkFile) -> list[dict[str, Any]]:
    """The networks that a file says its numbers come from."""
    listed = network.provenance.get(STARTED_FROM)
    return listed if isinstance(listed, list) else []


def _ancestors(folder: Path, lattice: Lattice) -> list[dict[str, Any]]:
    """What a chain's own copy says of the networks that its numbers come from. Collective."""
    copy = kept(folder)
    if not on_root(lattice.world, copy.is_file):
        return []
    return _listed(read_network(copy, lattice.world, lattice.colors))


def _said(network: NetworkFile, run: Run) -> str:
    """The line that tells of the start."""
    assert run.guide is not None
    text = f"the guide starts from {run.guide.start} (SHA-256 {network.sha256[:12]})"
    return f"{text}, {network.trained_on(run.lattice.extent)}"


def _refuse_other_architecture(network: NetworkFile, run: Run) -> None:
    """Nothing, if the file's guide is built as this run's is."""
    assert run.guide is not None
    names, numbers = network.attributes.get("names"), network.parameters.get(NUMBERS)
    key = f"guide.start = {run.guide.start}"
    try:
        there = _architecture(GuideSection.model_validate_json(json.dumps(network.attributes.get("guide"))))
    except ValueError:
        names = None
    is_named = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if numbers is None or not is_named or numbers.dtype.kind != "f" or numbers.shape != (len(names or ()),):
        raise ConfigError(f"{key}: holds no trained guide; give the network.h5 of a run")
    here = _architecture(run.guide)
    different = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    if different:
        told = ", ".join(f"{name} is {there.get(name)} there and {here.get(name)} here" for name in different)
        raise ConfigError(
            f"{key}: the guide of that file is another one: {told}; change the guide, or give another file"
        )


def _architecture(guide: GuideSection) -> dict[str, Any]:
    """What must be equal for numbers to fit, by key."""
    found: dict[str, Any] = {"the number of guide.fermion": len(guide.fermion)}
    for number, term in enumerate(guide.fermion):
        for name in ARCHITECTURE if term.network is not None and term.network.kind == "cask" else ARCHITECTURE[:2]:
            found[f"guide.fermion.{number}.network.{name}"] = getattr(term.network, name, None)
    return found
