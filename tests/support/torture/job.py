"""One start of the tortured job: how it is started, hindered and ended, and what it said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.faults.library import Event, Fault, events, variables
from tests.support.jobs import SMALL, arguments
from tests.support.ranks import ROOT, SECONDS_OF_A_HANG, clean_environment

# A checkpoint after each trajectory of some hundredths of a second.
THERMALISE, TRAIN, PRODUCE = 2, 5, 7
CONFIGURATION = (
    *SMALL,
    "lattice.extent=[4, 4, 2, 2]",
    f"chain.thermalise={THERMALISE}",
    f"chain.train={TRAIN}",
    f"chain.produce={PRODUCE}",
)
TRAJECTORIES = THERMALISE + TRAIN + PRODUCE
SECONDS_TO_VANISH = 120.0


@dataclass(frozen=True)
class Ended:
    """How one start ended: exit code (None: it hung), what it said, what its ranks did, who was left running."""

    code: int | None
    said: str
    logs: list[list[Event]] = field(default_factory=list)
    left_running: int = 0

    @property
    def is_faulty(self) -> bool:
        """True if the fault that was asked for has come to pass."""
        return any(event.word == "fault" for log in self.logs for event in log)


@dataclass(frozen=True)
class Workplace:
    """Where jobs run: a folder of their own, the library of faults, the number of ranks."""

    folder: Path
    library: Path
    n_ranks: int

    def start(self, run: Path, fault: Fault | None = None, kill_after: float | None = None) -> Ended:
        """The ended job on the run folder, hindered by a fault or killed as a whole after so many seconds."""
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        for old in logs.iterdir():
            old.unlink()
        said = self.folder / "said"
        with said.open("wb") as output:
            process = subprocess.Popen(
                self._command(run, logs, fault),
                env=self._environment(),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=output,
                start_new_session=True,
            )
        try:
            code = _waited(process, logs, kill_after)
            left = _vanished(process, logs)
        finally:
            _kill(process, logs)
        texts = said.read_text(errors="replace")
        return Ended(code, texts, [events(logs, rank) for rank in range(self.n_ranks)], left)

    def _command(self, run: Path, logs: Path, fault: Fault | None) -> list[str]:
        launched = [str(ROOT / "tools" / "mpirun"), "-n", str(self.n_ranks)] if self.n_ranks > 1 else []
        watched = ["env", *variables(self.library, run, logs, fault)]
        return [*launched, *watched, sys.executable, "-m", "hpcgauge", *arguments(run, *CONFIGURATION)]

    def _environment(self) -> dict[str, str]:
        """One thread for each rank; what a killed launcher leaves behind stays in the workplace."""
        place = str(self.folder)
        backing = {f"OMPI_MCA_btl_{name}_backing_directory": place for name in ("vader", "sm")}
        return clean_environment(OMP_NUM_THREADS="1", TMPDIR=place, **backing)


def _waited(process: subprocess.Popen[bytes], logs: Path, kill_after: float | None) -> int | None:
    """The exit code; None if the job hung and was ended from here."""
    try:
        return process.wait(SECONDS_OF_A_HANG if kill_after is None else kill_after)
    except subprocess.TimeoutExpired:
        _kill(process, logs)
        return None if kill_after is None else process.wait()


def _kill(process: subprocess.Popen[bytes], logs: Path) -> None:
    """Ends the ranks and their launcher with SIGKILL."""
    for pid in _running(logs):
        os.kill(pid, signal.SIGKILL)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _vanished(process: subprocess.Popen[bytes], logs: Path) -> int:
    """0 when no rank of the ended job is running any more; else how many had to be ended from here."""
    limit = time.monotonic() + SECONDS_TO_VANISH
    while (left := _running(logs)) and time.monotonic() < limit:
        time.sleep(0.01)
    _kill(process, logs)
    return len(left)


def _running(logs: Path) -> list[int]:
    """The processes of the job's ranks that run."""
    found = []
    for path in logs.glob("*.pid"):
        number = path.read_text().strip()
        try:
            environment = Path(f"/proc/{number}/environ").read_bytes()
        except OSError:
            continue
        # Another process may have got the number since.
        if number and f"HPCGAUGE_FAULTS_LOG={logs}\0".encode() in environment:
            found.append(int(number))
    return found
