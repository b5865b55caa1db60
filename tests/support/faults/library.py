"""The library of faults.c, what it is told, and what it has written down."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hpcgauge.kernels.compiler import find_compiler

SOURCE = Path(__file__).with_name("faults.c")


@dataclass(frozen=True)
class Fault:
    """What goes wrong: on this rank, at this call of a kind to a path that fits the pattern (see faults.c)."""

    rank: int
    call: str
    pattern: str
    number: int
    action: str
    argument: int = 0

    def __str__(self) -> str:
        return f"{self.rank} {self.call} {self.pattern} {self.number} {self.action} {self.argument}"


class Event(NamedTuple):
    """A line of a log: begin, end or fault; the call (of a fault its action); the path below the folder; the bytes."""

    word: str
    call: str
    path: str
    size: int

    @property
    def kind(self) -> str:
        """The path as a pattern that fits all files of its kind, whatever process writes them."""
        return re.sub(r"[0-9]", "?", re.sub(r"\.hpcgauge-.*\.part", ".*.part", self.path))


def compiled(folder: Path) -> Path:
    """The library, made in this folder."""
    library = folder / "faults.so"
    command = [find_compiler(), "-x", "c", "-std=gnu11", "-O1", "-Wall", "-shared", "-fPIC"]
    made = subprocess.run(
        [*command, "-o", library, SOURCE, "-ldl", "-lpthread"], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise RuntimeError(f"{SOURCE.name} does not compile: {made.stderr}")
    return library


def variables(library: Path, folder: Path, logs: Path, fault: Fault | None) -> list[str]:
    """The words NAME=VALUE for `env` before a rank's command."""
    words = [f"LD_PRELOAD={library}", f"HPCGAUGE_FAULTS_FOLDER={folder}", f"HPCGAUGE_FAULTS_LOG={logs}"]
    return words + ([f"HPCGAUGE_FAULT={fault}"] if fault is not None else [])


def events(logs: Path, rank: int) -> list[Event]:
    """What a rank has done to the files of the folder, a torn last line left out."""
    path = logs / f"{rank}.log"
    lines = path.read_text().split("\n")[:-1] if path.is_file() else []
    words = (line.split(" ") for line in lines)
    return [Event(word, call, name, int(size)) for word, call, name, size in words]
