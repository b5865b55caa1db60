"""Gauge fields in files: the format is found by content, and a rank reads only its own part."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal, final

import numpy

from hpcgauge.errors import FileFormatError
from hpcgauge.gauge.links import OFF_GROUP_LIMIT
from hpcgauge.io.gauge import hdf5links, hirep, layouts, lime, milc, nersc, openqcd
from hpcgauge.io.gauge.checksums import GROUP, TRACE, Found, Tally, checks_of_sums, form_of, shown
from hpcgauge.io.gauge.compiled import Place, take
from hpcgauge.io.gauge.header import BYTES, DIRECTIONS, SCIDAC_SUMS, Extent, Header, checked_extent, format_extent
from hpcgauge.io.gauge.layouts import Region, T

CHECKS = ("checksum", "link_trace", "plaquette", "group")
# What a stored number may differ by, as in Grid; some store all digits, but sum in another order.
TOLERANCE = {"plaquette": 1e-5, "link_trace": 1e-6}
EXACT = ("openqcd", "hirep", "hdf5")
EXACT_TOLERANCE = 1e-10
# Further from the group than this the nearest link means nothing.
RECOVERABLE = 0.5
REMEDY = "read_links(..., reunitarise=True) takes the nearest links instead"
LEFT_OUT = "verify=False, convert --verify none"
SHORT = -1
# Bytes that tell whether numbers are those of single precision.
SAMPLE = 1 << 16
START = 64


@final
@dataclass(frozen=True)
class GaugeFile:
    """A gauge field in a file: what its header says, and the reading of any part.

    `is_rounded`: the numbers are those of single precision, in a format that holds double.
    """

    path: Path
    header: Header
    size: int
    is_rounded: bool

    @property
    def format(self) -> str:
        """nersc, ildg, scidac, milc, openqcd, hirep or hdf5."""
        return self.header.format

    @property
    def extent(self) -> Extent | None:
        """The extents (x, y, z, t); None if the file does not say them."""
        return self.header.extent

    @property
    def colors(self) -> int | None:
        """The N of SU(N); None as long as the extents are unknown."""
        return self.header.colors

    @property
    def precision(self) -> Literal["single", "double"]:
        """The precision of the numbers in the file."""
        return self.header.precision

    @property
    def byte_order(self) -> Literal["big", "little"]:
        """The byte order of the numbers in the file."""
        return self.header.byte_order

    @property
    def facts(self) -> Mapping[str, float | str]:
        """What else the header stores: plaquette (0..1), link_trace, names."""
        return self.header.facts

    @property
    def sums(self) -> Mapping[str, int]:
        """The stored checksums by name."""
        return self.header.sums

    @property
    def is_exact(self) -> bool:
        """True if means are stored with all digits, of these very numbers."""
        return self.format in EXACT and self.precision == "double"

    def complete(self) -> tuple[Extent, int]:
        """Extents and colours, when the file or the caller gave the extents."""
        try:
            extent, colors, _ = self.header.complete()
        except FileFormatError as error:
            raise FileFormatError(f"{self.path}: {error}") from None
        return extent, colors

    def read_local(self, origin: tuple[int, ...], local_extent: tuple[int, ...]) -> numpy.ndarray:
        """The links of a part of the lattice, complex128 (mu, t, z, y, x, row, column), nothing verified."""
        region, (_, colors) = self.region(origin, local_extent), self.complete()
        links = numpy.empty((DIRECTIONS, *reversed(region.local), colors, colors), numpy.complex128)
        self.take(region, Place.of_array(links), 0)
        return links

    def region(self, origin: tuple[int, ...], local_extent: tuple[int, ...]) -> Region:
        """A part of the lattice. ValueError if it does not lie in it."""
        extent, _ = self.complete()
        for start, n, whole in zip(origin, local_extent, extent, strict=True):
            if not 0 <= start < start + n <= whole:
                raise ValueError(
                    f"the part of extents {format_extent(local_extent)} at {origin} does not lie in "
                    f"{format_extent(extent)}"
                )
        return Region(extent, origin, local_extent)  # type: ignore[arg-type]

    def take(self, region: Region, place: Place | None, checks: int, before: Tally | None = None) -> Tally:
        """What these checks found in a part of the lattice, and before.

        Its links lie in the place, if one is given; else the part is one of the file."""
        tally, form, layout = before or Tally(), form_of(self.header), self.header.layout
        batches = layouts.writing(layout, region, region) if place is None else layouts.reading(layout, region)
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            if os.fstat(descriptor).st_size != self.size:
                raise self._changed(os.fstat(descriptor).st_size)
            for batch in batches:
                problem = take(descriptor, self.header.offset, form, batch, place, (checks, tally.record))
                if problem == SHORT:
                    raise self._changed(os.fstat(descriptor).st_size)
                if problem:
                    raise OSError(problem, os.strerror(problem), str(self.path))
                tally.locate(batch, region)
        finally:
            os.close(descriptor)
        return tally

    def _changed(self, size: int) -> FileFormatError:
        return FileFormatError(
            f"{self.path}: had {self.size} bytes when its header was read and now has {size}; somebody is writing it: "
            "wait until it is whole"
        )

    def checks(self, names: Collection[str]) -> int:
        """The bits of the checks of these names that the file stores something for."""
        bits = (GROUP if "group" in names else 0) | (checks_of_sums(self.sums) if "checksum" in names else 0)
        return bits | (TRACE if "link_trace" in names and "link_trace" in self.facts else 0)

    def verify_found(self, found: Found, names: Collection[str], limit: float | None = None) -> None:
        """Nothing, if the numbers give what the header stores, and are links up to `limit` (their precision's)."""
        if "checksum" in names:
            self.verify_sums(found.sums)
        if "link_trace" in names:
            self.verify_fact("link_trace", self.link_trace(found))
        limit = limit or OFF_GROUP_LIMIT["single" if self.is_rounded else self.precision]
        if "group" in names and not found.off_group <= limit:
            raise FileFormatError(f"{self.path}: {self._off_group(found, limit)}")

    def _off_group(self, found: Found, limit: float) -> str:
        """What is wrong with links that are none."""
        if self._has_open_time():
            return (
                f"all links of t in the last slice, t = {self.complete()[0][T] - 1}, are zero, as openQCD writes open "
                "boundary conditions; every lattice here is periodic: take a field that is periodic in time"
            )
        mu, site = found.worst
        return f"link mu = {mu} at site {site} is off SU({self.colors}) by {found.off_group:.3g}, over {limit:g}; " + (
            REMEDY if limit < RECOVERABLE else "fetch the file again"
        )

    def _has_open_time(self) -> bool:
        """True if no link leads out of the last slice of t."""
        (x, y, z, t), _ = self.complete()
        return not any(self.read_local((n, 0, 0, t - 1), (1, y, z, 1))[T].any() for n in range(x))

    def link_trace(self, found: Found) -> float:
        """The mean of Re tr U / N over all links, from what was found in all of them."""
        extent, colors = self.complete()
        return found.trace / (prod(extent) * DIRECTIONS * colors)

    def verify_sums(self, computed: Mapping[str, int]) -> None:
        """Nothing, if the computed checksums are the stored ones."""
        lacking = [name for name in SCIDAC_SUMS if name not in self.sums]
        if len(lacking) == 1:
            raise FileFormatError(
                f"{self.path}: the record scidac-checksum lacks <{lacking[0]}>; fetch the file again, or leave this "
                f"check out ({LEFT_OUT})"
            )
        if any(self.sums[name] != computed[name] for name in self.sums):
            given = {name: computed[name] for name in self.sums}
            raise FileFormatError(
                f"{self.path}: the {self.format} header stores the checksums {shown(self.sums)}, the data give "
                f"{shown(given)}; the file is damaged: fetch it again, or leave this check out ({LEFT_OUT}) if you "
                "know why"
            )

    def verify_fact(self, name: str, measured: float, rounding: float = 0.0) -> None:
        """Nothing, if the measured number (plaquette 0..1, link_trace) is the stored one; also if none is stored.

        `rounding` is what the measurement may add to the allowed difference.
        """
        stored = self.facts.get(name)
        allowed = rounding + (EXACT_TOLERANCE if self.is_exact else TOLERANCE[name])
        if isinstance(stored, float) and not abs(stored - measured) <= allowed:
            raise FileFormatError(
                f"{self.path}: the {self.format} header stores {name} = {stored:.12g}, the data give {measured:.12g} "
                f"(allowed difference {allowed:g}); the file is damaged or its order of indices is another: fetch it "
                f"again, or leave this check out ({LEFT_OUT}) if you know why"
            )


def checks_of(verify: bool | Collection[str]) -> tuple[str, ...]:
    """The names of the checks to make: all, none, or those given."""
    if isinstance(verify, bool):
        return CHECKS if verify else ()
    unknown = [name for name in verify if name not in CHECKS]
    if isinstance(verify, str) or unknown:
        raise ValueError(f"verify = {verify!r}; expected True, False or some of the names {', '.join(CHECKS)}")
    return tuple(verify)


def parsed_checks(text: str) -> bool | tuple[str, ...]:
    """What `verify` is, from a text of the command line: all, none, or names with commas. ValueError for any other."""
    names = tuple(text.split(","))
    if text in ("all", "none"):
        return text == "all"
    if not set(names) <= set(CHECKS):
        raise ValueError(f"--verify {text!r}; expected all, none, or some of {', '.join(CHECKS)}, with commas between")
    return names


def open_gauge_file(path: str | Path, extent: tuple[int, ...] | None = None) -> GaugeFile:
    """The gauge field in a file of any known format; `extent` (x, y, z, t) is needed only where the file has none."""
    path = Path(path)
    if not path.is_file():
        raise FileFormatError(f"{path}: no such file; give the path of one that is there")
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(START)
    try:
        wanted = None if extent is None else checked_extent(tuple(extent), "the caller")
        header = _read_header(path, size, start, wanted)
        if wanted is not None and header.extent is not None and header.extent != wanted:
            raise FileFormatError(
                f"the lattice is {format_extent(header.extent)}, the caller expects {format_extent(wanted)}; "
                "take the extents of the file, or another file"
            )
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from None
    return GaugeFile(path, header, size, header.precision == "double" and _is_rounded(path, header))


def _is_rounded(path: Path, header: Header) -> bool:
    """True if the first numbers of a file of double precision are numbers of single precision."""
    with path.open("rb") as file:
        file.seek(header.offset)
        data = file.read(min(header.length, SAMPLE) // BYTES["double"] * BYTES["double"])
    with numpy.errstate(all="ignore"):
        numbers = numpy.frombuffer(data, ">f8" if header.byte_order == "big" else "<f8").astype(numpy.float64)
        return bool((numbers.astype(numpy.float32) == numbers).all())


def _read_header(path: Path, size: int, start: bytes, extent: Extent | None) -> Header:
    """The header, read by the format that the first bytes name; `extent` for files that do not say it."""
    if start.startswith(nersc.MAGIC):
        return nersc.read_header(path, size)
    if start.startswith(lime.MAGIC):
        return lime.read_header(path, size, extent)
    if milc.byte_order(start) is not None:
        return milc.read_header(path, size)
    if openqcd.is_openqcd(start, size):
        return openqcd.read_header(path, size)
    if hirep.is_hirep(start, size):
        return hirep.read_header(path, size)
    if start.startswith(hdf5links.MAGIC):
        return hdf5links.read_header(path, size)
    raise FileFormatError(
        f"starts with {start[:12]!r} and has {size} bytes; expected a gauge field in NERSC, ILDG, SciDAC, MILC, "
        "openQCD, HiRep or our HDF5 form"
    )
