"""The executor of the emulated card, compiled once, and what the stand-in's modules share."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Any

from hpcgauge.kernels.build import load_library
from tests.support.emulated.errors import CUDARuntimeError
from tests.support.emulated.settings import ORDERS, Settings

FOLDER = Path(__file__).parent / "card"
# In this order they are one translation unit.
PARTS = ("executor", "fibers", "warps", "memory", "faults", "work", "streams", "captures", "interface")
WORD, LONG, INT = ctypes.c_uint64, ctypes.c_long, ctypes.c_int
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "reset": (WORD, INT, WORD),
    "end": (),
    "message": (),
    "executor": (),
    "done": (INT,),
    "failed": (),
    "set_device": (INT,),
    "free_bytes": (),
    "malloc": (WORD,),
    "free": (WORD,),
    "host_alloc": (WORD,),
    "free_host": (WORD,),
    "stream": (INT,),
    "stream_destroy": (LONG,),
    "stream_synchronize": (LONG,),
    "synchronize": (),
    "event": (),
    "event_destroy": (LONG,),
    "event_record": (LONG, LONG),
    "event_synchronize": (LONG,),
    "wait_event": (LONG, LONG),
    "copy": (WORD, WORD, WORD, INT, LONG),
    "set": (WORD, INT, WORD, LONG),
    "kernel": (WORD, WORD, ctypes.c_uint),
    "kernel_destroy": (LONG,),
    "launch": (LONG, ctypes.POINTER(ctypes.c_uint), LONG, WORD),
    "begin_capture": (LONG,),
    "end_capture": (LONG,),
    "instantiate": (LONG,),
    "graph_launch": (LONG, LONG),
    "graph_destroy": (LONG,),
    "instance_destroy": (LONG,),
}
RESULTS = {"message": ctypes.c_char_p, "executor": WORD, "reset": None, "end": None, "set_device": None}


@functools.cache
def library() -> ctypes.PyDLL:
    """The executor. No other thread of Python runs while it works, since the memory of the card is open then."""
    text = "\n".join(part_text(part) for part in PARTS)
    loaded = ctypes.PyDLL(load_library(text, "emulated_card")._name)
    for name, arguments in ARGUMENTS.items():
        function = loaded[f"card_{name}"]
        function.argtypes, function.restype = arguments, RESULTS.get(name, LONG)
        setattr(loaded, name, function)
    return loaded


def part_text(part: str) -> str:
    """One part of the executor."""
    return (FOLDER / f"{part}.h").read_text()


class Card:
    """The cards of this process, as new: nothing allocated, no error."""

    def __init__(self, settings: Settings):
        self.settings, self.library = settings, library()
        self.device, self.has_context = 0, False
        self.library.reset(settings.seed, ORDERS.index(settings.order), settings.memory)

    def check(self, answer: int) -> int:
        """An answer of the executor; CUDARuntimeError when it is an error."""
        if answer < 0:
            raise CUDARuntimeError(-answer, self.detail(-answer))
        return answer

    def detail(self, status: int) -> str:
        """What the card has to say about its error."""
        text: str = self.library.message().decode()
        return text if status == self.library.failed() else ""

    def demand_device(self) -> None:
        """Returns when there is a card to work with; every call that needs one comes through here or after one that
        did."""
        if not self.settings.driver:
            raise CUDARuntimeError(35)
        if not self.settings.cards:
            raise CUDARuntimeError(100)
        self.has_context = True

    def done(self) -> dict[str, int]:
        """How often what was done: launches outside graphs and in them, copies, settings, graphs, waits."""
        names = ("launch", "copy", "set", "graph", "wait")
        return {name: self.library.done(number) for number, name in enumerate(names)}
