"""How the tests run on several ranks.

A test marked `ranks` works with any number of ranks, 1 included, and runs on 1, 2 and 4; an unmarked test runs on one
rank only. On one rank pytest is started plainly and MPI stays away. Under an MPI launcher this file turns pytest-mpi
on, gives the tests marked `ranks` its marker `mpi`, and leaves the others out. pytest-mpi would skip `mpi` tests on one
rank: hence a marker of our own.

After every test the ranks wait for each other. A rank whose test failed waits for a limited time: if the others do not
come, they hang in a message that will never arrive, and the job is ended with the failure's text.

With HPCGAUGE_OUTCOMES = a folder, every rank writes there what became of each test, for tools/test.

Tests marked `hdf5` run a second time where there is an h5py with MPI (tools/parallel_hdf5.py).

With HPCGAUGE_DEVICE = emulated, every field and kernel of this process, and of the jobs that tests start, lies and runs
on the emulated card of tests/support/emulated, whatever device a test asks for; tests marked `host` are about the
processor and are left out. With HPCGAUGE_DEVICE = cuda they lie and run on this rank's card instead, with the same
tests left out.
"""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from hpcgauge.comm.world import World
from hpcgauge.io import hdf5
from tests.support import emulated
from tests.support.emulated.byhand import Hand
from tests.support.everywhere import IS_CUDA, IS_EMULATED, use_cards
from tests.support.ranks import NO_CONFIGURATIONS, NO_GPU, ROOT

SECONDS_FOR_OTHER_RANKS = float(os.environ.get("HPCGAUGE_TEST_PATIENCE", "30"))

# Every rank must draw the same examples, and a busy machine may take its time over them.
UNCHECKED = (hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture)
hypothesis.settings.register_profile(
    "hpcgauge", derandomize=True, deadline=None, database=None, suppress_health_check=UNCHECKED
)
hypothesis.settings.load_profile("hpcgauge")
# What rich and typer ask.
OF_A_TERMINAL = ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "PY_COLORS", "GITHUB_ACTIONS")
OF_A_TERMINAL += ("TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM", "TERMINAL_WIDTH")


class Ranks:
    """What this rank knows of the run: the other ranks and the outcome of every test."""

    def __init__(self) -> None:
        self.world = World()
        self.outcomes: dict[str, dict[str, Any]] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        if IS_EMULATED or IS_CUDA:
            items[:] = [item for item in items if item.get_closest_marker("host") is None]
        if self.world.size == 1:
            return
        left_out = [item for item in items if item.get_closest_marker("ranks") is None]
        items[:] = [item for item in items if item.get_closest_marker("ranks") is not None]
        for item in items:
            item.add_marker("mpi")
        config.hook.pytest_deselected(items=left_out)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            marked = {name: item.get_closest_marker(name) is not None for name in ("ranks", "hdf5")}
            self.outcomes[item.nodeid] = {"outcome": "not run"} | marked

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.outcome != "passed":
            self._note(report.nodeid, report.outcome, report.longrepr)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        before = self.outcomes.get(report.nodeid, {}).get("outcome", "not run")
        if report.failed or (before == "not run" and (report.skipped or report.when == "call")):
            outcome = "passed" if hasattr(report, "wasxfail") and not report.failed else report.outcome
            self._note(report.nodeid, outcome, report.longrepr)

    def _note(self, name: str, outcome: str, details: Any) -> None:
        text = str(details[2] if isinstance(details, tuple) else details or "")
        is_excused = outcome == "skipped" and (NO_GPU in text or NO_CONFIGURATIONS in text)
        self.outcomes.setdefault(name, {}).update(outcome=outcome, text=text, excused=is_excused)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        result = yield
        if self.world.size > 1:
            self._meet(item.nodeid)
        return result

    def _meet(self, name: str) -> None:
        """Returns when all ranks have finished the test. Collective."""
        has_failed = self.outcomes.get(name, {}).get("outcome") == "failed"
        meeting = self.world.communicator.Ibarrier()
        limit = time.monotonic() + SECONDS_FOR_OTHER_RANKS
        while not meeting.Test():
            time.sleep(0.0005)
            if has_failed and time.monotonic() > limit:
                self.write()
                text = f"\n{name} failed on rank {self.world.rank} while others wait in it for ever\n"
                os.write(2, (text + self.outcomes[name]["text"]).encode())
                self.world.abort(1)

    def pytest_sessionfinish(self) -> None:
        self.write()

    def write(self) -> None:
        """The outcomes go to the folder that tools/test named."""
        folder = os.environ.get("HPCGAUGE_OUTCOMES")
        if folder:
            path = Path(folder, f"rank-{self.world.rank}.json")
            path.write_text(json.dumps(self.outcomes, indent=1))


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    # Processes that tests let crash leave no core, which takes time and room.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    hdf5.library()  # before a test loads an h5py with MPI, which would start it
    ranks = Ranks()
    config.pluginmanager.register(ranks, "hpcgauge-ranks")
    config.option.with_mpi = ranks.world.size > 1
    if IS_EMULATED or IS_CUDA:
        use_cards()


def has_gpu() -> bool:
    """True if a CUDA device can be used from Python, and not its stand-in."""
    if IS_EMULATED:
        return False
    try:
        import cupy

        return cupy.cuda.runtime.getDeviceCount() > 0
    except Exception:
        return False


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is not None and not has_gpu():
        if os.environ.get("HPCGAUGE_REQUIRE_GPU") == "1":
            pytest.fail(f"{NO_GPU}, and HPCGAUGE_REQUIRE_GPU=1")
        pytest.skip(NO_GPU)


@pytest.fixture(scope="session", autouse=True)
def no_terminal() -> Iterator[None]:
    """How wide and of what colors the terminal is that the tests were started from does not reach them."""
    with pytest.MonkeyPatch.context() as patched:
        for name in OF_A_TERMINAL:
            patched.delenv(name, raising=False)
        patched.setenv("TERM", "xterm")
        yield


@pytest.fixture(scope="session")
def world() -> World:
    """All ranks of this run of the tests; alone without a launcher. Collective."""
    return World()


@pytest.fixture
def card() -> Iterator[emulated.Card]:
    """An emulated card as new behind the name `cupy`."""
    card = emulated.install(emulated.Settings())
    yield card
    emulated.remove(card)


@pytest.fixture
def hand(card: emulated.Card) -> Hand:
    """What launches kernels on that card."""
    return Hand()


@pytest.fixture
def shared_tmp_path(world: World, tmp_path: Path) -> Path:
    """One empty folder for all ranks. Collective."""
    return world.broadcast(tmp_path)


@pytest.fixture(scope="session")
def configurations() -> Path:
    """The folder with the shared gauge configurations; without it the test is skipped."""
    folder = Path(os.environ.get("HPCGAUGE_CONFIGURATIONS", ROOT.parent / "shared" / "configurations"))
    if not folder.is_dir():
        pytest.skip(f"{NO_CONFIGURATIONS}: {folder} (HPCGAUGE_CONFIGURATIONS names another)")
    return folder
