"""Links from gauge files, and gauge files of links."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from hpcgauge.comm.world import World
from hpcgauge.errors import FileFormatError
from hpcgauge.fields.field import LINKS, Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import OFF_GROUP_LIMIT, reunitarised
from hpcgauge.gauge.plaquette import plaquette
from hpcgauge.io.agreement import on_every_rank, on_root
from hpcgauge.io.gauge import layouts
from hpcgauge.io.gauge.checksums import Tally, combined, form_of
from hpcgauge.io.gauge.compiled import Place
from hpcgauge.io.gauge.faces import faces
from hpcgauge.io.gauge.formats import DEFAULT, Measured, planned, wanted
from hpcgauge.io.gauge.gaugefile import RECOVERABLE, GaugeFile, checks_of, open_gauge_file
from hpcgauge.io.gauge.header import DIRECTIONS, ByteOrder, Precision
from hpcgauge.io.gauge.layouts import Region
from hpcgauge.io.gauge.writer import SLAB, Writing

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
    make ("checksum", "link_trace", "plaquette", "group"). `lattice`: where the links shall live; without it a double
    precision lattice on the CPU, over all ranks of `world`, is made. Links off the group by more than 1e-10 (1e-5 in
    single precision files) are a FileFormatError unless `reunitarise` asks for the nearest ones.
    """
    if lattice is not None:
        world, extent = lattice.world, lattice.extent
    here, names = World.alone() if world is None else world, checks_of(verify)
    file = on_root(here, lambda: open_gauge_file(path, extent))
    _, colors = file.complete()
    place = on_every_rank(here, lambda: _lattice(file, here)) if lattice is None else lattice
    if place.colors != colors:
        raise FileFormatError(
            f"{path}: holds SU({colors}) links, the lattice is one for SU({place.colors}) (lattice.colors)"
        )
    U = Field(place, LINKS)
    tally = on_every_rank(here, lambda: _fill(U, file, file.checks(names)))
    file.verify_found(combined(here, tally), names, RECOVERABLE if reunitarise else None)
    if reunitarise:
        U = reunitarised(U)
    if "plaquette" in names and "plaquette" in file.facts:
        file.verify_fact("plaquette", plaquette(U), SINGLE_ROUNDING if U.precision == "single" else 0.0)
    return U


def _lattice(file: GaugeFile, world: World) -> Lattice:
    """The lattice of a file's extents and colours. Collective."""
    extent, colors = file.complete()
    try:
        return Lattice(extent, colors=colors, world=world)
    except ValueError as error:
        raise FileFormatError(f"{file.path}: no lattice here can hold its links ({error})") from None


def _fill(U: Field, file: GaugeFile, checks: int) -> Tally:
    """What was found in the links of this rank, which the field then holds."""
    lattice = U.lattice
    region = file.region(lattice.origin, lattice.local_extent)
    with U.written_on_host() as data:
        return file.take(region, Place.of_field(U, data), checks)


def write_links(
    U: Field,
    path: str | Path,
    format: str = DEFAULT,
    precision: Precision | None = None,
    byte_order: ByteOrder | None = None,
    overwrite: bool = False,
) -> Path:
    """The file with these links, whole and on the disk, after it was read back. Collective.

    `format`: nersc, nersc-2x3 (two rows of SU(3)), ildg, milc, openqcd, hirep, hirep-quaternions (of SU(2)) or hdf5.
    `precision`: that of the links; "single" must be asked for where they are double. `byte_order`: the format's own
    (nersc: "big", milc: "little"). ValueError where the format cannot hold them and where there is a file, unless
    `overwrite`.
    """
    lattice, world, where = U.lattice, U.lattice.world, Path(path)
    if U.kind != LINKS or lattice.dimensions != DIRECTIONS:
        raise ValueError(f"gauge files hold links in {DIRECTIONS} dimensions, not {U!r}")
    form = wanted(format, precision, byte_order)
    header = on_root(world, lambda: planned(form, lattice.extent, U.colors, U.precision, {}))  # type: ignore[arg-type]
    limiting = "single" if "single" in (U.precision, header.precision) else "double"
    writing = Writing(world, where, header, overwrite, OFF_GROUP_LIMIT[limiting])
    with writing.begun():
        own = Place.of_field(U, lattice.device.hardware.read(U.own_data))
        region = Region(header.complete()[0], lattice.origin, lattice.local_extent)  # type: ignore[arg-type]
        beside = list(faces(U, own, region)) if header.layout == "odd points" else []
        unit_bytes = form_of(header).unit_bytes
        for slab in layouts.slabs(header.layout, region, unit_bytes, SLAB):
            sources = [(own, layouts.writing(header.layout, slab, region))]
            sources += [(place, layouts.below(slab, mu, face)) for mu, face, place in beside]
            writing.put(slab, sources)
        writing.finish(_measured(U, writing), region)
    return where


def _measured(U: Field, writing: Writing) -> Measured:
    """What the header says of these links, all numbers having been written. Collective."""
    found = writing.found()
    return Measured(found.sums, found.trace / (U.lattice.volume * DIRECTIONS * U.colors), plaquette(U))
