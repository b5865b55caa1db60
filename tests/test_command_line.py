"""The command line: verbs, exit codes, and one sentence for every mistake."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from hpcgauge.__main__ import main, spread
from hpcgauge._version import VERSION
from hpcgauge.errors import DeviceError, PhysicsError
from tests.support.ranks import SECONDS_OF_A_HANG
from tests.test_report import write_chain

ROOT = Path(__file__).parents[1]
QUICKSTART = str(ROOT / "configs" / "quickstart.yaml")
HEAVY = {"numpy", "pydantic", "yaml", "h5py", "mpi4py", "matplotlib", "pyerrors", "scipy"}


def call(*arguments: str) -> int:
    """The exit code of a call in this process."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    code = ended.value.code
    return code if isinstance(code, int) else int(code is not None)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What reaches the composition root, which is replaced here."""
    seen: list[Any] = []

    def run(configuration: Any, folder: Path, fresh: bool, console: Any, world: Any) -> dict[str, Any]:
        seen.append((configuration, folder, fresh))
        if seen[0] and isinstance(seen[0], BaseException):
            raise seen[0]
        return {"trajectories": 3, "acceptance": {"value": 0.5, "error": 0.1}}

    module = types.ModuleType("hpcgauge.run")
    module.run = run  # type: ignore[attr-defined]
    module.compile_configuration = lambda configuration, target, world: ["plaquette"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hpcgauge.run", module)
    return seen


def test_version_is_told() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "hpcgauge", "--version"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert answer.stdout == f"hpcgauge {VERSION}\n"


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    code = f"import sys, hpcgauge.__main__; print(sorted({HEAVY!r} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert answer.stdout == "[]\n"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("run c --set a=1 b=2 --out d", "run c --set a=1 --set b=2 --out d"),
        ("run --set a=1 c", "run --set a=1 c"),
        ("run c --set a=1 --set b=2", "run c --set a=1 --set b=2"),
        ("run c --out d=1", "run c --out d=1"),
    ],
)
def test_several_changes_after_one_option(given: str, meant: str) -> None:
    assert spread(given.split()) == meant.split()


def test_run_hands_over_the_configuration(calls: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", QUICKSTART, "--set", "chain.produce=7", "control=none", "--json") == 0
    assert json.loads(capsys.readouterr().out)["trajectories"] == 3
    configuration, folder, fresh = calls[0]
    assert configuration.chain.produce == 7 and configuration.control is None
    assert folder == Path("runs/quickstart") and not fresh
    assert call("run", QUICKSTART, "--out", "elsewhere", "--fresh") == 0
    assert calls[1][1:] == (Path("elsewhere"), True)
    assert "0.50(10)" in capsys.readouterr().out


def test_compile(calls: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("compile", QUICKSTART, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"kernels": ["plaquette"]}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PhysicsError("the action is not finite"), 3),
        (DeviceError("no compiler"), 4),
        (OSError("disk full"), 4),
        (ValueError("extent = 5 is odd"), 2),
        (SystemExit(75), 75),
        (ZeroDivisionError("a bug"), 1),
    ],
)
def test_exit_codes(calls: list[Any], capsys: pytest.CaptureFixture[str], error: BaseException, code: int) -> None:
    calls.append(error)
    assert call("run", QUICKSTART) == code
    said = capsys.readouterr().err
    assert ("Traceback" in said) == (code == 1)
    if code != 75:
        assert str(error) in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["run", QUICKSTART, "--set", "chain.produc=3"], "did you mean chain.produce?"),
        (["run", QUICKSTART, "--set", "start=htt"], "start = htt is no file; it must be unit, hot or a gauge file"),
        (["run", "absent.yaml"], "absent.yaml: cannot be read"),
        (["report", "absent"], "no history.jsonl"),
        (["info", "absent"], "absent"),
        (["info", QUICKSTART], "expected a gauge field"),
        (["run"], "CONFIG"),
        (["rnu"], "rnu"),
    ],
)
def test_mistakes_end_with_2_and_a_sentence(
    arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*arguments) == 2
    said = capsys.readouterr()
    assert word in said.err and "Traceback" not in said.err and not said.out


def test_mistakes_end_all_ranks() -> None:
    command = [str(ROOT / "tools" / "mpirun"), "-n", "2", sys.executable, "-m", "hpcgauge"]
    command += ["run", QUICKSTART, "--set", "chain.produc=3"]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=SECONDS_OF_A_HANG)
    assert answer.returncode == 2 and "Traceback" not in answer.stderr
    assert answer.stderr.count("did you mean chain.produce?") == 1 and re.search("rank [01] of 2", answer.stderr)


def test_report_and_info_of_a_run_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_chain(tmp_path, {"thermalise": 2, "produce": 30}, 0.1, 1)
    assert call("report", str(tmp_path)) == 0
    assert "30 production trajectories" in capsys.readouterr().out
    assert (tmp_path / "report" / "index.html").is_file() and (tmp_path / "summary.json").is_file()
    assert call("report", str(tmp_path), "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "summary.json").read_text())
    assert call("info", str(tmp_path), "--json") == 0
    assert json.loads(capsys.readouterr().out)["trajectories"] == {"thermalise": 2, "train": 0, "produce": 30}
    assert call("info", str(tmp_path)) == 0
    assert "plaquette" in capsys.readouterr().out


def test_info_of_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy

    from hpcgauge.comm.world import World
    from hpcgauge.io.network import NetworkFile, save_network

    path = tmp_path / "network.h5"
    parameters = {"layers": numpy.array([[0.1, 0.2, 0.3, 0.4]])}
    save_network(path, World.alone(), NetworkFile(parameters, "hypercubic", 3, 2))
    assert call("info", str(path), "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kind"] == "network" and facts["layers"] == [[0.1, 0.2, 0.3, 0.4]] and facts["reach"] == 3
    named = NetworkFile(
        {"numbers": numpy.array([0.5, 0.25])}, "hypercubic", 3, 2, {"names": ["weight.1", "network.1.0"]}
    )
    save_network(path, World.alone(), named)
    assert call("info", str(path)) == 0
    shown = capsys.readouterr().out
    assert '"weight.1": 0.5' in shown and '"network.1.0": 0.25' in shown and '"names"' not in shown
    path.write_bytes(path.read_bytes()[:100])
    assert call("info", str(path)) == 2
    gauge = ROOT.parent / "shared" / "configurations" / "nersc.l8t4b3360"
    if gauge.is_file():
        assert call("info", str(gauge), "--json") == 0
        assert json.loads(capsys.readouterr().out)["extent"] == [8, 8, 8, 4]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({}, "numbers"),
        ({"attributes": 3, "provenance": [3], "numbers": 3}, "numbers"),
        ({"attributes": {"names": 3}}, "[0.5, 0.25]"),
        ({"attributes": {"names": [["a"], ["b"]]}}, "[0.5, 0.25]"),
        ({"kind": "gauge file", "plaquette": {"value": "0", "error": "1"}}, "network"),
        ({"variant": "a\x1b[2Jb\n\u2028", "c\x1bd": {"e\x9b": 1}}, "c?d"),
    ],
)
def test_info_of_a_network_that_says_something_else(
    said: dict[str, Any], shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whole by its seal: shown as it is, without control characters."""
    import numpy

    from hpcgauge.comm.world import World
    from hpcgauge.io.container import Contents, write_container

    path = tmp_path / "network.h5"
    write_container(path, World.alone(), "network", Contents({}, {"numbers": numpy.array([0.5, 0.25])}, said))
    assert call("info", str(path)) == 0
    text = capsys.readouterr().out
    assert shown in text and "network" in text and all(letter.isprintable() for letter in text.replace("\n", ""))
    assert call("info", str(path), "--json") == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "network"


def test_doctor_names_what_it_looks_at(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("doctor", "--json") == 0
    findings = json.loads(capsys.readouterr().out)
    assert {"Python", "C++ compiler", "MPI", "h5py", "huge pages", "processor", "kernel cache"} <= set(findings)
    assert all(finding["is_fine"] for finding in findings.values())
    from hpcgauge.report import doctor

    def absent() -> str:
        raise DeviceError("no C++ compiler was found: install g++")

    monkeypatch.setattr(doctor, "find_compiler", absent)
    assert call("doctor") == 4
    assert "C++ compiler: no C++ compiler was found: install g++" in capsys.readouterr().out
