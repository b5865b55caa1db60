"""How fast gauge files are read and written, beside the copying of the same bytes from the page cache.

    python tools/file_rates.py [--extent 24,24,24,48] [--folder DIR] [--formats nersc,ildg,...] [--repeat 5]

One process, one SU(3) field; DIR should be in memory, as disks are not what is measured. For each format: the bytes of
the file, the rates of pread into a buffer that was used before (copy) and into fresh memory, of read_links without
(bare) and with its checks, and of write_links; ratios to both copies; memory of the process that write_links takes
beside the field (Linux with glibc). The best of several of each.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy

from hpcgauge.fields.field import Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import Links
from hpcgauge.io.gauge.links import read_links, write_links

# Name, format, precision of the file, precision of the field.
FORMS = {
    "nersc": ("nersc", "double", "double"),
    "nersc-2x3": ("nersc-2x3", "double", "double"),
    "ildg": ("ildg", "double", "double"),
    "openqcd": ("openqcd", "double", "double"),
    "hirep": ("hirep", "double", "double"),
    "hdf5": ("hdf5", "double", "double"),
    "milc": ("milc", "single", "double"),
    "ildg single": ("ildg", "single", "single"),
}


def seconds(action: Callable[[], object]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def copy(path: Path, buffer: numpy.ndarray) -> None:
    """Reads the file into the buffer."""
    descriptor, view, at = os.open(path, os.O_RDONLY), memoryview(buffer), 0
    while at < len(view):
        at += os.preadv(descriptor, [view[at : at + (1 << 30)]], at)
    os.close(descriptor)


def memory(name: str) -> float:
    """MiB of the process's own memory; VmRSS: now, VmHWM: the most since the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def beside(action: Callable[[], object]) -> float:
    """MiB that an action takes at most, beside what was there before."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    action()
    return memory("VmHWM") - before


def rates(U: Field, path: Path, form: tuple[str, str, str], repeat: int) -> dict[str, float]:
    """The bytes of the file, seconds of each way, and MiB beside the field in writing."""
    lattice = Lattice(U.lattice.extent, 3, precision=form[2])

    def write() -> None:
        write_links(U, path, form[0], form[1], overwrite=True)  # type: ignore[arg-type]

    write()
    size = path.stat().st_size
    used = numpy.zeros(size, numpy.uint8)
    ways: dict[str, Callable[[], object]] = {
        "copy": lambda: copy(path, used),
        "fresh": lambda: copy(path, numpy.empty(size, numpy.uint8)),
        "bare": lambda: read_links(path, lattice=lattice, verify=False),
        "checked": lambda: read_links(path, lattice=lattice),
        "write": write,
    }
    ways["checked"]()
    found = {name: min(seconds(way) for _ in range(repeat)) for name, way in ways.items()}
    return {"bytes": size, **found, "beside": beside(write)}


def row(name: str, found: dict[str, float]) -> str:
    """The rates as a line."""
    size = found["bytes"]
    speed = {way: size / found[way] / 1e9 for way in ("copy", "fresh", "bare", "checked", "write")}
    shown = "".join(f"{value:9.2f}" for value in speed.values())
    ratios = (f"{speed['bare'] / speed[way]:12.2f}" for way in ("copy", "fresh"))
    return f"{name:12s}{size / 1e6:9.1f}{shown}{''.join(ratios)}{found['beside']:12.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extent", default="24,24,24,48")
    parser.add_argument("--folder", default="/dev/shm" if Path("/dev/shm").is_dir() else None)
    parser.add_argument("--formats", default=",".join(FORMS))
    parser.add_argument("--repeat", type=int, default=5)
    chosen = parser.parse_args()
    extent = tuple(int(n) for n in chosen.extent.split(","))
    U = Links.hot(Lattice(extent, 3))
    print(
        "format            MB     copy    fresh     bare  checked    write   bare/copy  bare/fresh  MiB beside   (GB/s)"
    )
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        for name in chosen.formats.split(","):
            print(row(name, rates(U, Path(folder, "field"), FORMS[name], chosen.repeat)), flush=True)
    print(f"largest memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
