"""hpcgauge info, verify and convert of gauge files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hpcgauge.comm.world import World
from hpcgauge.io.container import Contents, write_container
from tests.support.gaugefiles import nersc, random_links
from tests.support.ranks import clean_environment, run_job

VERB = (sys.executable, "-m", "hpcgauge")


def done(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*VERB, *arguments], env=clean_environment(), capture_output=True, text=True, check=False)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good"
    path.write_bytes(nersc(random_links(3), 3, "IEEE64BIG", ">f8", ENSEMBLE_ID="a test"))
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad"
    path.write_bytes(nersc(random_links(3), 3, "IEEE64BIG", ">f8", CHECKSUM="123"))
    return path


def test_info_says_what_is_stored_and_whether_it_is_right(good: Path, bad: Path) -> None:
    facts = json.loads(done("info", good, "--json").stdout)
    assert (facts["kind"], facts["extent"], facts["group"]) == ("gauge file, nersc", [2, 4, 2, 6], "SU(3)")
    assert (facts["precision"], facts["byte order"], facts["ensemble_id"]) == ("double", "big", "a test")
    assert facts["checksum"]["right"] and facts["checksum"]["stored"] == facts["checksum"]["computed"]
    for name in ("plaquette", "link_trace"):
        assert facts[name]["right"] and abs(facts[name]["stored"] - facts[name]["measured"]) < 1e-9
        assert "/ N, mean over" in facts[name]["normalisation"]
    text = done("info", bad).stdout
    assert "00000123, WRONG: data give" in text and "the file is damaged" in text
    assert "stored" in text and "right" in text


def test_verify_tries_every_file(good: Path, bad: Path, tmp_path: Path) -> None:
    write_container(tmp_path / "checkpoint.h5", World.alone(), "checkpoint", Contents())
    files = good, bad, tmp_path / "nothing", tmp_path / "checkpoint.h5"
    result = done("verify", *files)
    lines = result.stdout.splitlines()
    assert result.returncode == 2 and len(lines) == 4 and not result.stderr
    assert lines[0].startswith(f"{good}: right (gauge file, nersc, 2 x 4 x 2 x 6, SU(3), double; checksum, plaquette")
    assert lines[1].startswith(f"{bad}: WRONG: the nersc header stores the checksums checksum 00000123")
    assert lines[2].startswith(f"{tmp_path / 'nothing'}: WRONG: no such file")
    assert lines[3] == f"{tmp_path / 'checkpoint.h5'}: right (checkpoint; all datasets)"
    found = json.loads(done("verify", *files, "--json").stdout)
    assert [one["right"] for one in found] == [True, False, False, True]
    assert done("verify", good).returncode == 0


def test_convert_and_back_on_the_command_line(good: Path, tmp_path: Path) -> None:
    target, again = tmp_path / "target", tmp_path / "again"
    facts = json.loads(done("convert", good, target, "--format", "openqcd", "--json").stdout)
    assert (facts["kind"], facts["extent"], facts["byte order"]) == ("gauge file, openqcd", [2, 4, 2, 6], "little")
    refused = done("convert", good, target, "--format", "ildg")
    assert refused.returncode == 2 and "target exists; have it replaced" in refused.stderr
    assert done("convert", target, again, "--format", "nersc").returncode == 0
    size = 96 * 576
    assert again.read_bytes()[-size:] == good.read_bytes()[-size:]
    assert done("convert", good, target, "--format", "milc", "--precision", "single", "--force").returncode == 0
    refused = done("convert", good, tmp_path / "other", "--format", "milc")
    assert refused.returncode == 2 and "say precision = 'single' to round them" in refused.stderr
    refused = done("convert", good, tmp_path / "other", "--format", "ildg", "--extent", "4,4,4,4")
    assert (
        refused.returncode == 2 and "the lattice is 2 x 4 x 2 x 6, the caller expects 4 x 4 x 4 x 4" in refused.stderr
    )
    assert done("convert", good, tmp_path / "other", "--format", "ildg", "--extent", "4,4").returncode == 2
    assert not (tmp_path / "other").exists()


def test_verbs_on_two_ranks(good: Path, bad: Path, tmp_path: Path) -> None:
    result = run_job(2, [*VERB, "convert", good, tmp_path / "target", "--format", "hdf5", "--json"])
    assert result.returncode == 0 and json.loads(result.stdout)["group"] == "SU(3)", result.stderr
    result = run_job(2, [*VERB, "verify", tmp_path / "target", bad])
    assert result.returncode == 2
    assert [line.split(": ")[1][:5] for line in result.stdout.splitlines()] == ["right", "WRONG"]
    facts = json.loads(run_job(2, [*VERB, "info", tmp_path / "target", "--json"]).stdout)
    assert facts["sum64"]["right"] and facts["verdict"] == "right" and facts["ensemble_id"] == "a test"
