"""What the report says of a run besides acceptances: its measurements, and what drove it."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hpcgauge.errors import FileFormatError
from hpcgauge.report.figures import acceptance_history, plaquette_history
from hpcgauge.report.history import read_folder
from hpcgauge.report.page import page
from hpcgauge.report.style import styled
from hpcgauge.report.summary import results_of, summarise, table

N = 24


def records(plaquette: float, plain: bool, measured: bool) -> list[dict[str, Any]]:
    """Lines of production; every second one with measurements."""
    lines: list[dict[str, Any]] = []
    for n in range(1, N + 1):
        dH, sign = 0.01 * (-1) ** n, (-1) ** (n // 2)
        line = {"trajectory": n, "phase": "produce", "accepted": True, "dH": dH, "plaquette": plaquette + 0.001 * sign}
        line |= {"dH_guide": dH if plain else 0.5 * dH, "solver_steps": 9, "seconds": 0.1}
        if measured and n % 2 == 0:
            loops = {"1x1": 0.6, "1x2": 0.4}
            line |= {"condensate": 0.5 + 0.01 * sign, "wilson_loops": loops, "polyakov_loop": [0.1 * sign, 0.0]}
        lines.append(line)
    return lines


def write(folder: Path, lines: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_measurements_are_in_summary_table_and_page(tmp_path: Path) -> None:
    folder = write(tmp_path, records(0.7, plain=True, measured=True))
    results = summarise(folder)
    assert results["condensate"]["value"] == pytest.approx(0.5) and results["condensate"]["error"] > 0
    assert results["polyakov_loop"]["value"] == pytest.approx(0, abs=1e-12)
    assert results["wilson_loop_1x2"]["value"] == pytest.approx(0.4) and results["wilson_loop_1x2"]["error"] == 0
    console = Console(width=80)
    with console.capture() as shown:
        console.print(table(results))
    for label in ("condensate", "Re Polyakov loop", "Wilson loop 1x2"):
        assert label in shown.get() and f"<td>{label}</td>" in page(read_folder(folder))


def test_what_was_not_measured_is_not_there(tmp_path: Path) -> None:
    folder = write(tmp_path, records(0.7, plain=True, measured=False))
    assert "condensate" not in results_of(read_folder(folder)) and "Measurements" not in page(read_folder(folder))


@pytest.mark.parametrize("loops", [{"1x1": "high", "1x2": 0.4}, {"1x2": 0.4}, [0.6]])
def test_a_damaged_measurement_is_refused(tmp_path: Path, loops: Any) -> None:
    lines = records(0.7, plain=True, measured=True)
    lines[3]["wilson_loops"] = loops
    with pytest.raises(FileFormatError, match="wilson_loops has not a number '1x1' everywhere"):
        results_of(read_folder(write(tmp_path, lines)))


def test_plain_runs_have_no_guide(tmp_path: Path) -> None:
    plain = read_folder(write(tmp_path / "plain", records(0.7, plain=True, measured=False)))
    guided = read_folder(write(tmp_path / "guided", records(0.7, plain=False, measured=False)))
    assert plain.is_plain and plain.main_name == "HMC" and not guided.is_plain and guided.main_name == "guide"
    assert "guided" not in page(plain) and "What the guide" not in page(plain) and "guided" in page(guided)


def test_labels_and_references_stay_within_their_figures(tmp_path: Path) -> None:
    folder = write(tmp_path, records(0.6, plain=False, measured=False))
    write(folder / "reference", records(0.7, plain=True, measured=False))
    for name in ("nothing", "weight", "stout", "network_alone", "cask_2", "cask_3"):
        refused = [line | {"accepted": False} for line in records(0.6, plain=False, measured=False)]
        write(folder / "control" / name, refused)
    with styled():
        panels = [draw(read_folder(folder)) for draw in (plaquette_history, acceptance_history)]
    for panel in panels:
        assert panel is not None
        (axes,) = panel.figure.axes
        bottom, top = axes.get_ylim()
        heights = sorted(text.get_position()[1] for text in axes.texts if text.get_position()[0] == 1.015)
        room = 1e-3 * (top - bottom)
        assert heights and heights[0] >= bottom - room and heights[-1] <= top + room
        assert all(high - low > 0.06 * (top - bottom) for low, high in pairwise(heights))
