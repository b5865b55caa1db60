"""Whether MPI reads and writes the memory of a card, found out by a process that may die of it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import NamedTuple

from hpcgauge.comm.world import PRESENCE_VARIABLES, SIZE_VARIABLES

SECONDS = 60.0
PROBE = """
import sys
import numpy
from cupy.cuda import runtime
from mpi4py import MPI

runtime.setDevice(int(sys.argv[1]))

class Words:
    def __init__(self, number):
        self.address = runtime.malloc(64)
        place = {"data": (self.address, False), "shape": (64,), "typestr": "|u1", "version": 3}
        self.__cuda_array_interface__ = place
        host = numpy.full(64, number, numpy.uint8)
        runtime.memcpyAsync(self.address, host.ctypes.data, 64, 1, 0)
        runtime.deviceSynchronize()

source, target = Words(7), Words(0)
MPI.COMM_SELF.Sendrecv([source, MPI.BYTE], 0, recvbuf=[target, MPI.BYTE], source=0)
found = numpy.zeros(64, numpy.uint8)
runtime.memcpyAsync(found.ctypes.data, target.address, 64, 2, 0)
runtime.deviceSynchronize()
print("carried" if (found == 7).all() else "lost")
"""


class Awareness(NamedTuple):
    """Whether MPI takes device memory, and how that is known."""

    is_aware: bool
    reason: str

    @property
    def route(self) -> str:
        """How ghosts travel, and why, in words."""
        way = "straight from the card" if self.is_aware else "through pinned memory of the host"
        return f"{way}: {self.reason}"


def cuda_awareness(card: int, probe: str = PROBE) -> Awareness:
    """What a message of a process to itself, from memory of a card to memory of the card, came to. It takes seconds."""
    command = [sys.executable, "-c", probe, str(card)]
    environment = {name: value for name, value in os.environ.items() if not is_of_a_launcher(name)}
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=environment, check=False)
    except subprocess.TimeoutExpired:
        return Awareness(False, f"a message in device memory was not there after {SECONDS:.0f} s")
    if answer.returncode:
        last = (answer.stderr.strip().splitlines() or ["nothing was said"])[-1]
        return Awareness(False, f"a message in device memory ended its process ({answer.returncode}: {last[:80]})")
    if answer.stdout.strip() != "carried":
        return Awareness(False, "a message in device memory arrived with other content")
    return Awareness(True, "a message in device memory arrived")


def is_of_a_launcher(name: str) -> bool:
    """True for a variable that tells a process that an MPI launcher started it."""
    return name in SIZE_VARIABLES + PRESENCE_VARIABLES or name.startswith(("OMPI_", "PMIX_", "PMI_", "PRTE_", "SLURM_"))
