"""From one gauge file format into another: the numbers are those of the file, unless a precision asks for others."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from hpcgauge.comm.world import World
from hpcgauge.gauge.links import OFF_GROUP_LIMIT
from hpcgauge.io.agreement import on_root
from hpcgauge.io.gauge import layouts
from hpcgauge.io.gauge.compiled import Place
from hpcgauge.io.gauge.formats import Measured, Wanted, facts_of, planned
from hpcgauge.io.gauge.gaugefile import GaugeFile, checks_of, open_gauge_file
from hpcgauge.io.gauge.sweep import Measurement, Slab, Sweep, verify
from hpcgauge.io.gauge.writer import Writing


def convert(
    source: str | Path,
    target: str | Path,
    wanted: Wanted,
    world: World | None = None,
    extent: tuple[int, ...] | None = None,
    check: bool = True,
    overwrite: bool = False,
) -> GaugeFile:
    """The new file with the numbers of another one. Collective.

    `extent` (x, y, z, t) is needed where the source does not say it. `check`: what the source stores is compared with
    its numbers. These are written as they are, or widened, which is exact; double ones are rounded to single on request
    only. ValueError where the format cannot hold them.
    """
    here, path = World.alone() if world is None else world, Path(target)
    file = on_root(here, lambda: open_gauge_file(source, extent))
    known, colors = file.complete()
    facts = facts_of(file.format, file.facts)
    header = on_root(here, lambda: planned(wanted, known, colors, file.precision, facts))
    limit = OFF_GROUP_LIMIT["single"] if check else math.inf
    sweep, writing = Sweep(here, file), Writing(here, path, header, overwrite, limit)
    with writing.begun():
        for slab in sweep.slabs():
            _put(writing, slab)
        measured = _measured(file, sweep.measured(), check)
        writing.finish(replace(measured, sums=writing.found().sums), sweep.own)
    return on_root(here, lambda: open_gauge_file(path))


def _put(writing: Writing, slab: Slab | None) -> None:
    if slab is None:
        return writing.put(None, [])
    batches = layouts.writing(writing.header.layout, slab.region, slab.memory)
    return writing.put(slab.region, [(Place.of_array(slab.links), batches)])


def _measured(file: GaugeFile, measurement: Measurement, check: bool) -> Measured:
    """What the header of the new file says, the old one's having been compared."""
    verify(file, measurement, checks_of(check), OFF_GROUP_LIMIT["single"])
    return Measured({}, measurement.link_trace, measurement.plaquette)
