"""Jobs from the configuration to the report: controls, reference, training of every kind, files, any lattice."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hpcgauge as hg
from hpcgauge.comm.world import World
from hpcgauge.errors import ConfigError
from hpcgauge.fields.device import Device
from hpcgauge.io.checkpoint import numbered
from hpcgauge.io.network import read_network
from hpcgauge.report.summary import LABELS
from tests.support.jobs import EVERYTHING, PLAIN, SMALL, described, lines_of, run_here
from tests.support.ranks import ROOT, SECONDS_OF_A_HANG, agree, clean_environment

CONTROL_NAMES = ("nothing", "weight", "stout", "network_alone")
FIELDS = {"trajectory", "phase", "accepted", "dH", "dH_guide", "plaquette", "solver_steps", "seconds"}
# Two masses on the same phi, the lighter one behind a network, and the gauge force on a time scale of its own.
TWO_MASSES = (
    "guide.fermion=[{mass: 1.1, weight: 0.9, network: {kind: covnet, layers: 1, start_scale: 0.01}},"
    " {mass: 1.5, weight: 0.1, network: null}]",
    "integrator.gauge_steps=2",
)
# Energies are sums of some thousands of numbers of 24 bits.
SINGLE = ("lattice.precision=single", "solver.tolerance=1e-6", "solver.force_tolerance=1e-6")
SINGLE_ROUNDING = 1e-2
PLAQUETTES = {"su2.l4444.ildg": 0.668474886836, "nersc.l8t4b3360": 0.503866446950}


def trained_names(folder: Path) -> list[str]:
    """The names of the trained numbers in the network file of a run."""
    return read_network(folder / "network.h5", World.alone(), 2).attributes["names"]


@pytest.fixture(scope="module")
def everything(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a job with all controls, the reference and all measurements. Collective."""
    folder = world.broadcast(tmp_path_factory.mktemp("everything"))
    run_here(described(*EVERYTHING), folder, world)
    return folder


@pytest.mark.ranks
def test_the_folder_of_a_whole_job(world: World, everything: Path) -> None:
    names = {path.name for path in everything.iterdir()}
    wanted = {
        "config.yaml",
        "history.jsonl",
        "summary.json",
        "network.h5",
        "checkpoint",
        "report",
        "control",
        "reference",
    }
    agree(world, wanted <= names, str(names))
    agree(world, (everything / "report" / "index.html").stat().st_size > 1000)
    agree(world, len(numbered(everything / "checkpoint")) == 2)
    phases = ["thermalise", "train", "train", "produce", "produce", "produce"]
    agree(world, [line["phase"] for line in lines_of(everything)] == phases)
    for name in CONTROL_NAMES:
        trains = [] if name == "nothing" else ["train"] * 2
        found = [line["phase"] for line in lines_of(everything / "control" / name)]
        agree(world, found == [*trains, *["produce"] * 3], name)
    agree(world, len(lines_of(everything / "reference")) == 4)


@pytest.mark.ranks
def test_the_history_of_a_whole_job(world: World, everything: Path) -> None:
    for line in lines_of(everything):
        agree(world, FIELDS <= line.keys() | {"seconds"})
        agree(world, ("loss" in line) == (line["phase"] == "train"))
        agree(world, ("wilson_loops" in line and "polyakov_loop" in line) == (line["phase"] == "produce"))
        agree(world, ("condensate" in line) == (line["trajectory"] == 5))
        if "wilson_loops" in line:
            agree(world, line["wilson_loops"].keys() == {"1x1", "1x2", "2x1", "2x2"})
    plain = [line for line in lines_of(everything) if line["phase"] == "thermalise"] + lines_of(
        everything / "reference"
    )
    agree(world, all(line["dH"] == line["dH_guide"] for line in plain))


@pytest.mark.ranks
def test_the_summary_of_a_whole_job(world: World, everything: Path) -> None:
    results: dict[str, Any] = json.loads((everything / "summary.json").read_text())
    wanted = {"acceptance", "plaquette", "exp_minus_dH", "tau_int_plaquette", "plaquette_reference"}
    wanted |= {f"acceptance_{name}" for name in CONTROL_NAMES}
    for name in wanted:
        agree(world, results[name].keys() == {"value", "error"} and math.isfinite(results[name]["value"]), name)
    agree(world, wanted <= LABELS.keys() and results["trajectories"] == 3)
    produced = [line["plaquette"] for line in lines_of(everything) if line["phase"] == "produce"]
    agree(world, results["plaquette"]["value"] == pytest.approx(sum(produced) / 3, rel=1e-14))


