"""Statistics against exact numbers, and everything a run shows, from a made run folder."""

from __future__ import annotations

import io
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from rich.console import Console

from hpcgauge.errors import FileFormatError
from hpcgauge.observables.statistics import (
    acceptance,
    autocorrelation,
    exp_minus_dH,
    gamma,
    gaussian_acceptance,
    in_brackets,
    twice_negative,
)
from hpcgauge.report.figures import _apart, panels, trailing_mean, trailing_median
from hpcgauge.report.history import CONTROLS, read_folder
from hpcgauge.report.page import about, page, write_page
from hpcgauge.report.progress import Progress, duration
from hpcgauge.report.summary import summarise, table

VARIANCE = {"guide": 0.13, "nothing": 1.5, "weight": 0.21, "stout": 0.45, "network_alone": 0.27, "reference": 1e-3}
CONFIG = """
lattice: {extent: [4, 4, 4, 4], colors: 2}
action: {gauge: {beta: 2.7}, fermion: {mass: 0.3, tastes: 4}}
guide: {fermion: [{mass: 0.4, network: {kind: cask, layers: 2}}]}
note: <b>&amp;
"""


def records(phases: dict[str, int], variance: float, seed: int) -> Iterator[dict[str, Any]]:
    """A chain with Gaussian dH of mean half its variance, accepted as Metropolis does, and a correlated plaquette."""
    random = numpy.random.default_rng(seed)
    plaquette, n = 0.7025, 0
    for phase, count in phases.items():
        for _ in range(count):
            n += 1
            dH = float(random.normal(variance / 2, math.sqrt(variance)))
            accepted = bool(random.random() < math.exp(-dH))
            if accepted:
                plaquette = float(0.7025 + 0.5 * (plaquette - 0.7025) + 0.006 * random.normal())
            record = {"trajectory": n, "phase": phase, "accepted": accepted, "dH": dH, "dH_guide": 0.0}
            record |= {"plaquette": plaquette, "solver_steps": 600, "seconds": 0.1}
            if phase == "train":
                record["loss"] = float(random.normal(0, 1)) ** 2
            yield record


def write_chain(folder: Path, phases: dict[str, int], variance: float, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(record) + "\n" for record in records(phases, variance, seed)]
    (folder / "history.jsonl").write_text("".join(lines))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "example"
    write_chain(path, {"thermalise": 100, "train": 200, "produce": 400}, VARIANCE["guide"], 1)
    for seed, name in enumerate(CONTROLS):
        write_chain(path / "control" / name, {"train": 100, "produce": 200}, VARIANCE[name], 10 + seed)
    write_chain(path / "reference", {"thermalise": 100, "produce": 400}, VARIANCE["reference"], 20)
    (path / "config.yaml").write_text(CONFIG)
    return path


def test_gamma_method_finds_the_autocorrelation_of_a_known_process() -> None:
    # x(n) = r x(n-1) + noise: tau_int = (1 + r) / (2 (1 - r)), error = sigma sqrt(2 tau_int / n), rho(t) = r^t
    r, n = 0.8, 20000
    noise = numpy.random.default_rng(1).normal(size=n)
    x = numpy.empty(n)
    x[0] = noise[0] / math.sqrt(1 - r * r)
    for i in range(1, n):
        x[i] = r * x[i - 1] + noise[i]
    estimate, exact = gamma(x), 0.5 * (1 + r) / (1 - r)
    assert abs(estimate.tau_int - exact) < 4 * estimate.tau_int_error
    assert estimate.error == pytest.approx(math.sqrt(2 * exact / n / (1 - r * r)), rel=0.15)
    assert abs(estimate.value) < 4 * estimate.error
    function = autocorrelation(x)
    t = numpy.arange(10)
    assert (numpy.abs(function.rho[:10] - r**t) <= 4 * function.error[:10] + 1e-12).all()
    assert function.error[0] == 0 and function.window > 10


