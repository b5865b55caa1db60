"""The package like any other: wheel and source archive build, install and import outside the working tree."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from hpcgauge._version import VERSION
from tests.support.ranks import ROOT, SECONDS_OF_A_HANG

# What is tried in the fresh environment: the import, every kernel header, the marker of types, the licence.
TRIAL = """
import importlib.metadata, pathlib, sys
import hpcgauge
root = pathlib.Path(hpcgauge.__file__).parent
assert root.is_relative_to(sys.prefix), root
distribution = importlib.metadata.distribution("hpcgauge")
commands = [entry.value for entry in distribution.entry_points if entry.name == "hpcgauge"]
print(distribution.version, *commands, *sorted(str(p.relative_to(root)) for p in root.rglob("*.h")))
"""


def headers() -> list[str]:
    """The kernel headers of the working tree, relative to the package."""
    return sorted(str(path.relative_to(ROOT / "hpcgauge")) for path in (ROOT / "hpcgauge").rglob("*.h"))


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source archive, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("archives")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(copy_of_tree(folder))]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS_OF_A_HANG)
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-3000:]
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


def copy_of_tree(folder: Path) -> Path:
    """The tracked files alone, so that nothing is left in the working tree and nothing in it helps."""
    target = folder / "tree"
    target.mkdir()
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split("\0"):
        source = ROOT / name
        if name and source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(source.read_bytes())
    return target


def test_source_archive_holds_headers_and_licence(archives: tuple[Path, Path]) -> None:
    with tarfile.open(archives[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "hpcgauge/py.typed"} <= names
    assert {f"hpcgauge/{header}" for header in headers()} <= names


def test_wheel_holds_every_module_and_header(archives: tuple[Path, Path]) -> None:
    names = set(zipfile.ZipFile(archives[1]).namelist())
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "hpcgauge").rglob("*.py")}
    assert modules | {f"hpcgauge/{header}" for header in headers()} | {"hpcgauge/py.typed"} <= names
    assert not [name for name in names if name.startswith(("tests/", "tools/"))]


def test_wheel_installs_and_imports_in_a_fresh_environment(archives: tuple[Path, Path], tmp_path: Path) -> None:
    """The dependencies are lent by this environment; hpcgauge itself must come from the wheel."""
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", archives[1]]
    installed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS_OF_A_HANG)
    assert installed.returncode == 0, installed.stderr
    lent = [item for item in sys.path if item.endswith("site-packages")]
    (next((environment / "lib").glob("python*/site-packages")) / "lent.pth").write_text("\n".join(lent) + "\n")
    answer = subprocess.run([python, "-c", TRIAL], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == [VERSION, "hpcgauge.__main__:main", *headers()]
    command_file = environment / "bin" / "hpcgauge"
    assert command_file.exists()
    told = subprocess.run([command_file, "--version"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0 and VERSION in told.stdout, told.stderr
