"""The examples of docs/ and the Python of README and docs/: they run, stay small, and their gradients are right."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path
from typing import Any

import numpy
import pytest

import hpcgauge as hg
from hpcgauge.gauge.links import UPDATE_LINKS
from hpcgauge.kernels.draws import Draw, Stream, random_momenta
from hpcgauge.kernels.loop import run
from tests.support.ranks import ROOT, agree

EXAMPLES = ROOT / "docs" / "examples"
LINES = {"main_job.py": 25, "own_action.py": 20, "own_layer.py": 40}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHOWN_ON = {
    "main_job.py": "README.md",
    "own_action.py": "docs/own-actions.md",
    "own_layer.py": "docs/own-layers.md",
    "own_layer.h": "docs/own-layers.md",
}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TRAJECTORIES = ["1", "1", "2"]


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of code of a page in one language."""
    return [text for found, text in BLOCK.findall(page.read_text(encoding="utf-8")) if found == language]


def code_lines(text: str) -> int:
    """The lines that are neither empty nor comment nor docstring."""
    outside = set(range(1, text.count("\n") + 1))
    for node in ast.walk(ast.parse(text)):
        is_documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)
        if is_documented:
            outside -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = text.splitlines()
    return sum(bool(lines[n - 1].strip()) and not lines[n - 1].strip().startswith("#") for n in outside)


def header_lines(text: str) -> int:
    """The lines of a header that are neither empty nor comment."""
    return sum(bool(line.strip()) and not line.strip().startswith("//") for line in text.splitlines())


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples that are told their numbers of trajectories do few."""
    monkeypatch.setattr("sys.argv", ["example", *TRAJECTORIES])


@pytest.mark.parametrize("name", LINES)
def test_examples_are_small_and_shown(name: str) -> None:
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    header = (EXAMPLES / name).with_suffix(".h")
    in_header = header_lines(header.read_text(encoding="utf-8")) if header.exists() else 0
    assert code_lines(text) + in_header <= LINES[name]
    assert text in blocks(ROOT / SHOWN_ON[name], "python")


def test_header_is_shown() -> None:
    assert (EXAMPLES / "own_layer.h").read_text(encoding="utf-8") in blocks(ROOT / SHOWN_ON["own_layer.h"], "cpp")


@pytest.mark.usefixtures("few")
def test_main_job_runs(capsys: pytest.CaptureFixture[str]) -> None:
    found = runpy.run_path(str(EXAMPLES / "main_job.py"))
    assert found["state"].trajectory == 4 and len(found["trained"].records) == 1
    assert "acceptance" in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.usefixtures("few")
def test_python_on_pages_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__", "__file__": str(EXAMPLES / page.name)}
    for number, text in enumerate(blocks(page, "python")):
        exec(compile(text, f"{page.name}, block {number}", "exec"), names)


def slope(action: hg.AbstractAction, U: hg.Field, P: hg.Field) -> tuple[float, float]:
    """d/ds S(exp(s P) U): by the gradient, and by a five-point difference. Collective."""
    C = action.evaluate(U, None).gradient
    assert C is not None
    links, momenta, gradient = (field.to_numpy() for field in (U, P, C))
    step, values = 1e-3, {}
    for k in (-2, -1, 1, 2):
        moved = U.copy()
        run(UPDATE_LINKS, U=moved, P=P, step=k * step)
        values[k] = action.evaluate(moved, None, gradient=False).value
    difference = (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * step)
    return float((gradient.conj() * (momenta @ links)).sum().real), difference


def thermal_and_momenta(world: hg.World, colors: int) -> tuple[hg.Field, hg.Field]:
    """Smoothed links and a direction to move them in. Collective."""
    lattice = hg.Lattice((4, 2, 2, 8), colors=colors, world=world)
    P = random_momenta(lattice, Draw(Stream.MOMENTUM, seed=3))
    return hg.stout(hg.Links.hot(lattice, seed=2), rho=0.08), P


def definitions(name: str) -> dict[str, Any]:
    """The imports, constants and classes of an example, without what it runs."""
    path = EXAMPLES / name
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kept = (ast.Import, ast.ImportFrom, ast.ClassDef)
    tree.body = [node for node in tree.body if isinstance(node, kept) or ast.unparse(node).partition(" =")[0].isupper()]
    names: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
    exec(compile(tree, str(path), "exec"), names)
    return names


@pytest.mark.ranks
@pytest.mark.parametrize("colors", [2, 3])
def test_own_action_has_the_right_gradient(world: hg.World, colors: int) -> None:
    U, P = thermal_and_momenta(world, colors)
    exact, difference = slope(definitions("own_action.py")["PolyakovAction"](h=0.5), U, P)
    agree(world, abs(exact - difference) < 1e-8 * max(1.0, abs(exact)), f"{exact} {difference}")


def test_own_action_feels_the_field() -> None:
    found = runpy.run_path(str(EXAMPLES / "own_action.py"))
    assert found["state"].trajectory == 20 and abs(found["record"].dH) < 1
    # In the field the loops have a sign; without it their mean is 0 at this coupling.
    assert hg.polyakov_loop(found["state"].U).real > 0.05


@pytest.mark.ranks
@pytest.mark.parametrize("colors", [2, 3])
def test_own_layer_has_the_right_pullback(world: hg.World, colors: int) -> None:
    U, P = thermal_and_momenta(world, colors)
    net = definitions("own_layer.py")["AnisotropicStout"]([0.05, -0.03])
    action = hg.Transformed(hg.PlaquetteAction(beta=5.0), net)
    exact, difference = slope(action, U, P)
    agree(world, abs(exact - difference) < 1e-8 * abs(exact), f"{exact} {difference}")
    slopes = action.evaluate(U, None, gradient=False, parameters=True).dparameters
    for k, found in enumerate(slopes):
        step = 1e-4 * numpy.eye(2)[k]
        above, below = (
            action.with_parameters(action.parameters + sign * step).evaluate(U, None, gradient=False).value
            for sign in (1, -1)
        )
        expected = (above - below) / 2e-4
        agree(world, abs(found - expected) < 1e-6 * abs(expected), f"{found} {expected}")


def test_own_layer_is_equivariant() -> None:
    """Under all but the elements that turn space into time; equal parameters make plain stout smearing."""
    found = runpy.run_path(str(EXAMPLES / "own_layer.py"))
    net, lattice = found["net"], found["lattice"]
    for group in ("gauge", "translation"):
        assert hg.symmetry.check(net, group, lattice, seed=5, samples=2) < 1e-13
    assert hg.symmetry.check(net, "hypercubic", lattice, seed=5, samples=2) > 1e-3
    U = hg.Links.hot(lattice, seed=2)
    same = net.with_parameters([0.1, 0.1])(U).to_numpy() - hg.stout(U, rho=0.1).to_numpy()
    assert abs(same).max() < 1e-14
