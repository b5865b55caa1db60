"""The stand-in for CuPy has the names that the project calls, and orders work as badly as CUDA allows."""

from __future__ import annotations

import ctypes
import importlib
import subprocess
import sys

import numpy as np
import pytest

from tests.support.emulated import Card, Settings, install, remove
from tests.support.emulated.byhand import TO_CARD, TO_HOST, Hand
from tests.support.emulated.settings import ORDERS, VARIABLE
from tests.support.ranks import ROOT, clean_environment

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("card")]

ON_CARD, BLOCKING = 3, 0
# All that the project calls of CuPy
NAMES = {
    "runtime": "getDeviceCount setDevice getDevice getDeviceProperties memGetInfo driverGetVersion runtimeGetVersion "
    "malloc free hostAlloc freeHost memcpyAsync memsetAsync streamCreateWithFlags streamSynchronize streamDestroy "
    "eventCreateWithFlags eventRecord eventSynchronize streamWaitEvent eventDestroy streamBeginCapture "
    "streamEndCapture graphInstantiate graphLaunch graphDestroy graphExecDestroy deviceSynchronize CUDARuntimeError",
    "driver": "moduleLoadData moduleGetFunction moduleUnload launchKernel occupancyMaxPotentialBlockSize "
    "funcGetAttribute",
    "nvrtc": "getVersion createProgram compileProgram getCUBIN getPTX getProgramLog destroyProgram getSupportedArchs",
}
NUMBER = np.zeros(1, np.int64)


def test_only_what_the_project_calls_is_there() -> None:
    import cupy

    for module, names in NAMES.items():
        found = getattr(cupy.cuda, module)
        assert {name for name in vars(found) if not name.startswith("__")} == set(names.split())
        with pytest.raises(AttributeError, match=rf"the stand-in for CuPy does not have cupy\.cuda\.{module}\.nothing"):
            _ = found.nothing
    with pytest.raises(AttributeError, match=r"does not have cupy\.zeros"):
        _ = cupy.zeros
    # In CuPy too it is an attribute and no module.
    with pytest.raises(ImportError):
        importlib.import_module("cupy.cuda.runtime")


def test_cards_come_and_go(card: Card, hand: Hand) -> None:
    import cupy

    address, inner = hand.put(np.array([3])), install(Settings(memory=1000))
    assert sys.modules["cupy"] is not cupy and Hand().runtime.memGetInfo() == (1000, 1000)
    install()
    remove(inner)
    assert sys.modules["cupy"] is cupy and hand.get(address, NUMBER)[0] == 3


def test_a_process_may_find_it_in_the_place_of_cupy() -> None:
    text = "from cupy.cuda import runtime; print(runtime.getDeviceCount(), runtime.getDeviceProperties(1)['major'])"
    path = ROOT / "tests" / "support" / "emulated" / "instead"
    environment = {**clean_environment(), "PYTHONPATH": str(path), VARIABLE: "cards=2 capability=80"}
    ended = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, env=environment)
    assert ended.stdout == "2 8\n", ended.stderr


def test_what_a_test_starts_has_cards_too() -> None:
    """A Python that is started by one whose devices are cards, as one of two ranks; told to take the processor."""
    made = "Device('cpu', local_rank=1, local_size=2).hardware"
    inner = f"from hpcgauge.fields.device import Device; print({made}.description)"
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}], check=True)"
    text = f"from tests.support.everywhere import use_cards; use_cards(); {start}"
    environment = clean_environment(HPCGAUGE_DEVICE="emulated")
    ended = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, env=environment)
    assert ended.stdout == "cuda (card 1, Emulated card (no GPU), sm_90)\n", ended.stderr


# Work of several streams


def consumer_sees(hand: Hand, is_ordered: bool) -> int:
    """What one stream reads of what another one was asked to write before."""
    runtime, other, event = hand.runtime, hand.new_stream(), hand.runtime.eventCreateWithFlags(2)
    shared, out = hand.put(NUMBER), hand.put(NUMBER)
    runtime.streamSynchronize(hand.stream)
    runtime.memsetAsync(shared, 1, 8, other)
    runtime.eventRecord(event, other)
    if is_ordered:
        runtime.streamWaitEvent(hand.stream, event)
    runtime.memcpyAsync(out, shared, 8, ON_CARD, hand.stream)
    return int(hand.get(out, NUMBER)[0]) & 0xFF


