"""A run that was stopped, killed or made longer goes on bit for bit, whatever it was doing."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest

from hpcgauge.comm.world import World
from hpcgauge.errors import ConfigError, FileFormatError
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import Links
from hpcgauge.io.checkpoint import checkpoint_path, numbered, read_checkpoint
from hpcgauge.io.gauge.links import write_links
from hpcgauge.run.chain import ChainRun
from tests.support.jobs import SMALL, described, lines_of, run_here, start_job
from tests.support.ranks import agree

# Three updates, so that the optimiser's memory matters; checkpoints fall between the ends of phases.
LONGER = (*SMALL, "chain.train=3", "checkpoint.every=2", "chain.produce=3")
LAST = 7
RECORDED = (
    *LONGER,
    "training.source=recorded",
    "training.recorded={epochs: 2}",
    "training.optimiser=adam",
)
CONTROLS = (*SMALL, "chain.train=2", "control={which: [nothing, weight], produce: 2}", "checkpoint.every=1")
KILLED = """
import os, signal
from hpcgauge.run.chain import ChainRun
record = ChainRun._record
def recorded(self, line):
    record(self, line)
    if line["trajectory"] == {at} and self.lattice.world.rank == self.lattice.world.size - 1:
        os.kill(os.getpid(), signal.SIGKILL)
ChainRun._record = recorded
"""


def state_of(folder: Path, trajectory: int) -> dict[str, numpy.ndarray]:
    """Everything that is in a checkpoint, global arrays too."""
    path = checkpoint_path(folder / "checkpoint", trajectory)
    found = read_checkpoint(path, World.alone(), lambda _, shape: tuple(slice(0, n) for n in shape))
    links = {name: part.local for name, part in found.arrays.items()}
    return (
        links | dict(found.replicated) | {name: numpy.array(found.attributes[name]) for name in ("seed", "trajectory")}
    )


def is_same_state(one: dict[str, numpy.ndarray], other: dict[str, numpy.ndarray]) -> bool:
    """True if two checkpoints hold the same bits."""
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


def stop_after(monkeypatch: pytest.MonkeyPatch, trajectory: int, label: str = "") -> None:
    """From now on runs stop after this trajectory of the chain of that label."""
    record = ChainRun._record

    def asked(self: ChainRun, line: dict[str, Any]) -> None:
        record(self, line)
        if line["trajectory"] == trajectory and self.label == label:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(ChainRun, "_record", asked)


def run_in_two(world: World, folder: Path, changes: Sequence[str], after: int, label: str = "") -> None:
    """Runs a configuration, stopped once on its way. Collective."""
    with pytest.MonkeyPatch.context() as patched, pytest.raises(SystemExit, match="75"):
        stop_after(patched, after, label)
        run_here(described(*changes), folder, world)
    run_here(described(*changes), folder, world)


def by_rank_0(world: World, action: Callable[[], object]) -> None:
    """Nothing, once rank 0 has done it and no rank is before it. Collective."""
    world.barrier()
    if world.rank == 0:
        action()
    world.barrier()


@pytest.fixture(scope="module")
def whole(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of one piece. Collective."""
    folder = world.broadcast(tmp_path_factory.mktemp("whole"))
    run_here(described(*LONGER), folder, world)
    return folder


@pytest.mark.hdf5
@pytest.mark.ranks
@pytest.mark.parametrize("after", [3, 5])
def test_a_stopped_run(world: World, shared_tmp_path: Path, whole: Path, after: int) -> None:
    """While it trains, and while it produces: the same history, links, trained numbers and optimiser's memory."""
    run_in_two(world, shared_tmp_path, LONGER, after)
    agree(world, lines_of(shared_tmp_path) == lines_of(whole))
    agree(world, is_same_state(state_of(shared_tmp_path, LAST), state_of(whole, LAST)))
    agree(world, {"vector", "memory.first", "memory.second", "memory.updates"} <= state_of(whole, LAST).keys())


@pytest.mark.ranks
def test_production_that_grows(world: World, shared_tmp_path: Path, whole: Path) -> None:
    for produce in (0, 2, 3, 3):
        run_here(described(*LONGER, f"chain.produce={produce}"), shared_tmp_path, world)
    agree(world, lines_of(shared_tmp_path) == lines_of(whole))
    agree(world, is_same_state(state_of(shared_tmp_path, LAST), state_of(whole, LAST)))


@pytest.mark.hdf5
@pytest.mark.ranks
def test_every_so_many_checkpoints_stay(world: World, shared_tmp_path: Path) -> None:
    run_here(described(*LONGER, "checkpoint={every: 1, keep: 1, keep_every: 3}"), shared_tmp_path, world)
    agree(world, list(numbered(shared_tmp_path / "checkpoint")) == [7, 6, 3])


def test_training_on_recorded_trajectories(world: World, shared_tmp_path: Path) -> None:
    once, twice = shared_tmp_path / "once", shared_tmp_path / "twice"
    run_here(described(*RECORDED), once, world)
    run_in_two(world, twice, RECORDED, 2)
    agree(world, lines_of(once) == lines_of(twice) and is_same_state(state_of(once, LAST), state_of(twice, LAST)))


