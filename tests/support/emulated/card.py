"""The executor of the emulated card, compiled once, and what the stand-in's modules share."""

from __future__ import annotations

import ctypes
import functools
import os
import tempfile
from pathlib import Path
from typing import Any

from hpcgauge.kernels.build import load_library
from tests.support.emulated.errors import CUDARuntimeError
from tests.support.emulated.settings import ORDERS, Settings

FOLDER = Path(__file__).parent / "executor"
# In this order they are one translation unit.
PARTS = ("agreed", "fibers", "warps", "memory", "faults", "work", "streams", "captures", "interface")
WORD, LONG, INT = ctypes.c_uint64, ctypes.c_long, ctypes.c_int
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "start": (WORD, INT, WORD),
    "end": (),
    "message": (),
    "executor": (),
    "done": (INT,),
    "failed": (),
    "set_device": (INT,),
    "free_bytes": (),
    "malloc": (WORD,),
    "free": (WORD,),
    "lend": (),
    "take_back": (),
    "is_allocated": (WORD, WORD),
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
RESULTS = {"message": ctypes.c_char_p, "executor": WORD}
RESULTS |= dict.fromkeys(("start", "end", "set_device", "lend", "take_back"))


@functools.cache
def _image() -> bytes:
    """The executor as a library."""
    return Path(load_library("\n".join(part_text(part) for part in PARTS), "emulated_card")._name).read_bytes()


def load_copy(image: bytes) -> ctypes.PyDLL:
    """A library of its own, though it be the same as another one. No other thread of Python runs while it does."""
    handle, path = tempfile.mkstemp(suffix=".so")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(image)
        return ctypes.PyDLL(path)
    finally:
        os.unlink(path)


def _executor() -> ctypes.PyDLL:
    loaded = load_copy(_image())
    for name, arguments in ARGUMENTS.items():
        function = loaded[f"card_{name}"]
        function.argtypes, function.restype = arguments, RESULTS.get(name, LONG)
        setattr(loaded, name, function)
    return loaded


def part_text(part: str) -> str:
    """One part of the executor."""
    return (FOLDER / f"{part}.h").read_text()


class Card:
    """Cards as new, nothing allocated, no error. Those of several objects know nothing of each other."""

    def __init__(self, settings: Settings):
        self.settings, self.library = settings, _executor()
        self.device, self.has_context = 0, False
        self.library.start(settings.seed, ORDERS.index(settings.order), settings.memory)

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
