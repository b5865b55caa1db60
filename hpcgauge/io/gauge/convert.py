"""From one gauge file format into another: the numbers are those of the file, unless a precision asks for others."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy

from hpcgauge.comm.world import World
from hpcgauge.gauge.links import OFF_GROUP_LIMIT
from hpcgauge.io.agreement import on_every_rank, on_root
from hpcgauge.io.gauge import layouts
from hpcgauge.io.gauge.compiled import Place
from hpcgauge.io.gauge.formats import Measured, Wanted, facts_of, planned, refuse_means
from hpcgauge.io.gauge.gaugefile import GaugeFile, checks_of, open_gauge_file
from hpcgauge.io.gauge.header import Header
from hpcgauge.io.gauge.sweep import Slab, Sweep
from hpcgauge.io.gauge.sweep import verify as verify_file
from hpcgauge.io.gauge.writer import Writing


def convert(
    source: str | Path,
    target: str | Path,
    wanted: Wanted,
    world: World | None = None,
    extent: tuple[int, ...] | None = None,
    verify: bool | Collection[str] = True,
    overwrite: bool = False,
) -> GaugeFile:
    """The new file with the numbers of another one. Collective.

    `extent` (x, y, z, t) is needed where the source does not say it. `verify`: the checks of the source, as in
    `read_links`. Its numbers are written as they are, or widened, which is exact; double ones are rounded to single on
    request only. ValueError where the format cannot hold them.
    """
    names = checks_of(verify)
    here, path = World.alone() if world is None else world, Path(target)
    file = on_root(here, lambda: open_gauge_file(source, extent))
    known, colors = file.complete()
    facts = facts_of(file.format, file.facts)
    header = on_root(here, lambda: planned(wanted, known, colors, file.precision, facts))
    limit = OFF_GROUP_LIMIT["single"] if "group" in names else math.inf
    sweep, writing = Sweep(here, file, names), Writing(here, path, header, overwrite, limit)
    with writing.begun():
        for slab in sweep.slabs():
            if header.is_quaternion:
                on_every_rank(here, lambda: _refuse_other_matrices(slab))  # noqa: B023
            _put(writing, slab)
        measured = _measured(sweep, header)
        writing.finish(replace(measured, sums=writing.found().sums), sweep.own)
    return on_root(here, lambda: open_gauge_file(path))


def _put(writing: Writing, slab: Slab | None) -> None:
    if slab is None:
        return writing.put(None, [])
    batches = layouts.writing(writing.header.layout, slab.region, slab.memory)
    return writing.put(slab.region, [(Place.of_array(slab.links), batches)])


def _refuse_other_matrices(slab: Slab | None) -> None:
    """Nothing, if all links of SU(2) are (a, b; -b^*, a^*), number by number: a quaternion holds no others."""
    if slab is None:
        return
    U = slab.links
    others = (U[..., 1, 1] != U[..., 0, 0].conj()) | (U[..., 1, 0] != -U[..., 0, 1].conj())
    if others.any():
        mu, *place = (int(n) for n in numpy.argwhere(others)[0])
        inside = sum(n * stride for n, stride in zip(reversed(place), slab.memory.strides, strict=True))
        raise ValueError(
            f"link mu = {mu} at site {slab.memory.coordinates(inside)} is not (a, b; -b*, a*) in all digits, so a "
            "quaternion would change it; take hirep, whose matrices hold it, or read_links and write_links, which round"
        )


def _measured(sweep: Sweep, header: Header) -> Measured:
    """What the header of the new file says, that of the old one having been compared. Collective."""
    measurement = sweep.measured()
    verify_file(sweep.file, measurement, sweep.names, OFF_GROUP_LIMIT["single"])
    measured = Measured({}, measurement.link_trace, measurement.plaquette)
    refuse_means(header, measured)
    return measured
