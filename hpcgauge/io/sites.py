"""Gauge files that hold the sites in lexicographic order, x fastest: a part is read through a memory map."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy

from hpcgauge.io.checksums import Checksum
from hpcgauge.io.header import DIRECTIONS, Header


def read_local(
    path: Path, header: Header, origin: tuple[int, ...], local_extent: tuple[int, ...], checksum: Checksum | None = None
) -> numpy.ndarray:
    """The links of a part of the lattice, complex128 (mu, t, z, y, x, row, column); the checksum takes in its sites."""
    extent, colors, rows = header.complete()
    x, y, z, t = (slice(start, start + n) for start, n in zip(origin, local_extent, strict=True))
    size = header.length // prod(extent)
    sites = numpy.memmap(path, numpy.uint8, "r", header.offset, (*reversed(extent), size))
    numbers = numpy.arange(prod(extent[:2])).reshape(extent[1], extent[0])[y, x].reshape(-1)
    links = numpy.empty((DIRECTIONS, *reversed(local_extent), colors, colors), numpy.complex128)
    for local_t in range(local_extent[3]):
        for local_z in range(local_extent[2]):
            at_t, at_z = t.start + local_t, z.start + local_z
            plane = numpy.ascontiguousarray(sites[at_t, at_z, y, x]).reshape(-1, size)
            if checksum is not None:
                checksum.add(plane, numbers + (at_t * extent[2] + at_z) * prod(extent[:2]))
            pairs = plane.view(header.real).reshape(local_extent[1], local_extent[0], DIRECTIONS, rows, colors, 2)
            target = links[:, local_t, local_z, :, :, :rows]
            with numpy.errstate(all="ignore"):
                target.real, target.imag = (numpy.moveaxis(pairs[..., part], 2, 0) for part in (0, 1))
    if rows < colors:
        with numpy.errstate(all="ignore"):
            links[..., 2, :] = numpy.cross(links[..., 0, :], links[..., 1, :]).conj()
    return links
