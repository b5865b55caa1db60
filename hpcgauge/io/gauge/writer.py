"""Gauge files, written beside their name by all ranks, read back, brought to the disk and renamed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import final

import numpy

from hpcgauge.comm.world import World
from hpcgauge.io.agreement import on_every_rank, on_root
from hpcgauge.io.blocks import write_at
from hpcgauge.io.distributed import Distributed
from hpcgauge.io.durable import beside, not_written, publish, remove_beside, remove_forgotten, reserve, write_fully
from hpcgauge.io.gauge import layouts
from hpcgauge.io.gauge.checksums import GROUP, TRACE, Found, Tally, checks_of_sums, combined, form_of
from hpcgauge.io.gauge.compiled import Place, check, give
from hpcgauge.io.gauge.formats import FORMATS, Measured, end_of, start_of
from hpcgauge.io.gauge.gaugefile import GaugeFile, open_gauge_file
from hpcgauge.io.gauge.header import SCIDAC_SUMS, Header
from hpcgauge.io.gauge.layouts import Batch, Region

# A place, and for each batch of a region the links that lie there.
Source = tuple[Place, Iterable[Batch]]
# Bytes of a rank that are made and written at once.
SLAB = 32 << 20


@final
class Writing:
    """A file of this header in the making: numbers first, then what surrounds them.

    `limit`: how far from the group links may be. Collective."""

    def __init__(self, world: World, path: Path, header: Header, overwrite: bool, limit: float) -> None:
        self.limit = limit
        self.world, self.path, self.header, self.overwrite = world, path, header, overwrite
        self.beside = on_root(world, lambda: beside(path))
        self.tally, self._form = Tally(), form_of(header)
        stored = FORMATS[header.format].sums
        self._compared = stored if "sum64" in stored else SCIDAC_SUMS
        self.checks = TRACE | GROUP | checks_of_sums((*stored, *self._compared))

    @contextmanager
    def begun(self) -> Iterator[None]:
        """The block in which the file is made; after it the file has its name. If anything fails before, nothing is
        left of it. Collective."""
        on_root(self.world, self._refuse)
        try:
            on_root(self.world, self._create)
            yield
            on_root(self.world, self._refuse)
        except Exception as error:
            if self.world.rank == 0:
                remove_beside(self.path)
            if not isinstance(error, OSError):
                raise
            raise not_written(self.path, error) from error
        on_root(self.world, self._publish)

    def _publish(self) -> None:
        try:
            publish(self.path, is_new=not self.overwrite)
        except FileExistsError:
            raise self._exists() from None

    def _exists(self) -> ValueError:
        return ValueError(f"{self.path} exists; have it replaced (overwrite=True, --force), or name another file")

    def _refuse(self) -> None:
        if self.path.exists() and not self.overwrite:
            raise self._exists()
        if not self.path.parent.is_dir():
            raise ValueError(f"there is no folder {self.path.parent} for {self.path.name}; make it first")

    def _create(self) -> None:
        """Makes the file with room for the numbers."""
        remove_forgotten(self.path.parent)
        descriptor = os.open(self.beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            reserve(descriptor, self.header.offset + self.header.length)
        finally:
            os.close(descriptor)

    def put(self, region: Region | None, sources: Sequence[Source]) -> None:
        """Writes a region of the file (None: nothing from this rank). Collective."""
        self._write(on_every_rank(self.world, lambda: self._part(region, sources)))

    def _part(self, region: Region | None, sources: Sequence[Source]) -> Distributed:
        """The region as a block of the file."""
        words, whole = self._form.unit_bytes // 8, self.header.complete()[0]
        nothing = Region(whole, (0, 0, 0, 0), (0, 0, 0, 0))
        shape, origin, local = layouts.box_in_file(self.header.layout, region or nothing)
        data = numpy.empty(0, numpy.uint8) if region is None else self._bytes_of(region, sources)
        return Distributed((*shape, words), (*origin, 0), data.view("<u8").reshape(*local, words))

    def _bytes_of(self, region: Region, sources: Sequence[Source]) -> numpy.ndarray:
        """The bytes of a region as in the file, added to the tally."""
        size = self._form.unit_bytes
        count = region.local[0] * region.local[1] * region.local[2] * region.local[3]
        data = numpy.empty(count * layouts.UNITS[self.header.layout] * size, numpy.uint8)
        for place, batches in sources:
            at = 0
            for batch in batches:
                give(self._form, batch, place, data[at:])
                at += batch.n_units * size
        at = 0
        for batch in layouts.writing(self.header.layout, region, region):
            check(data[at:], self._form, batch, (self.checks, self.tally.record))
            self.tally.locate(batch, region)
            at += batch.n_units * size
        return data

    def _write(self, part: Distributed) -> None:
        offset = self.header.offset
        on_every_rank(self.world, lambda: write_at(self.beside, self.world, [(offset, part)]))

    def found(self) -> Found:
        """What was written, refused if links are off the group. Collective."""
        found = combined(self.world, self.tally)
        if not found.off_group <= self.limit:
            mu, site = found.worst
            raise ValueError(
                f"link mu = {mu} at site {site} is off the group by {found.off_group:.3g}, over {self.limit:g}, and no "
                "reader would take it; reunitarise the links first"
            )
        return found

    def finish(self, measured: Measured, region: Region | None) -> None:
        """Writes header and end, and reads all back, each rank a region. Collective."""
        on_root(self.world, lambda: self._surround(measured))
        file = on_root(self.world, lambda: open_gauge_file(self.beside))
        tally = on_every_rank(self.world, lambda: self._read_back(file, region))
        again = combined(self.world, tally)
        is_same = all(again.sums[name] == measured.sums[name] for name in self._compared)
        if not is_same or not _same(file.header, self.header):
            raise OSError(errno.EIO, f"what was written to {self.beside} is not what is read back; look at the disk")
        file.verify_found(again, ("checksum", "link_trace"))

    def _surround(self, measured: Measured) -> None:
        descriptor = os.open(self.beside, os.O_WRONLY)
        try:
            write_fully(descriptor, memoryview(start_of(self.header, measured)), 0)
            end = self.header.offset + self.header.length
            write_fully(descriptor, memoryview(end_of(self.header, measured)), end)
        finally:
            os.close(descriptor)

    def _read_back(self, file: GaugeFile, region: Region | None) -> Tally:
        return Tally() if region is None else file.take(region, None, self.checks)


def _same(found: Header, planned: Header) -> bool:
    """True if a file describes itself as it was planned."""
    return all(
        getattr(found, name) == getattr(planned, name)
        for name in ("format", "extent", "colors", "precision", "byte_order", "offset", "length", "layout")
    )
