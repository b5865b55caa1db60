"""What each gauge file format can hold, and what it writes before and after the numbers."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import get_args

from hpcgauge._version import VERSION
from hpcgauge.io.gauge import hdf5links, hirep, lime, milc, nersc, openqcd
from hpcgauge.io.gauge.gaugefile import EXACT, EXACT_TOLERANCE
from hpcgauge.io.gauge.header import (
    BYTES,
    LARGEST_MEAN,
    ByteOrder,
    Extent,
    Header,
    Layout,
    Precision,
    checked_extent,
    data_length,
    format_extent,
)

Facts = Mapping[str, float | str]


@dataclass(frozen=True)
class Format:
    """What a format can hold; the first of its precisions and byte orders is taken where nothing is said. `colors`: the
    only group, 0 for any. `sums`: the checksums it stores. `has_means`: it stores a plaquette, or a link trace."""

    title: str
    layout: Layout
    precisions: tuple[Precision, ...]
    byte_orders: tuple[ByteOrder, ...]
    colors: int
    sums: tuple[str, ...]
    has_means: bool = True


FORMATS = {
    "nersc": Format("a NERSC archive", "sites", ("double", "single"), ("big", "little"), 0, ("checksum",)),
    "ildg": Format("an ILDG file", "sites", ("double", "single"), ("big",), 0, ("suma", "sumb"), False),
    "milc": Format("a MILC file, version 5,", "sites", ("single",), ("little", "big"), 3, ("sum29", "sum31"), False),
    "openqcd": Format("an openQCD file", "odd points", ("double",), ("little",), 3, ()),
    "hirep": Format("a HiRep file", "points", ("double",), ("big",), 0, ()),
    "hdf5": Format("an HDF5 file of links", "planes", ("double", "single"), ("little",), 0, ("sum64",)),
}
DEFAULT = "nersc"


@dataclass(frozen=True)
class Variant:
    """A format that holds less of each matrix of one group: `rows` of them, or a quaternion."""

    format: str
    title: str
    colors: int
    rows: int | None = None
    is_quaternion: bool = False


VARIANTS = {
    "nersc-2x3": Variant("nersc", "a NERSC archive of two rows", 3, rows=2),
    "hirep-quaternions": Variant("hirep", "a HiRep file of quaternions", 2, is_quaternion=True),
}
NAMES = (*FORMATS, *VARIANTS)


@dataclass(frozen=True)
class Measured:
    """What the numbers of a file gave: checksums, link trace and plaquette (means of Re tr / N)."""

    sums: Mapping[str, int]
    link_trace: float
    plaquette: float


NOTHING = Measured(dict.fromkeys(("checksum", "suma", "sumb", "sum29", "sum31", "sum64"), 0), 0.0, 0.0)


@dataclass(frozen=True)
class Wanted:
    """How a file shall be written; what is None follows from the numbers and the format."""

    format: str = DEFAULT
    precision: Precision | None = None
    byte_order: ByteOrder | None = None
    variant: Variant | None = None


def wanted(format: str, precision: str | None = None, byte_order: str | None = None) -> Wanted:
    """The same of texts. ValueError for unknown ones."""
    known = {"format": (format, NAMES), "precision": (precision, get_args(Precision))}
    for name, (value, possible) in (known | {"byte order": (byte_order, get_args(ByteOrder))}).items():
        if value is not None and value not in possible:
            raise ValueError(f"{name} = {value!r} is not known; one of {', '.join(possible)} is")
    variant = VARIANTS.get(format)
    return Wanted(variant.format if variant else format, precision, byte_order, variant)  # type: ignore[arg-type]


def planned(form: Wanted, extent: Extent, colors: int, precision: Precision, facts: Facts) -> Header:
    """The header of a file of these links. ValueError, in a sentence, where the format cannot hold them."""
    kind = FORMATS[form.format]
    order = form.byte_order or kind.byte_orders[0]
    if order not in kind.byte_orders:
        orders = " or ".join(kind.byte_orders)
        raise ValueError(f"{kind.title} is {orders}-endian; byte_order = {order!r} cannot be written")
    if kind.colors and colors != kind.colors:
        raise ValueError(
            f"{kind.title} holds SU({kind.colors}) only, these links are SU({colors}); take one of the formats "
            f"{', '.join(name for name, other in FORMATS.items() if not other.colors)}"
        )
    chosen = _precision(kind, form.precision, precision)
    if kind.layout == "odd points" and any(n % 2 for n in extent):
        raise ValueError(f"{kind.title} holds even extents only, this lattice is {format_extent(extent)}")
    less = form.variant or Variant(form.format, kind.title, colors)
    if colors != less.colors:
        raise ValueError(f"{less.title} holds SU({less.colors}) only, these links are SU({colors})")
    rows = less.rows or colors
    length = data_length(checked_extent(extent, "the lattice"), colors, rows, BYTES[chosen])
    length //= 2 if less.is_quaternion else 1
    form_of_matrix = rows, kind.layout, less.is_quaternion
    header = Header(form.format, extent, colors, chosen, order, 0, length, *form_of_matrix, facts=facts)
    return replace(header, offset=len(start_of(header, NOTHING)))


def _precision(kind: Format, wanted: Precision | None, precision: Precision) -> Precision:
    """The precision to write; numbers are rounded only on request."""
    chosen = wanted or (precision if precision in kind.precisions or precision == "double" else kind.precisions[0])
    if chosen not in kind.precisions:
        remedy = "; say precision = 'single' to round them" if wanted is None else ""
        raise ValueError(f"{kind.title} holds {kind.precisions[0]} precision only, not {chosen}{remedy}")
    if chosen == "single" and precision == "double" and wanted is None:
        raise ValueError("double precision numbers are rounded on request only; say precision = 'single'")
    return chosen


def start_of(header: Header, measured: Measured) -> bytes:
    """What stands before the numbers, of the same length whatever was measured."""
    if header.format == "nersc":
        stamp = time.strftime("%a %b %d %H:%M:%S %Y UTC", time.gmtime())
        numbers = measured.link_trace, measured.plaquette, measured.sums["checksum"]
        return nersc.start_of(header, *numbers, (f"hpcgauge {VERSION}", stamp))
    if header.format == "ildg":
        return lime.start_of(header)
    if header.format == "milc":
        return milc.start_of(header, (measured.sums["sum29"], measured.sums["sum31"]))
    if header.format == "openqcd":
        trace = openqcd.COLORS * measured.plaquette
        return openqcd.start_of(header, kept(header, "plaquette_trace", trace))
    if header.format == "hirep":
        return hirep.start_of(header, kept(header, "plaquette", measured.plaquette))
    return hdf5links.surroundings(header, attributes_of(header, measured), measured.sums["sum64"])[0]


def refuse_means(header: Header, measured: Measured) -> None:
    """Nothing, if the header can say what was measured. ValueError for numbers that are no links."""
    kind, others = FORMATS[header.format], " or ".join(name for name, other in FORMATS.items() if not other.has_means)
    for name, mean in (("plaquette", measured.plaquette), ("link trace", measured.link_trace)):
        if kind.has_means and not abs(mean) <= LARGEST_MEAN:
            raise ValueError(
                f"the {name} of these numbers is {mean:g}, not within -1..1: they are no links, and no reader would "
                f"take {kind.title} of them; {others} stores no {name}"
            )


def end_of(header: Header, measured: Measured) -> bytes:
    """What stands after the numbers."""
    if header.format == "ildg":
        return lime.end_of(header, measured.sums["suma"], measured.sums["sumb"])
    if header.format == "hdf5":
        return hdf5links.surroundings(header, attributes_of(header, measured), measured.sums["sum64"])[1]
    return b""


def attributes_of(header: Header, measured: Measured) -> dict[str, float | str]:
    """The attributes of an HDF5 file of links."""
    told = {name: value for name, value in header.facts.items() if isinstance(value, str) and name != "exact"}
    found: dict[str, float | str] = {"plaquette": kept(header, "plaquette", measured.plaquette)}
    found["link_trace"] = measured.link_trace
    if isinstance(trace := header.facts.get("plaquette_trace"), float):
        found["plaquette_trace"] = trace
    return {**told, **found}


def kept(header: Header, name: str, measured: float) -> float:
    """The number that came with the links from a file that stores all digits, if it is the measured one up to the order
    of a sum; else the measured one."""
    known = header.facts.get(name) if header.facts.get("exact") else None
    if isinstance(known, float) and math.isfinite(known) and abs(known - measured) <= 3 * EXACT_TOLERANCE:
        return known
    return measured


def facts_of(format: str, facts: Facts) -> dict[str, float | str]:
    """What is carried on from a file of some format into another."""
    return dict(facts) | ({"exact": "yes"} if format in EXACT else {})
