"""tools/gpu_check: one sentence without a card; the file that it writes, from a dry run on the stand-in for CuPy."""

from __future__ import annotations

import ctypes
import inspect
import json
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.emulated import Settings, install
from tests.support.ranks import ROOT, SECONDS_OF_A_HANG, clean_environment
from tests.test_tools import fake_project, load_tool, run

pytestmark = pytest.mark.host
TINY = ("--extents", "4", "--colors", "2", "--precisions", "double", "--kernels", "staggered_hop;random_group")


@pytest.fixture
def report(card: None, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """tools/gpu_report.py on an emulated card."""
    monkeypatch.syspath_prepend(ROOT / "tools")
    return load_tool("gpu_report")


def test_without_a_card_it_ends_with_one_sentence() -> None:
    command = [ROOT / "tools" / "gpu_check"]
    environment = clean_environment(CUDA_VISIBLE_DEVICES="")
    answer = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=SECONDS_OF_A_HANG, check=False
    )
    assert (answer.returncode, answer.stdout, answer.stderr.count("\n")) == (4, "", 1)
    assert answer.stderr.startswith("gpu_check: ") and "tools/test runs the tests without one" in answer.stderr


def test_setup_takes_the_compiler_of_the_drivers_cuda(tmp_path: Path) -> None:
    """Once for each: CUDA 13 where nothing is said, and CUDA 12 in its place."""
    python, setup = str(fake_project(tmp_path)), tmp_path / "tools" / "setup"
    for cuda in ("13", "13", "12", "12"):
        answer = run([setup, "test"], HPCGAUGE_PYTHON=python, HPCGAUGE_CUDA=cuda)
        assert answer.returncode == 0, answer.stderr
        assert answer.stderr == "" or f"hpcgauge[test,cuda{cuda}]" in answer.stderr
    assert (tmp_path / "calls").read_text().split() == ["venv", "install", "install"]


class Driver:
    """Two functions of libcuda."""

    def __init__(self, error: int, n_cards: int):
        self.error, self.n_cards = error, n_cards

    def cuInit(self, flags: int) -> int:
        return self.error

    def cuDeviceGetCount(self, place: Any) -> int:
        place._obj.value = self.n_cards
        return 0

    def cuDriverGetVersion(self, place: Any) -> int:
        place._obj.value = 12080
        return 0


def test_what_the_driver_says(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    driver = load_tool("gpu_driver")
    assert driver.problem(Driver(0, 1)) == "" and "finds no card (error 100)" in driver.problem(Driver(100, 0))
    assert "no NVIDIA driver was found" in driver.problem(None) and "finds no card" in driver.problem(Driver(0, 0))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver(0, 1))
    assert driver.main() == 0 and capsys.readouterr().out == "12\n"


def test_a_dry_run_writes_everything(report: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests themselves are left to the card: here they have run and one has failed on 2 ranks."""
    asked, signature = [], inspect.signature(report.suite.run_size)

    def run_size(*given: Any) -> Any:
        size = signature.bind(*given).arguments["size"]
        asked.append(size)
        outcomes = {"a": {"outcome": "passed"}, "b": {"outcome": "failed", "text": "three is not four"}}
        return report.suite.Run(size, int(size == 2), 1.0, outcomes if size == 2 else {"a": {"outcome": "passed"}})

    for name in report.SUITE:
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(report.suite, "run_size", run_size)
    monkeypatch.setattr(report, "FOLDER", tmp_path)
    assert report.main(list(TINY)) == 1 and asked == [1, 2, 4]
    (path,) = tmp_path.glob("Emulated-card-no-GPU-20*.json")
    found = json.loads(path.read_text())
    assert found["machine"]["card"] == "Emulated card (no GPU)"
    assert {"driver", "runtime", "nvrtc", "cupy", "hpcgauge"} <= set(found["machine"])
    assert [row["kernel"] for row in found["rows"]] == ["staggered_hop", "random_group"]
    assert all(row["checked"] and row["fraction_of_limit"] > 0 for row in found["rows"])
    (solve,) = found["solves"]
    assert solve["converged"] and solve["steps"] > 1 and solve["seconds"] > 0
    outcome = found["tests"]["2 ranks"]
    assert (outcome["passed"], outcome["failed"], outcome["good"]) == (1, 1, False)
    assert outcome["failures"] == {"b": "three is not four"} and found["tests"]["1 ranks"]["good"]


def test_what_is_measured_exists(report: ModuleType) -> None:
    assert set(report.KERNELS) <= set(report.entries(4, 1))


def test_the_report_without_a_driver(report: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    install(Settings(driver=0))
    assert report.main(["--no-tests"]) == 4
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("gpu_check: device = cuda: no card can be reached")


def test_the_predicted_times_on_the_page_are_those_of_the_script() -> None:
    roofline = load_tool("gpu_roofline")
    page = roofline.PAGE.read_text()
    assert page.endswith(roofline.section()), "run tools/gpu_roofline.py --write"
    one = roofline.predicted([(1000.0, 1.0), (0.0, 34e6)], roofline.CARDS[1], 10)
    assert one == pytest.approx(2 * roofline.LAUNCH + 1e4 / 3.35e12 + 1e-5)
