"""Gauge files made as their formats are described, and the reading of them on all ranks."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy

from hpcgauge.bench.oracle.gauge import plaquette
from hpcgauge.comm.world import World
from hpcgauge.io.agreement import on_every_rank, on_root
from hpcgauge.io.gauge.checksums import combined
from hpcgauge.io.gauge.compiled import Place
from hpcgauge.io.gauge.gaugefile import GaugeFile, checks_of, open_gauge_file
from hpcgauge.io.gauge.header import Extent

SMALL: Extent = (2, 4, 2, 6)


def part_of(world: World, extent: Extent) -> tuple[Extent, Extent]:
    """Origin and extents of this rank's part: halves of t, then halves of x."""
    cuts = {1: (1, 1), 2: (1, 2)}.get(world.size, (2, world.size // 2))
    place_t, place_x = divmod(world.rank, cuts[0])
    local_x, local_t = extent[0] // cuts[0], extent[3] // cuts[1]
    return (place_x * local_x, 0, 0, place_t * local_t), (local_x, extent[1], extent[2], local_t)


def whole_of(world: World, extent: Extent, local: numpy.ndarray) -> numpy.ndarray:
    """The global array, put together from the parts of all ranks."""
    links = numpy.full((4, *reversed(extent), *local.shape[-2:]), numpy.nan, complex)
    for origin, piece in world.allgather((part_of(world, extent)[0], local)):
        place = tuple(slice(start, start + n) for start, n in zip(reversed(origin), piece.shape[1:5], strict=True))
        links[:, *place] = piece
    return links


def read(
    path: Path, world: World, extent: Extent | None = None, verify: bool | tuple[str, ...] = True
) -> tuple[GaugeFile, numpy.ndarray]:
    """The file and the whole field, each rank having read its part."""
    names = checks_of(verify)
    file = on_root(world, lambda: open_gauge_file(path, extent))
    known, colors = file.complete()
    region = file.region(*part_of(world, known))
    local: numpy.ndarray = numpy.empty((4, *reversed(region.local), colors, colors), complex)
    tally = on_every_rank(world, lambda: file.take(region, Place.of_array(local), file.checks(names)))
    file.verify_found(combined(world, tally), names)
    return file, whole_of(world, known, local)


def put(world: World, path: Path, content: bytes) -> Path:
    """The path, with a file there. Collective."""
    if world.rank == 0:
        path.write_bytes(content)
    world.barrier()
    return path


def random_links(colors: int, extent: Extent = SMALL, seed: int = 3) -> numpy.ndarray:
    """Special unitary matrices (mu, t, z, y, x, row, column)."""
    random = numpy.random.default_rng(seed)
    shape = (4, *reversed(extent), colors, colors)
    unitary, _ = numpy.linalg.qr(random.normal(size=shape) + 1j * random.normal(size=shape))
    unitary[..., 0, :] /= numpy.linalg.det(unitary)[..., None]
    return unitary


def numbers(U: numpy.ndarray, rows: int, real: str) -> bytes:
    """The links in the order of files."""
    ordered = numpy.moveaxis(U[..., :rows, :], 0, 4)
    return numpy.stack([ordered.real, ordered.imag], axis=-1).astype(real).tobytes()


def nersc(U: numpy.ndarray, rows: int, floating_point: str | None, real: str, **changed: str) -> bytes:
    """A NERSC file as FORMATS.md describes it."""
    colors, data = U.shape[-1], numbers(U, rows, real)
    words = numpy.frombuffer(data, f"{real[0]}u4")
    form = "4D_SU3_GAUGE" if rows == 2 and colors == 3 else f"4D_SU{colors}_GAUGE_{colors}x{colors}"
    keys = {"HDR_VERSION": "1.0", "DATATYPE": form}
    keys |= {f"DIMENSION_{mu + 1}": str(U.shape[4 - mu]) for mu in range(4)}
    keys["LINK_TRACE"] = f"{numpy.einsum('...aa->...', U).real.mean() / colors:.10f}"
    keys["PLAQUETTE"] = f"{plaquette(U):.10f}"
    keys["CHECKSUM"] = f"{int(words.sum(dtype=numpy.uint64)) % 2**32:x}"
    if floating_point is not None:
        keys["FLOATING_POINT"] = floating_point
    lines = "".join(f"{key} = {value}\n" for key, value in (keys | changed).items())
    return f"BEGIN_HEADER\n{lines}END_HEADER\n".encode() + data


def hirep_quaternions(U: numpy.ndarray) -> bytes:
    """A HiRep file of SU(2): (q0 + i q3, -q2 + i q1; q2 + i q1, q0 - i q3)."""
    ordered = numpy.moveaxis(U[[3, 0, 1, 2]], (0, 1, 2, 3, 4), (4, 0, 3, 2, 1))
    first, second = ordered[..., 0, 0], ordered[..., 1, 0]
    numbers = numpy.stack([first.real, second.imag, second.real, first.imag], axis=-1)
    return struct.pack(">5id", 2, *ordered.shape[:4], plaquette(U)) + numbers.astype(">f8").tobytes()


def openqcd(U: numpy.ndarray) -> bytes:
    """An openQCD file: of each odd point its links forward and backward in t, x, y, z."""
    size = tuple(U.shape[axis] for axis in (1, 4, 3, 2))
    points = (point for point in product(*(range(n) for n in size)) if sum(point) % 2)
    links = [U[mu, p[0], p[3], p[2], p[1]] for point in points for mu, p in _around(point, size)]
    return struct.pack("<4id", *size, 3 * plaquette(U)) + numpy.array(links).astype("<c16").tobytes()


def _around(point: tuple[int, ...], size: tuple[int, ...]) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Direction and site of the eight links at a point (t, x, y, z)."""
    for axis, mu in enumerate((3, 0, 1, 2)):
        yield mu, point
        yield mu, tuple((c - (nu == axis)) % size[nu] for nu, c in enumerate(point))


def lime(*records: tuple[str, bytes]) -> bytes:
    """A LIME file of one message."""
    out = b""
    for number, (name, data) in enumerate(records):
        flags = (0x8000 if number == 0 else 0) | (0x4000 if number == len(records) - 1 else 0)
        out += struct.pack(">IHHQ128s", 0x456789AB, 1, flags, len(data), name.encode()) + data + bytes(-len(data) % 8)
    return out


FORMAT = (
    b'<?xml version="1.0"?><ildgFormat xmlns="http://www.lqcd.org/ildg"><version>1.0</version><field>su3gauge</field>'
    b"<precision>64</precision><lx>2</lx><ly>4</ly> <lz> 2 </lz><lt>6</lt></ildgFormat>\0"
)
DATA = numbers(random_links(3), 3, ">f8")
FIELD = ("ildg-binary-data", DATA)
PRIVATE = b"<scidacRecord><precision>D</precision><colors>3</colors><datacount>4</datacount></scidacRecord>"
