"""Kernels launched by hand on the emulated card: arrays, arguments, and the face of what interprets PTX."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from hpcgauge.kernels.nvrtc import machine_code

TO_CARD, TO_HOST = 1, 2
NON_BLOCKING = 1


class Hand:
    """The names of the installed `cupy`, and a stream."""

    def __init__(self) -> None:
        from cupy.cuda import driver, runtime

        self.driver, self.runtime = driver, runtime
        runtime.setDevice(0)
        self.stream = self.new_stream()
        # The sources of copies that may be under way
        self._given: list[np.ndarray] = []

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
        array = np.array(array, order="C")
        self._given.append(array)
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
    """Memory of the emulated card with the face of tests.support.ptx.memory.Memory. `stream`: where kernels run."""

    def __init__(self) -> None:
        self.hand = Hand()
        self.stream = self.hand.stream

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
        memory = self.memory
        memory.hand.launch_shape(self.program, np.frombuffer(argument, np.uint8), self.shape, memory.stream)


# As tests.support.gpu.INTERPRETER
EXECUTOR = (CardMemory, CardMachine)
