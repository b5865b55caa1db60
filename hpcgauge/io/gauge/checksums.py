"""What one pass over the numbers of a gauge file finds out: checksums, the link trace, links off the group."""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import final

from hpcgauge.comm.world import World
from hpcgauge.io.gauge import layouts
from hpcgauge.io.gauge.compiled import Form, Sums, library
from hpcgauge.io.gauge.header import BYTES, DIRECTIONS, Header
from hpcgauge.io.gauge.layouts import Batch, Region

# Bits of enum Check in sums.h.
NERSC, SCIDAC, MILC, MIXED, TRACE, GROUP = (1 << bit for bit in range(6))
# The check that each stored sum belongs to.
CHECK_OF = {"checksum": NERSC, "suma": SCIDAC, "sumb": SCIDAC, "sum29": MILC, "sum31": MILC, "sum64": MIXED}
DIGITS = {"sum64": 16}
TRACE_UNIT = 2**40
WORD = 2**32
WIDE = 2**64


def form_of(header: Header) -> Form:
    """The numbers of a unit of the file as compiled code reads them."""
    _, colors, rows = header.complete()
    links = layouts.links_of_unit(header.layout)
    swaps = header.byte_order != sys.byteorder
    return Form(BYTES[header.precision], swaps, colors, rows, links, header.is_quaternion)


def checks_of_sums(names: Iterable[str]) -> int:
    """The checks that compute these sums."""
    bits = 0
    for name in names:
        bits |= CHECK_OF[name]
    return bits


def shown(sums: Mapping[str, int]) -> str:
    """Sums as text, hexadecimal."""
    return ", ".join(f"{name} {value:0{DIGITS.get(name, 8)}x}" for name, value in sums.items())


@final
class Tally:
    """The sums over units in any order. `worst`: direction and site of the link that is furthest from the group."""

    def __init__(self) -> None:
        self.record = Sums()
        self.worst: tuple[int, tuple[int, ...]] = (0, (0,) * DIRECTIONS)
        self._far = 0.0

    def locate(self, batch: Batch, memory: Region) -> None:
        """Nothing; to be called after each batch, so that the worst link has a place."""
        if self.record.far > self._far:
            self._far = self.record.far
            site, mu = batch.link(self.record.far_unit)
            self.worst = mu + self.record.far_link, memory.coordinates(site)

    @property
    def sums(self) -> dict[str, int]:
        """All checksums of this rank by name, those that were not asked for too."""
        milc = (ctypes.c_uint32 * 2)()
        library().rotate_words(ctypes.byref(self.record), milc)
        record = self.record
        return {
            "checksum": record.nersc,
            "suma": record.suma,
            "sumb": record.sumb,
            "sum29": milc[0],
            "sum31": milc[1],
            "sum64": record.mixed,
        }

    @property
    def trace(self) -> int | None:
        """The sum of traces in units of 2^-40; None if one was no number."""
        if self.record.is_broken:
            return None
        return int(self.record.trace_high) * WIDE + int(self.record.trace_low)


@dataclass(frozen=True)
class Found:
    """What the tallies of all ranks say together. `trace`: a sum, NaN if a number was none. `off_group`: the distance
    of the link furthest from the group, which is `worst`."""

    sums: dict[str, int]
    trace: float
    off_group: float
    worst: tuple[int, tuple[int, ...]]


def combined(world: World, tally: Tally) -> Found:
    """The same on every rank, and for every cut of the lattice. Collective."""
    told = world.allgather((tally.sums, tally.trace, math.sqrt(tally.record.far), tally.worst))
    sums = dict.fromkeys(CHECK_OF, 0)
    for part, _, _, _ in told:
        for name, value in part.items():
            if name in ("checksum", "sum64"):
                sums[name] = (sums[name] + value) % (WORD if name == "checksum" else WIDE)
            else:
                sums[name] ^= value
    traces = [trace for _, trace, _, _ in told]
    total = math.nan if None in traces else sum(trace for trace in traces if trace is not None) / TRACE_UNIT
    off_group, worst = max((far, worst) for _, _, far, worst in told)
    return Found(sums, total, off_group, worst)
