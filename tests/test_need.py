"""The memory that a run is said to need, beside what runs on the CPU took; a card with less refuses before the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpcgauge.action import action
from hpcgauge.comm.world import World
from hpcgauge.errors import DeviceError
from hpcgauge.fields.lattice import Lattice
from hpcgauge.run import build, need
from tests.support.emulated import Settings, install, remove
from tests.support.jobs import PLAIN, described, run_here
from tests.support.ranks import agree

WITHIN = 0.2
SHORT = (
    *("chain.thermalise=0", "chain.train=0", "chain.produce=2", "integrator.steps=2", "control=none"),
    *("lattice.threads=1", "action.fermion.mass=1.0", "guide.fermion.0.mass=1.1"),
)


def network(kind: str, layers: int, reach: int | None = None) -> tuple[str, ...]:
    found = f"kind: {kind}, layers: {layers}, start_scale: 0.01" + (f", reach: {reach}" if reach else "")
    return "training=null", "guide.fermion.0.network={" + found + "}"


RUNS = {
    "fermions": PLAIN,
    "mixed": (*PLAIN, "solver.precision=mixed"),
    "earlier solutions": (*PLAIN, "solver.chronological=4"),
    "force gradient": (*PLAIN, "integrator.scheme=force_gradient"),
    "condensate": (*PLAIN, "measure.condensate={every: 1, sources: 4}"),
    "one layer": network("cask", 1, 1),
    "three layers": network("cask", 3, 1),
    "longer paths": network("cask", 1, 3),
    "stout": network("covnet", 3),
    "three colors": (*network("cask", 2, 1), "lattice.colors=3"),
    "training": (*network("cask", 1, 1), "chain.train=1", "training={loss: trajectory, optimiser: adam, rate: 0.001}"),
    "two masses": (
        "training=null",
        "guide.fermion=[{mass: 1.1, network: {kind: cask, layers: 1, reach: 1, start_scale: 0.01}},"
        " {mass: 1.5, weight: 0.1, network: null}]",
    ),
    "two dimensions": (*network("cask", 1, 1), "lattice.extent=[8, 8]"),
}


def estimate(folder: Path, world: World, changes: tuple[str, ...], patch: pytest.MonkeyPatch) -> float:
    """What is said to be needed, over what was."""
    lattices: list[Lattice] = []
    make = build.lattice_of

    def lattice_of(*arguments: Any) -> Lattice:
        lattices.append(make(*arguments))
        return lattices[-1]

    patch.setattr(build, "lattice_of", lattice_of)
    configuration = described(*SHORT, *changes)
    run_here(configuration, folder, world)
    return need.field_bytes(configuration, lattices[-1]) / lattices[-1].device.bytes_peak


@pytest.mark.parametrize("is_small", [True, False])
@pytest.mark.parametrize("name", RUNS)
def test_what_a_run_needs(name: str, is_small: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With programs, as small lattices have, and without."""
    if not is_small:
        monkeypatch.setattr(action, "SMALL", 0)
        monkeypatch.setattr(need, "SMALL", 0)
    assert estimate(tmp_path / "run", World.alone(), RUNS[name], monkeypatch) == pytest.approx(1, abs=WITHIN)


@pytest.mark.ranks
def test_ghosts_are_counted(world: World, shared_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action, "SMALL", 0)
    monkeypatch.setattr(need, "SMALL", 0)
    found = estimate(shared_tmp_path / "run", world, (*RUNS["one layer"], "lattice.extent=[4, 4, 8, 16]"), monkeypatch)
    agree(world, abs(found - 1) <= WITHIN, f"{found}")


def test_a_card_with_too_little_memory_refuses_before_the_run() -> None:
    first = install(Settings(memory=64 << 20))
    try:
        small = described(*SHORT, *RUNS["fermions"], "lattice.device=cuda")
        assert build.lattice_of(small, World.alone()).device.bytes_peak == 0
        large = described(*SHORT, *RUNS["three colors"], "lattice.device=cuda", "lattice.extent=[16, 16, 16, 16]")
        with pytest.raises(DeviceError, match=r"has 64 of 64 MiB free, and \d+ MiB for this run are needed; use more"):
            build.lattice_of(large, World.alone())
    finally:
        remove(first)
