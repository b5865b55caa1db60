"""Gauge files that lie: nothing is allocated, followed or believed before it agrees with the size of the file."""

from __future__ import annotations

import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy
import pytest

from hpcgauge.comm.world import World
from hpcgauge.errors import FileFormatError
from hpcgauge.fields.field import LINKS, Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import Links
from hpcgauge.gauge.plaquette import plaquette
from hpcgauge.io.container import Contents, write_container
from hpcgauge.io.distributed import Distributed
from hpcgauge.io.gauge.compiled import Place
from hpcgauge.io.gauge.convert import convert
from hpcgauge.io.gauge.formats import wanted
from hpcgauge.io.gauge.gaugefile import open_gauge_file
from hpcgauge.io.gauge.links import read_links, write_links
from hpcgauge.report.info import describe
from tests.support.gaugefiles import (
    DATA,
    FIELD,
    FORMAT,
    SMALL,
    hirep_quaternions,
    lime,
    nersc,
    openqcd,
    put,
    random_links,
)
from tests.support.ranks import agree

# No reader of a small file takes more than this.
LITTLE = 1 << 20
HUGE = {f"DIMENSION_{mu}": "65536" for mu in range(1, 5)}


def huge_nersc() -> bytes:
    return nersc(random_links(2), 2, "IEEE64BIG", ">f8", **HUGE)


def huge_lime() -> bytes:
    text = FORMAT
    for name, n in (("lx", 2), ("ly", 4), ("lt", 6)):
        text = text.replace(f"<{name}>{n}<".encode(), f"<{name}>65536<".encode())
    return lime(("ildg-format", text), FIELD)


def huge_record() -> bytes:
    content = bytearray(lime(FIELD))
    content[8:16] = struct.pack(">Q", 2**63)
    return bytes(content)


LIES: dict[str, tuple[Callable[[], bytes], str]] = {
    "extents in nersc": (huge_nersc, "on 65536 x 65536 x 65536 x 65536 is"),
    "extents in ildg": (huge_lime, "which is no gauge field on 65536 x 65536 x 2 x 65536"),
    "length in lime": (huge_record, "claims 9223372036854775808 bytes"),
    "extents in milc": (
        lambda: struct.pack("<i4i64siII", 20103, 65536, 65536, 65536, 65536, b"", 0, 0, 0) + bytes(96),
        "SU.3. on 65536 x 65536 x 65536 x 65536",
    ),
    "extents in openqcd": (lambda: struct.pack("<4id", 65536, 65536, 65536, 65536, 0.1), "expected a gauge field in"),
    "extents in hirep": (lambda: struct.pack(">5id", 2, 65536, 65536, 65536, 65536, 0.1), "expected a gauge field in"),
    "colors in hirep": (lambda: struct.pack(">5id", 65536, 1, 1, 1, 1, 0.1), "expected a gauge field in"),
    "plaquette in hirep": (
        lambda: hirep_quaternions(random_links(2))[:20] + struct.pack(">d", numpy.nan) + bytes(96 * 4 * 32),
        "expected a gauge field in",
    ),
    "no number in nersc": (
        lambda: nersc(random_links(2), 2, "IEEE64BIG", ">f8", PLAQUETTE="nan"),
        "PLAQUETTE is nan; expected a mean of traces",
    ),
    "infinity in nersc": (
        lambda: nersc(random_links(2), 2, "IEEE64BIG", ">f8", LINK_TRACE="-inf"),
        "LINK_TRACE is -inf; expected a mean of traces",
    ),
    "endless header": (lambda: b"BEGIN_HEADER\n" + b"A = B\n" * 200_000, "no END_HEADER in the first 65536 bytes"),
    "many records": (lambda: lime(*[("ildg-data-lfn", b"")] * 5000), "more than 4096 LIME records"),
    "long text": (lambda: lime(("ildg-format", b" " * (2 << 20)), FIELD), "expected at most 1048576"),
}


@pytest.mark.parametrize("case", LIES)
def test_a_lie_is_refused_before_memory_is_taken(case: str, tmp_path: Path) -> None:
    make, message = LIES[case]
    path = tmp_path / "field"
    path.write_bytes(make())
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=message):
            open_gauge_file(path)
        assert tracemalloc.get_traced_memory()[1] < LITTLE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("extent", [(65536,) * 4, (4, 4, 4), (4, 4, 4, 0), (4, 4, 4, -4), (2**40, 1, 1, 1)])
