"""Gauge fields in files: the format is found by content, and a rank reads only its own part."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

import numpy

from hpcgauge.comm.world import World
from hpcgauge.errors import FileFormatError
from hpcgauge.io import lime, milc, nersc, openqcd, sites
from hpcgauge.io.agreement import on_every_rank, on_root
from hpcgauge.io.checksums import checksum_of
from hpcgauge.io.header import Extent, Header, checked_extent, format_extent

CHECKS = ("checksum", "link_trace", "plaquette")
# What a stored number may differ by, as in Grid; openQCD stores all digits but sums in another order.
TOLERANCE = {"plaquette": 1e-5, "link_trace": 1e-6}
OPENQCD_TOLERANCE = 1e-10
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
START = 64


@final
@dataclass(frozen=True)
class GaugeFile:
    """A gauge field in a file: what its header says, and the reading of any part."""

    path: Path
    header: Header

    @property
    def format(self) -> str:
        """nersc, ildg, scidac, milc or openqcd."""
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

    def complete(self) -> tuple[Extent, int]:
        """Extents and colours, when the file or the caller gave the extents."""
        try:
            extent, colors, _ = self.header.complete()
        except FileFormatError as error:
            raise FileFormatError(f"{self.path}: {error}") from None
        return extent, colors

    def read_local(self, origin: tuple[int, ...], local_extent: tuple[int, ...]) -> numpy.ndarray:
        """The links of a part of the lattice, complex128 (mu, t, z, y, x, row, column), nothing verified."""
        self._check_part(origin, local_extent)
        if self.header.layout == "odd points":
            return openqcd.read_local(self.path, self.header, origin, local_extent)
        return sites.read_local(self.path, self.header, origin, local_extent)

    def read_verified(
        self,
        world: World,
        origin: tuple[int, ...],
        local_extent: tuple[int, ...],
        verify: bool | Collection[str] = True,
    ) -> numpy.ndarray:
        """The links of this rank's part, checksum and link trace compared with the stored ones. Collective.

        The parts of all ranks must make up the lattice.
        """
        checks = checks_of(verify)
        checksum = checksum_of(self.header) if "checksum" in checks else None

        def read() -> numpy.ndarray:
            if checksum is None:
                return self.read_local(origin, local_extent)
            self._check_part(origin, local_extent)
            return sites.read_local(self.path, self.header, origin, local_extent, checksum)

        links = on_every_rank(world, read)
        if checksum is not None:
            self.verify_sums(checksum.sums(world))
        if "link_trace" in checks and "link_trace" in self.facts:
            self.verify_fact("link_trace", link_trace(world, links))
        return links

    def verify_sums(self, computed: Mapping[str, int]) -> None:
        """Nothing, if the computed checksums are the stored ones."""
        if any(self.sums[name] != computed[name] for name in self.sums):
            stored = ", ".join(f"{name} {value:08x}" for name, value in self.sums.items())
            found = ", ".join(f"{name} {value:08x}" for name, value in computed.items())
            raise FileFormatError(
                f"{self.path}: the {self.format} header stores the checksums {stored}, the data give {found}; the "
                "file is damaged: fetch it again, or read it with verify=False if you know why"
            )

    def verify_fact(self, name: str, measured: float, rounding: float = 0.0) -> None:
        """Nothing, if the measured number (plaquette 0..1, link_trace) is the stored one; also if none is stored.

        `rounding` is what the measurement may add to the allowed difference.
        """
        stored = self.facts.get(name)
        allowed = rounding + (OPENQCD_TOLERANCE if self.format == "openqcd" else TOLERANCE[name])
        if isinstance(stored, float) and not abs(stored - measured) <= allowed:
            raise FileFormatError(
                f"{self.path}: the {self.format} header stores {name} = {stored:.12g}, the data give {measured:.12g} "
                f"(allowed difference {allowed:g}); the file is damaged or its order of indices is another: fetch it "
                "again, or read it with verify=False if you know why"
            )

    def _check_part(self, origin: tuple[int, ...], local_extent: tuple[int, ...]) -> None:
        extent, _ = self.complete()
        for start, n, whole in zip(origin, local_extent, extent, strict=True):
            if not 0 <= start < start + n <= whole:
                raise ValueError(
                    f"the part of extents {format_extent(local_extent)} at {origin} does not lie in "
                    f"{format_extent(extent)}"
                )


def checks_of(verify: bool | Collection[str]) -> tuple[str, ...]:
    """The names of the checks to make: all, none, or those given."""
    if isinstance(verify, bool):
        return CHECKS if verify else ()
    unknown = [name for name in verify if name not in CHECKS]
    if isinstance(verify, str) or unknown:
        raise ValueError(f"verify = {verify!r}; expected True, False or some of the names {', '.join(CHECKS)}")
    return tuple(verify)


def link_trace(world: World, links: numpy.ndarray) -> float:
    """The mean of Re tr U / N over the links of all ranks. Collective."""
    with numpy.errstate(all="ignore"):
        trace = float(numpy.einsum("...aa->...", links).real.sum())
    parts = world.allgather((trace, links.size // links.shape[-1]))
    return sum(total for total, _ in parts) / sum(number for _, number in parts)


def open_gauge_file(path: str | Path, extent: tuple[int, ...] | None = None) -> GaugeFile:
    """The gauge field in a file of any known format; `extent` (x, y, z, t) is needed only where the file has none."""
    path = Path(path)
    if not path.is_file():
        raise FileFormatError(f"{path}: no such file; give the path of a gauge field")
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(START)
    try:
        header = _read_header(path, size, start)
        if extent is not None:
            wanted = checked_extent(tuple(extent), "the caller")
            if header.extent is None:
                header = header.at(wanted)
            elif header.extent != wanted:
                raise FileFormatError(
                    f"the lattice is {format_extent(header.extent)}, the caller expects {format_extent(wanted)}; "
                    "take the extents of the file, or another file"
                )
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from None
    return GaugeFile(path, header)


def _read_header(path: Path, size: int, start: bytes) -> Header:
    """The header, read by the format that the first bytes name."""
    if start.startswith(nersc.MAGIC):
        return nersc.read_header(path, size)
    if start.startswith(lime.MAGIC):
        return lime.read_header(path, size)
    if milc.byte_order(start) is not None:
        return milc.read_header(path, size)
    if openqcd.is_openqcd(start, size):
        return openqcd.read_header(path, size)
    if start.startswith(HDF5_MAGIC):
        raise FileFormatError(
            "an HDF5 file, not a gauge file; a checkpoint is resumed by `hpcgauge run ... --out FOLDER`"
        )
    raise FileFormatError(
        f"starts with {start[:12]!r} and has {size} bytes; expected a gauge field in NERSC, ILDG, SciDAC, MILC or "
        "openQCD form"
    )


def read_links_array(
    path: str | Path,
    world: World,
    part: Callable[[Extent, int], tuple[Extent, Extent]],
    extent: tuple[int, ...] | None = None,
    verify: bool | Collection[str] = True,
) -> tuple[GaugeFile, numpy.ndarray]:
    """The file and this rank's links, complex128 (mu, t, z, y, x, row, column). Collective.

    Checksum and link trace are compared with the stored ones. `part(extent, colors)` gives origin and local extents of
    this rank. A stored plaquette is left to the caller, who has the ghosts: file.verify_fact("plaquette", value).
    """
    file = on_root(world, lambda: open_gauge_file(path, extent))
    known, colors = file.complete()
    origin, local_extent = on_every_rank(world, lambda: part(known, colors))
    return file, file.read_verified(world, origin, local_extent, verify)
