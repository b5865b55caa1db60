"""The commands in tools/: set-up, launcher, and the suite's own accounting."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.ranks import ROOT, SECONDS_OF_A_HANG, clean_environment, run_job


def load_tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def run(command: list[str | Path], **variables: str) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(**variables)
    limit = SECONDS_OF_A_HANG
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=limit)


def test_setup_has_nothing_to_do_a_second_time() -> None:
    stamp = ROOT / ".venv" / ".setup-test"
    if not stamp.exists():
        pytest.fail("start the tests with tools/test, which sets up .venv")
    before = stamp.stat().st_mtime_ns
    for level in ("run", "test"):
        answer = run([ROOT / "tools" / "setup", level])
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    assert stamp.stat().st_mtime_ns == before


def fake_project(folder: Path) -> Path:
    """A project with the real set-up and a Python whose venv has a pip that only notes its calls."""
    (folder / "tools").mkdir()
    (folder / "pyproject.toml").write_text("[project]\nname = 'fake'\n")
    shutil.copy(ROOT / "tools" / "setup", folder / "tools" / "setup")
    (folder / "tools" / "launcher.py").write_text("")
    python = folder / "python"
    log = folder / "calls"
    python.write_text(
        f"""#!/usr/bin/env bash
case "$*" in
*"-m venv --clear"*) sleep 0.3; rm -rf "$4"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; echo venv >>{log} ;;
*"pip install"*) sleep 0.3; echo "install" >>{log}; [ ! -e {folder}/broken ] ;;
esac
"""
    )
    python.chmod(0o755)
    return python


def test_setup_installs_once_when_two_start_together(tmp_path: Path) -> None:
    python = fake_project(tmp_path)
    command = [tmp_path / "tools" / "setup"]
    environment = clean_environment(HPCGAUGE_PYTHON=str(python))
    both = [subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(SECONDS_OF_A_HANG) for process in both] == [0, 0]
    assert (tmp_path / "calls").read_text().split() == ["venv", "install"]


def test_setup_begins_again_after_it_was_killed_and_after_a_change(tmp_path: Path) -> None:
    python = fake_project(tmp_path)
    setup = tmp_path / "tools" / "setup"
    calls = tmp_path / "calls"
    assert run([setup], HPCGAUGE_PYTHON=str(python)).returncode == 0
    assert run([setup], HPCGAUGE_PYTHON=str(python)).stderr == ""
    with (tmp_path / "pyproject.toml").open("a") as file:
        file.write("version = '2'\n")
    assert run([setup], HPCGAUGE_PYTHON=str(python)).returncode == 0
    assert calls.read_text().split() == ["venv", "install", "install"]
    (tmp_path / ".venv" / ".installing").touch()
    (tmp_path / ".venv" / ".setup-run").unlink()
    assert run([setup], HPCGAUGE_PYTHON=str(python)).returncode == 0
    assert calls.read_text().split() == ["venv", "install", "install", "venv", "install"]
    assert not (tmp_path / ".venv" / ".installing").exists()


def test_setup_says_when_an_installation_fails_and_keeps_the_old_one(tmp_path: Path) -> None:
    python = fake_project(tmp_path)
    (tmp_path / "broken").touch()
    answer = run([tmp_path / "tools" / "setup"], HPCGAUGE_PYTHON=str(python))
    assert answer.returncode != 0 and "the installation failed" in answer.stderr
    (tmp_path / "broken").unlink()
    assert run([tmp_path / "tools" / "setup"], HPCGAUGE_PYTHON=str(python)).returncode == 0
    assert (tmp_path / "calls").read_text().split() == ["venv", "install", "install"]


def test_version_is_told() -> None:
    from hpcgauge._version import VERSION

    answer = run([ROOT / "tools" / "hpcgauge", "--version"])
    assert answer.returncode == 0, answer.stderr
    assert VERSION in answer.stdout


def test_mpirun_passes_exit_code_input_and_arguments_on() -> None:
    # One line, not all of the input: Open MPI 5 does not pass the end of it on.
    program = "import os, sys; print(input() + os.environ['OMP_NUM_THREADS'] + sys.argv[1]); sys.exit(7)"
    answer = subprocess.run(
        [ROOT / "tools" / "mpirun", "-n", "1", "python", "-c", program, "two words"],
        input="a line,\n",
        env=clean_environment(OMP_NUM_THREADS="2"),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_OF_A_HANG,
    )
    assert answer.returncode == 7
    assert answer.stdout.strip() == "a line,2two words"


@pytest.fixture
def few_cores() -> Iterator[int]:
    """How many cores this process and what it starts may use: one or two of those there are, which may be many."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cores)[:2])
    yield len(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores)


