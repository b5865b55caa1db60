"""Kernels launched by hand on the emulated card: arrays, arguments, and a case of the catalogue as one rank sees it."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from hpcgauge.bench.case import Case
from hpcgauge.fields.field import Field
from hpcgauge.kernels.cuda_source import COPIES, WARP, call_type
from hpcgauge.kernels.nvrtc import machine_code
from hpcgauge.kernels.runtime import BINS, runtime
from hpcgauge.lattice.ghosts import WarpTables

TO_CARD, TO_HOST = 1, 2
NON_BLOCKING = 1
# The last block has threads to spare.
THREADS = 3 * WARP


class Hand:
    """The names of the installed `cupy`, and a stream."""

    def __init__(self) -> None:
        from cupy.cuda import driver, runtime

        self.driver, self.runtime = driver, runtime
        runtime.setDevice(0)
        self.stream = self.new_stream()

    def new_stream(self) -> int:
        stream: int = self.runtime.streamCreateWithFlags(NON_BLOCKING)
        return stream

    def kernel(self, text: str, name: str = "launch") -> int:
        """The function of a translation unit, compiled for the card that is there."""
        card = self.runtime.getDeviceProperties(0)
        architecture = f"sm_{card['major']}{card['minor']}"
        module = self.driver.moduleLoadData(machine_code(text, "by_hand", architecture).code)
        function: int = self.driver.moduleGetFunction(module, name)
        return function

    def put(self, array: Any) -> int:
        """The address of a copy of an array on the card, which is asked for, not yet made."""
        array = np.ascontiguousarray(array)
        address: int = self.runtime.malloc(max(array.nbytes, 1))
        self.runtime.memcpyAsync(address, array.ctypes.data, array.nbytes, TO_CARD, self.stream)
        return address

    def get(self, address: int, like: np.ndarray) -> np.ndarray:
        """What lies at an address after all that the stream was asked for."""
        array = np.empty_like(like)
        self.runtime.memcpyAsync(array.ctypes.data, address, array.nbytes, TO_HOST, self.stream)
        self.runtime.streamSynchronize(self.stream)
        return array

    def launch(
        self, function: int, argument: Any, blocks: int = 1, threads: int = 32, stream: int | None = None
    ) -> None:
        """Asks for a kernel. `argument`: its struct as a NumPy array, or the words of 8 bytes it is made of."""
        if isinstance(argument, tuple):
            argument = np.array(argument, np.int64)
        self.launch_shape(function, argument, (blocks, 1, 1, threads, 1, 1), stream)

    def launch_shape(
        self, function: int, argument: np.ndarray, shape: tuple[int, ...], stream: int | None = None
    ) -> None:
        """The same with all extents of the grid and of a block."""
        addresses = (ctypes.c_void_p * 1)(argument.ctypes.data)
        chosen = self.stream if stream is None else stream
        self.driver.launchKernel(function, *shape, 0, chosen, ctypes.addressof(addresses), 0)


class CardMemory:
    """Memory of the emulated card with the face of tests.support.ptx.memory.Memory."""

    def __init__(self) -> None:
        self.hand = Hand()

    def add(self, array: np.ndarray, is_writable: bool) -> int:
        """The address of a copy of an array."""
        return self.hand.put(array)

    def read(self, address: int, like: np.ndarray) -> np.ndarray:
        """What lies at an address, as an array like another."""
        return self.hand.get(address, like)


class CardMachine:
    """Launches on the emulated card with the face of tests.support.ptx.machine.Machine; a program is a function."""

    def __init__(self, program: int, memory: CardMemory, grid: tuple[int, int], threads: int):
        self.program, self.memory, self.shape = program, memory, (*grid, 1, threads, 1, 1)

    def run(self, argument: bytes) -> None:
        """Asks for the kernel."""
        self.memory.hand.launch_shape(self.program, np.frombuffer(argument, np.uint8), self.shape)


class CardLaunch:
    """One rank's launches of a kernel on the emulated card.

    A test may change `call`, the struct Call, and `stream`, where the kernel runs.
    """

    def __init__(self, function: int, case: Case, fields: dict[str, Field], tables: WarpTables):
        self.hand, self.function, kernel = Hand(), function, case.entry.kernel
        self.stream = self.hand.stream
        self.fields = [fields[argument.name] for argument in kernel.fields]
        self._bins = np.zeros((COPIES, kernel.n_sums, BINS), np.int64)
        given = {
            "neighbours": tables.neighbours,
            "coordinates": tables.coordinates,
            "extent": np.array(case.extent, np.int32),
            "numbers": np.concatenate([np.zeros(0), *case.numbers.values()]),
            "stopped": np.zeros(1, np.int64),
            "bins": self._bins,
        }
        self.call = np.zeros((), call_type(len(kernel.fields)))
        for name, array in given.items():
            self.call[name] = self.hand.put(array)
        self._where = [self.hand.put(field.data) for field in self.fields]
        self.call["fields"][: len(self._where)] = self._where

    def run(self, warps: np.ndarray) -> None:
        """Asks for the kernel on a list of warps."""
        call = self.call.copy()
        call["warps"], call["n_warps"] = self.hand.put(warps), len(warps)
        self.hand.launch(self.function, call, -(-len(warps) * WARP // THREADS), THREADS, self.stream)

    def finish(self) -> np.ndarray:
        """The bins [sum][16] of this rank; what was written is in the fields then."""
        for field, address in zip(self.fields, self._where, strict=True):
            field.data[:] = self.hand.get(address, field.data)
        bins = self.hand.get(int(self.call["bins"]), self._bins).sum(axis=0) if self._bins.size else self._bins[0]
        for row in bins:
            runtime().normalise(ctypes.c_void_p(row.ctypes.data))
        return bins
