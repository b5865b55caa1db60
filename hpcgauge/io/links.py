"""Links from the gauge files of other codes."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from hpcgauge.comm.world import World
from hpcgauge.errors import FileFormatError
from hpcgauge.fields.field import LINKS, Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import reunitarised
from hpcgauge.gauge.plaquette import plaquette
from hpcgauge.io.agreement import on_every_rank, on_root
from hpcgauge.io.checksums import Tally, combined
from hpcgauge.io.compiled import Place
from hpcgauge.io.gaugefile import GaugeFile, checks_of, open_gauge_file

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
    precision files) are a FileFormatError unless `reunitarise` asks for the nearest ones.
    """
    if lattice is not None:
        world, extent = lattice.world, lattice.extent
    here, names = World.alone() if world is None else world, checks_of(verify)
    file = on_root(here, lambda: open_gauge_file(path, extent))
    known, colors = file.complete()
    place = on_every_rank(here, lambda: Lattice(known, colors=colors, world=here)) if lattice is None else lattice
    if place.colors != colors:
        raise FileFormatError(
            f"{path}: holds SU({colors}) links, the lattice is one for SU({place.colors}) (lattice.colors)"
        )
    U = Field(place, LINKS)
    tally = on_every_rank(here, lambda: _fill(U, file, file.checks(names)))
    file.verify_found(combined(here, tally), names, reunitarise)
    if reunitarise:
        U = reunitarised(U)
    if "plaquette" in names and "plaquette" in file.facts:
        file.verify_fact("plaquette", plaquette(U), SINGLE_ROUNDING if U.precision == "single" else 0.0)
    return U


def _fill(U: Field, file: GaugeFile, checks: int) -> Tally:
    """What was found in the links of this rank, which the field then holds."""
    lattice = U.lattice
    region = file.region(lattice.origin, lattice.local_extent)
    with U.written_on_host() as data:
        return file.take(region, Place.of_field(U, data), checks)