def test_extents_of_the_caller_are_not_believed_either(extent: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "field"
    path.write_bytes(lime(FIELD))
    with pytest.raises(FileFormatError, match=r"which is no gauge field on|expected four whole numbers"):
        open_gauge_file(path, extent)


def links_file(path: Path, shape: tuple[int, ...], **attributes: object) -> Path:
    array = numpy.zeros(shape, complex)
    part = Distributed(shape, (0,) * len(shape), array)
    write_container(path, World.alone(), "links", Contents({"links": part}, {}, attributes))
    return path


def test_hdf5_that_lies_is_refused(tmp_path: Path) -> None:
    for shape in ((4, 2, 2, 2, 2, 3, 2), (3, 2, 2, 2, 2, 3, 3), (4, 2, 2, 2, 3, 3), (4, 2, 2, 2, 2, 1, 1)):
        with pytest.raises(FileFormatError, match=r"expected complex|does not lie in the file"):
            open_gauge_file(links_file(tmp_path / "a.h5", shape))
    for value, message in (("abc", "plaquette is 'abc'; expected a number"), (10**400, "plaquette is inf; expected")):
        path = links_file(tmp_path / "a.h5", (4, 2, 2, 2, 2, 3, 3), plaquette=value)
        with pytest.raises(FileFormatError, match=message):
            open_gauge_file(path)
    path = links_file(tmp_path / "a.h5", (4, 2, 2, 2, 2, 3, 3), plaquette=1e300)
    with pytest.raises(FileFormatError, match="plaquette is 1e\\+300; expected a mean of traces"):
        open_gauge_file(path)
    write_container(tmp_path / "b.h5", World.alone(), "checkpoint", Contents())
    with pytest.raises(FileFormatError, match=r"an HDF5 file, not a gauge file .*not a links of hpcgauge"):
        open_gauge_file(tmp_path / "b.h5")


def test_hdf5_that_points_elsewhere_is_refused(tmp_path: Path) -> None:
    links_file(tmp_path / "other.h5", (4, 2, 2, 2, 2, 3, 3))
    path = links_file(tmp_path / "a.h5", (4, 2, 2, 2, 2, 3, 3))
    with h5py.File(path, "r+") as file:
        del file["links"]
        file["links"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/links")
    with pytest.raises(FileFormatError, match="its seal is gone, another program has changed it"):
        open_gauge_file(path)


HEAP = [(8, 1), (9, 0x7F), (16, 0), (24, 0xFF), (48, 0x50), (51, 1), (104, 1), (112, 0)]


@pytest.mark.parametrize(("at", "value"), HEAP)
def test_hdf5_whose_heap_of_texts_is_damaged_is_refused(at: int, value: int, tmp_path: Path) -> None:
    """Some of these would send HDF5 round and round for ever."""
    path = write_links(Links.hot(Lattice((2, 2, 2, 4), 3)), tmp_path / "a.h5", "hdf5")
    content = bytearray(path.read_bytes())
    content[content.find(b"GCOL") + at] = value
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="bytes around the data have changed"):
        open_gauge_file(path)


def test_hdf5_in_chunks_is_refused(tmp_path: Path) -> None:
    path = links_file(tmp_path / "a.h5", (4, 2, 2, 2, 2, 3, 3))
    with h5py.File(path, "r+") as file:
        told = dict(file["links"].attrs)
        del file["links"]
        made = file.create_dataset(
            "links", (4, 65536, 65536, 65536, 65536, 3, 3), complex, chunks=(1, 1, 1, 1, 1, 3, 3)
        )
        made.attrs.update(told)
    with pytest.raises(FileFormatError, match="dataset links is not contiguous"):
        open_gauge_file(path)


def test_a_file_that_shrinks_after_its_header_was_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "field"
    path.write_bytes(lime(("ildg-format", FORMAT), FIELD))
    file = open_gauge_file(path)
    for change in (-8, 8):
        os.truncate(path, file.size + change)
        with pytest.raises(FileFormatError, match="somebody is writing it"):
            file.read_local((0, 0, 0, 0), SMALL)


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf, 1e200, 3e38])
def test_numbers_that_are_none_are_refused(value: float, tmp_path: Path) -> None:
    U, path = random_links(3), tmp_path / "field"
    U[1, 2, 0, 1, 1, 0, 0] = value
    path.write_bytes(nersc(random_links(3), 3, "IEEE64BIG", ">f8")[: -len(DATA)] + numbers_of(U))
    with pytest.raises(FileFormatError, match=r"link_trace = .* the data give"):
        read_links(path, verify=("link_trace",))
    with pytest.raises(FileFormatError, match=r"link mu = 1 at site \(1, 1, 0, 2\) is off SU\(3\) by"):
        read_links(path, verify=("group",), reunitarise=True)


