"""Device memory that checks every access: buffers with gaps between them."""

from __future__ import annotations

import numpy as np

from tests.support.ptx.text import PtxError

# Addresses of global memory, and where the window of local memory begins, far from them.
GLOBAL, WINDOW = 1 << 32, 1 << 48
GAP = 4096
NOTHING, READ, WRITE = 0, 1, 3


class Memory:
    """Copies of arrays at addresses with gaps between them; what was not handed over cannot be reached."""

    def __init__(self) -> None:
        self._parts: list[tuple[int, np.ndarray, int]] = []
        self._end = GAP
        self._views: dict[int, np.ndarray] = {}
        self._bytes = np.zeros(0, np.uint8)
        self._rights = np.zeros(0, np.uint8)

    def add(self, array: np.ndarray, is_writable: bool) -> int:
        """The address of a copy of an array."""
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        at = self._end
        self._parts.append((at, data, WRITE if is_writable else READ))
        self._end += data.size + GAP + -data.size % 256
        self._views = {}
        return GLOBAL + at

    def _settle(self) -> None:
        old, self._bytes = self._bytes, np.zeros(self._end, np.uint8)
        self._bytes[: old.size] = old
        self._rights = np.concatenate([self._rights, np.zeros(self._end - old.size, np.uint8)])
        for at, data, rights in self._parts:
            self._bytes[at : at + data.size] = data
            self._rights[at : at + data.size] = rights
        self._parts = []
        self._views = {size: self._bytes.view(f"u{size}") for size in (1, 2, 4, 8)}

    def read(self, address: int, like: np.ndarray) -> np.ndarray:
        """What lies at an address, as an array like another."""
        self._views or self._settle()
        at = address - GLOBAL
        return self._bytes[at : at + like.nbytes].copy().view(like.dtype).reshape(like.shape)

    def places(self, addresses: np.ndarray, size: int, right: int) -> tuple[np.ndarray, np.ndarray]:
        """The memory as unsigned integers of `size` bytes, and the places in it. PtxError for a forbidden access."""
        if not self._views:
            self._settle()
        at = addresses - np.uint64(GLOBAL)
        if at.max(initial=0) >= self._end - size:
            raise PtxError(f"address {int(addresses[at.argmax()]):#x} is no global memory")
        if (at & np.uint64(size - 1)).any():
            raise PtxError(f"an address is not a multiple of {size}")
        if ((self._rights[at] & self._rights[at + np.uint64(size - 1)]) & right != right).any():
            kind = "store" if right == WRITE else "load"
            raise PtxError(f"a {kind} of {size} bytes outside of the buffers it may reach")
        return self._views[size], at // np.uint64(size)


class Local:
    """Memory of each thread alone, [thread][byte]; bytes that were not written are NaN."""

    def __init__(self, n_threads: int, n_bytes: int):
        self.n_bytes = n_bytes
        self._stride = n_bytes + -n_bytes % 16
        memory = np.full(n_threads * self._stride, 255, np.uint8)
        self._views = {size: memory.view(f"u{size}") for size in (1, 2, 4, 8)}
        self._start = np.arange(n_threads, dtype=np.uint64) * np.uint64(self._stride)

    def places(self, offsets: np.ndarray, size: int, threads: np.ndarray | bool) -> tuple[np.ndarray, np.ndarray]:
        """As Memory.places, for the offsets of some threads."""
        if offsets.max(initial=0) > self.n_bytes - size:
            raise PtxError(f"offset {int(offsets.max())} is outside of {self.n_bytes} bytes of local memory")
        if (offsets & np.uint64(size - 1)).any():
            raise PtxError(f"an offset is not a multiple of {size}")
        start = self._start if threads is True else self._start[threads]
        return self._views[size], (start + offsets) // np.uint64(size)
