"""What a job left behind: whether every file is whole and the job can go on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcgauge.comm.world import World
from hpcgauge.config import read
from hpcgauge.errors import FileFormatError
from hpcgauge.io.checkpoint import newest_valid, numbered
from hpcgauge.io.container import verify_container
from tests.support.jobs import lines_of
from tests.support.torture.job import Ended

SENTENCE = re.compile(r"hpcgauge: \w+.*?: .*")
DISK = 4
KINDS = {"thermalised.h5": "links", "network.h5": "network"}


@dataclass(frozen=True)
class State:
    """A folder's whole lines of history, its newest whole checkpoint (0: none), and what is wrong there."""

    n_lines: int
    newest: int
    wrong: list[str]


def state_of(run: Path, reference: list[dict[str, Any]]) -> State:
    """The state of a run folder, compared with the history of the undisturbed run."""
    wrong = list(_torn(run))
    lines: list[dict[str, Any]] = []
    try:
        lines = lines_of(run) if (run / "history.jsonl").is_file() else []
    except FileFormatError as error:
        wrong.append(f"history: {error}")
    if lines != reference[: len(lines)]:
        wrong.append(f"the {len(lines)} lines of history are not those of the undisturbed run")
    newest = newest_valid(run / "checkpoint", World.alone())
    number = next((n for n, path in numbered(run / "checkpoint").items() if path == newest.path), 0)
    return State(len(lines), number, wrong)


def _torn(run: Path) -> Iterator[str]:
    """The files under a final name that are not whole."""
    kinds = [(path, "checkpoint") for path in numbered(run / "checkpoint").values()]
    kinds += [(run / name, kind) for name, kind in KINDS.items() if (run / name).exists()]
    for path, kind in kinds:
        try:
            verify_container(path, World.alone(), kind)
        except FileFormatError as error:
            yield f"not whole: {error}"
    try:
        if (run / "config.yaml").exists():
            read(run / "config.yaml")
        if (run / "summary.json").exists():
            json.loads((run / "summary.json").read_text())
    except ValueError as error:
        yield f"not whole: {error}"
    page = run / "report" / "index.html"
    if page.exists() and not page.read_text().rstrip().endswith("</html>"):
        yield f"not whole: {page}"


def restarted_from(said: str) -> int:
    """The trajectory a job said it goes on after; 0 if it said none."""
    found = re.search(r"goes on after trajectory ([0-9]+)", said)
    return int(found.group(1)) if found else 0


def manners(ended: Ended, run: Path, is_killed: bool) -> Iterator[str]:
    """What is wrong with the way in which a hindered job ended."""
    sentences = SENTENCE.findall(ended.said)
    if ended.code is None:
        yield "hangs"
    if ended.left_running:
        yield f"{ended.left_running} ranks were left running"
    if "Traceback" in ended.said:
        yield "trace-back: " + ended.said[ended.said.index("Traceback") :][-600:]
    if ended.code in (None, 0) or is_killed:
        return
    if ended.code != DISK:
        yield f"exit code {ended.code}, not {DISK}: {ended.said[-300:]}"
    if len(sentences) != 1:
        yield f"{len(sentences)} sentences: {ended.said[-600:]}"
    elif str(run) not in sentences[0]:
        yield f"the sentence names no file: {sentences[0]}"