def test_mpirun_starts_more_ranks_than_cores(few_cores: int) -> None:
    n_ranks = few_cores + 1
    program = "from hpcgauge.comm.world import World; world = World(); print(world.allgather(1).count(1))"
    answer = run_job(n_ranks, ["python", "-c", program])
    assert answer.returncode == 0, answer.stderr
    # What the ranks print may be mixed in any order, white space too.
    assert "".join(answer.stdout.split()) == str(n_ranks) * n_ranks


def test_mpirun_without_arguments_shows_its_use() -> None:
    answer = run([ROOT / "tools" / "mpirun"])
    assert answer.returncode == 2 and "usage: tools/mpirun -n N" in answer.stderr


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Open MPI v5.0.1, package: Open MPI", "openmpi"),
        ("mpirun (Open MPI) 4.1.4", "openmpi"),
        ("MPICH Version: 5.0.2", "mpich"),
        ("HYDRA build details:\n    Version: 4.1", "mpich"),
        ("Intel(R) MPI Library for Linux* OS", "mpich"),
        ("something else", ""),
    ],
)
def test_launcher_knows_the_families_of_mpi(text: str, kind: str) -> None:
    assert load_tool("launcher").vendor(text) == kind


def test_launcher_settings_follow_the_mpi_and_the_number_of_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = load_tool("launcher")
    for name in launcher.SCHEDULERS:
        monkeypatch.delenv(name, raising=False)
    options, variables = launcher.settings("openmpi", "Open MPI v5.0.1", ["-n", "64", "true"])
    assert options == ["--oversubscribe", "--bind-to", "none"]
    assert variables["OMPI_MCA_btl"] == "self,sm" and variables["OMPI_MCA_mpi_yield_when_idle"] == "1"
    assert launcher.settings("openmpi", "Open MPI v4.1.4", ["-n", "2"])[1]["OMPI_MCA_btl"] == "self,vader"
    hosts = launcher.settings("openmpi", "Open MPI v5.0.1", ["--host", "a,b", "--bind-to", "core", "-n", "2"])
    assert hosts[0] == ["--oversubscribe"] and "OMPI_MCA_btl" not in hosts[1]
    assert "MPIR_CVAR_POLLS_BEFORE_YIELD" in launcher.settings("mpich", "MPICH", ["-n", "4096"])[1]
    assert "MPIR_CVAR_POLLS_BEFORE_YIELD" not in launcher.settings("mpich", "MPICH", ["-n", "1"])[1]


def make_run(suite: ModuleType, size: int, **outcomes: dict) -> object:
    return suite.Run(size, 0, 1.0, outcomes)