def reader_sees(hand: Hand, is_ordered: bool) -> int:
    """What one stream reads of what another one is asked to overwrite afterwards."""
    runtime, other, event = hand.runtime, hand.new_stream(), hand.runtime.eventCreateWithFlags(2)
    shared, out = hand.put(NUMBER), hand.put(NUMBER)
    runtime.streamSynchronize(hand.stream)
    runtime.memcpyAsync(out, shared, 8, ON_CARD, hand.stream)
    runtime.eventRecord(event, hand.stream)
    if is_ordered:
        runtime.streamWaitEvent(other, event)
    runtime.memsetAsync(shared, 1, 8, other)
    return int(hand.get(out, NUMBER)[0]) & 0xFF


@pytest.mark.parametrize("order", ORDERS)
def test_events_order_the_work_of_streams(order: str) -> None:
    install(Settings(order=order))
    hand = Hand()
    for _ in range(20):
        assert consumer_sees(hand, True) == 1 and reader_sees(hand, True) == 0


def test_a_missing_wait_is_seen() -> None:
    install(Settings(order="late"))
    assert consumer_sees(Hand(), False) == 0
    install(Settings(order="others"))
    assert reader_sees(Hand(), False) == 1
    install(Settings(order="drawn"))
    hand = Hand()
    assert {consumer_sees(hand, False) for _ in range(20)} == {0, 1} == {reader_sees(hand, False) for _ in range(20)}


def test_an_event_is_what_was_recorded_last_before_the_wait(card: Card, hand: Hand) -> None:
    runtime, out, event = hand.runtime, hand.put(NUMBER), hand.runtime.eventCreateWithFlags(2)
    runtime.eventSynchronize(event)
    runtime.streamWaitEvent(hand.stream, event)
    runtime.eventRecord(event, hand.stream)
    runtime.memsetAsync(out, 1, 8, hand.stream)
    runtime.eventSynchronize(event)
    assert card.done()["copy"] == 1 and card.done()["set"] == 0
    runtime.eventRecord(event, hand.stream)
    runtime.eventSynchronize(event)
    assert card.done()["set"] == 1


def test_the_legacy_stream_waits_for_blocking_streams_and_they_for_it(hand: Hand) -> None:
    runtime, out, seen = hand.runtime, hand.put(NUMBER), hand.put(NUMBER)
    runtime.streamSynchronize(hand.stream)
    blocking = runtime.streamCreateWithFlags(BLOCKING)
    for value in range(1, 20):
        runtime.memsetAsync(out, value, 8, blocking)
        runtime.memcpyAsync(seen, out, 8, ON_CARD, 0)
        runtime.memsetAsync(out, 0, 8, blocking)
        runtime.streamSynchronize(0)
        assert int(hand.get(seen, NUMBER)[0]) & 0xFF == value


def test_destroyed_streams_finish_their_work(hand: Hand) -> None:
    other, out = hand.new_stream(), hand.put(NUMBER)
    hand.runtime.streamSynchronize(hand.stream)
    hand.runtime.memsetAsync(out, 1, 8, other)
    hand.runtime.streamDestroy(other)
    with pytest.raises(RuntimeError, match="cudaErrorInvalidResourceHandle"):
        hand.runtime.streamSynchronize(other)
    hand.runtime.deviceSynchronize()
    assert hand.get(out, NUMBER)[0] & 0xFF == 1


# Copies


def copied(hand: Hand, source: np.ndarray) -> int:
    """What arrives of a 5 that becomes a 6 after the copy was asked for."""
    out = hand.put(NUMBER)
    source[0] = 5
    hand.runtime.memcpyAsync(out, source.ctypes.data, 8, TO_CARD, hand.stream)
    source[0] = 6
    return int(hand.get(out, NUMBER)[0])


def test_pageable_memory_is_read_at_any_time_and_pinned_memory_late(hand: Hand) -> None:
    runtime = hand.runtime
    address = runtime.hostAlloc(8, 0)
    pinned = np.ctypeslib.as_array((ctypes.c_int64 * 1).from_address(address))
    assert {copied(hand, np.array([0])) for _ in range(20)} == {5, 6}
    assert {copied(hand, pinned) for _ in range(20)} == {6}
    runtime.freeHost(address)
    with pytest.raises(RuntimeError, match="cudaErrorInvalidValue"):
        runtime.freeHost(address)


def test_what_is_copied_to_the_host_is_there_after_a_synchronisation(hand: Hand) -> None:
    source, arrived = hand.put(np.array([5])), np.zeros(1, np.int64)
    hand.runtime.memcpyAsync(arrived.ctypes.data, source, 8, TO_HOST, hand.stream)
    assert arrived[0] == 0
    hand.runtime.streamSynchronize(hand.stream)
    assert arrived[0] == 5


def test_the_kind_of_a_copy_is_looked_at(hand: Hand) -> None:
    with pytest.raises(RuntimeError, match="cudaErrorInvalidValue"):
        hand.runtime.memcpyAsync(hand.put(NUMBER), NUMBER.ctypes.data, 8, TO_HOST, hand.stream)
