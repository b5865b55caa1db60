"""A process that makes and reads cases: python -m tests.support.fuzz.worker FOLDER SEED, numbers on its input.

One line of output for each: the number and a JSON object. It may crash or hang; its parent knows at which case.
"""

from __future__ import annotations

import functools
import json
import re
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from hpcgauge.errors import FileFormatError
from hpcgauge.io import unsealed
from hpcgauge.io.gauge.gaugefile import open_gauge_file
from tests.support.fuzz.bytes import one_bit
from tests.support.fuzz.cases import Case, case
from tests.support.fuzz.corpus import CONTAINERS, GAUGE, Whole, corpus
from tests.support.fuzz.readers import described, found_in, name_of, refusals

# More than a process of this size may take for any case.
ADDRESS_SPACE = 1 << 30
# Beside so many times the size of the file.
MEMORY, TIMES_THE_FILE = 64 << 20, 12
# Of the processor; the time of the clock is limited from outside (pool.py).
SECONDS, SECONDS_FOR_HDF5, PATIENCE = 30.0, 8, 30
ALTERED = "read, other contents"
# Gauge files of which every byte is under a checksum, and those whose numbers are under one that knows their places.
SEALED, STRONG = ("hdf5",), ("lime", "milc")
# Stands among the findings in a whole file whose checksums are there and right.
SUMMED = "summed"


def main(folder: Path, seed: int) -> None:
    """Reads numbers until the input ends."""
    files = corpus()
    originals = _originals(files, folder)
    # Files without a seal are read in a process of their own, which may hang.
    unsealed.SECONDS, unsealed.PATIENCE = SECONDS_FOR_HDF5, PATIENCE
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESS_SPACE, resource.RLIM_INFINITY))
    print("ready", flush=True)
    for line in sys.stdin:
        made = case(files, seed, int(line))
        print(line.strip(), json.dumps(outcome(made, folder, originals)), flush=True)


def _originals(files: dict[str, list[Whole]], folder: Path) -> dict[tuple[str, str], set[str]]:
    """What is found in the whole files; that also warms all readers up."""
    found: dict[tuple[str, str], set[str]] = {}
    for kind, wholes in files.items():
        for whole in wholes:
            path = _put(folder, kind, whole.content)
            found[kind, whole.name] = set()
            for verify in (False, True):
                try:
                    found[kind, whole.name].add(found_in(kind, path, whole.extent, verify))
                except refusals(kind):
                    assert verify, f"{whole.name} is refused"
                else:
                    is_summed = verify and kind in GAUGE and open_gauge_file(path).sums
                    found[kind, whole.name] |= {SUMMED} if is_summed else set()
            described(kind, path)
    return found


def _put(folder: Path, kind: str, content: bytes) -> Path:
    """The file, alone in its folder."""
    path = folder / kind / name_of(kind)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def outcome(made: Case, folder: Path, originals: dict[tuple[str, str], set[str]]) -> dict[str, Any]:
    """What became of a case: kind of outcome, and `wrong` if it is not allowed."""
    kind, path = made.whole.kind, _put(folder, made.whole.kind, made.content)
    Path("/proc/self/clear_refs").write_text("5")
    before, began = _memory("VmRSS"), time.process_time()
    found = _read(made, path, originals)
    seconds, grown = time.process_time() - began, _memory("VmHWM") - before
    wrong = found.setdefault("wrong", [])
    if grown > MEMORY + TIMES_THE_FILE * len(made.content):
        wrong.append(f"{grown >> 20} MiB for a file of {len(made.content)} bytes")
    if seconds > SECONDS:
        wrong.append(f"{seconds:.1f} s")
    return found | {"kind": kind, "file": made.whole.name, "damage": made.damage, "verify": made.verify}


def _read(made: Case, path: Path, originals: dict[tuple[str, str], set[str]]) -> dict[str, Any]:
    kind, wrong = made.whole.kind, []
    try:
        found = found_in(kind, path, made.whole.extent, made.verify)
    except refusals(kind) as error:
        what = refusal(str(error), path)
    except BaseException as error:
        what = type(error).__name__
        wrong.append(f"{what}: {str(error)[:200]}; {_place(error)}")
    else:
        is_same = found in originals[kind, made.whole.name]
        what = "read, the same contents" if is_same else ALTERED
        if not is_same and _is_told(made, originals):
            wrong.append("read with other contents, though its checksums are made to tell")
    try:
        described(kind, path)
    except FileFormatError:
        pass
    except BaseException as error:
        wrong.append(f"info: {type(error).__name__}: {str(error)[:200]}; {_place(error)}")
    return {"what": what, "wrong": wrong}


def _is_told(made: Case, originals: dict[tuple[str, str], set[str]]) -> bool:
    """True if checksums must tell the damage: all of a sealed file; all among the numbers of a gauge file that stores a
    right and strong one, one bit where it is a plain sum."""
    whole = made.whole
    if whole.kind in CONTAINERS or (whole.kind in SEALED and made.verify):
        return not made.is_knowing
    if whole.kind not in GAUGE or not made.verify or SUMMED not in originals[whole.kind, whole.name]:
        return False
    return made.damage == one_bit.__name__ or (whole.kind in STRONG and _is_of_numbers(made))


def _is_of_numbers(made: Case) -> bool:
    """True if the damage is among the numbers of a gauge field, and nowhere else."""
    one, other = made.whole.content, made.content
    start, end = _numbers_in(one)
    return len(one) == len(other) and one[:start] + one[end:] == other[:start] + other[end:]


@functools.cache
def _numbers_in(content: bytes) -> tuple[int, int]:
    """Where the numbers of a whole gauge file begin and end."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        header = open_gauge_file(file.name).header
    return header.offset, header.offset + header.length


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-3:]))


def refusal(text: str, path: Path) -> str:
    """The kind of a refusal: its words without the numbers and names of this file."""
    text = text.replace(str(path), "").replace(str(path.parent), "")
    text = re.sub(r"'[^']*'|\"[^\"]*\"|b'[^']*'|\([^)]*\)|[-+]?\b[0-9][0-9a-fx.e+-]*\b|<\w+>", "_", text)
    return " ".join(re.sub(r"[^A-Za-z_ ]+", " ", text).split())[:60]


def _memory(name: str) -> int:
    """A line of /proc/self/status in bytes."""
    found = re.search(rf"{name}:\s+([0-9]+) kB", Path("/proc/self/status").read_text())
    return int(found.group(1)) << 10 if found else 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
