"""What kind of card the stand-in for CuPy shows, and how it orders work."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

VARIABLE = "HPCGAUGE_EMULATED"
# As in executor/streams.h
ORDERS = ("late", "others", "mixed", "drawn")


@dataclass
class Settings:
    """The cards that are seen, and the order of work.

    `memory`: bytes of each card. `capability`: 90 is 9.0. `driver`: 0 where there is none. `block`: the block size that
    occupancy asks for. `order` of the work of several streams: "late", nothing but what is demanded; "others", first
    what other streams can do; "mixed", any stream's next; "drawn", one of these for each synchronisation.
    """

    cards: int = 1
    memory: int = 8 << 30
    capability: int = 90
    driver: int = 13000
    block: int = 96
    seed: int = 1
    order: str = "drawn"

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise ValueError(f"order = {self.order!r} is none of {', '.join(ORDERS)}")


def settings_of_environment() -> Settings:
    """Settings as HPCGAUGE_EMULATED names them, "cards=2 memory=1000000 driver=0 order=late": for subprocesses."""
    given = [word.split("=", 1) for word in os.environ.get(VARIABLE, "").split()]
    values: dict[str, Any] = {name: value if name == "order" else int(value) for name, value in given}
    return Settings(**values)
