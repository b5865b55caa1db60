"""The configuration: what is read is what is written, and what is wrong is refused with one helpful sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hpcgauge.config import Run, load, parse, physics_differences, read, resolved_yaml
from hpcgauge.config.reference import reference_page
from hpcgauge.config.words import leaves
from hpcgauge.errors import ConfigError

ROOT = Path(__file__).parents[1]
SHIPPED = sorted((ROOT / "configs").glob("*.yaml"))
TEXT = """
lattice: {extent: [4, 4, 4, 4], colors: 2}
start: hot
action: {gauge: {beta: 2.7}, fermion: {mass: 0.3, tastes: 4}}
guide: {fermion: [{mass: 0.4, network: {kind: cask, layers: 2, reach: 3, start_scale: 0.01}}]}
integrator: {scheme: omelyan, steps: 7, length: 1}
solver: {tolerance: 1e-11}
training: {loss: trajectory, optimiser: adam, rate: 1e-2}
chain: {thermalise: 10, train: 20, produce: 30, seed: 1}
control: [nothing, weight]
"""
# override, then what the message must contain
WRONG = [
    ("chain.produc=3", ["chain.produc is not a known key", "did you mean chain.produce?"]),
    ("mass=3", ["mass is not a known key", "did you mean action.fermion.mass?"]),
    ("guide.fermion.0.masss=3", ["did you mean guide.fermion.0.mass?"]),
    ("guide.fermion.x.mass=3", ["guide.fermion is a list"]),
    ("guide.fermion.1.mass=3", ["guide.fermion has 1 entry"]),
    ("integrator.steps.x=3", ["integrator.steps = 7 has no keys below it"]),
    ("chain.produce", ["write key=value"]),
    ("chain.produce=[", ["--set chain.produce=[", "not YAML"]),
    ("chain.produce=-1", ["chain.produce = -1 is not possible", "an integer, at least 0"]),
    ("chain.produce=many", ["chain.produce = many", "an integer, at least 0"]),
    ("chain.seed=null", ["chain.seed = null", "an integer"]),
    ("chain=3", ["chain = 3", "a section (thermalise, train, produce, seed)"]),
    ("lattice.colors=2.0", ["lattice.colors = 2.0", "an integer, at least 2"]),
    ("lattice.extent=[4, 4, 5, 4]", ["lattice.extent.2 = 5 is odd", "4 or 6"]),
    ("lattice.extent.1=5", ["lattice.extent.1 = 5 is odd"]),
    ("lattice.extent=[4]", ["lattice.extent = [4]", "2 to 4 entries"]),
    ("lattice.process_grid=[2, 2]", ["lattice.process_grid = [2, 2]", "4 directions"]),
    ("lattice.threads=0", ["lattice.threads = 0", "auto or an integer, at least 1"]),
    ("lattice.precision=half", ["lattice.precision = half", "double or single"]),
    ("start=htt", ["start = htt is no file", "did you mean hot?"]),
    ("start=3", ["start = 3", "a text"]),
    ("action.gauge.beta=.inf", ["action.gauge.beta", "a number"]),
    ("action.fermion.tastes=5", ["action.fermion.tastes = 5", "4 or 8"]),
    ("action.fermion.boundary=[1, -1]", ["action.fermion.boundary = [1, -1]", "4 directions"]),
    ("action.fermion=null", ["guide.fermion has terms", "guide.fermion = []"]),
    ("integrator.scheme=leapfog", ["integrator.scheme = leapfog", "did you mean leapfrog?"]),
    ("integrator.steps=0", ["integrator.steps = 0", "an integer, at least 1"]),
    ("solver.tolerance=.nan", ["solver.tolerance", "above 0, below 1"]),
    ("solver.precision=half", ["solver.precision = half", "double, single or mixed"]),
    ("solver.precision=single", ["solver.precision = single with lattice.precision = double", "double or mixed"]),
    ("solver.chronological=9", ["solver.chronological = 9", "at least 0, at most 8"]),
    ("guide=null", ["chain.train = 20", "guide = null"]),
    ("guide.fermion.0.network.layers=true", ["network.layers = true", "an integer"]),
    ("guide.fermion.0.network.reach=null", ["guide.fermion.0.network.reach is missing"]),
    ("guide.fermion.0.network.kind=covnet", ["network.reach = 3 means nothing"]),
    ("guide.fermion.0.network.parameters=[[0, 0, 0, 0]]", ["one of start_scale and parameters", "both"]),
    ("guide.fermion.0.network={kind: covnet, layers: 3, parameters: [[0.1], [0.2]]}", ["layers = 3 needs 3"]),
    ("guide.fermion.0.network={kind: covnet, layers: 1, parameters: [[0, 1]]}", ["covnet needs 1"]),
    ("training=null", ["chain.train = 20 needs the section training"]),
    ("training.optimiser=lbfgs", ["training.optimiser = lbfgs", "recorded"]),
    ("training.source=recorded", ["training.recorded is missing"]),
    ("control=non", ["control = non", "null"]),
    ("control=[nothin]", ["control.which.0 = nothin", "did you mean nothing?"]),
    ("control=[weight, weight]", ["twice"]),
    ("guide.fermion.0.network=null control=[network_alone]", ["network_alone needs a network"]),
    ("measure.condensate={every: 10}", ["measure.condensate.sources is missing"]),
]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configurations_are_read_and_written(path: Path) -> None:
    run = load(path)
    assert parse(resolved_yaml(run)) == run
    assert {"quickstart", "hmc_su2", "slhmc_su2_paper", "slhmc_su3"} <= {file.stem for file in SHIPPED}


def test_derived_values() -> None:
    run = parse(TEXT)
    assert run.solver.tolerance == 1e-11  # YAML 1.2: no point needed
    assert run.action.fermion is not None and run.action.fermion.boundary == (1, 1, 1, -1)
    assert run.training is not None and run.training.weight_rate == 0.01
    assert run.control is not None and (run.control.train, run.control.produce) == (20, 30)
    plane = parse(TEXT, ["lattice.extent=[4, 6]"]).action.fermion
    assert plane is not None and plane.boundary == (1, -1)


def test_precision_of_solves_follows_from_the_lattice() -> None:
    larger, single = "lattice.extent=[8, 8, 8, 4]", ("lattice.precision=single", "solver={}")
    cases = {(): "double", (larger,): "mixed", single: "single", (larger, *single): "single"}
    for changes, expected in cases.items():
        run = parse(TEXT, list(changes))
        assert run.solver.precision == expected and run.solver.chronological == 0
    assert parse(TEXT, [larger, "solver.precision=double"]).solver.precision == "double"
    with pytest.raises(ConfigError, match=r"solver\.precision = mixed .* = single; single is right"):
        parse(TEXT, [*single, "solver.precision=mixed"])


@pytest.mark.parametrize("value", ["none", "null", "[]"])
def test_controls_can_be_switched_off(value: str) -> None:
    assert parse(TEXT, [f"control={value}"]).control is None


def test_overrides_are_yaml_and_reach_into_lists() -> None:
    changes = ["guide.fermion.0.mass=0.5", "lattice.extent.3=8", "action.fermion.tastes=8", "control.produce=7"]
    run = parse(TEXT, [*changes, "measure.condensate.every=5", "measure.condensate.sources=2"])
    assert run.guide is not None and run.guide.fermion[0].mass == 0.5
    assert run.lattice.extent == (4, 4, 4, 8)
    assert run.action.fermion is not None and run.action.fermion.tastes == 8
    assert run.control is not None and run.control.which == ("nothing", "weight") and run.control.produce == 7
    assert run.measure.condensate is not None and run.measure.condensate.every == 5


@pytest.mark.parametrize(("override", "words"), WRONG, ids=[override for override, _ in WRONG])
def test_what_is_wrong_is_refused_in_one_sentence(tmp_path: Path, override: str, words: list[str]) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(TEXT)
    with pytest.raises(ConfigError) as caught:
        load(path, override.split(" control")[:1] + ["control" + part for part in override.split(" control")[1:]])
    message = str(caught.value)
    assert "\n" not in message and message.startswith(str(path)) and all(word in message for word in words)


def test_what_follows_from_a_wrong_value_is_not_wrong_too() -> None:
    with pytest.raises(ConfigError, match=r"^lattice.extent = 8 is not possible.*at least 2 each\)$"):
        parse(TEXT, ["lattice.extent=8"])


def test_what_is_wrong_in_the_file_is_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    for text, word in (
        (TEXT + "chian: 3\n", "did you mean chain?"),
        (TEXT + "start: unit\n", "given twice"),
        (TEXT + "solver: [\n", "not YAML"),
        (TEXT.replace("steps: 7, ", ""), "integrator.steps is missing; it must be an integer, at least 1"),
        (TEXT.replace("{gauge: {beta: 2.7}", "{gauge: {betta: 2.7}"), "did you mean action.gauge.beta?"),
        ("", "no keys"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match="^" + str(path)) as caught:
            load(path)
        assert word in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "absent.yaml")


def test_several_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match=r"chain\.seed = x .*\(also wrong: chain\.thermalise\)|chain\.thermalise"):
        parse(TEXT, ["chain.seed=x", "chain.thermalise=-3"])


def test_physics_has_no_defaults() -> None:
    needed = ["lattice.extent", "lattice.colors", "start", "action.gauge.beta", "action.fermion.mass"]
    needed += ["action.fermion.tastes", "integrator.scheme", "integrator.steps", "integrator.length", "chain.seed"]
    for key in needed:
        data = yaml.safe_load(TEXT)
        place = data
        *above, last = key.split(".")
        for part in above:
            place = place[part]
        del place[last]
        with pytest.raises(ConfigError, match=f"{key} is missing"):
            parse(yaml.safe_dump(data))


def test_a_run_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        parse(TEXT).chain.seed = 3  # type: ignore[misc]


def test_resume_may_grow_and_move_but_not_change_physics() -> None:
    run = parse(TEXT)
    free = ["chain.produce=300", "checkpoint.every=3", "lattice.threads=2", "lattice.process_grid=[1, 1, 1, 2]"]
    free.append("solver.max_steps=500")
    assert physics_differences(run, parse(TEXT, [*free, "control.produce=30"])) == []
    assert physics_differences(run, parse(TEXT, ["chain.produce=29", "control.produce=30"])) == ["chain.produce"]
    changed = parse(TEXT, ["action.fermion.mass=0.2", "guide.fermion.0.mass=0.5", "lattice.colors=3"])
    keys = ["lattice.colors", "action.fermion.mass", "guide.fermion.0.mass"]
    assert physics_differences(run, changed) == keys
    assert physics_differences(run, parse(TEXT, ["control=none"])) == []
    assert "control.which" in physics_differences(run, parse(TEXT, ["control.which=[nothing]"]))


def test_a_stored_configuration_is_read_without_its_first_links(tmp_path: Path) -> None:
    run = parse(TEXT, ["start=gone.ildg"])
    (tmp_path / "config.yaml").write_text(resolved_yaml(run))
    assert read(tmp_path / "config.yaml") == run
    with pytest.raises(ConfigError, match=r"gone\.ildg is no file"):
        load(tmp_path / "config.yaml")


@settings(max_examples=50)
@given(
    mass=st.floats(min_value=1e-300, max_value=1e300),
    rate=st.floats(min_value=1e-30, max_value=10, exclude_min=True),
    seed=st.integers(min_value=0, max_value=2**63 - 1),
    start=st.text(st.characters(codec="ascii", exclude_categories=("Cc",)), min_size=1),
)
def test_all_digits_survive(mass: float, rate: float, seed: int, start: str) -> None:
    data = yaml.safe_load(TEXT)
    data["action"]["fermion"]["mass"], data["training"]["rate"] = mass, rate
    data["solver"]["tolerance"] = 1e-11
    data["chain"]["seed"], data["start"] = seed, start
    run = Run.model_validate(data)
    assert parse(resolved_yaml(run)) == run


def test_every_key_is_documented_and_the_page_is_up_to_date() -> None:
    assert [key for key, field in leaves(Run) if not field.description] == []
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert page == reference_page(), "run: python -m hpcgauge.config.reference > docs/configuration.md"
