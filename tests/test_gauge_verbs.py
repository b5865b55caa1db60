"""hpcgauge info, verify and convert of gauge files."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy
import pytest

from hpcgauge.__main__ import main
from hpcgauge.comm.world import World
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import Links
from hpcgauge.io.container import Contents, write_container
from hpcgauge.io.gauge.gaugefile import CHECKS
from hpcgauge.io.gauge.links import write_links
from tests.support.gaugefiles import FORMAT, lime, nersc, numbers, random_links
from tests.support.gaugeoracles import told
from tests.support.ranks import clean_environment, run_job

VERB = (sys.executable, "-m", "hpcgauge")


def done(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*VERB, *arguments], env=clean_environment(), capture_output=True, text=True, check=False)


def called(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The same in this process, which is quicker."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return subprocess.CompletedProcess(arguments, int(str(ended.value.code or 0)), out.getvalue(), err.getvalue())


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


def test_convert_leaves_checks_out_by_name(bad: Path, tmp_path: Path) -> None:
    """The names are those of read_links: a wrong checksum alone hinders nothing where it is not looked at."""
    target = tmp_path / "target"
    for checks in ("all", "checksum", "group,checksum"):
        refused = called("convert", bad, target, "--format", "ildg", "--verify", checks)
        assert refused.returncode == 2 and "stores the checksums checksum 00000123" in refused.stderr
        assert "leave this check out (verify=False, convert --verify none)" in refused.stderr and not target.exists()
    for checks in ("none", "link_trace,plaquette,group"):
        assert called("convert", bad, target, "--format", "ildg", "--verify", checks, "--force").returncode == 0
        assert numpy.array_equal(told(target, "ildg")[0], random_links(3))
    for checks in ("plaquettes", "none,group", "", "checksum, group"):
        refused = called("convert", bad, target, "--format", "ildg", "--verify", checks, "--force")
        assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1
        assert f"--verify {checks!r}; expected all, none, or some of {', '.join(CHECKS)}, with commas" in refused.stderr


@pytest.mark.parametrize(("name", "of"), [("group", 0), ("plaquette", 1), ("link_trace", 1)])
def test_each_check_is_made_by_its_name_alone(name: str, of: int, tmp_path: Path) -> None:
    """Numbers off the group, or what the header says of others."""
    source, target = tmp_path / "source", tmp_path / "target"
    stored = {} if name == "group" else {name.upper(): "0.5"}
    source.write_bytes(nersc(random_links(3) * (1.001, 1)[of], 3, "IEEE64BIG", ">f8", **stored))
    others = ",".join(check for check in CHECKS if check != name)
    assert called("convert", source, target, "--format", "ildg", "--verify", others).returncode == 0
    refused = called("convert", source, target, "--format", "ildg", "--verify", name, "--force")
    assert refused.returncode == 2 and ("off SU(3)", f"stores {name} = 0.5")[of] in refused.stderr


def test_numbers_that_are_no_links_go_where_no_mean_is_stored(tmp_path: Path) -> None:
    source, links = tmp_path / "source", random_links(3)
    links[0, 0, 0, 0, 0, 0, 0] = numpy.nan
    source.write_bytes(lime(("ildg-format", FORMAT), ("ildg-binary-data", numbers(links, 3, ">f8"))))
    for format in ("nersc", "openqcd", "hirep", "hdf5"):
        refused = called("convert", source, tmp_path / format, "--format", format, "--verify", "none")
        assert refused.returncode == 2 and "the plaquette of these numbers is nan, not within -1..1" in refused.stderr
        assert "ildg or milc stores no plaquette" in refused.stderr and not (tmp_path / format).exists()
    assert called("convert", source, tmp_path / "ildg", "--format", "ildg", "--verify", "none").returncode == 0
    assert numpy.array_equal(told(tmp_path / "ildg", "ildg")[0], links, equal_nan=True)


def test_info_shows_the_date_of_a_milc_file_and_no_control_characters(tmp_path: Path) -> None:
    path = tmp_path / "field"
    write_links(Links.hot(Lattice((2, 4, 2, 6), 3, precision="single")), path, "milc")
    content = path.read_bytes()
    path.write_bytes(content[:20] + b"Thu Feb 12 13:40:21 1998\x1b[2J".ljust(64, b"\0") + content[84:])
    assert json.loads(called("info", path, "--json").stdout)["time_stamp"].startswith("Thu Feb 12 13:40:21 1998")
    text = done("info", path).stdout
    assert "time_stamp" in text and "Thu Feb 12 13:40:21 1998?[2J" in text
