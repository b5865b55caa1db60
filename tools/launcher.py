"""Starts a command on several ranks with the launcher that belongs to the MPI of mpi4py."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

# A rank must not believe that it was started by the launcher that started this process.
LAUNCHER_PREFIXES = ("OMPI_COMM_WORLD_", "OMPI_UNIVERSE_", "PMIX_", "PMI_", "MPI_LOCAL", "PRTE_LAUNCHED", "HYD")
HOST_OPTIONS = {"-H", "-host", "--host", "-hosts", "-f", "-hostfile", "--hostfile", "-machinefile", "--machinefile"}
SCHEDULERS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "PE_HOSTFILE")
# Ranks that share cores: MPICH's collectives in shared memory spin without yielding, its general ones do not.
MPICH_YIELDING = {"MPIR_CVAR_POLLS_BEFORE_YIELD": "1"} | {
    f"MPIR_CVAR_{name}_POSIX_INTRA_ALGORITHM": "mpir" for name in ("ALLREDUCE", "BARRIER", "BCAST", "REDUCE")
}
# Open MPI gives a rank a terminal of its own even if this output goes to a file: what rich and pytest ask instead.
PLAIN_OUTPUT = {"TERM": "dumb", "NO_COLOR": "1", "TTY_COMPATIBLE": "0", "TTY_INTERACTIVE": "0"}
SHARED_MEMORY_PER_RANK = 32 * 2**20


def mpi_library() -> tuple[str, Path]:
    """The version text of the MPI that mpi4py loads, and the file of its library."""
    import mpi4py

    mpi4py.rc.initialize = False
    from mpi4py import MPI

    version = MPI.Get_library_version().replace("\0", "").strip()
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "/lib" in line}
    files = [Path(name) for name in sorted(mapped) if Path(name).name.startswith(("libmpi.so", "libmpich.so"))]
    return version, files[0] if files else Path(sys.prefix, "lib", "libmpi.so")


def vendor(text: str) -> str:
    """The MPI that a version text tells of: "openmpi", "mpich" (also its descendants) or ""."""
    words = text.lower()
    if any(word in words for word in ("open mpi", "open-mpi", "prrte", "open rte")):
        return "openmpi"
    return "mpich" if any(word in words for word in ("mpich", "hydra", "intel", "mvapich", "cray")) else ""


def find_launcher(version: str, library: Path) -> Path | None:
    """The launcher of this MPI: beside its library, else on the PATH; None if there is none."""
    names = ["mpirun", "mpiexec", "mpirun.openmpi", "mpiexec.mpich", "mpiexec.hydra", "orterun"]
    folders = [parent / "bin" for parent in library.parents] + [Path(item) for item in os.get_exec_path()]
    for folder in folders:
        for name in names:
            candidate = folder / name
            if not os.access(candidate, os.X_OK):
                continue
            answer = subprocess.run([candidate, "--version"], capture_output=True, text=True, env=rank_environment())
            if vendor(answer.stdout + answer.stderr) == vendor(version):
                return candidate
    return None


def rank_environment() -> dict[str, str]:
    """This environment without what another launcher left in it."""
    return {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHER_PREFIXES)}


def count(arguments: list[str]) -> int:
    """The number of ranks that the arguments ask for; 0 if they do not say."""
    for option, value in itertools.pairwise(arguments):
        if option in ("-n", "-np", "--np", "-c") and value.isdigit():
            return int(value)
    return 0


def settings(kind: str, version: str, arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """Options and variables: as root, more ranks than cores, yielding, on one machine through shared memory."""
    n_ranks = count(arguments)
    is_crowded = n_ranks > len(os.sched_getaffinity(0))
    variables: dict[str, str] = {}
    if kind == "mpich":
        return [], variables | (MPICH_YIELDING if is_crowded else {})
    for prefix in ("OMPI", "PRTE"):
        variables |= {f"{prefix}_ALLOW_RUN_AS_ROOT": "1", f"{prefix}_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    variables["OMPI_MCA_mpi_yield_when_idle"] = "1"
    if not HOST_OPTIONS & set(arguments) and not any(name in os.environ for name in SCHEDULERS):
        shared = "vader" if "v4." in version or "v3." in version else "sm"
        variables |= {"OMPI_MCA_pml": "ob1", "OMPI_MCA_btl": f"self,{shared}"}
        if not os.path.isdir("/dev/shm") or shutil.disk_usage("/dev/shm").free < n_ranks * SHARED_MEMORY_PER_RANK:
            variables[f"OMPI_MCA_btl_{shared}_backing_directory"] = os.environ.get("TMPDIR", "/tmp")
    binding = [] if "--bind-to" in arguments else ["--bind-to", "none"]
    return ["--oversubscribe", *binding], variables


def main(arguments: list[str]) -> int:
    """The exit code: of `--find` (prints the launcher), or of a wrong call; else the launcher takes over."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: tools/mpirun -n N [option of the launcher ...] COMMAND [argument ...]", file=sys.stderr)
        return 2
    try:
        version, library = mpi_library()
    except (ImportError, RuntimeError) as error:
        print(f"mpirun: MPI cannot be loaded: {error}. Install the system's MPI or hpcgauge[openmpi].", file=sys.stderr)
        return 4
    launcher = find_launcher(version, library)
    if launcher is None:
        print(f"mpirun: no launcher for {version.splitlines()[0]} ({library}); put it on the PATH.", file=sys.stderr)
        return 4
    if arguments == ["--find"]:
        print(launcher)
        return 0
    options, variables = settings(vendor(version), version, arguments)
    environment = variables | rank_environment() | ({} if os.isatty(1) else PLAIN_OUTPUT)
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
    os.execve(launcher, [str(launcher), *options, *arguments], environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
