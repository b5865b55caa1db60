"""Devices: where fields lie and kernels run, with their memory counted."""

from __future__ import annotations

import math
import weakref
from typing import Any, final

import numpy

from hpcgauge.fields.hardware import Hardware
from hpcgauge.fields.host import Host, default_threads


@final
class Device:
    """The processor ("cpu") or a card ("cuda") with the memory of its fields.

    `hardware`: how its memory is reached. `lanes`: doubles in one block (floats: twice as many). `bytes_in_use`,
    `bytes_peak`: what fields hold now, and held at most. `bytes_kept`: memory of fields that are gone, kept for fields
    to come of the same size, as fresh pages cost more than most kernels; in use and kept together never pass the peak.
    `threads`: OpenMP threads of a kernel. `local_rank`, `local_size`: the process among those of its machine.
    ValueError for an unknown name, DeviceError when the device cannot be used; there is no fallback.
    """

    def __init__(self, name: str = "cpu", threads: int | None = None, local_size: int = 1, local_rank: int = 0):
        self.hardware = _hardware(name, local_rank, local_size)
        self.name = name
        self.lanes = self.hardware.lanes
        self.threads = threads or default_threads(local_size)
        self.bytes_in_use = 0
        self.bytes_peak = 0
        self.bytes_kept = 0
        self._kept: dict[int, list[Any]] = {}

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array that is not initialised, aligned for loads of whole blocks; on huge pages when it is large."""
        n_bytes = math.prod(shape) * numpy.dtype(dtype).itemsize
        region, in_use = self._take(n_bytes), self.bytes_in_use + n_bytes
        # Before new memory is asked for: the device may have no more.
        self._keep_below(max(self.bytes_peak, in_use) - in_use)
        region = region or self.hardware.region(n_bytes)
        array = self.hardware.array(region, shape, dtype)
        self.bytes_in_use, self.bytes_peak = in_use, max(self.bytes_peak, in_use)
        weakref.finalize(self.hardware.owner(array), self._release, region, n_bytes)
        return array

    def _take(self, n_bytes: int) -> Any:
        regions = self._kept.get(n_bytes)
        if not regions:
            return None
        self.bytes_kept -= n_bytes
        return regions.pop()

    def _release(self, region: Any, n_bytes: int) -> None:
        self.bytes_in_use -= n_bytes
        self.bytes_kept += n_bytes
        self._kept.setdefault(n_bytes, []).append(region)

    def _keep_below(self, limit: int) -> None:
        """Gives kept memory back to the system, sizes that were used first at first, until it is at most `limit`."""
        while self.bytes_kept > limit:
            n_bytes = next(iter(self._kept))
            if self._take(n_bytes) is None:
                del self._kept[n_bytes]


def _hardware(name: str, local_rank: int, local_size: int) -> Hardware:
    if name == "cpu":
        return Host()
    if name == "cuda":
        from hpcgauge.fields.card import Card

        return Card(local_rank, local_size)
    raise ValueError(f"device = {name!r} is not known; 'cpu' and 'cuda' are possible")