def test_controls(world: World, shared_tmp_path: Path) -> None:
    """Chains that are done stay as they are, the one that was stopped goes on, the last one begins."""
    once, twice = shared_tmp_path / "once", shared_tmp_path / "twice"
    run_here(described(*CONTROLS), once, world)
    run_in_two(world, twice, CONTROLS, 1, "nothing")
    for name in ("", "control/nothing", "control/weight"):
        agree(world, lines_of(once / name) == lines_of(twice / name) != [], name)


@pytest.mark.hdf5
@pytest.mark.parametrize(("n_ranks", "at"), [(1, 5), (2, 3)])
def test_a_killed_job(tmp_path: Path, whole: Path, n_ranks: int, at: int) -> None:
    """A rank is killed between two checkpoints; the lines behind the last one are made anew."""
    job = start_job(n_ranks, tmp_path, *LONGER, before=KILLED.format(at=at))
    assert job.returncode not in (0, 75)
    assert len(lines_of(tmp_path)) == at and max(numbered(tmp_path / "checkpoint")) == at - 1
    with (tmp_path / "history.jsonl").open("a") as history:
        history.write('{"trajectory": ')
    said = run_here(described(*LONGER), tmp_path, World.alone()).said
    assert f"goes on after trajectory {at - 1}" in said
    assert lines_of(tmp_path) == lines_of(whole)


@pytest.mark.ranks
def test_a_damaged_checkpoint(world: World, shared_tmp_path: Path, whole: Path) -> None:
    """The one before it serves, and it is said which file is damaged."""
    run_here(described(*LONGER), shared_tmp_path, world)
    newest = checkpoint_path(shared_tmp_path / "checkpoint", LAST)
    if world.rank == 0:
        data = bytearray(newest.read_bytes())
        data[len(data) // 2] ^= 1
        newest.write_bytes(data)
    world.barrier()
    said = run_here(described(*LONGER), shared_tmp_path, world).said
    agree(world, world.rank > 0 or (str(newest) in said and "goes on after trajectory 6" in said), said)
    agree(world, lines_of(shared_tmp_path) == lines_of(whole))
    agree(world, is_same_state(state_of(shared_tmp_path, LAST), state_of(whole, LAST)))


@pytest.mark.ranks
def test_a_history_that_was_altered_is_refused(world: World, shared_tmp_path: Path) -> None:
    run_here(described(*SMALL), shared_tmp_path, world)
    history = shared_tmp_path / "history.jsonl"
    if world.rank == 0:
        history.write_text(history.read_text().replace("true", "null", 1))
    world.barrier()
    with pytest.raises(FileFormatError, match="put the original file back"):
        run_here(described(*SMALL, "chain.produce=3"), shared_tmp_path, world)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("lattice.precision=single", "lattice.precision"),
        ("action.fermion.tastes=8", "action.fermion.tastes"),
        ("guide.fermion.0.network.layers=2", "guide.fermion.0.network.layers"),
        ("guide.fermion=[{mass: 1.1, network: null}]", "guide.fermion.0.network.kind"),
        ("chain.thermalise=2", "chain.thermalise"),
        ("start=unit", "start"),
        ("solver.tolerance=1e-10", "solver.tolerance"),
    ],
)
def test_other_physics_is_refused_and_named(whole: Path, change: str, key: str) -> None:
    before = lines_of(whole)
    with pytest.raises(ConfigError, match="was started with another") as refused:
        run_here(described(*LONGER, change), whole, World.alone())
    new = "left out" if key.startswith("guide.fermion.0.network.k") else change.partition("=")[2]
    assert f"{key} (" in str(refused.value) and f", not {new})" in str(refused.value) and lines_of(whole) == before


@pytest.mark.ranks
@pytest.mark.parametrize(
    ("thermalise", "with_reference", "stopped", "is_refused"),
    [(0, True, "", True), (1, True, "nothing", True), (1, False, "", False), (0, True, "reference", False)],
)
def test_the_first_links_are_needed_until_every_chain_has_read_them(
    world: World, shared_tmp_path: Path, thermalise: int, with_reference: bool, stopped: str, is_refused: bool
) -> None:
    """Controls read them where nothing is thermalised. Refused before anything is computed; later nobody asks."""
    start, folder = shared_tmp_path / "start.ildg", shared_tmp_path / "run"
    write_links(Links.hot(Lattice((4, 4, 4, 4), 2, world), 1), start, "ildg")
    reference = ", reference: {thermalise: 0, produce: 2}" if with_reference else ""
    control = f"control={{which: [nothing], produce: 2{reference}}}"
    job = described(*SMALL, "chain.train=0", f"chain.thermalise={thermalise}", control, f"start={start}")
    with pytest.MonkeyPatch.context() as patched, pytest.raises(SystemExit, match="75"):
        stop_after(patched, 1, stopped)
        run_here(job, folder, world)
    before, content = lines_of(folder), start.read_bytes()
    by_rank_0(world, start.unlink)
    if is_refused:
        with pytest.raises(ConfigError, match=r"start = .*start\.ildg is no file"):
            run_here(job, folder, world)
        agree(world, lines_of(folder) == before, "nothing was computed")
        by_rank_0(world, lambda: start.write_bytes(content))
        run_here(job, folder, world)
        by_rank_0(world, start.unlink)
    run_here(job, folder, world)
    run_here(job, folder, world)
    agree(world, len(lines_of(folder)) == thermalise + 2 and len(lines_of(folder / "control" / "nothing")) == 2)