@pytest.mark.parametrize("n", [0, 1, 2, 5, 8, 9, 20, 400])
@pytest.mark.parametrize("kind", ["normal", "constant", "ramp", "alternating", "one", "infinite"])
def test_statistics_of_odd_series(n: int, kind: str) -> None:
    place = numpy.arange(n)
    series = {
        "normal": numpy.random.default_rng(n).normal(size=n),
        "constant": numpy.full(n, 0.7),
        "ramp": 1.0 * place,
        "alternating": 1.0 * (place % 2),
        "one": 1.0 * (place == 2),
        "infinite": numpy.where(place == 1, numpy.inf, 0.0),
    }[kind]
    with numpy.errstate(all="raise", invalid="ignore", under="ignore"):
        for estimate in (gamma(series), acceptance(list(series > 0)), twice_negative(series)):
            assert math.isnan(estimate.value) == (n == 0) or kind == "infinite"
            assert not estimate.error < 0
            assert str(estimate)
        exp_minus_dH(series)
        gaussian_acceptance(series)
        assert autocorrelation(series).rho.size == autocorrelation(series).error.size


def test_acceptance_of_all_or_none_has_an_error() -> None:
    assert acceptance([True] * 100).value == 1 and 0.005 < acceptance([True] * 100).error < 0.02
    assert acceptance([False]).value == 0 and acceptance([False]).error > 0.1


def test_identities_of_gaussian_energy_changes() -> None:
    dH = numpy.random.default_rng(5).normal(0.1, math.sqrt(0.2), size=4000)  # mean is half the variance
    exact = math.erfc(math.sqrt(0.1) / 2)
    for estimate, expected in ((exp_minus_dH(dH), 1), (twice_negative(dH), exact), (gaussian_acceptance(dH), exact)):
        assert abs(estimate.value - expected) < 4 * estimate.error
        assert estimate.error < 0.05


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.702543, 0.00025, "0.70254(25)"),
        (12.34, 1.4, "12.3(1.4)"),
        (0.7, 0.0996, "0.70(10)"),
        (0.7, 0.0994, "0.700(99)"),
        (0.7, 0.996, "0.7(1.0)"),
        (5.0, 0.95, "5.00(95)"),
        (123.4, 14.2, "123(14)"),
        (1.0, 9.96, "1(10)"),
        (1e-5, 1e-6, "0.0000100(10)"),
        (0.5, 0.0, "0.5"),
        (0.5, math.nan, "0.5"),
        (math.nan, math.nan, "–"),
    ],
)
def test_errors_in_brackets(value: float, error: float, text: str) -> None:
    assert in_brackets(value, error) == text


def test_running_means() -> None:
    values = numpy.array([1.0, 2.0, 3.0, 10.0])
    assert trailing_mean(values, 2).tolist() == [1.0, 1.5, 2.5, 6.5]
    assert trailing_median(values, 3).tolist() == [1.0, 1.5, 2.0, 3.0]


def test_summary_has_the_promised_keys(folder: Path) -> None:
    results = summarise(folder)
    assert json.loads((folder / "summary.json").read_text()) == results
    keys = ["acceptance", "plaquette", "plaquette_reference", "exp_minus_dH", "tau_int_plaquette"]
    for key in keys + [f"acceptance_{name}" for name in CONTROLS]:
        assert set(results[key]) == {"value", "error"} and results[key]["error"] > 0
    produced = list(records({"thermalise": 100, "train": 200, "produce": 400}, VARIANCE["guide"], 1))[300:]
    assert results["acceptance"]["value"] == pytest.approx(sum(record["accepted"] for record in produced) / 400)
    for name, key in (("guide", "acceptance"), ("nothing", "acceptance_nothing")):
        expected = math.erfc(math.sqrt(VARIANCE[name] / 2) / 2)
        assert abs(results[key]["value"] - expected) < 4 * results[key]["error"]
    console = Console(file=io.StringIO(), width=80)
    console.print(table(results))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "400 production trajectories" in text and "acceptance, one weight" in text


def test_summary_of_a_plain_or_unfinished_run(tmp_path: Path) -> None:
    write_chain(tmp_path, {"thermalise": 3, "produce": 2}, 0.1, 1)
    results = summarise(tmp_path)
    assert results["acceptance_nothing"] is None and results["plaquette_reference"] is None
    assert results["acceptance"] is not None and results["trajectories"] == 2
    write_chain(tmp_path, {"thermalise": 3}, 0.1, 1)
    assert summarise(tmp_path)["acceptance"] is None
    assert "No production trajectories yet" in write_page(tmp_path).read_text()


