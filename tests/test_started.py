"""Networks in files: what a run leaves, and guides that start from it, on another lattice too."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest

import hpcgauge as hg
from hpcgauge._version import VERSION
from hpcgauge.comm.world import World
from hpcgauge.config import Run
from hpcgauge.errors import ConfigError, FileFormatError, NewerFileError
from hpcgauge.io.container import write_container
from hpcgauge.io.network import NetworkFile, read_network, save_network
from tests.support.jobs import SMALL, described, lines_of, run_here
from tests.support.ranks import agree
from tests.test_seal import forged

TRAINED = (*SMALL, "chain.train=3")
# Without start values of its own, on a lattice of twice the length.
FROM_FILE = (*SMALL, "guide.fermion.0.network={kind: cask, layers: 1, reach: 1}", "lattice.extent=[4, 4, 4, 8]")


@pytest.fixture(scope="module")
def trained(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that trained a guide. Collective."""
    folder = world.broadcast(tmp_path_factory.mktemp("trained"))
    run_here(described(*TRAINED), folder, world)
    return folder


def starting(trained: Path, *changes: str) -> Run:
    """The configuration of a run whose guide starts from the trained one."""
    return described(*FROM_FILE, f"guide.start={trained / 'network.h5'}", *changes)


def found(folder: Path, name: str = "network.h5") -> NetworkFile:
    return read_network(folder / name, World.alone(), 2)


@pytest.mark.ranks
def test_a_network_says_where_it_comes_from(world: World, trained: Path) -> None:
    network, lines = found(trained), lines_of(trained)[1:4]
    agree(world, network.history["trajectory"].tolist() == [2, 3, 4], "trajectories")
    agree(world, network.history["loss"].tolist() == [line["loss"] for line in lines], "losses")
    origin = network.provenance
    agree(world, origin["versions"]["hpcgauge"] == VERSION and origin["versions"]["numpy"] == numpy.__version__)
    wanted: dict[str, Any] = {"group": "SU(2)", "extent": [4, 4, 4, 4], "beta": 2.7}
    agree(world, wanted.items() <= origin["ensemble"].items(), f"{origin['ensemble']}")
    agree(world, origin["configuration"]["chain"]["train"] == 3 and origin["started_from"] == [])


@pytest.mark.ranks
def test_a_guide_starts_from_it_on_another_lattice(world: World, shared_tmp_path: Path, trained: Path) -> None:
    """It is said, the numbers are those of the file, and what is trained on knows its ancestor."""
    said = run_here(starting(trained), shared_tmp_path, world).said
    agree(world, world.rank or "trained on 4 x 4 x 4 x 4 at beta 2.7; here 4 x 4 x 4 x 8" in said, said)
    before, after = found(trained), found(shared_tmp_path)
    agree(world, found(shared_tmp_path, "start.h5").sha256 == before.sha256, "its own copy")
    agree(world, after.sha256 != before.sha256 and after.attributes["names"] == before.attributes["names"])
    [ancestor] = after.provenance["started_from"]
    agree(world, ancestor["sha256"] == before.sha256 and ancestor["into"] == [4, 4, 4, 8], f"{ancestor}")
    agree(world, ancestor["trained_on"]["extent"] == [4, 4, 4, 4], f"{ancestor}")


@pytest.mark.ranks
def test_it_needs_no_training_and_is_not_asked_for_again(world: World, shared_tmp_path: Path, trained: Path) -> None:
    """The trained guide accepts as at home where it was trained; a run that goes on has its own copy."""
    given = shared_tmp_path / "given.h5"
    save_network(given, world, found(trained))
    changes = (*SMALL, "chain.train=0", "training=null", f"guide.start={given}")
    whole, parts = shared_tmp_path / "whole", shared_tmp_path / "parts"
    run_here(described(*changes, "chain.produce=3"), whole, world)
    run_here(described(*changes, "chain.produce=1"), parts, world)
    if world.rank == 0:
        given.unlink()
    world.barrier()
    run_here(described(*changes, "chain.produce=3"), parts, world)
    agree(world, lines_of(parts) == lines_of(whole) != [], "the same chain")
    numbers = ", ".join(f"{value!r}" for value in found(trained).parameters["numbers"][1:].tolist())
    weight = found(trained).parameters["numbers"][0].item()
    network = f"{{kind: cask, layers: 1, reach: 1, parameters: [[{numbers}]]}}"
    explicit = (f"guide.fermion.0.network={network}", f"guide.fermion.0.weight={weight!r}", "chain.produce=3")
    run_here(described(*SMALL, "chain.train=0", "training=null", *explicit), shared_tmp_path / "explicit", world)
    agree(world, lines_of(shared_tmp_path / "explicit") == lines_of(whole), "as if the numbers were written out")