def test_controls_differ_as_they_should(everything: Path) -> None:
    """All start from the same links, with seeds of their own, and their guides are not the main one's."""
    first = {name: lines_of(everything / "control" / name)[0] for name in CONTROL_NAMES}
    assert len({line["dH"] for line in first.values()}) == len(CONTROL_NAMES)
    assert lines_of(everything / "control" / "weight")[0]["loss"] > 0
    assert len({line["dH"] for line in (lines_of(everything)[1], *first.values())}) == 1 + len(CONTROL_NAMES)


@pytest.mark.parametrize("loss", ["action", "trajectory", pytest.param("force", marks=pytest.mark.ranks)])
def test_losses(world: World, shared_tmp_path: Path, loss: str) -> None:
    changes = ("chain.train=2", f"training.loss={loss}", "training.optimiser=sgd", "training.rate=1e-6")
    run_here(described(*SMALL, *changes), shared_tmp_path, world)
    losses = [line["loss"] for line in lines_of(shared_tmp_path) if line["phase"] == "train"]
    agree(world, len(losses) == 2 and all(value > 0 for value in losses))


@pytest.mark.parametrize("optimiser", ["adam", pytest.param("lbfgs", marks=pytest.mark.ranks)])
def test_training_on_recorded_trajectories(world: World, shared_tmp_path: Path, optimiser: str) -> None:
    """A fit makes the guide better: the change of S - S_eff is smaller than the recorded ones in the mean square."""
    changes = (
        *SMALL,
        "chain.thermalise=4",
        "chain.train=4",
        "chain.produce=4",
        "guide.fermion.0.network=null",
        "training.source=recorded",
        "training.recorded={epochs: 20, trajectories: 3}",
        f"training.optimiser={optimiser}",
        "training.rate=0.01",
    )
    said = run_here(described(*changes), shared_tmp_path, world).said
    agree(world, sorted(numbered(shared_tmp_path / "trajectories")) == [4, 5, 6, 7])
    agree(world, world.rank > 0 or "fit to 3 trajectories" in said, said)
    lines = lines_of(shared_tmp_path)
    agree(world, all("loss" not in line for line in lines))
    agree(world, all(line["dH"] == line["dH_guide"] for line in lines[4:8]))
    agree(world, all(line["dH"] != line["dH_guide"] for line in lines[8:]))
    agree(world, trained_names(shared_tmp_path) == ["weight.1"])


@pytest.mark.ranks
def test_two_masses_and_two_time_scales(world: World, shared_tmp_path: Path) -> None:
    run_here(described(*SMALL, *TWO_MASSES), shared_tmp_path, world)
    agree(world, trained_names(shared_tmp_path) == ["weight.1", "weight.2", "network.1.0"])
    last = lines_of(shared_tmp_path)[-1]
    agree(world, last["dH"] != last["dH_guide"] and abs(last["dH_guide"]) < 10)


@pytest.mark.ranks
@pytest.mark.parametrize("extent", [(4, 8), (4, 2, 8)])
def test_two_and_three_dimensions(world: World, shared_tmp_path: Path, extent: tuple[int, ...]) -> None:
    run_here(described(*SMALL, f"lattice.extent={list(extent)}"), shared_tmp_path, world)
    lines = lines_of(shared_tmp_path)
    agree(world, len(lines) == 4 and all(abs(line["dH"]) < 20 and line["solver_steps"] > 0 for line in lines))


@pytest.mark.ranks
def test_single_precision(world: World, shared_tmp_path: Path) -> None:
    """The same trajectories as in double precision but for rounding; its limits are told."""
    for name, changes in (("double", ()), ("single", SINGLE)):
        run_here(described(*SMALL, *changes), shared_tmp_path / name, world)
    both = zip(lines_of(shared_tmp_path / "double"), lines_of(shared_tmp_path / "single"), strict=True)
    for one, other in both:
        agree(world, one["accepted"] == other["accepted"])
        agree(world, all(abs(one[key] - other[key]) < SINGLE_ROUNDING for key in ("dH", "dH_guide", "plaquette")))
    with pytest.raises(ConfigError, match="out of reach in single precision"):
        described(*SMALL, "lattice.precision=single", "solver.tolerance=1e-12")


@pytest.mark.ranks
def test_from_a_file_of_another_code(world: World, shared_tmp_path: Path, configurations: Path) -> None:
    """SU(2), with fermions and a guide; the lattice has the extents of the file."""
    start = configurations / "su2.l4444.ildg"
    run_here(described(*SMALL, f"start={start}", "integrator.length=0.001"), shared_tmp_path, world)
    first = lines_of(shared_tmp_path)[0]
    agree(world, abs(first["plaquette"] - PLAQUETTES[start.name]) < 1e-3 and first["accepted"] is not None)


