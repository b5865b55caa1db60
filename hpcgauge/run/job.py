"""A whole job: the main chain, the chains beside it, the report."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from hpcgauge.comm.world import World
from hpcgauge.config import Run, changes_in_words, physics_differences, read, refuse_missing_start, resolved_yaml
from hpcgauge.errors import ConfigError
from hpcgauge.fields.field import Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.io.agreement import on_root
from hpcgauge.io.checkpoint import LATEST, newest_valid
from hpcgauge.io.durable import put_text
from hpcgauge.io.folder import RunFolder
from hpcgauge.kernels.backend import backend_of
from hpcgauge.report.page import write_page
from hpcgauge.report.progress import Progress
from hpcgauge.report.summary import summarise
from hpcgauge.run import build, stored
from hpcgauge.run.chain import ChainRun, phase_lengths
from hpcgauge.run.compilation import compile_kernels
from hpcgauge.run.controls import beside
from hpcgauge.run.stopping import Stopping

STOPPED = 75
CONTROL = "control/"


def run(configuration: Run, folder: Path, fresh: bool, console: Console, world: World) -> dict[str, Any]:
    """The results of a job, as `summary.json` has them. Goes on by itself where the folder holds checkpoints.

    ConfigError when the folder belongs to other physics or another run; SystemExit(75) when it was asked to stop.
    Collective.
    """
    on_root(world, lambda: _refuse_missing_start(configuration, folder))
    place = RunFolder(folder, world)
    with place:
        lattice = build.lattice_of(configuration, world)
        if fresh and newest_valid(place.checkpoints, world).path is not None:
            raise ConfigError(f"{folder} holds a checkpoint; --fresh wants a new folder (--out DIR)")
        on_root(world, lambda: _agree_with_folder(configuration, place))
        if _is_stopped(configuration, place, lattice, console):
            raise SystemExit(STOPPED)
        return on_root(world, lambda: _report(folder))


def _is_stopped(configuration: Run, place: RunFolder, lattice: Lattice, console: Console) -> bool:
    """Runs all chains; true if the job was stopped on its way. Collective."""
    chains = {"": configuration, **beside(configuration)}
    totals: dict[str, int] = {}
    for name, config in chains.items():
        totals |= phase_lengths(config, _label(name))
    world = lattice.world
    with Progress(world.rank == 0, totals, console) as progress, Stopping(world) as stopping:
        progress.note(_heading(lattice, place.path))
        compile_kernels(configuration, world, lattice.device.hardware.architecture, progress.note)
        for name, config in chains.items():
            chain = ChainRun(config, place.path / name, lattice, progress, _label(name))
            is_control = name.startswith(CONTROL)
            start = partial(_shared_start, configuration, place) if is_control else partial(build.links_of, config)
            done = chain.run(partial(start, lattice), stopping).state.trajectory
            if done < sum(phase_lengths(config).values()):
                progress.note(f"stopped after trajectory {done}; the same command goes on from there")
                return True
        progress.note(f"fields of one rank: {lattice.device.bytes_peak / 2**20:.3g} MiB at most")
    return False


def _refuse_missing_start(configuration: Run, folder: Path) -> None:
    """Nothing, if the first links can be had, or every chain that reads them goes on from a checkpoint. On rank 0."""
    is_shared = not configuration.chain.thermalise
    reading = [name for name in ("", *beside(configuration)) if is_shared or not name.startswith(CONTROL)]
    if not all((folder / name / "checkpoint" / LATEST).is_file() for name in reading):
        refuse_missing_start(configuration)


def _shared_start(configuration: Run, place: RunFolder, lattice: Lattice) -> Field:
    """The main chain's links after thermalisation. Collective."""
    if configuration.chain.thermalise:
        return stored.load_links(place.path / "thermalised.h5", lattice)
    return build.links_of(configuration, lattice)


def _label(name: str) -> str:
    return name.removeprefix(CONTROL)


def _heading(lattice: Lattice, folder: Path) -> str:
    extent = " x ".join(str(length) for length in lattice.extent)
    grid = " x ".join(str(parts) for parts in lattice.process_grid)
    ranks = f"{lattice.world.size} ranks ({grid})" if lattice.world.size > 1 else "1 rank"
    route = backend_of(lattice.device).route(lattice) if lattice.world.size > 1 else ""
    return (
        f"SU({lattice.colors}) on {extent}, {lattice.precision}, {ranks}, threads: {lattice.device.threads}, "
        f"device: {lattice.device.hardware.description}, "
        + (f"ghosts travel {route}, " if route else "")
        + f"folder: {folder}"
    )


def _agree_with_folder(configuration: Run, place: RunFolder) -> None:
    """Writes config.yaml; refuses a folder whose chain has begun with other physics. On rank 0."""
    if place.configuration.exists() and place.history.exists() and place.history.stat().st_size:
        before = read(place.configuration)
        changed = physics_differences(before, configuration)
        if changed:
            told = changes_in_words(changed, before, configuration)
            raise ConfigError(
                f"{place.path} was started with another {told}; give the old values, or another folder (--out DIR)"
            )
    put_text(place.configuration, resolved_yaml(configuration))


def _report(folder: Path) -> dict[str, Any]:
    results = summarise(folder)
    write_page(folder)
    return results
