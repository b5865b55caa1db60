"""What devices are made of: memory that arrays lie in, and how the host reads and writes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy


class Hardware(ABC):
    """Memory of a device. Arrays have `shape`, `dtype`, `nbytes` and slices of their first axis, wherever they lie;
    numbers are float64 arrays of one axis that can be set and read (`numpy.array(x)`) from the host at any time.

    `architecture`: of a card, as "sm_90", for which its kernels are compiled; empty: this processor."""

    name: str
    lanes: int
    architecture: str

    @property
    @abstractmethod
    def identity(self) -> str:
        """What tells it from others of its machine; empty where ranks may share it."""

    @property
    @abstractmethod
    def description(self) -> str:
        """What it is, in words."""

    @abstractmethod
    def demand(self, n_bytes: float, what: str = "more") -> None:
        """Nothing; DeviceError with the numbers when so much memory is not free. On the host the system decides."""

    @abstractmethod
    def region(self, n_bytes: int) -> Any:
        """New memory with room for an aligned array of so many bytes. DeviceError when there is none."""

    @abstractmethod
    def array(self, region: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array in a region, which is held by it and all of its slices; not initialised."""

    @abstractmethod
    def owner(self, array: Any) -> Any:
        """The object that lives as long as the array and its slices."""

    @abstractmethod
    def address(self, array: Any) -> int:
        """Where an array or numbers begin, for kernels."""

    @abstractmethod
    def read(self, array: Any) -> numpy.ndarray:
        """The array on the host: itself where it lies there, else a copy."""

    @abstractmethod
    def write(self, array: Any, values: numpy.ndarray | float) -> None:
        """Nothing; the array holds these values."""

    @abstractmethod
    def copy(self, out: Any, x: Any) -> None:
        """Nothing; `out` holds what x does, which has as many bytes."""

    @abstractmethod
    def numbers(self, values: Sequence[float]) -> Any:
        """Numbers that programs work on, with these values."""

    @abstractmethod
    def table(self, array: numpy.ndarray) -> Any:
        """A copy of an integer array that kernels can read; on the host the array itself."""
