"""What a user does wrong, or thinks better of: one sentence each, nothing lost, nothing wrong computed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

import hpcgauge as hg
from hpcgauge.comm.world import World
from hpcgauge.errors import ConfigError
from hpcgauge.fields.device import Device
from tests.support.jobs import PLAIN, SMALL, described, lines_of, run_here

START = ("lattice.colors=3", "lattice.extent=[4, 4, 4, 8]")


@pytest.fixture
def lattice() -> hg.Lattice:
    return hg.Lattice((2, 2, 2, 4), colors=2, device=Device("cpu", threads=1))


def test_a_weighted_target_is_refused() -> None:
    """phi is drawn for weight 1: with another weight the chain would have another distribution."""
    target = hg.PlaquetteAction(beta=2.0) + 1.5 * hg.StaggeredAction(mass=0.5, tastes=4)
    with pytest.raises(ValueError, match=r"has weight 1\.5 in the target"):
        hg.HMC(target, steps=2)
    hg.HMC(hg.PlaquetteAction(beta=2.0) + hg.StaggeredAction(mass=0.5, tastes=4), target, steps=2)


def test_fields_of_nested_sums_are_independent(lattice: hg.Lattice) -> None:
    inner = hg.PlaquetteAction(beta=1.0) + hg.StaggeredAction(mass=0.5, tastes=4)
    outer = inner + hg.Transformed(inner, hg.CovNet([[0.0]]))
    U = hg.Links.hot(lattice, seed=1)
    _, first, (_, second) = outer.refresh(hg.Draw(hg.Stream.PSEUDOFERMION, seed=1), U)
    assert abs(first.to_numpy() - second.to_numpy()).max() > 0.1


def test_the_usual_boundary_is_the_default() -> None:
    spelled = hg.StaggeredAction(mass=0.5, tastes=4, boundary=(1, 1, 1, -1))
    assert spelled.slot == hg.StaggeredAction(mass=0.5, tastes=4).slot
    assert spelled.slot != hg.StaggeredAction(mass=0.5, tastes=4, boundary=(1, 1, 1, 1)).slot


def test_a_history_without_its_checkpoints_is_kept(tmp_path: Path) -> None:
    run_here(described(*SMALL, *PLAIN), tmp_path, World.alone())
    before = (tmp_path / "history.jsonl").read_bytes()
    shutil.rmtree(tmp_path / "checkpoint")
    with pytest.raises(ConfigError, match=r"3 trajectories in history\.jsonl but no whole checkpoint"):
        run_here(described(*SMALL, *PLAIN), tmp_path, World.alone())
    assert (tmp_path / "history.jsonl").read_bytes() == before


def test_checkpoints_that_are_gone_are_missed_however_rare_they_are(tmp_path: Path) -> None:
    """All but the folder, or the folder too: a history of fewer lines than `checkpoint.every` is kept as well."""
    rare = described(*SMALL, *PLAIN, "checkpoint.every=100")
    run_here(rare, tmp_path, World.alone())
    before = (tmp_path / "history.jsonl").read_bytes()
    for path in (tmp_path / "checkpoint").glob("*.h5"):
        path.unlink()
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"3 trajectories in history\.jsonl but no whole checkpoint"):
            run_here(rare, tmp_path, World.alone())
        assert (tmp_path / "history.jsonl").read_bytes() == before
        shutil.rmtree(tmp_path / "checkpoint")


def test_a_run_that_ended_before_its_first_checkpoint_begins_anew(tmp_path: Path) -> None:
    run_here(described(*SMALL, *PLAIN), tmp_path / "whole", World.alone())
    short = tmp_path / "short"
    (short / "checkpoint").mkdir(parents=True)
    whole = (tmp_path / "whole" / "history.jsonl").read_bytes()
    (short / "history.jsonl").write_bytes(whole[: whole.index(b"\n") + 1])
    said = run_here(described(*SMALL, *PLAIN), short, World.alone()).said
    assert "it ended before its first checkpoint: 1 trajectories are made again" in said
    assert lines_of(short) == lines_of(tmp_path / "whole")


def test_a_start_that_failed_leaves_the_folder_free(tmp_path: Path, configurations: Path) -> None:
    """Links of single precision are refused in one sentence; the key that it names is the remedy, same folder."""
    start = f"start={configurations / 'milc.l4448'}"
    with pytest.raises(ConfigError, match="start_reunitarise: true takes the nearest ones"):
        run_here(described(*SMALL, *PLAIN, *START, start), tmp_path, World.alone())
    run_here(described(*SMALL, *PLAIN, *START, start, "start_reunitarise=true"), tmp_path, World.alone())
    assert len(lines_of(tmp_path)) == 3


def test_controls_may_be_left_out_and_begun_later(tmp_path: Path) -> None:
    control = "control={which: [nothing], train: 0, produce: 2}"
    run_here(described(*SMALL, control), tmp_path, World.alone())
    before = lines_of(tmp_path)
    run_here(described(*SMALL), tmp_path, World.alone())
    run_here(described(*SMALL, control), tmp_path, World.alone())
    assert lines_of(tmp_path) == before and len(lines_of(tmp_path / "control" / "nothing")) == 2


def test_one_row_of_start_values_serves_all_layers() -> None:
    from hpcgauge.run.build import guide_of

    network = "guide.fermion.0.network={kind: cask, layers: 3, reach: 1, parameters: [[0, 0.1, 0.2, 0.3]]}"
    guide = guide_of(described(*SMALL, network))
    assert guide is not None
    numpy.testing.assert_array_equal(guide.parameters, [0, 0.1, 0.2, 0.3] * 3)


PLAQUETTE = hg.PlaquetteAction(beta=2.0)
WRONG = {
    "G must be a Rotation": lambda U, chi: hg.gauge_rotate(U, U),
    "inner: y is .*vectors.*, x is .*links": lambda U, chi: hg.inner(U, chi),
    "combine: y is .*links.*, out is .*vectors": lambda U, chi: hg.add(chi, U),
    "be one object: make both": lambda U, chi: hg.inner(U, hg.Links.unit(hg.Lattice((2, 2, 2, 4), colors=2))),
    r"shape \(2, 2, 2\); \(4, 2, 2, 2, 2\) is right": lambda U, chi: hg.ColorVector.from_numpy(
        U.lattice, numpy.zeros((2, 2, 2))
    ),
    "scheme = 'omelyan' must be a Scheme": lambda U, chi: hg.HMC(PLAQUETTE, scheme="omelyan", steps=2),
    "steps = 2.5 must be an integer": lambda U, chi: hg.HMC(PLAQUETTE, steps=2.5),
    "beta = nan must be finite": lambda U, chi: hg.PlaquetteAction(beta=float("nan")),
    "seed = -1 must be at least 0": lambda U, chi: hg.State(U, seed=-1),
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_objects_are_refused_where_they_are_given(lattice: hg.Lattice, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        WRONG[words](hg.Links.unit(lattice), hg.ColorVector.zeros(lattice))


def test_a_name_that_is_not_there_has_a_near_one() -> None:
    wrong = subprocess.run(
        [sys.executable, "-c", "import hpcgauge as hg; hg.plaquete"], capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 1 and "Did you mean: 'plaquette'?" in wrong.stderr


def test_objects_say_what_they_are(lattice: hg.Lattice) -> None:
    action = hg.PlaquetteAction(beta=2) + 1.5 * hg.Transformed(hg.PlaquetteAction(beta=1), hg.CovNet([[0.1]]))
    assert repr(action) == "1 * PlaquetteAction(beta=2) + 1.5 * Transformed(PlaquetteAction(beta=1), CovNet(1 layer))"
    assert repr(hg.HMC(PLAQUETTE, steps=7)) == "HMC(1 * PlaquetteAction(beta=2), steps=7, length=1)"
    assert repr(hg.HMC(PLAQUETTE, PLAQUETTE, steps=7)).count("PlaquetteAction") == 2
    assert repr(hg.Cask([[0.1] * 4] * 2)) == "Cask(2 layers, reach=3, 'hypercubic')"
    assert "mass=0.3, boundary=(1, 1, 1, -1)" in repr(hg.Staggered(hg.Links.unit(lattice), mass=0.3))
