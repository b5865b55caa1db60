"""Finds parallel HDF5 in the system, builds an h5py with MPI against it, and runs a command with that h5py.

The ordinary .venv keeps its own h5py; this one lies in a folder beside it that PYTHONPATH names first. What was built
is kept as a wheel in the user's cache, by the versions of all that it depends on.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

SITE = Path(sys.prefix) / "parallel-hdf5"
STAMP = "built-with"
FLAVOURS = ("openmpi", "mpich")
MARK = "HPCGAUGE_PARALLEL_HDF5"  # set where this h5py is to be used: the tests look whether it is
BUILD_TOOLS = ("cython>=3.1", "pkgconfig")
TRY = "import mpi4py; mpi4py.rc.initialize = False; import h5py; assert h5py.get_config().mpi; print(h5py.version.info)"


def say(text: str) -> None:
    """A line for people."""
    print(f"parallel HDF5: {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Hdf5:
    """A parallel HDF5: its headers and libraries, its version, the MPI it was built with, and the compiler of that."""

    headers: Path
    libraries: Path
    version: str
    mpi: Path
    compiler: str

    @property
    def key(self) -> str:
        """The name of what is built against it here."""
        mpi = self.mpi.resolve()
        parts = [f"h5py-{importlib.metadata.version('h5py')}", f"hdf5-{self.version}"]
        parts += [f"mpi4py-{importlib.metadata.version('mpi4py')}", f"numpy-{importlib.metadata.version('numpy')}"]
        parts += [f"{mpi.name}-{hashlib.sha256(str(mpi).encode()).hexdigest()[:8]}"]
        return "_".join([*parts, f"python-{platform.python_version()}", platform.machine()])


def find() -> Hdf5 | None:
    """Parallel HDF5 with headers: in HDF5_DIR, else where Debian has it; None if there is none with an MPI compiler."""
    places = []
    if "HDF5_DIR" in os.environ:
        root = Path(os.environ["HDF5_DIR"])
        places.append((root / "include", root / "lib", "mpicc"))
    for flavour in FLAVOURS:
        for libraries in sorted(Path("/usr/lib").glob(f"*/hdf5/{flavour}")):
            places.append((Path("/usr/include/hdf5") / flavour, libraries, f"mpicc.{flavour}"))
    for headers, libraries, compiler in places:
        version, mpi = _version(headers), _mpi_of(libraries / "libhdf5.so")
        if version and mpi and shutil.which(compiler):
            return Hdf5(headers, libraries, version, mpi, compiler)
    return None


def _version(headers: Path) -> str:
    """The version in headers of a parallel HDF5, else nothing."""
    try:
        settings = "".join(path.read_text() for path in sorted(headers.glob("H5pubconf*.h")))
        found = re.search(r'H5_VERS_INFO\s+"HDF5 library version: ([^"]+)"', (headers / "H5public.h").read_text())
    except OSError:
        return ""
    return found.group(1) if found and re.search(r"^#define H5_HAVE_PARALLEL 1", settings, re.MULTILINE) else ""


def _mpi_of(library: Path) -> Path | None:
    """The MPI that a library is linked with."""
    if not library.exists():
        return None
    told = subprocess.run(["ldd", library], capture_output=True, text=True, check=False).stdout
    found = re.search(r"libmpi(?:ch)?\.so\S* => (\S+)", told)
    return Path(found.group(1)) if found else None


def environment(hdf5: Hdf5) -> dict[str, str]:
    """This environment with the h5py that was built, and with its MPI for mpi4py."""
    paths = [str(SITE), *filter(None, [os.environ.get("PYTHONPATH")])]
    added = {"PYTHONPATH": os.pathsep.join(paths), "MPI4PY_LIBMPI": str(hdf5.mpi), MARK: "1"}
    return dict(os.environ) | added


def prepare() -> dict[str, str] | None:
    """The environment in which h5py has MPI, built if it is not there; None, said aloud, where the system has no
    parallel HDF5. OSError when it has, and h5py cannot be built."""
    hdf5 = find()
    if hdf5 is None:
        say("no headers in this system (on Debian: libhdf5-openmpi-dev)")
        return None
    stamp = SITE / STAMP
    with Path(sys.prefix, ".parallel-hdf5.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text() != hdf5.key:
            shutil.rmtree(SITE, ignore_errors=True)
            try:
                _install(hdf5)
            except subprocess.CalledProcessError as error:
                raise OSError(f"h5py could not be built against {hdf5.headers}: {error}") from error
            stamp.write_text(hdf5.key)
    return environment(hdf5)


def cache() -> Path:
    """The folder of wheels that were built."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hpcgauge" / "wheels"


def _install(hdf5: Hdf5) -> None:
    """Puts the h5py into its folder, from the cache or built now, and tries it."""
    kept = cache() / hdf5.key
    if not list(kept.glob("*.whl")):
        say(f"building h5py with HDF5 {hdf5.version} and {hdf5.mpi} (minutes, once on this machine)")
        _build(hdf5, kept)
    _pip("install", "--no-deps", "--no-index", "--target", str(SITE), *map(str, kept.glob("*.whl")))
    subprocess.run([sys.executable, "-c", TRY], env=environment(hdf5), check=True, stdout=subprocess.DEVNULL)


def _build(hdf5: Hdf5, kept: Path) -> None:
    """Builds the wheel with the mpi4py and numpy that are installed here, and keeps it."""
    with tempfile.TemporaryDirectory() as folder:
        tools, wheels = Path(folder, "tools"), Path(folder, "wheels")
        _pip("install", "--target", str(tools), *BUILD_TOOLS)
        settings = {"CC": hdf5.compiler, "HDF5_MPI": "ON", "CFLAGS": "-O1", "PYTHONPATH": str(tools)}
        settings |= {"HDF5_INCLUDEDIR": str(hdf5.headers), "HDF5_LIBDIR": str(hdf5.libraries)}
        own = f"h5py=={importlib.metadata.version('h5py')}"
        # pip's own cache does not know what a wheel was built with.
        alone = ("--no-cache-dir", "--no-deps", "--no-build-isolation", "--no-binary", "h5py")
        _pip("wheel", *alone, "--wheel-dir", str(wheels), own, variables=settings)
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=kept.parent))
        for wheel in wheels.glob("h5py*.whl"):
            shutil.copy(wheel, part)
        part.chmod(0o755)
        try:
            part.rename(kept)
        except OSError:  # another set-up was quicker
            shutil.rmtree(part)


def _pip(*arguments: str, variables: dict[str, str] | None = None) -> None:
    """Runs pip; what it has to say goes to stderr."""
    command = [sys.executable, "-m", "pip", arguments[0], "-qq", "--disable-pip-version-check", *arguments[1:]]
    subprocess.run(command, check=True, env=dict(os.environ) | (variables or {}), stdout=sys.stderr)


def main(command: list[str]) -> int:
    """4 if there is no h5py with MPI; 0 without a command, which else takes over."""
    try:
        variables = prepare()
    except OSError as error:
        say(str(error))
        return 4
    if variables is None:
        return 4
    if not command:
        say(f"ready in {SITE}")
        return 0
    os.execvpe(command[0], command, variables)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
