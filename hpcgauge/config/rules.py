"""Rules between keys. Each refusal names the key, its value, and what would be right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hpcgauge.config.defaults import SINGLE_TOLERANCE

if TYPE_CHECKING:
    from hpcgauge.config.schema import NetworkSection, Run

CONTROL_NAMES = ("nothing", "weight", "stout", "network_alone")
COLUMNS = {"cask": 4, "covnet": 1}


def check(run: Run) -> None:
    """Nothing. Raises ValueError with the first rule that is broken."""
    for rule in (_lattice, _solver, _fermion, _guide, _integrator, _training, _control, _measure):
        for complaint in rule(run):
            raise ValueError(complaint)


def _lattice(run: Run) -> Iterator[str]:
    lattice = run.lattice
    for i, extent in enumerate(lattice.extent):
        if extent % 2:
            yield f"lattice.extent.{i} = {extent} is odd; extents are even, e.g. {max(2, extent - 1)} or {extent + 1}"
    grid, n = lattice.process_grid, len(lattice.extent)
    if grid != "auto" and len(grid) != n:
        yield f"lattice.process_grid = {list(grid)} has {len(grid)} numbers; the lattice has {n} directions"


def _solver(run: Run) -> Iterator[str]:
    for name in ("tolerance", "force_tolerance"):
        value = getattr(run.solver, name)
        if run.lattice.precision == "single" and value < SINGLE_TOLERANCE:
            yield f"solver.{name} = {value:g} is out of reach in single precision; {SINGLE_TOLERANCE:g} is right"
    own, chosen = run.lattice.precision, run.solver.precision
    right = ("double", "mixed") if own == "double" else ("single",)
    if chosen not in right:
        yield f"solver.precision = {chosen} with lattice.precision = {own}; {' or '.join(right)} is right"


def _fermion(run: Run) -> Iterator[str]:
    fermion, n = run.action.fermion, len(run.lattice.extent)
    if fermion is not None and len(fermion.boundary) != n:
        signs = list(fermion.boundary)
        right = [1] * (n - 1) + [-1]
        yield f"action.fermion.boundary = {signs} has {len(signs)} signs; the lattice has {n} directions, e.g. {right}"


def _guide(run: Run) -> Iterator[str]:
    if run.guide is None:
        return
    if run.guide.fermion and run.action.fermion is None:
        yield "guide.fermion has terms but action.fermion = null; a quenched target needs guide.fermion = []"
    for i, term in enumerate(run.guide.fermion):
        if term.network is not None:
            yield from _network(f"guide.fermion.{i}.network", term.network, run.guide.start is not None)
    if run.guide.start is not None and not _is_trainable(run):
        yield f"guide.start = {run.guide.start}: the guide has no network and no trained weight to start; leave it out"


def _network(key: str, network: NetworkSection, is_started: bool = False) -> Iterator[str]:
    kind, rows, columns = network.kind, network.parameters, COLUMNS[network.kind]
    if kind == "cask" and network.reach is None:
        yield f"{key}.reach is missing; kind: cask needs the length of its longest staple, e.g. 3"
    if kind == "covnet" and network.reach is not None:
        yield f"{key}.reach = {network.reach} means nothing for kind: covnet; leave it out or set it to null"
    if (rows is None) == (network.start_scale is None) and not (is_started and rows is None):
        found = "neither" if rows is None else "both"
        yield f"{key}: one of start_scale and parameters is needed, found {found}"
    if rows is None:
        return
    if len(rows) not in (1, network.layers):
        yield f"{key}.parameters has {len(rows)} lists; layers = {network.layers} needs {network.layers}, or 1 for all"
    for layer, row in enumerate(rows):
        if len(row) != columns:
            yield f"{key}.parameters.{layer} = {list(row)} has {len(row)} numbers; kind: {kind} needs {columns}"


def _integrator(run: Run) -> Iterator[str]:
    steps = run.integrator.gauge_steps
    if steps is not None and run.action.fermion is None:
        yield f"integrator.gauge_steps = {steps} needs fermions; without them it must be null"


def _training(run: Run) -> Iterator[str]:
    training, n = run.training, run.chain.train
    if n and run.guide is None:
        yield f"chain.train = {n} but guide = null: plain HMC has nothing to train; set chain.train = 0"
    if n and training is None:
        yield f"chain.train = {n} needs the section training (loss, optimiser, rate)"
    if n and run.guide is not None and not _is_trainable(run):
        yield f"chain.train = {n} but the guide has no network and no trained weight; set chain.train = 0"
    if training is None:
        return
    if training.source == "recorded" and training.recorded is None:
        yield "training.recorded is missing; training.source = recorded needs it (epochs, trajectories)"
    if training.optimiser == "lbfgs" and training.source != "recorded":
        yield "training.optimiser = lbfgs needs training.source = recorded; live training takes adam or sgd"


def _is_trainable(run: Run) -> bool:
    guide = run.guide
    return guide is not None and any(guide.train_weights or term.network is not None for term in guide.fermion)


def _control(run: Run) -> Iterator[str]:
    control, guide = run.control, run.guide
    if control is None:
        return
    names = list(control.which)
    if len(set(names)) != len(names):
        yield f"control.which = {names} names a control twice"
    for name, network in control.networks.items():
        if not re.fullmatch("[a-z][a-z0-9_]*", name):
            yield f"control.networks.{name}: a name of small letters, digits and _ is right"
        if name in CONTROL_NAMES:
            yield f"control.networks.{name} has the name of a control; another name is needed"
        yield from _network(f"control.networks.{name}", network)
    if guide is None or not guide.fermion:
        yield f"control.which = {names} needs a guide with a fermion term; without one set control = none"
    elif "network_alone" in names and all(term.network is None for term in guide.fermion):
        yield f"control.which = {names}: network_alone needs a network in guide.fermion"
    if control.train and run.training is None and names != ["nothing"]:
        yield f"control.train = {control.train} needs the section training (loss, optimiser, rate)"


def _measure(run: Run) -> Iterator[str]:
    if run.measure.condensate is not None and run.action.fermion is None:
        yield "measure.condensate needs the mass of action.fermion; without fermions it must be null"