def numbers_of(U: numpy.ndarray) -> bytes:
    return numpy.ascontiguousarray(numpy.moveaxis(U, 0, 4)).astype(">c16").tobytes()


def test_reading_takes_little_memory_beside_the_field(tmp_path: Path) -> None:
    """A tenth of the field for tables and a buffer, however large it is."""
    lattice = Lattice((16, 16, 16, 16), 3)
    write_links(Links.unit(lattice), tmp_path / "field", "ildg")
    file = open_gauge_file(tmp_path / "field")
    U = Field(lattice, LINKS)
    region = file.region(lattice.origin, lattice.local_extent)
    with U.written_on_host() as data:
        place = Place.of_field(U, data)
        tracemalloc.start()
        try:
            file.take(region, place, file.checks(("checksum", "group")))
            assert tracemalloc.get_traced_memory()[1] < U.data.nbytes / 10
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(("format", "mark", "at", "largest"), [("hirep", ">d", 20, 1.0), ("openqcd", "<d", 16, 3.0)])
def test_a_mean_may_be_larger_than_it_can_be_by_rounding_only(
    format: str, mark: str, at: int, largest: float, tmp_path: Path
) -> None:
    """Of a cold configuration; such a header is what the format is known by."""
    path = write_links(Links.unit(Lattice((2, 2, 2, 4), 3)), tmp_path / "field", format)
    content = path.read_bytes()
    assert struct.unpack_from(mark, content, at) == (largest,)
    for stored, is_known in ((numpy.nextafter(largest, 4), True), (1.002 * largest, False)):
        path.write_bytes(content[:at] + struct.pack(mark, stored) + content[at + 8 :])
        if is_known:
            assert plaquette(read_links(path)) == 1
        else:
            with pytest.raises(FileFormatError, match="expected a gauge field in"):
                open_gauge_file(path)


@pytest.mark.ranks
@pytest.mark.parametrize("make", [openqcd, lambda U: nersc(U, 3, "IEEE64BIG", ">f8")], ids=["openqcd", "nersc"])
def test_a_field_with_open_boundaries_is_told(
    make: Callable[[numpy.ndarray], bytes], world: World, shared_tmp_path: Path
) -> None:
    """All links out of the last slice are zero; without the check of the group it is read as it is."""
    extent, path = (4, 4, 2, 8), shared_tmp_path / "field"
    U = random_links(3, extent)
    U[3, 7] = 0
    put(world, path, make(U))
    sentence = "all links of t in the last slice, t = 7, are zero, as openQCD writes open boundary conditions"
    for reunitarise in (False, True):
        with pytest.raises(FileFormatError, match=sentence):
            read_links(path, world, reunitarise=reunitarise)
    verdict = describe(path, world)["verdict"]
    agree(world, sentence in verdict and verdict.count(";") == 1, verdict)
    with pytest.raises(FileFormatError, match=sentence):
        convert(path, shared_tmp_path / "other", wanted("hdf5"), world)
    again = read_links(path, world, verify=("checksum", "link_trace", "plaquette"))
    agree(world, numpy.array_equal(again.to_numpy(), U), "as it is")
    U[3, 7, 1, 3, 3] = numpy.eye(3)
    put(world, path, make(U))
    with pytest.raises(FileFormatError, match=r"link mu = 3 at site \(\d, \d, \d, 7\) is off SU\(3\) by 1, over 1e-10"):
        read_links(path, world)
