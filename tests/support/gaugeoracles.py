"""Gauge files read as their formats are described, byte by byte and independent of the package."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from itertools import product
from pathlib import Path

import h5py
import numpy

# The links (mu, t, z, y, x, row, column) in the precision of the file; what it stores, and what its bytes give.
Told = tuple[numpy.ndarray, dict[str, tuple[object, object]]]


def pairs(data: bytes, real: str, shape: tuple[int, ...]) -> numpy.ndarray:
    """Complex numbers of a shape, native, from (re, im) pairs."""
    numbers = numpy.frombuffer(data, real)
    return numbers.astype(numbers.dtype.newbyteorder("=")).view(f"c{2 * numbers.itemsize}").reshape(shape)


def rotated(word: int, distance: int) -> int:
    return ((word << distance) | (word >> (32 - distance))) & 0xFFFFFFFF


def scidac(data: bytes, n_sites: int) -> tuple[int, int]:
    """suma and sumb."""
    size, suma, sumb = len(data) // n_sites, 0, 0
    for site in range(n_sites):
        crc = zlib.crc32(data[site * size : (site + 1) * size])
        suma, sumb = suma ^ rotated(crc, site % 29), sumb ^ rotated(crc, site % 31)
    return suma, sumb


def nersc(content: bytes) -> Told:
    head, data = content.split(b"END_HEADER\n", 1)
    lines = (line.partition("=") for line in head.decode().splitlines())
    keys = {key.strip(): value.strip() for key, _, value in lines}
    extent = [int(keys[f"DIMENSION_{mu}"]) for mu in (4, 3, 2, 1)]
    floating, form = (re.fullmatch(r"IEEE(\d\d)(\w+)", keys["FLOATING_POINT"]), keys["DATATYPE"])
    assert floating is not None
    real = f"{'>' if floating[2] == 'BIG' else '<'}f{int(floating[1]) // 8}"
    words, colors = numpy.frombuffer(data, f"{real[0]}u4"), int(form[5])
    rows = 2 if form == "4D_SU3_GAUGE" else colors
    assert rows < colors or form == f"4D_SU{colors}_GAUGE_{colors}x{colors}"
    U = numpy.moveaxis(pairs(data, real, (*extent, 4, rows, colors)), 4, 0)
    whole = U.astype(complex)
    if rows < colors:
        third = numpy.cross(whole[..., 0, :], whole[..., 1, :]).conj()
        whole = numpy.concatenate([whole, third[..., None, :]], axis=-2)
    trace = float(numpy.einsum("...aa->...", whole).real.mean()) / colors
    return U, {
        "checksum": (int(keys["CHECKSUM"], 16), int(words.astype(numpy.uint64).sum()) % 2**32),
        "link trace": (round(float(keys["LINK_TRACE"]), 11), round(trace, 11)),
    }


def ildg(content: bytes) -> Told:
    at, begins, records = 0, True, {}
    while at < len(content):
        magic, version, flags, length, name = struct.unpack_from(">IHHQ128s", content, at)
        assert (magic, version, bool(flags & 0x8000)) == (0x456789AB, 1, begins)
        records[name.rstrip(b"\0").decode()] = content[at + 144 : at + 144 + length]
        begins, at = bool(flags & 0x4000), at + 144 + -(-length // 8) * 8
    assert begins and at == len(content)
    text, sums = records["ildg-format"].decode(), records["scidac-checksum"].decode()
    number = {name: int(re.search(f"<{name}>(\\d+)<", text)[1]) for name in ("lx", "ly", "lz", "lt", "precision")}  # type: ignore[index]
    data, extent = records["ildg-binary-data"], [number[name] for name in ("lt", "lz", "ly", "lx")]
    n_sites, real_bytes = int(numpy.prod(extent)), number["precision"] // 8
    colors = round((len(data) / n_sites / 8 / real_bytes) ** 0.5)
    U = pairs(data, f">f{real_bytes}", (*extent, 4, colors, colors))
    stored = tuple(int(re.search(f"<{name}>([0-9a-f]+)<", sums)[1], 16) for name in ("suma", "sumb"))  # type: ignore[index]
    return numpy.moveaxis(U, 4, 0), {"sums": (stored, scidac(data, n_sites))}


def milc(content: bytes) -> Told:
    mark = "<" if content[:4] == struct.pack("<i", 20103) else ">"
    magic, x, y, z, t, _, order, sum29, sum31 = struct.unpack(mark + "i4i64siII", content[:96])
    assert (magic, order) == (20103, 0)
    words, found = numpy.frombuffer(content[96:], f"{mark}u4").tolist(), [0, 0]
    for k, word in enumerate(words):
        found = [found[0] ^ rotated(word, k % 29), found[1] ^ rotated(word, k % 31)]
    U = pairs(content[96:], f"{mark}f4", (t, z, y, x, 4, 3, 3))
    return numpy.moveaxis(U, 4, 0), {"sums": ([sum29, sum31], found)}


def openqcd(content: bytes) -> Told:
    t, x, y, z, stored = struct.unpack("<4id", content[:24])
    points = iter(pairs(content[24:], "<f8", (-1, 8, 3, 3)))
    U = numpy.full((4, t, z, y, x, 3, 3), numpy.nan, complex)
    size = (t, x, y, z)
    for point in product(*(range(n) for n in size)):
        if sum(point) % 2:
            eight = next(points)
            for axis, mu in enumerate((3, 0, 1, 2)):
                below = [(c - (nu == axis)) % size[nu] for nu, c in enumerate(point)]
                for place, matrix in ((point, eight[2 * axis]), (below, eight[2 * axis + 1])):
                    U[mu, place[0], place[3], place[2], place[1]] = matrix
    return U, {"plaquette": (stored / 3, None)}


def hirep(content: bytes) -> Told:
    colors, t, x, y, z, stored = struct.unpack(">5id", content[:28])
    U = pairs(content[28:], ">f8", (t, x, y, z, 4, colors, colors))
    return numpy.moveaxis(U, (4, 0, 3, 2, 1), (0, 1, 2, 3, 4))[[1, 2, 3, 0]], {"plaquette": (stored, None)}


def hirep_quaternions(content: bytes) -> Told:
    """Of (q0 + i q3, -q2 + i q1; q2 + i q1, q0 - i q3) the file holds q0, q1, q2, q3."""
    colors, t, x, y, z, stored = struct.unpack(">5id", content[:28])
    assert colors == 2
    q0, q1, q2, q3 = numpy.moveaxis(
        numpy.frombuffer(content[28:], ">f8").reshape(t, x, y, z, 4, 4).astype(float), -1, 0
    )
    U = numpy.empty((t, x, y, z, 4, 2, 2), complex)
    U.real[..., 0, 0], U.imag[..., 0, 0], U.real[..., 0, 1], U.imag[..., 0, 1] = q0, q3, -q2, q1
    U.real[..., 1, 0], U.imag[..., 1, 0], U.real[..., 1, 1], U.imag[..., 1, 1] = q2, q1, q0, -q3
    return numpy.moveaxis(U, (4, 0, 3, 2, 1), (0, 1, 2, 3, 4))[[1, 2, 3, 0]], {"plaquette": (stored, None)}


def hdf5(path: Path) -> Told:
    with h5py.File(path) as file:
        return file["links"][()], {"kind": (file.attrs["hpcgauge"], "links")}


ORACLES: dict[str, Callable[[bytes], Told]] = {
    "nersc": nersc,
    "nersc-2x3": nersc,
    "ildg": ildg,
    "milc": milc,
    "openqcd": openqcd,
    "hirep": hirep,
    "hirep-quaternions": hirep_quaternions,
}


def told(path: Path, format: str) -> Told:
    """What a file says by the description of its format."""
    return hdf5(path) if format == "hdf5" else ORACLES[format](path.read_bytes())
