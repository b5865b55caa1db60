"""The lines of the files that import cupy which the tests on the emulated card do not reach.

    .venv/bin/python tools/gpu_lines.py [arguments of pytest]

Without arguments the tests that bring the emulated card with them are run, on one rank. docs/gpu.md says what those
lines do; the exit code is 1 if there are MOST or more, or a test fails.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
TESTS = ("test_card.py", "test_emulated_suite.py", "test_emulated_faults.py", "test_emulated_kernels.py")
MOST = 150


def files() -> list[Path]:
    """The files of the package that import cupy."""
    return [path for path in sorted((ROOT / "hpcgauge").rglob("*.py")) if "cupy" in imported(path.read_text())]


def imported(text: str) -> set[str]:
    """The packages that a text imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def lines_of(code: CodeType) -> Iterator[int]:
    """The lines that have something to be done, in functions too; those of a `def` count as done by the import."""
    yield from (line for _, _, line in code.co_lines() if line and line != code.co_firstlineno)
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from lines_of(part)


class Watch:
    """The lines of files that were reached since it began to trace."""

    def __init__(self, paths: list[Path]):
        self.reached: dict[str, set[int]] = {str(path): set() for path in paths}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        lines = self.reached.get(frame.f_code.co_filename)
        if lines is None:
            return None
        lines.add(frame.f_lineno)
        return self


def main(arguments: list[str]) -> int:
    """The exit code."""
    sys.path.insert(0, str(ROOT))
    watch = Watch(files())
    sys.settrace(watch)
    failed = pytest.main(["-q", *(arguments or [str(ROOT / "tests" / name) for name in TESTS])])
    sys.settrace(None)
    n_missed = 0
    for name, reached in watch.reached.items():
        lines = set(lines_of(compile(Path(name).read_text(), name, "exec")))
        missed = sorted(lines - reached)
        n_missed += len(missed)
        text = Path(name).read_text().splitlines()
        print(f"{Path(name).relative_to(ROOT)}: {len(missed)} of {len(lines)} lines were not reached")
        for line in missed:
            print(f"{line:5} {text[line - 1]}")
    print(f"together {n_missed}; fewer than {MOST} are right")
    return int(bool(failed) or n_missed >= MOST)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
