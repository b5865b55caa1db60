"""The stand-in for CuPy: graphs recorded from streams, and cards of every kind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hpcgauge.kernels.nvrtc import machine_code
from tests.support.emulated import Card, Settings, install, remove
from tests.support.emulated.byhand import Hand
from tests.support.emulated.settings import VARIABLE

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("card")]

RELAXED = 2
ADD = """struct Call { long long *out; const long long* a; long long n; };
extern "C" __global__ void launch(const Call call) { *call.out = *call.out + *call.a + call.n; }
extern "C" __global__ void __launch_bounds__(64) twice(const Call call) { *call.out = 2 * *call.out; }"""
NUMBER = np.zeros(1, np.int64)


def recorded(hand: Hand, ask: Callable[[], None]) -> int:
    """The graph of what a stream is asked for, ready to be launched."""
    hand.runtime.streamBeginCapture(hand.stream, RELAXED)
    ask()
    graph = hand.runtime.streamEndCapture(hand.stream)
    instance: int = hand.runtime.graphInstantiate(graph)
    hand.runtime.graphDestroy(graph)
    return instance


def fork_and_join(hand: Hand, is_joined: bool = True, is_waited_for: bool = True) -> tuple[int, Callable[[], None]]:
    """An address, and what asks for (0 + 1) * 2 + 3 there, twice two kernels on another stream."""
    runtime, other, out, zero = hand.runtime, hand.new_stream(), hand.put(NUMBER), hand.put(NUMBER)
    add, twice = hand.kernel(ADD), hand.kernel(ADD, "twice")
    forth, back = (runtime.eventCreateWithFlags(2) for _ in range(2))
    runtime.streamSynchronize(hand.stream)

    def ask() -> None:
        argument = np.array([out, zero, 1])
        hand.launch(add, argument, threads=1)
        argument[2] = 3
        runtime.eventRecord(forth, hand.stream)
        runtime.streamWaitEvent(other, forth)
        hand.launch(twice, argument, threads=1, stream=other)
        runtime.eventRecord(back, other)
        if is_joined:
            runtime.streamWaitEvent(hand.stream, back)
        hand.launch(add, argument, threads=1)
        argument[:] = 0

    return out, ask


def test_a_graph_is_replayed_with_the_arguments_it_was_recorded_with(card: Card, hand: Hand) -> None:
    out, ask = fork_and_join(hand)
    instance = recorded(hand, ask)
    assert hand.get(out, NUMBER)[0] == 0
    expected = 0
    for _ in range(5):
        hand.runtime.graphLaunch(instance, hand.stream)
        expected = (expected + 1) * 2 + 3
        assert hand.get(out, NUMBER)[0] == expected
    assert card.done()["graph"] == 5 and card.done()["launch"] == 15
    hand.runtime.graphLaunch(instance, hand.stream)
    hand.runtime.graphExecDestroy(instance)
    assert hand.get(out, NUMBER)[0] == (expected + 1) * 2 + 3
    with pytest.raises(RuntimeError, match="cudaErrorInvalidResourceHandle"):
        hand.runtime.graphLaunch(instance, hand.stream)


def test_the_same_without_a_graph(hand: Hand) -> None:
    out, ask = fork_and_join(hand)
    ask()
    ask()
    assert hand.get(out, NUMBER)[0] == 15


def test_branches_of_a_graph_come_in_any_order(hand: Hand) -> None:
    runtime, other, out, zero = hand.runtime, hand.new_stream(), hand.put(NUMBER), hand.put(NUMBER)
    add, twice = hand.kernel(ADD), hand.kernel(ADD, "twice")
    forth, back = (runtime.eventCreateWithFlags(2) for _ in range(2))

    def ask() -> None:
        runtime.memsetAsync(out, 0, 8, hand.stream)
        runtime.eventRecord(forth, hand.stream)
        runtime.streamWaitEvent(other, forth)
        hand.launch(twice, (out, zero, 0), threads=1, stream=other)
        hand.launch(add, (out, zero, 1), threads=1)
        runtime.eventRecord(back, other)
        runtime.streamWaitEvent(hand.stream, back)

    instance, seen = recorded(hand, ask), set()
    for _ in range(20):
        runtime.graphLaunch(instance, hand.stream)
        seen.add(int(hand.get(out, NUMBER)[0]))
    assert seen == {1, 2}


def test_a_stream_that_is_not_joined_breaks_the_graph(hand: Hand) -> None:
    _, ask = fork_and_join(hand, is_joined=False)
    with pytest.raises(RuntimeError, match="cudaErrorStreamCaptureUnjoined"):
        recorded(hand, ask)


def test_nothing_may_be_waited_for_while_a_graph_is_recorded(hand: Hand) -> None:
    runtime, event = hand.runtime, hand.runtime.eventCreateWithFlags(2)
    for wait, error in (
        (lambda: runtime.streamSynchronize(hand.stream), "cudaErrorStreamCaptureUnsupported"),
        (lambda: runtime.eventSynchronize(event), "cudaErrorCapturedEvent"),
    ):
        runtime.streamBeginCapture(hand.stream, RELAXED)
        runtime.eventRecord(event, hand.stream)
        with pytest.raises(RuntimeError, match=error):
            wait()
        with pytest.raises(RuntimeError, match="cudaErrorStreamCaptureInvalidated"):
            runtime.streamEndCapture(hand.stream)
    runtime.streamBeginCapture(hand.stream, RELAXED)
    with pytest.raises(RuntimeError, match="cudaErrorStreamCaptureUnsupported"):
        runtime.deviceSynchronize()
    runtime.streamEndCapture(hand.stream)


def test_a_graph_cannot_wait_for_work_outside_of_it(hand: Hand) -> None:
    runtime, other, event = hand.runtime, hand.new_stream(), hand.runtime.eventCreateWithFlags(2)
    runtime.eventRecord(event, other)
    with pytest.raises(RuntimeError, match="cudaErrorStreamCaptureIsolation"):
        recorded(hand, lambda: runtime.streamWaitEvent(hand.stream, event))
    with pytest.raises(RuntimeError, match="cudaErrorIllegalState"):
        runtime.streamEndCapture(other)


def test_what_a_launch_may_not_ask_for(hand: Hand) -> None:
    twice, argument = hand.kernel(ADD, "twice"), (hand.put(NUMBER), 0, 0)
    for blocks, threads in ((0, 32), (1, 0), (1, 65), (1 << 31, 1)):
        with pytest.raises(RuntimeError, match="CUDA_ERROR_INVALID_VALUE"):
            hand.launch(twice, argument, blocks, threads)
    with pytest.raises(RuntimeError, match="CUDA_ERROR_INVALID_HANDLE"):
        hand.launch(12345, argument)
    with pytest.raises(RuntimeError, match="CUDA_ERROR_INVALID_HANDLE"):
        hand.launch(twice, argument, stream=12345)
    with pytest.raises(RuntimeError, match="CUDA_ERROR_NOT_FOUND"):
        hand.kernel(ADD, "nothing")
    assert hand.driver.occupancyMaxPotentialBlockSize(twice, 0, 0) == (8, 64)
    assert hand.driver.occupancyMaxPotentialBlockSize(hand.kernel(ADD), 0, 256) == (8, 96)
    assert hand.driver.funcGetAttribute(0, twice) == 64 and hand.driver.funcGetAttribute(4, twice) > 0


def test_a_stream_belongs_to_its_card() -> None:
    install(Settings(cards=2))
    hand = Hand()
    argument, add = (hand.put(NUMBER), hand.put(NUMBER), 0), hand.kernel(ADD)
    hand.runtime.setDevice(1)
    with pytest.raises(RuntimeError, match="CUDA_ERROR_INVALID_HANDLE"):
        hand.launch(add, argument)
    hand.launch(add, argument, stream=hand.new_stream())


def test_what_is_unloaded_cannot_be_launched(hand: Hand) -> None:
    code = machine_code(ADD, "add", "sm_90").code
    module = hand.driver.moduleLoadData(code)
    add = hand.driver.moduleGetFunction(module, "launch")
    argument = (hand.put(NUMBER), hand.put(NUMBER), 0)
    instance = recorded(hand, lambda: hand.launch(add, argument))
    hand.driver.moduleUnload(module)
    with pytest.raises(RuntimeError, match="CUDA_ERROR_INVALID_HANDLE"):
        hand.launch(add, argument)
    hand.runtime.graphLaunch(instance, hand.stream)
    with pytest.raises(RuntimeError, match="cudaErrorIllegalAddress"):
        hand.runtime.streamSynchronize(hand.stream)


def test_a_card_that_is_gone_says_so(card: Card, hand: Hand) -> None:
    inner = install()
    late = Hand()
    address = late.put(NUMBER)
    remove(inner)
    with pytest.raises(RuntimeError, match="cudaErrorCudartUnloading"):
        late.runtime.free(address)


def test_a_machine_without_a_driver_or_a_card() -> None:
    for settings, status in ((Settings(driver=0), 35), (Settings(cards=0), 100)):
        install(settings)
        from cupy.cuda import nvrtc, runtime

        for call in (runtime.getDeviceCount, lambda: runtime.setDevice(0), lambda: runtime.malloc(8)):
            with pytest.raises(runtime.CUDARuntimeError) as raised:
                call()
            assert raised.value.status == status
        assert runtime.driverGetVersion() == settings.driver and nvrtc.getVersion()[0] == 13
    install(Settings(driver=0))
    from cupy.cuda import driver

    with pytest.raises(RuntimeError, match=r"libcuda\.so\.1"):
        driver.moduleLoadData(b"")


def test_cards_of_other_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "cards=2 memory=5000 capability=61 order=late")
    install()
    from cupy.cuda import driver, runtime

    with pytest.raises(RuntimeError, match="CUDA_ERROR_INVALID_CONTEXT"):
        driver.moduleLoadData(b"")
    assert runtime.getDeviceCount() == 2
    found = runtime.getDeviceProperties(1)
    assert (found["major"], found["minor"], found["totalGlobalMem"]) == (6, 1, 5000)
    with pytest.raises(RuntimeError, match="cudaErrorInvalidDevice"):
        runtime.setDevice(2)
    runtime.setDevice(0)
    runtime.malloc(4000)
    runtime.setDevice(1)
    assert runtime.getDevice() == 1 and runtime.memGetInfo() == (5000, 5000)
    with pytest.raises(RuntimeError, match="CUDA_ERROR_NO_BINARY_FOR_GPU"):
        driver.moduleLoadData(machine_code(ADD, "add", "sm_75").code)
    with pytest.raises(ValueError, match="order = 'random' is none of late"):
        Settings(order="random")