@pytest.mark.ranks
def test_from_a_nersc_file(world: World, shared_tmp_path: Path, configurations: Path) -> None:
    """SU(3), plain HMC, extents that differ."""
    start = configurations / "nersc.l8t4b3360"
    changes = ("lattice.extent=[8, 8, 8, 4]", "lattice.colors=3", "action.fermion=null", "action.gauge.beta=5.5")
    plain = ("chain.thermalise=0", "chain.produce=1", "integrator.length=0.01", "integrator.steps=1")
    run_here(described(*SMALL, *PLAIN, *changes, *plain, f"start={start}"), shared_tmp_path, world)
    (line,) = lines_of(shared_tmp_path)
    agree(world, abs(line["plaquette"] - PLAQUETTES[start.name]) < 1e-3 and abs(line["dH"]) < 1e-2)


@pytest.mark.parametrize("changes", [("lattice.extent=[4, 4, 4, 8]",), ("lattice.colors=3",)])
def test_a_file_of_another_lattice_is_refused(tmp_path: Path, configurations: Path, changes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"su2\.l4444\.ildg"):
        run_here(described(*SMALL, *changes, f"start={configurations / 'su2.l4444.ildg'}"), tmp_path, World.alone())


@pytest.mark.ranks
def test_field_memory_is_shared_by_the_ranks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 16^4 on 4 ranks a rank holds at most 0.35 of what one rank holds, ghosts included, and gathers nothing."""
    monkeypatch.setattr(World, "gather_arrays", lambda *_: pytest.fail("a field was gathered"))
    action = hg.PlaquetteAction(2.7) + hg.StaggeredAction(1.0, tastes=4, tolerance=1e-3, force_tolerance=1e-3)
    peaks = {}
    for name, ranks in (("here", world), ("alone", World.alone())):
        if name == "alone" and world.rank > 0:
            continue
        device = Device("cpu", threads=1)
        lattice = hg.Lattice((16, 16, 16, 16), world=ranks, device=device)
        hg.HMC(action, scheme=hg.LEAPFROG, steps=1, length=0.01).propose(hg.State(hg.Links.hot(lattice, 1), 1))
        peaks[name] = device.bytes_peak
    everywhere = world.allgather(peaks["here"])
    limit = {1: 1.0, 2: 0.6, 4: 0.35}.get(world.size, 1.0)
    agree(world, world.rank > 0 or max(everywhere) <= limit * peaks["alone"], f"{everywhere} of {peaks.get('alone')}")


@pytest.mark.parametrize("name", ["quickstart", "hmc_su2", "slhmc_su2_paper", "slhmc_su3"])
def test_shipped_configurations_are_whole(name: str) -> None:
    run = described(config=ROOT / "configs" / f"{name}.yaml")
    assert run.chain.produce >= 400 and (name == "hmc_su2") == (run.guide is None)


@pytest.mark.parametrize(
    ("only", "exit_code", "n_rows"), [("free quarks", 0, 3), ("strong", 0, 2), ("no such point", 1, 0)]
)
def test_validation(only: str, exit_code: int, n_rows: int) -> None:
    """What tools/validate starts, a quick part of it."""
    command = [sys.executable, str(ROOT / "tools" / "validation"), "--quick", "--json", "--only", only]
    answer = subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, timeout=SECONDS_OF_A_HANG, check=False
    )
    assert answer.returncode == exit_code, answer.stderr
    rows = json.loads(answer.stdout)["rows"]
    assert len(rows) == n_rows and all(row["is_good"] for row in rows)


def test_other_networks_are_chains_of_their_own(tmp_path: Path) -> None:
    """Each with its acceptance in the summary and its curves in the report; one wrong is refused by its name."""
    networks = "networks: {deep: {kind: covnet, layers: 2, start_scale: 0.01}}"
    control = f"control={{which: [nothing], {networks}, train: 2, produce: 2}}"
    results = run_here(described(*SMALL, "chain.train=2", control), tmp_path, World.alone()).results
    assert results["acceptance_deep"] is not None and len(lines_of(tmp_path / "control" / "deep")) == 4
    assert "by network" in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match=r"control\.networks\.stout has the name of a control"):
        described(*SMALL, "control={which: [nothing], networks: {stout: {kind: covnet, layers: 1, start_scale: 0}}}")
