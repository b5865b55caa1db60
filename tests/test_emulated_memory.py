"""The stand-in for CuPy keeps hosts and kernels from memory that is not theirs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from tests.support.emulated import Settings, install
from tests.support.emulated.byhand import Hand
from tests.support.emulated.errors import CUDARuntimeError
from tests.support.ranks import ROOT, clean_environment

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("card")]

ADD = """struct Call { long long *out; const long long* a; long long n; };
extern "C" __global__ void launch(const Call call) { *call.out = *call.out + *call.a + call.n; }"""
NUMBER = np.zeros(1, np.int64)


HOST_ACCESS = """
import ctypes, sys
import numpy as np
from tests.support.emulated import install
from tests.support.emulated.byhand import Hand
from tests.support.emulated.errors import CUDARuntimeError
install()
hand = Hand()
address = hand.put(np.arange(3))
hand.runtime.streamSynchronize(hand.stream)
print("asked", hand.get(address, np.zeros(3, np.int64))[2], flush=True)
"""


@pytest.mark.parametrize(
    "touch",
    ["ctypes.c_int64.from_address(address).value", "ctypes.memset(address, 0, 1)", "ctypes.memset(address + 24, 0, 1)"],
)
@pytest.mark.parametrize("option", ["-Xfaulthandler", "-Walways"])
def test_the_host_cannot_touch_memory_of_the_card(touch: str, option: str) -> None:
    command = [sys.executable, option, "-c", f"{HOST_ACCESS}{touch}\nprint('alive')"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=clean_environment())
    assert ended.returncode == -11 and ended.stdout == "asked 2\n", ended.stderr
    assert "emulated card: the host touched memory of the card at 0x" in ended.stderr
    assert ("Segmentation fault" in ended.stderr) == (option == "-Xfaulthandler")


def freed(hand: Hand, array: np.ndarray) -> int:
    address = hand.put(array)
    hand.runtime.free(address)
    return address


def faulty(hand: Hand, address: int) -> int:
    """The error of a kernel that reads an address."""
    hand.launch(hand.kernel(ADD), (hand.put(NUMBER), address, 0))
    with pytest.raises(CUDARuntimeError) as raised:
        hand.runtime.streamSynchronize(hand.stream)
    return raised.value.status


def test_a_kernel_that_reads_what_is_not_allocated_is_an_error() -> None:
    wild = np.zeros(1 << 20, np.int64)
    beyond = [freed, lambda hand, array: hand.put(array) + array.nbytes, lambda _, array: array.ctypes.data]
    for where in (*beyond, lambda *_: 0):
        install()
        hand = Hand()
        assert faulty(hand, where(hand, wild)) == 700
    # The card answers nothing else from then on.
    for call in (hand.runtime.deviceSynchronize, lambda: hand.runtime.malloc(8), hand.new_stream):
        with pytest.raises(RuntimeError, match="cudaErrorIllegalAddress"):
            call()


def test_memory_is_full_of_garbage_and_given_out_late_again(hand: Hand) -> None:
    runtime = hand.runtime
    sizes = (1, 8, 1000, 4096, 1 << 20, (5 << 20) + 8)
    addresses = {runtime.malloc(size): size for size in sizes}
    for address, size in addresses.items():
        assert address % 256 == 0 and (hand.get(address, np.zeros(size, np.uint8)) == 255).all()
    before = runtime.memGetInfo()[0]
    for address in addresses:
        runtime.free(address)
        with pytest.raises(RuntimeError, match="cudaErrorInvalidValue"):
            runtime.free(address)
    assert runtime.memGetInfo() == (before + sum(sizes), Settings().memory) == (Settings().memory,) * 2
    assert not {runtime.malloc(size) for size in sizes} & set(addresses)


def test_bytes_written_beside_an_allocation_are_found() -> None:
    looks: list[Callable[[Hand, int], None]] = [
        lambda hand, out: hand.runtime.free(out),
        lambda hand, out: hand.runtime.deviceSynchronize(),
    ]
    for look in looks:
        install()
        hand = Hand()
        out = hand.runtime.malloc(8)
        hand.launch(hand.kernel(ADD), (out + 8, hand.put(NUMBER), 1))
        with pytest.raises(RuntimeError, match="cudaErrorIllegalAddress"):
            look(hand, out)


def test_small_memory_that_was_freed_is_garbage_and_looked_at_when_it_is_given_out_again(hand: Hand) -> None:
    runtime = hand.runtime
    out, zero, old = hand.put(NUMBER), hand.put(NUMBER), freed(hand, NUMBER + 5)
    hand.launch(hand.kernel(ADD), (out, old, 0), threads=1)
    assert hand.get(out, NUMBER)[0] == -1
    hand.launch(hand.kernel(ADD), (old, zero, 1))
    runtime.streamSynchronize(hand.stream)
    with pytest.raises(RuntimeError, match="cudaErrorIllegalAddress"):
        for _ in range(1 << 15):
            runtime.malloc(8)


def test_memory_of_a_card_ends() -> None:
    install(Settings(memory=1000))
    runtime = Hand().runtime
    runtime.malloc(900)
    with pytest.raises(CUDARuntimeError, match="cudaErrorMemoryAllocation: out of memory") as raised:
        runtime.malloc(101)
    assert raised.value.status == 2 and runtime.memGetInfo() == (100, 1000)
