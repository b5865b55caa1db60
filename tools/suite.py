"""Runs the tests on 1, 2 and 4 ranks and tells what became of them.

Those marked `hdf5` run again with an h5py that has MPI, where the system has parallel HDF5.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SIZES = (1, 2, 4)
# A test that takes longer hangs, on a machine however slow: the ranks show where they stand and end themselves. Where
# they do not, they are ended from here.
SECONDS_PER_TEST, SECONDS_PER_SIZE = 1800.0, 6 * 3600.0
NO_TESTS_COLLECTED = 5


@dataclass
class Run:
    """What became of the tests on one number of ranks: outcome and text by name."""

    size: int
    exit_code: int
    seconds: float
    outcomes: dict[str, dict] = field(default_factory=dict)
    # (test, rank, text) of failures that rank 0 has not shown
    hidden: list[tuple[str, int, str]] = field(default_factory=list)
    name: str = ""

    def __str__(self) -> str:
        return f"{self.size} rank(s)" + (f", {self.name}" if self.name else "")

    def has(self, mark: str) -> bool:
        """True if a test with this mark was collected."""
        return any(item.get(mark) for item in self.outcomes.values())

    def count(self, outcome: str) -> int:
        """The number of tests with this outcome."""
        return sum(item["outcome"] == outcome for item in self.outcomes.values())


def read_outcomes(run: Run, folder: Path) -> None:
    """Joins the ranks' files: a failure on any rank is the test's failure."""
    for rank in range(run.size):
        path = folder / f"rank-{rank}.json"
        for name, item in (json.loads(path.read_text()) if path.exists() else {}).items():
            known = run.outcomes.setdefault(name, item)
            if item["outcome"] == "failed" and known["outcome"] != "failed":
                run.outcomes[name] = item
            if rank > 0 and item["outcome"] == "failed" and known["outcome"] != "failed":
                run.hidden.append((name, rank, item.get("text", "")))


def run_size(size: int, arguments: list[str], seconds: float, variables: dict[str, str], name: str = "") -> Run:
    """The tests on `size` ranks in an environment, each of so many seconds at most."""
    folder = Path(tempfile.mkdtemp(prefix=f"hpcgauge-tests-{size}-"))
    command = [sys.executable, "-m", "tests.support.one_rank", str(folder), str(seconds), "-q", *arguments]
    if size > 1:
        command = [sys.executable, str(ROOT / "tools" / "launcher.py"), "-n", str(size), *command]
    environment = {"OMP_NUM_THREADS": "1"} | variables | {"HPCGAUGE_OUTCOMES": str(folder)}
    start = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL)
    try:
        code = process.wait(SECONDS_PER_SIZE)
    except subprocess.TimeoutExpired:
        print(f"{size} rank(s): ended after {SECONDS_PER_SIZE:.0f} s", flush=True)
        code = 124
    finally:
        end(process)
    run = Run(size, code, time.monotonic() - start, name=name)
    read_outcomes(run, folder)
    shutil.rmtree(folder, ignore_errors=True)
    return run


def end(process: subprocess.Popen) -> None:
    """Returns when the process is over; it is asked first, as the launcher then ends its ranks."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def is_good(run: Run) -> bool:
    """True if pytest ended well and every test that was collected has run."""
    return run.exit_code in (0, NO_TESTS_COLLECTED) and not run.count("failed") and not run.count("not run")


def skipped_everywhere(runs: list[Run]) -> tuple[list[str], list[str]]:
    """The tests that no size has run: those with an excuse (no GPU, no configurations) and those without."""
    names = dict.fromkeys(name for run in runs for name in run.outcomes)
    excused, unexcused = [], []
    for name in names:
        found = [run.outcomes[name] for run in runs if name in run.outcomes]
        if all(item["outcome"] == "skipped" for item in found):
            target = excused if all(item.get("excused") for item in found) else unexcused
            target.append(f"{name}: {found[0].get('text', '')}")
    return excused, unexcused


def report(runs: list[Run]) -> int:
    """The exit code, after the summary and the closing line."""
    for run in runs:
        for name, rank, text in run.hidden:
            print(f"\n{name} failed on rank {rank} of {run.size}:\n{text}")
    excused, unexcused = skipped_everywhere(runs)
    print("\nskipped for want of a GPU or of shared configurations:", len(excused))
    for line in excused:
        print("  " + line)
    for line in unexcused:
        print("skipped at every size, which counts as a failure: " + line)
    for run in runs:
        for name, item in run.outcomes.items():
            if item["outcome"] in ("failed", "not run"):
                print(f"{item['outcome']} on {run}: {name}")
        verdict = "good" if is_good(run) else f"FAILED (exit code {run.exit_code})"
        print(f"{run}: {run.count('passed')} passed in {run.seconds:.0f} s, {verdict}")
    passed = sum(run.count("passed") for run in runs)
    bad = sum(run.count("failed") + run.count("not run") for run in runs) + len(unexcused)
    is_all_good = all(is_good(run) for run in runs) and not unexcused and passed > 0
    skipped = sum(run.count("skipped") for run in runs) - len(unexcused)
    print(f"{passed} passed, {bad if bad or is_all_good else 1} failed" + (f", {skipped} skipped" if skipped else ""))
    return 0 if is_all_good else 1


def all_sizes(arguments: list[str], variables: dict[str, str], name: str = "") -> list[Run]:
    """The tests on one rank, and on several those that are for several."""
    seconds = float(os.environ.get("HPCGAUGE_TEST_SECONDS", SECONDS_PER_TEST))
    runs: list[Run] = []
    for size in SIZES:
        if size == 1 or runs[0].has("ranks"):
            print(f"== tests on {size} rank(s)" + (f", {name}" if name else ""), flush=True)
            runs.append(run_size(size, arguments, seconds, variables, name))
    return runs


def with_mark(arguments: list[str], mark: str) -> list[str]:
    """The arguments of pytest for those tests that carry the mark too."""
    chosen = [value for option, value in itertools.pairwise(arguments) if option == "-m"]
    return [*arguments, "-m", f"({chosen[-1]}) and {mark}" if chosen else mark]


def with_parallel_hdf5(arguments: list[str], first: Run) -> tuple[list[Run], str]:
    """The runs of the tests marked `hdf5` with an h5py that has MPI, and which paths of HDF5 have run, in words."""
    if not first.has("hdf5"):
        return [], ""
    if os.environ.get("HPCGAUGE_TEST_HDF5") == "stock":
        return [], "HDF5: the stock h5py alone, as HPCGAUGE_TEST_HDF5 wishes"
    sys.path.insert(0, str(ROOT / "tools"))
    import parallel_hdf5

    try:
        variables = parallel_hdf5.prepare()
    except OSError as error:
        return [Run(1, 1, 0.0, name="parallel HDF5")], f"HDF5: collective writes were NOT tested: {error}"
    if variables is None:
        return [], "HDF5: the stock h5py alone; collective writes were NOT tested"
    words = "HDF5: the stock h5py with MPI-IO, and collective writes of an h5py with MPI"
    return all_sizes(with_mark(arguments, "hdf5"), variables, "parallel HDF5"), words


def main(arguments: list[str]) -> int:
    """0 if all tests passed on all sizes and none was skipped everywhere without an excuse, else 1."""
    runs = all_sizes(arguments, dict(os.environ))
    parallel, words = with_parallel_hdf5(arguments, runs[0])
    if words:
        print(f"\n{words}")
    return report([*runs, *parallel])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
