"""cupy.cuda.runtime of the stand-in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.emulated.card import Card
from tests.support.emulated.errors import CUDARuntimeError

RUNTIME_VERSION = 13020
NON_BLOCKING = 1


def runtime_names(card: Card) -> dict[str, Any]:
    """The functions of cupy.cuda.runtime that the project calls, on a card."""
    return {"CUDARuntimeError": CUDARuntimeError, **_devices(card), **_memory(card), **_streams(card), **_graphs(card)}


def _devices(card: Card) -> dict[str, Callable[..., Any]]:
    settings = card.settings

    def getDeviceCount() -> int:
        if not settings.driver or not settings.cards:
            raise CUDARuntimeError(100 if settings.driver else 35)
        return settings.cards

    def setDevice(device: int) -> None:
        if not 0 <= device < getDeviceCount():
            raise CUDARuntimeError(101)
        card.demand_device()
        card.device = device
        card.library.set_device(device)

    def getDevice() -> int:
        getDeviceCount()
        return card.device

    def getDeviceProperties(device: int) -> dict[str, Any]:
        if not 0 <= device < getDeviceCount():
            raise CUDARuntimeError(101)
        return {
            "name": b"Emulated card (no GPU)",
            "totalGlobalMem": settings.memory,
            "major": settings.capability // 10,
            "minor": settings.capability % 10,
            "multiProcessorCount": 4,
            "warpSize": 32,
            "maxThreadsPerBlock": 1024,
            "maxThreadsPerMultiProcessor": 2048,
            "regsPerBlock": 65536,
            "l2CacheSize": 1 << 22,
            "memoryBusWidth": 512,
            "ECCEnabled": 1,
            "integrated": 0,
            "canMapHostMemory": 1,
            "unifiedAddressing": 1,
            "concurrentKernels": 1,
            "pciDomainID": 0,
            "pciBusID": device + 1,
            "pciDeviceID": 0,
        }

    def memGetInfo() -> tuple[int, int]:
        card.demand_device()
        return card.library.free_bytes(), settings.memory

    def deviceSynchronize() -> None:
        card.demand_device()
        card.check(card.library.synchronize())

    return {
        "getDeviceCount": getDeviceCount,
        "setDevice": setDevice,
        "getDevice": getDevice,
        "getDeviceProperties": getDeviceProperties,
        "memGetInfo": memGetInfo,
        "driverGetVersion": lambda: settings.driver,
        "runtimeGetVersion": lambda: RUNTIME_VERSION,
        "deviceSynchronize": deviceSynchronize,
    }


def _memory(card: Card) -> dict[str, Callable[..., Any]]:
    library, check = card.library, card.check

    def malloc(size: int) -> int:
        card.demand_device()
        return check(library.malloc(size))

    def free(ptr: int) -> None:
        check(library.free(ptr))

    def hostAlloc(size: int, flags: int) -> int:
        card.demand_device()
        return check(library.host_alloc(size))

    def freeHost(ptr: int) -> None:
        check(library.free_host(ptr))

    def memcpyAsync(dst: int, src: int, size: int, kind: int, stream: int) -> None:
        check(library.copy(dst, src, size, kind, stream))

    def memsetAsync(ptr: int, value: int, size: int, stream: int) -> None:
        check(library.set(ptr, value, size, stream))

    functions = (malloc, free, hostAlloc, freeHost, memcpyAsync, memsetAsync)
    return {function.__name__: function for function in functions}


def _streams(card: Card) -> dict[str, Callable[..., Any]]:
    library, check = card.library, card.check

    def streamCreateWithFlags(flags: int) -> int:
        card.demand_device()
        return check(library.stream(not flags & NON_BLOCKING))

    def streamSynchronize(stream: int) -> None:
        check(library.stream_synchronize(stream))

    def streamDestroy(stream: int) -> None:
        check(library.stream_destroy(stream))

    def streamWaitEvent(stream: int, event: int, flags: int = 0) -> None:
        check(library.wait_event(stream, event))

    def eventCreateWithFlags(flags: int) -> int:
        card.demand_device()
        return check(library.event())

    def eventRecord(event: int, stream: int) -> None:
        check(library.event_record(event, stream))

    def eventSynchronize(event: int) -> None:
        check(library.event_synchronize(event))

    def eventDestroy(event: int) -> None:
        check(library.event_destroy(event))

    functions = (
        *(streamCreateWithFlags, streamSynchronize, streamDestroy, streamWaitEvent),
        *(eventCreateWithFlags, eventRecord, eventSynchronize, eventDestroy),
    )
    return {function.__name__: function for function in functions}


def _graphs(card: Card) -> dict[str, Callable[..., Any]]:
    library, check = card.library, card.check

    def streamBeginCapture(stream: int, mode: int = 2) -> None:
        check(library.begin_capture(stream))

    def streamEndCapture(stream: int) -> int:
        return check(library.end_capture(stream))

    def graphInstantiate(graph: int) -> int:
        return check(library.instantiate(graph))

    def graphLaunch(graphExec: int, stream: int) -> None:
        check(library.graph_launch(graphExec, stream))

    def graphDestroy(graph: int) -> None:
        check(library.graph_destroy(graph))

    def graphExecDestroy(graphExec: int) -> None:
        check(library.instance_destroy(graphExec))

    functions = (streamBeginCapture, streamEndCapture, graphInstantiate, graphLaunch, graphDestroy, graphExecDestroy)
    return {function.__name__: function for function in functions}