def test_page_is_whole_and_alone(folder: Path) -> None:
    text = write_page(folder).read_text()
    assert text == page(read_folder(folder))  # the same numbers give the same page
    assert not re.search(r"(src|href)=\"(?!#)", text) and "<script" not in text and "@import" not in text
    assert text.count("<figure>") == 7 and text.count("<figcaption>") == 7
    assert "SU(2) on 4 × 4 × 4 × 4" in text and "400 production trajectories" in text
    assert "&lt;b&gt;&amp;amp;" in text  # the configuration is shown as text
    names = re.findall(r'\bid="([^"]+)"', text)
    assert len(names) == len(set(names))
    for element in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL):
        root = ElementTree.fromstring(element)
        assert root.get("role") == "img" and root.get("aria-label")
    assert "DejaVu" not in text


def test_figures_that_have_no_numbers_are_left_out(tmp_path: Path) -> None:
    write_chain(tmp_path, {"thermalise": 1}, 0.1, 1)
    assert panels(read_folder(tmp_path)) == []
    write_chain(tmp_path, {"thermalise": 5, "produce": 60}, 0.1, 1)
    names = [panel.name for panel in panels(read_folder(tmp_path))]
    assert "loss" not in names and {"acceptance", "plaquette", "histogram", "dH"} <= set(names)
    assert about({"lattice": {"extent": [4, 4], "colors": 3}}).endswith("plain HMC")


def test_a_history_cut_off_while_writing_is_read(tmp_path: Path) -> None:
    write_chain(tmp_path, {"produce": 20}, 0.1, 1)
    path = tmp_path / "history.jsonl"
    path.write_text(path.read_text()[:-20])
    assert len(read_folder(tmp_path).main) == 19
    path.write_text('{"trajectory": 1\n{"trajectory": 2}\n')
    with pytest.raises(FileFormatError, match="line 1 is no JSON"):
        read_folder(tmp_path)
    with pytest.raises(FileFormatError, match=r"no history\.jsonl"):
        read_folder(tmp_path / "absent")


class Clock:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def show(is_terminal: bool, enabled: bool = True) -> str:
    clock, file = Clock(), io.StringIO()
    console = Console(file=file, force_terminal=is_terminal, width=80, color_system=None)
    with Progress(enabled, {"thermalise": 10, "produce": 100}, console, clock) as progress:
        for phase, count in (("thermalise", 10), ("produce", 50)):
            progress.start_phase(phase, {"thermalise": 10, "produce": 100}[phase])
            for record in records({phase: count}, 0.1, 1):
                clock.now += 2
                progress.update(record)
        assert progress.seconds_left() == pytest.approx(100)
        progress.note("half of it")
    return file.getvalue()


def test_progress_prints_plain_lines_where_there_is_no_terminal() -> None:
    text = show(is_terminal=False)
    lines = text.splitlines()
    assert "\x1b" not in text
    assert lines[0].startswith("thermalise 0/10") and lines[-1].startswith("produce 50/100")
    assert "half of it" in lines and "1 min 40 s left" in lines[-1]
    assert all(word in lines[-1] for word in ("acceptance 0.", "<dH> ", "plaquette 0.7"))
    assert len(lines) < 20  # one line every ten seconds, not one per trajectory


def test_progress_is_live_on_a_terminal() -> None:
    text = show(is_terminal=True)
    assert "\x1b" in text and "50/100" in text and "thermalise" in text and "1 min 40 s left" in text


def test_progress_is_silent_when_not_enabled() -> None:
    assert show(is_terminal=False, enabled=False) == "" and show(is_terminal=True, enabled=False) == ""


def test_progress_of_a_resumed_phase() -> None:
    clock = Clock()
    progress = Progress(False, {"produce": 100}, clock=clock)
    assert progress.seconds_left() is None
    progress.start_phase("produce", 100, done=90)
    clock.now += 3
    progress.update(next(records({"produce": 1}, 0.1, 1)))
    assert progress.seconds_left() == pytest.approx(9 * 3)


def test_durations() -> None:
    assert [duration(seconds) for seconds in (12.2, 185, 7620)] == ["12 s", "3 min 05 s", "2 h 07 min"]


def test_labels_stay_in_the_frame() -> None:
    assert _apart([-2.0], 0.1, 0, 1) == [0] and _apart([2.0], 0.1, 0, 1) == [1] and _apart([0.5], 0.1, 0, 1) == [0.5]
    low, high = _apart([2.0, 3.0], 0.1, 0, 1)
    assert high - low == pytest.approx(0.1) and high <= 1 + 1e-9