def test_suite_fails_if_a_test_was_skipped_at_every_size(capsys: pytest.CaptureFixture[str]) -> None:
    suite = load_tool("suite")
    passed = {"outcome": "passed"}
    skipped = {"outcome": "skipped", "text": "why", "excused": False}
    excused = {"outcome": "skipped", "text": "no CUDA device", "excused": True}
    assert suite.report([make_run(suite, 1, a=skipped, b=passed), make_run(suite, 2, a=passed)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 passed, 0 failed, 1 skipped"
    assert suite.report([make_run(suite, 1, a=skipped, b=passed)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed, 1 failed"
    assert suite.report([make_run(suite, 1, a=excused, b=passed)]) == 0
    assert "shared configurations: 1" in capsys.readouterr().out


def test_suite_fails_if_a_rank_failed_or_a_test_did_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    suite = load_tool("suite")
    assert suite.report([make_run(suite, 1, a={"outcome": "passed"}, b={"outcome": "not run"})]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed, 1 failed"
    assert suite.report([suite.Run(2, 1, 1.0, {"a": {"outcome": "passed"}})]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed, 1 failed"
    assert suite.report([suite.Run(1, 5, 1.0, {})]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 1 failed"


def test_suite_shows_a_failure_of_another_rank(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = load_tool("suite")
    (tmp_path / "rank-0.json").write_text('{"a": {"outcome": "passed"}}')
    (tmp_path / "rank-1.json").write_text('{"a": {"outcome": "failed", "text": "three is not four"}}')
    run_of_two = suite.Run(2, 1, 1.0)
    suite.read_outcomes(run_of_two, tmp_path)
    assert suite.report([run_of_two]) == 1
    assert "a failed on rank 1 of 2:\nthree is not four" in capsys.readouterr().out


BAD_SUITE = """
import pytest
from tests.conftest import *
@pytest.mark.ranks
def test_one_rank_fails_while_others_wait(world):
    if world.size > 1:
        assert world.rank != 1, "only rank 1 says so"
    world.barrier()
"""


def test_failure_of_one_rank_does_not_hang_the_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPCGAUGE_TEST_PATIENCE", "3")
    (tmp_path / "test_bad.py").write_text(BAD_SUITE)
    command = ["-m", "tests.support.one_rank", tmp_path, str(SECONDS_OF_A_HANG), "-q", "-p", "tests.conftest"]
    config = ["-c", ROOT / "pyproject.toml", "--rootdir", tmp_path, tmp_path / "test_bad.py"]
    job = run_job(2, ["python", *command, *config])
    assert job.returncode != 0
    assert "only rank 1 says so" in job.stdout + job.stderr + (tmp_path / "rank-1.log").read_text()


def test_solver_times_are_those_of_true_solutions() -> None:
    command = [ROOT / ".venv" / "bin" / "python", ROOT / "tools" / "solver_times.py", "--extent", "4", "--colors", "2"]
    answer = run([*command, "--beta", "2.7", "--mass", "0.3", "--repetitions", "1"])
    assert answer.returncode == 0, answer.stderr
    rows = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [row["way"] for row in rows] == ["double", "4 sources, double", "mixed", "4 sources, mixed", "4 masses"]
    assert all(row["converged"] and row["residual"] <= 1e-10 and row["seconds"] > 0 for row in rows)


def test_growth_is_a_power_of_the_shortest_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "tools")
    growth = importlib.import_module("growth")
    assert growth.power([1, 2, 4], [3.0, 24.0, 192.0]) == pytest.approx(3)
    assert 0 < growth.network_seconds(4, 2, 1, 3, seconds=0) and 0 < growth.hop_seconds(4, 2, seconds=0)


def test_rows_as_a_table() -> None:
    numbers = {"seconds": 2.5e-3, "gflops": 5.25, "gbytes_per_s": 10.0, "stream_gbytes_per_s": 20.0}
    row = {"kernel": "combine", "limited_by": "triad", "fraction_of_limit": 0.5} | numbers
    command = [ROOT / ".venv" / "bin" / "python", ROOT / "tools" / "roofline.py"]
    result = subprocess.run(command, input=json.dumps({"rows": [row]}), capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "| combine | 2500 | 5.2 | 10.0 | 20.0 | triad | 0.50 |"


def test_suite_adds_a_mark_to_those_that_were_asked_for() -> None:
    suite = load_tool("suite")
    assert suite.with_mark(["tests/a.py"], "hdf5") == ["tests/a.py", "-m", "hdf5"]
    assert suite.with_mark(["-m", "ranks or gpu"], "hdf5")[-2:] == ["-m", "(ranks or gpu) and hdf5"]


def test_suite_says_which_paths_of_hdf5_have_run(monkeypatch: pytest.MonkeyPatch) -> None:
    suite, tool = load_tool("suite"), load_tool("parallel_hdf5")
    marked = make_run(suite, 1, a={"outcome": "passed", "hdf5": True})
    assert suite.with_parallel_hdf5([], make_run(suite, 1, a={"outcome": "passed"})) == ([], "")
    monkeypatch.delenv("HPCGAUGE_TEST_HDF5", raising=False)
    monkeypatch.setattr(tool, "find", lambda: None)
    runs, words = suite.with_parallel_hdf5([], marked)
    assert runs == [] and "NOT tested" in words
    monkeypatch.setenv("HPCGAUGE_TEST_HDF5", "stock")
    assert "stock" in suite.with_parallel_hdf5([], marked)[1]


@pytest.mark.parametrize(("setting", "version"), [("#define H5_HAVE_PARALLEL 1", "1.14.5"), ("/* none */", "")])
def test_parallel_hdf5_is_known_by_its_headers(tmp_path: Path, setting: str, version: str) -> None:
    (tmp_path / "H5pubconf.h").write_text(f"#define H5_HAVE_STDINT_H 1\n{setting}\n")
    (tmp_path / "H5public.h").write_text('#define H5_VERS_INFO    "HDF5 library version: 1.14.5"\n')
    assert load_tool("parallel_hdf5")._version(tmp_path) == version