@pytest.mark.ranks
def test_the_face_loads_it_for_any_extents_and_says_so(world: World, shared_tmp_path: Path, trained: Path) -> None:
    """Silent at home; elsewhere one warning, on rank 0; and the numbers fit a guide of the same shape."""
    path, unknown = trained / "network.h5", shared_tmp_path / "unknown.h5"
    save_network(unknown, world, replace(found(trained), provenance={"ensemble": {"extent": ["4"]}}))
    cases = {
        (path, (4, 4, 4, 4)): "",
        (path, (4, 4, 4, 8)): f"network {path}, trained on 4 x 4 x 4 x 4 at beta 2.7; here 4 x 4 x 4 x 8",
        (path, (4, 8)): f"network {path}, trained on 4 x 4 x 4 x 4 at beta 2.7; here 4 x 8",
        (unknown, (4, 4, 4, 4)): f"network {unknown}, which does not say what it was trained on",
    }
    for (file, extent), sentence in cases.items():
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            network = hg.load_network(file, hg.Lattice(extent, colors=2, world=world))
        expected = [sentence] if sentence and world.rank == 0 else []
        agree(world, [str(one.message) for one in said] == expected, f"{[str(one.message) for one in said]}")
        agree(world, all(one.category is UserWarning and one.filename == __file__ for one in said), "at the call")
        agree(world, network.sha256 == found(trained).sha256, "the same numbers")
    guide = hg.PlaquetteAction(beta=2.7) + hg.Transformed(hg.StaggeredAction(mass=0.4, tastes=4), hg.Cask([[0.0] * 4]))
    trainable = hg.Trainable(guide)
    agree(world, network.attributes["names"] == trainable.names, f"{trainable.names}")
    numbers = network.parameters["numbers"]
    agree(world, numpy.array_equal(trainable.vector(trainable.guide_with(numbers)), numbers), "in a guide")


@pytest.mark.ranks
def test_the_face_refuses_another_group(world: World, trained: Path) -> None:
    with pytest.raises(FileFormatError, match=r"network\.h5: the network is one for SU\(2\), the lattice has SU\(3\)"):
        hg.load_network(trained / "network.h5", hg.Lattice((4, 4, 4, 4), colors=3, world=world))
    with pytest.raises(FileFormatError, match="no such file"):
        hg.load_network(trained / "nothing.h5", hg.Lattice((4, 4, 4, 4), colors=2, world=world))


def test_controls_start_afresh_but_the_network_alone(tmp_path: Path, trained: Path) -> None:
    changes = ("control={which: [nothing, weight, network_alone], produce: 1, train: 1}", "chain.produce=1")
    run_here(starting(trained, *changes), tmp_path, World.alone())
    copies = {path.parent.name for path in (tmp_path / "control").glob("*/start.h5")}
    assert copies == {"network_alone"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (("lattice.colors=3",), r"the network is one for SU\(2\), the lattice has SU\(3\)"),
        (
            ("guide.fermion.0.network={kind: cask, layers: 2, reach: 1}",),
            "guide.fermion.0.network.layers is 1 there and 2 here",
        ),
        (("guide.fermion.0.network={kind: covnet, layers: 1}",), "network.kind is cask there and covnet here"),
        (("guide.fermion=[]", "chain.train=0"), "no network and no trained weight to start"),
        (("guide.start=nothing.h5",), r"guide\.start = nothing\.h5: .*no such file; give the network\.h5 of a run"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, trained: Path, changes: tuple[str, ...], sentence: str) -> None:
    with pytest.raises((ConfigError, FileFormatError), match=sentence):
        run_here(starting(trained, *changes), tmp_path, World.alone())


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"attributes": {"names": ["a"]}}, "holds no trained guide"),
        ({"attributes": {"names": [["a"]], "guide": {"fermion": [3]}}}, "holds no trained guide"),
        ({"parameters": {"numbers": numpy.zeros(2)}}, "holds no trained guide"),
        ({"parameters": {"others": numpy.zeros(2)}}, "holds no trained guide"),
    ],
)
def test_files_that_hold_no_guide_are_refused(
    tmp_path: Path, trained: Path, changed: dict[str, Any], sentence: str
) -> None:
    given = tmp_path / "given.h5"
    save_network(given, World.alone(), replace(found(trained), **changed))
    with pytest.raises(ConfigError, match=sentence):
        run_here(described(*FROM_FILE, f"guide.start={given}"), tmp_path / "run", World.alone())


def test_numbers_that_are_not_those_of_the_hash_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, path = NetworkFile({"numbers": numpy.ones(2)}, "none", 0, 2), tmp_path / "network.h5"

    def changed(path: Path, world: World, kind: str, contents: Any) -> None:
        write_container(path, world, kind, replace(contents, replicated={"numbers": numpy.zeros(2)}))

    monkeypatch.setattr("hpcgauge.io.network.write_container", changed)
    save_network(path, World.alone(), network)
    with pytest.raises(FileFormatError, match="stores the hash"):
        read_network(path, World.alone(), 2)


def test_what_is_said_of_a_file_that_cannot_be_read(tmp_path: Path, trained: Path) -> None:
    """A newer one is named with its own remedy; of the run's copy its own name is told, not that of the start."""
    newer, folder = tmp_path / "newer.h5", tmp_path / "run"
    save_network(newer, World.alone(), found(trained))
    forged(newer, lambda said: said.update(schema=9))
    with pytest.raises(NewerFileError, match=r"guide\.start = .*written in schema 9, .*; install a newer hpcgauge$"):
        run_here(described(*FROM_FILE, f"guide.start={newer}"), folder, World.alone())
    job = starting(trained)
    run_here(job, folder, World.alone())
    (folder / "start.h5").write_bytes(b"damaged")
    with pytest.raises(FileFormatError) as refused:
        run_here(job, folder, World.alone())
    assert str(folder / "start.h5") in str(refused.value) and "guide.start" not in str(refused.value)
