"""Files of schema 1, which have no seal: what HDF5 finds in them, asked of a process that may crash or hang over it."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import struct
import subprocess
import sys
from math import prod
from pathlib import Path
from typing import Any

from hpcgauge.comm.aware import is_of_a_launcher
from hpcgauge.errors import FileFormatError
from hpcgauge.io import hdf5
from hpcgauge.io.seal import Entry, Table, damaged, described, parsed

# Of the processor, and of memory; the time of the clock may be so many times longer on a busy node.
SECONDS, MEMORY = 20, 2 << 30
PATIENCE = 6
PROGRAM = "import sys; from hpcgauge.io.unsealed import tell; tell(sys.argv[1])"
SUPERBLOCK = struct.Struct("<8sBBBBQQQQI")
SIGNATURE = b"\x89HDF\r\n\x1a\n"
SUPERBLOCK_VERSIONS = (2, 3)


def read_unsealed(path: Path, newest: int) -> Table:
    """What a file says of itself, FileFormatError if that is not to be trusted; OSError when it could not be asked."""
    _refuse_torn(path)
    kept = {name: value for name, value in os.environ.items() if not is_of_a_launcher(name)}
    kept |= {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    told = _asked(path, [sys.executable, "-c", PROGRAM, str(path)], kept)
    table, _ = parsed(path, told, path.stat().st_size, newest)
    if table.schema != 1:
        raise damaged(path, "its seal is gone, another program has changed it")
    return table


def _asked(path: Path, command: list[str], environment: dict[str, str]) -> bytes:
    """What the process prints. FileFormatError when it gives up, crashes or takes too much of a processor's time;
    OSError when it does not get that far, which says nothing about the file."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    resource.prlimit(process.pid, resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    try:
        told, said = process.communicate(timeout=PATIENCE * SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        limit = PATIENCE * SECONDS
        raise OSError(
            errno.ETIMEDOUT, f"{path} could not be looked at in {limit} s; try again on a quieter node"
        ) from None
    if process.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise damaged(path, f"HDF5 does not come to an end with it in {SECONDS} s")
    if process.returncode:
        last = (said.decode(errors="replace").strip().splitlines() or [f"exit {process.returncode}"])[-1]
        raise damaged(path, last[:200])
    return told


def _refuse_torn(path: Path) -> None:
    """Nothing, if the file begins as HDF5 files of hpcgauge do and is as long as it says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(SUPERBLOCK.size)
    if len(start) < SUPERBLOCK.size or not start.startswith(SIGNATURE):
        raise damaged(path, "it does not begin like one")
    _, version, offsets, lengths, _, base, _, end, _, _ = SUPERBLOCK.unpack(start)
    if version not in SUPERBLOCK_VERSIONS or (offsets, lengths, base) != (8, 8, 0):
        raise damaged(path, "its superblock is not one that hpcgauge writes")
    if end != size:
        raise damaged(path, f"{end} bytes were written, {size} are there: it is cut, or its seal is gone")


def tell(path: str) -> None:
    """Prints what the file says of itself, as in a seal; ends the process with a sentence if HDF5 cannot say."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        with hdf5.library().File(path, "r", locking=False) as file:
            kind, schema = str(file.attrs.get("hpcgauge")), int(file.attrs.get("schema", 0))
            entries: dict[str, Entry] = {}
            file.visititems(lambda name, item: _note(entries, name, item))
        print(json.dumps(described(Table(kind, schema, entries))))
    except (OSError, KeyError, RuntimeError, TypeError, ValueError, MemoryError) as error:
        sys.exit(" ".join(str(error).split()))


def _note(entries: dict[str, Entry], name: str, item: Any) -> None:
    """Enters a dataset in the table."""
    if isinstance(item, hdf5.library().Dataset):
        if prod(item.shape) and item.id.get_offset() is None:
            raise FileFormatError(f"dataset {name} is not contiguous")
        entries[name] = hdf5.entry(item)
