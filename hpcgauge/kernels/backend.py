"""What a device does for launches and programs: compile, bind to memory, run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy

from hpcgauge.comm.halo import Transport
from hpcgauge.fields.device import Device
from hpcgauge.fields.field import Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.kernel import Kernel


class Bound(ABC):
    """A kernel with memory: where its fields lie, its numbers and its sums."""

    @property
    @abstractmethod
    def numbers(self) -> Any:
        """All numbers, one after another."""

    @property
    @abstractmethod
    def sums(self) -> Any:
        """The sums, rounded: numbers of the device."""

    @abstractmethod
    def values(self) -> tuple[float, ...]:
        """The sums."""

    @abstractmethod
    def point(self, addresses: Sequence[int]) -> None:
        """Nothing; the fields lie there."""

    @abstractmethod
    def start(self) -> None:
        """Nothing; works on the blocks that read no ghosts."""

    @abstractmethod
    def finish(self) -> None:
        """Nothing; works on the others, then the sums of this rank are made."""

    @abstractmethod
    def whole(self) -> None:
        """Nothing; both, and the sums are rounded."""

    @abstractmethod
    def bins(self) -> numpy.ndarray:
        """int64 [sum][16]: this rank's sums on the host, to be changed to those of all ranks."""

    @abstractmethod
    def round_bins(self) -> None:
        """Nothing; the sums are rounded from what `bins` gave."""


class Compiled(ABC):
    """A kernel compiled for fields of some kinds and the sites of a parity."""

    @abstractmethod
    def bind(self, addresses: Sequence[int], numbers: Sequence[float]) -> Bound:
        """The kernel with memory of its own for numbers and sums."""


class Runnable(ABC):
    """A list of steps of one rank as the device runs it."""

    @abstractmethod
    def run(self, rounds: int) -> int:
        """How often the list was done to its end before a stop, at most `rounds` times."""


class Backend(ABC):
    """A device's compiler and runtime."""

    @abstractmethod
    def compiled(self, kernel: Kernel, fields: Sequence[Field], counts: tuple[int, ...], parity: str) -> Compiled:
        """The kernel for such fields; `counts`: the elements of each."""

    @abstractmethod
    def program(self, steps: Sequence[Any], lattice: Lattice) -> Runnable:
        """The steps, among them launches bound by this backend."""

    @abstractmethod
    def convert(self, out: Field, x: Field, parity: str) -> None:
        """Nothing; `out` holds the numbers of x in the other precision on the sites of a parity."""

    @abstractmethod
    def route(self, lattice: Lattice) -> str:
        """How ghosts of several ranks travel, in words; empty where there is only one way."""

    @abstractmethod
    def transport(self, lattice: Lattice) -> Transport:
        """How the messages of one exchange of ghosts travel."""


def backend_of(device: Device) -> Backend:
    """The backend of a device; DeviceError when it cannot be used."""
    if device.hardware.name == "cpu":
        from hpcgauge.kernels.host import HOST

        return HOST
    from hpcgauge.kernels.card import CARD

    return CARD
