"""A stand-in for CuPy that runs the project's CUDA units on the CPU: an instrument of the tests, never a device.

`install()` puts it in the place of `cupy`. It has the names of CuPy that the project calls, and nothing else. It
differs from a card where that finds mistakes:

* Memory of the card cannot be touched by the host: that ends the process with a segmentation fault, a line on stderr
  that says so, and faulthandler's traceback where that is on. New memory is full of bytes 255. A kernel that touches
  what is not allocated is error 700, as on a card, if that is far from small allocations; a write beside a small one is
  found when it is freed or the card waited for, a write to what was freed when it is given out again. An address of
  the host among the words of a kernel's argument is error 700 too.
* Work waits until a synchronisation demands it. Then it is done in an order that hurts, as far as events allow
  (`Settings.order`); kernels of a graph, blocks, warps and the threads of a warp are permuted. The seed is a setting.
* A copy from pageable memory takes its source at the call or when it is done, as is drawn; one from pinned memory when
  it is done. What goes to the host arrives when it is done.
* What a stream or a graph may not be asked for is the error of CUDA.
* Machine code carries the architecture it was asked for, and loads only on a card that would take it.

A process that finds the folder instead/ on its path before CuPy has such a card, with the settings that
HPCGAUGE_EMULATED names.

What it cannot show: races within one kernel between atomics and plain stores, speed, and what NVRTC makes of the text.
"""

from __future__ import annotations

import sys
import types
from typing import Any

from hpcgauge.kernels.nvrtc import nvrtc
from tests.support.emulated.card import Card
from tests.support.emulated.compiler import nvrtc_names
from tests.support.emulated.driver import Driver
from tests.support.emulated.runtime import runtime_names
from tests.support.emulated.settings import Settings, settings_of_environment

NAMES = ("cupy", "cupy.cuda")


class StandIn(types.ModuleType):
    """A module with a few names of CuPy's."""

    def __init__(self, name: str, names: dict[str, Any]):
        super().__init__(name, "A stand-in for CuPy: an instrument of the tests, which needs no card and uses none.")
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the stand-in for CuPy does not have {self.__name__}.{name}")


def install(settings: Settings | None = None) -> Card:
    """A card as new behind the name `cupy`, with settings of the environment where none are given.

    Modules that CuPy itself has only as attributes, cupy.cuda.runtime for one, are attributes here too.
    """
    card = Card(settings or settings_of_environment())
    parts = {"runtime": runtime_names(card), "driver": Driver(card).names(), "nvrtc": nvrtc_names()}
    cuda = StandIn("cupy.cuda", {name: StandIn(f"cupy.cuda.{name}", names) for name, names in parts.items()})
    former = {name: sys.modules[name] for name in NAMES if name in sys.modules}
    sys.modules.update({"cupy": StandIn("cupy", {"cuda": cuda, "_card": card, "_former": former}), "cupy.cuda": cuda})
    nvrtc.cache_clear()
    return card


def remove(card: Card) -> None:
    """`cupy` is again what it was before a card was installed; cards installed since then are gone too."""
    is_found = False
    while not is_found:
        present = sys.modules["cupy"]
        assert isinstance(present, StandIn), "the card is installed"
        is_found = present._card is card
        for name in NAMES:
            del sys.modules[name]
        sys.modules.update(present._former)
        present._card.library.end()
    nvrtc.cache_clear()


__all__ = ["Card", "Settings", "install", "remove"]
