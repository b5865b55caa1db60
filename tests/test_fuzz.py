"""Damaged files are refused with the reader's own error or read as valid data, and nothing else happens."""

from __future__ import annotations

import functools
import os
import random
from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fuzz.cases import KNOWING, Case, case
from tests.support.fuzz.corpus import CONTAINERS, FIRST_SCHEMA, KINDS, Whole, corpus
from tests.support.fuzz.hdf5 import lookup3, resealed
from tests.support.fuzz.limefiles import parsed, written
from tests.support.fuzz.pool import Worker
from tests.support.fuzz.readers import READERS, found_in, name_of, refusals
from tests.support.fuzz.results import fuzzed
from tests.support.fuzz.worker import MEMORY, outcome
from tests.support.ranks import SECONDS_OF_A_HANG

pytestmark = pytest.mark.host

CASES_OF_A_KIND = 100
EXAMPLES = 40
# Larger files, and those of the first schema, are left to the cases above.
LARGEST = 100_000


@functools.cache
def whole_files() -> dict[str, list[Whole]]:
    return corpus()


def test_cases_of_every_kind() -> None:
    """A part of what tools/fuzz does: nothing but refusals and valid data, and enough of both."""
    results = fuzzed(0, CASES_OF_A_KIND * len(KINDS), seed=0, n_workers=min(2, len(os.sched_getaffinity(0))))
    assert results.faults() == []
    for kind in KINDS:
        read = sum(n for what, n in results.counts[kind].items() if what.startswith("read"))
        assert 0 < read < results.counts[kind].total() == CASES_OF_A_KIND, kind


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_a_reader_refuses_or_reads(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    """Bytes that hypothesis chooses, and shrinks where something is wrong, before and after a knowing damage."""
    small = [w for w in whole_files()[kind] if len(w.content) < LARGEST and w.name != FIRST_SCHEMA]
    whole = data.draw(st.sampled_from(small))
    content = bytearray(whole.content)
    if data.draw(st.booleans()):
        draw = random.Random(data.draw(st.integers(0, 2**32)))
        content = bytearray(draw.choice(KNOWING[kind])(draw, bytes(content)))
    last = max(0, len(content) - 1)
    places = st.one_of(st.integers(0, min(last, 700)), st.integers(0, last))
    for at, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=6)):
        content[at : at + 1] = bytes([value])
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    path = tmp_path / name_of(kind)
    path.write_bytes(content)
    try:
        found_in(kind, path, whole.extent, data.draw(st.booleans()))
    except refusals(kind) as error:
        assert str(path) in str(error) and "\n" not in str(error).strip()


def test_a_case_is_the_same_again() -> None:
    for number in range(3 * len(KINDS)):
        one, other = case(whole_files(), 3, number), case(corpus(), 3, number)
        assert one == other and one != case(whole_files(), 4, number)


def test_files_taken_apart_are_put_together_again() -> None:
    """Else the damage would be another than is said, and no lie would come as far as it should."""
    for whole in whole_files()["lime"]:
        assert written(parsed(whole.content)) == whole.content
    for kind in CONTAINERS:
        for whole in whole_files()[kind]:
            assert resealed(whole.content) == whole.content
    # The value that the author of lookup3 gives for this text.
    assert lookup3(b"Four score and seven years ago") == 0x17770551


@pytest.mark.parametrize(
    ("does", "what", "seconds"), [("os.abort()", "crash (-6)", SECONDS_OF_A_HANG), ("time.sleep(1000)", "hang", 1.0)]
)
def test_a_worker_that_dies_or_hangs_is_told(tmp_path: Path, does: str, what: str, seconds: float) -> None:
    program = tmp_path / "worker.py"
    program.write_text(f"import os, time\nprint('ready', flush=True)\ninput()\n{does}\n")
    worker = Worker(1, (str(program),), seconds=seconds)
    try:
        found = worker.read(KINDS.index("milc"))
    finally:
        worker.close()
    assert (found["what"], found["wrong"], found["kind"]) == (what, [what], "milc")


def test_what_is_not_allowed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another error than a refusal; memory; and a damage that a checksum should have told."""
    memory, kind = [], "network"
    made = Case(1, whole_files()[kind][0], b"", "flips", True, False)
    readers = {
        "ZeroDivisionError": lambda *_: 1 / 0,
        "MiB for a file of 0 bytes": lambda *_: memory.append(numpy.ones(2 * MEMORY // 8)),
        "though its checksums": lambda *_: "other contents",
    }
    for text, reader in readers.items():
        monkeypatch.setitem(READERS, kind, reader)
        wrong = outcome(made, tmp_path, {(kind, made.whole.name): set()})["wrong"]
        assert text in "; ".join(wrong)
