"""Links from the gauge files of other codes."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy

from hpcgauge.comm.world import World
from hpcgauge.errors import FileFormatError
from hpcgauge.fields.field import Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import Links
from hpcgauge.gauge.plaquette import plaquette
from hpcgauge.io.agreement import on_every_rank, on_root
from hpcgauge.io.gaugefile import checks_of, open_gauge_file

# What single precision links add to the difference of a plaquette from the stored one.
SINGLE_ROUNDING = 1e-5


def read_links(
    path: str | Path,
    world: World | None = None,
    extent: tuple[int, ...] | None = None,
    verify: bool | Collection[str] = True,
    lattice: Lattice | None = None,
    reunitarise: bool = False,
) -> Field:
    """The links in a gauge file of any known format, each rank reading its part. Collective.

    `extent` (x, y, z, t) is needed where the file does not say it. `verify`: True, False, or the names of the checks to
    make ("checksum", "link_trace", "plaquette"). `lattice`: where the links shall live; without it a double precision
    lattice on the CPU, over all ranks of `world`, is made. Links off the group by more than 1e-10 (1e-5 in single
    precision files) are a ValueError unless `reunitarise` asks for the nearest ones.
    """
    if lattice is not None:
        world, extent = lattice.world, lattice.extent
    here = World.alone() if world is None else world
    file = on_root(here, lambda: open_gauge_file(path, extent))
    known, colors = file.complete()
    place = on_every_rank(here, lambda: Lattice(known, colors=colors, world=here)) if lattice is None else lattice
    if place.colors != colors:
        raise FileFormatError(
            f"{path}: holds SU({colors}) links, the lattice is one for SU({place.colors}) (lattice.colors)"
        )
    array = file.read_verified(here, place.origin, place.local_extent, verify)
    U = Links.from_local(place, array.astype(numpy.complex64) if file.precision == "single" else array, reunitarise)
    if "plaquette" in checks_of(verify) and "plaquette" in file.facts:
        file.verify_fact("plaquette", plaquette(U), SINGLE_ROUNDING if U.precision == "single" else 0.0)
    return U
