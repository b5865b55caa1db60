"""Gauge files that are written: right by the description of their format, the same bits back, the same on all ranks."""

from __future__ import annotations

import calendar
import re
import time
from dataclasses import dataclass
from pathlib import Path

import numpy
import pytest

from hpcgauge.bench.oracle.gauge import plaquette
from hpcgauge.comm.world import World
from hpcgauge.errors import FileFormatError
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import Links
from hpcgauge.io.gauge import writer
from hpcgauge.io.gauge.convert import convert
from hpcgauge.io.gauge.formats import wanted
from hpcgauge.io.gauge.gaugefile import open_gauge_file
from hpcgauge.io.gauge.header import ByteOrder, Extent
from hpcgauge.io.gauge.links import read_links, write_links
from tests.support.gaugefiles import random_links
from tests.support.gaugeoracles import told
from tests.support.ranks import agree

# A third row made anew, and the order of sums.
ROUNDING = 1e-14
MILC = (20103).to_bytes(4, "little")


@dataclass(frozen=True)
class Case:
    """A file to write."""

    format: str
    colors: int
    extent: Extent
    precision: str = "double"
    byte_order: str | None = None


CASES = [
    Case("nersc", 3, (4, 2, 4, 6)),
    Case("nersc", 2, (2, 4, 4, 8), "double", "little"),
    Case("nersc", 4, (8, 4, 2, 4), "single"),
    Case("nersc", 3, (4, 6, 2, 8), "single", "little"),
    Case("nersc-2x3", 3, (4, 2, 4, 6)),
    Case("nersc-2x3", 3, (2, 4, 4, 8), "single", "little"),
    Case("ildg", 3, (4, 6, 2, 8)),
    Case("ildg", 2, (4, 2, 4, 6), "single"),
    Case("ildg", 4, (2, 4, 4, 8)),
    Case("milc", 3, (8, 4, 2, 4), "single"),
    Case("milc", 3, (2, 4, 4, 8), "single", "big"),
    Case("openqcd", 3, (4, 2, 4, 6)),
    Case("openqcd", 3, (8, 4, 2, 4)),
    Case("openqcd", 3, (2, 4, 4, 8)),
    Case("hirep", 2, (4, 2, 4, 6)),
    Case("hirep", 3, (2, 4, 4, 8)),
    Case("hirep", 4, (8, 4, 2, 4)),
    Case("hirep-quaternions", 2, (4, 2, 4, 6)),
    Case("hdf5", 3, (4, 6, 2, 8)),
    Case("hdf5", 2, (4, 2, 4, 6), "single"),
    Case("hdf5", 4, (2, 4, 4, 8)),
]
NAMES = [f"{case.format} SU({case.colors}) {case.precision} {case.byte_order or ''}" for case in CASES]


def stamp_of(path: Path) -> str:
    """The date that a file is found to have."""
    return str(open_gauge_file(path).facts["time_stamp"])


def without_dates(content: bytes) -> bytes:
    """The content without the dates of NERSC and MILC."""
    if MILC in (content[:4], content[3::-1]):
        return content[:20] + content[84:]
    return re.sub(rb"_DATE = .*\n", b"_DATE\n", content)


@pytest.mark.ranks
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_what_is_written_is_right_and_comes_back(case: Case, world: World, shared_tmp_path: Path) -> None:
    links = random_links(case.colors, case.extent)
    U = Links.from_numpy(Lattice(case.extent, case.colors, world), links)
    path, form = shared_tmp_path / "field", (case.format, case.precision, case.byte_order)
    write_links(U, path, *form)  # type: ignore[arg-type]
    found, facts = told(path, case.format)
    expected = U.to_numpy().astype(numpy.complex64 if case.precision == "single" else complex)
    rows = 2 if case.format == "nersc-2x3" else case.colors
    agree(world, found.dtype == expected.dtype, f"{found.dtype}")
    agree(world, numpy.array_equal(found[..., :rows, :], expected[..., :rows, :]), "the same bits in the file")
    if stored := facts.pop("plaquette", None):
        agree(world, abs(float(str(stored[0])) - plaquette(links)) < ROUNDING, f"{stored}")
    agree(world, all(stored == computed for stored, computed in facts.values()), f"{facts}")
    again = read_links(path, lattice=U.lattice).to_numpy()
    agree(world, numpy.array_equal(again[..., :rows, :], expected[..., :rows, :]), "the same bits back")
    agree(world, numpy.abs(again - expected).max() < (1e-7 if case.precision == "single" else ROUNDING), "last row")
    alone = shared_tmp_path / f"alone{world.rank}"
    write_links(Links.from_numpy(Lattice(case.extent, case.colors), links), alone, *form)  # type: ignore[arg-type]
    agree(world, without_dates(alone.read_bytes()) == without_dates(path.read_bytes()), "the same file from one rank")


@pytest.mark.ranks
@pytest.mark.parametrize("format", ["nersc", "openqcd", "hirep", "hdf5"])
def test_files_are_written_in_slabs(
    format: str, world: World, shared_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pieces of one slice of t, and of less, make up the same file."""
    links = random_links(3, (4, 4, 4, 8))
    U = Links.from_numpy(Lattice((4, 4, 4, 8), 3, world), links)
    contents = []
    for limit in (1 << 25, 80_000, 9_000):
        monkeypatch.setattr("hpcgauge.io.gauge.links.SLAB", limit)
        write_links(U, shared_tmp_path / "field", format, overwrite=True)
        contents.append(without_dates((shared_tmp_path / "field").read_bytes()))
    agree(world, len(set(contents)) == 1, "the same file")


@pytest.mark.ranks
@pytest.mark.parametrize("byte_order", ["little", "big"])
def test_a_milc_file_has_the_date_of_its_writing(byte_order: ByteOrder, world: World, shared_tmp_path: Path) -> None:
    """As MILC writes it: 24 characters, then NULs; two files differ there alone."""
    U, path = Links.hot(Lattice((4, 2, 4, 6), 3, world, precision="single")), shared_tmp_path / "field"
    before = int(time.time())
    write_links(U, path, "milc", byte_order=byte_order)
    date, content = stamp_of(path), path.read_bytes()
    agree(world, before <= calendar.timegm(time.strptime(date)) <= time.time(), date)
    agree(world, content[20:84] == time.asctime(time.strptime(date)).encode().ljust(64, b"\0"), "as ctime has it")
    agree(world, not path.with_name("field.info").exists(), "no companion")
    other = shared_tmp_path / "other"
    with pytest.MonkeyPatch.context() as later:
        later.setattr(time, "gmtime", lambda: time.struct_time((2001, 10, 1, 4, 27, 8, 0, 274, 0)))
        write_links(U, other, "milc", byte_order=byte_order)
    agree(world, stamp_of(other) == "Mon Oct  1 04:27:08 2001", stamp_of(other))
    agree(world, without_dates(other.read_bytes()) == without_dates(content) != content, "the rest is the same")


@pytest.mark.ranks
def test_a_converted_milc_file_keeps_its_date(world: World, shared_tmp_path: Path) -> None:
    """Through our HDF5 too; the numbers are those of the first, and so are all bytes."""
    first = shared_tmp_path / "first"
    write_links(Links.hot(Lattice((4, 2, 4, 6), 3, world, precision="single")), first, "milc")
    if world.rank == 0:
        content = first.read_bytes()
        first.write_bytes(content[:20] + b"Thu Feb 12 13:40:21 1998".ljust(64, b"\0") + content[84:])
    world.barrier()
    convert(first, shared_tmp_path / "hdf5", wanted("hdf5"), world)
    for name in ("first", "hdf5"):
        again = shared_tmp_path / f"from {name}"
        convert(shared_tmp_path / name, again, wanted("milc"), world)
        agree(world, again.read_bytes() == first.read_bytes(), name)


REFUSED = {
    "SU(2) in milc": (
        2,
        (4, 2, 4, 6),
        ("milc", "single"),
        r"holds SU\(3\) only, these links are SU\(2\); take one of the",
    ),
    "SU(4) in openqcd": (4, (4, 2, 4, 6), ("openqcd",), r"an openQCD file holds SU\(3\) only"),
    "double in milc": (3, (4, 2, 4, 6), ("milc",), "holds single precision only, not double; say precision = 'single'"),
    "single in openqcd": (
        3,
        (4, 2, 4, 6),
        ("openqcd", "single"),
        "an openQCD file holds double precision only, not single",
    ),
    "single in hirep": (2, (4, 2, 4, 6), ("hirep", "single"), "a HiRep file holds double precision only"),
    "little ildg": (3, (4, 2, 4, 6), ("ildg", None, "little"), "an ILDG file is big-endian"),
    "two rows of SU(2)": (2, (4, 2, 4, 6), ("nersc-2x3",), r"of two rows holds SU\(3\) only"),
    "quaternions of SU(3)": (
        3,
        (4, 2, 4, 6),
        ("hirep-quaternions",),
        r"a HiRep file of quaternions holds SU\(2\) only, these links are SU\(3\)",
    ),
    "no format": (2, (4, 2, 4, 6), ("lime",), "format = 'lime' is not known; one of nersc, ildg"),
}


@pytest.mark.ranks
@pytest.mark.parametrize("case", REFUSED)
def test_what_a_format_cannot_hold_is_refused(case: str, world: World, shared_tmp_path: Path) -> None:
    colors, extent, form, message = REFUSED[case]
    U = Links.hot(Lattice(extent, colors, world))
    with pytest.raises(ValueError, match=message):
        write_links(U, shared_tmp_path / "field", *form)  # type: ignore[arg-type]
    world.barrier()
    agree(world, not list(shared_tmp_path.iterdir()), "nothing is left")


@pytest.mark.ranks
def test_a_file_that_exists_is_kept(world: World, shared_tmp_path: Path) -> None:
    U, path = Links.hot(Lattice((4, 2, 4, 6), 3, world)), shared_tmp_path / "field"
    write_links(U, path)
    before = path.read_bytes()
    for format in ("ildg", "hdf5"):
        with pytest.raises(ValueError, match=r"field exists; have it replaced \(overwrite=True, --force\)"):
            write_links(U, path, format)
    with pytest.raises(ValueError, match="there is no folder"):
        write_links(U, shared_tmp_path / "nowhere" / "field")
    agree(world, path.read_bytes() == before, "the same file")
    write_links(U, path, "hdf5", overwrite=True)
    agree(world, path.read_bytes() != before, "another file")


@pytest.mark.ranks
def test_links_off_the_group_are_not_written(world: World, shared_tmp_path: Path) -> None:
    U = Links.hot(Lattice((4, 2, 4, 6), 3, world))
    U.set_local(1.001 * U.local_to_numpy()[0])
    with pytest.raises(ValueError, match=r"off the group by .*reunitarise the links first"):
        write_links(U, shared_tmp_path / "field")
    world.barrier()
    agree(world, not list(shared_tmp_path.iterdir()), "nothing is left")


@pytest.mark.ranks
@pytest.mark.parametrize("format", ["hirep", "hdf5"])
def test_what_cannot_be_read_back_gets_no_name(
    format: str, world: World, shared_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = writer.write_at

    def losing(path: Path, here: World, placed: list) -> None:  # type: ignore[type-arg]
        for _, part in placed:
            part.local.reshape(-1)[:1] ^= 1
        real(path, here, placed)

    monkeypatch.setattr(writer, "write_at", losing)
    with pytest.raises(OSError, match="could not be written"):
        write_links(Links.hot(Lattice((4, 2, 4, 6), 3, world)), shared_tmp_path / "field", format)
    world.barrier()
    agree(world, not list(shared_tmp_path.iterdir()), "nothing is left")


@pytest.mark.ranks
def test_single_precision_links_are_written_as_they_are(world: World, shared_tmp_path: Path) -> None:
    U = Links.hot(Lattice((4, 2, 4, 6), 3, world, precision="single"))
    for format in ("milc", "ildg", "hdf5", "openqcd", "hirep"):
        write_links(U, shared_tmp_path / format, format)
        again = read_links(shared_tmp_path / format, lattice=U.lattice)
        agree(world, numpy.array_equal(again.to_numpy(), U.to_numpy()), format)


@pytest.mark.ranks
def test_double_precision_links_off_the_group_are_refused(world: World, shared_tmp_path: Path) -> None:
    lattice = Lattice((4, 2, 4, 6), 3, world)
    U = write_links(Links.hot(lattice), shared_tmp_path / "field", "hirep")
    if world.rank == 0:
        data = numpy.fromfile(U, ">f8", offset=28) * (1 + 1e-8)
        U.write_bytes(U.read_bytes()[:28] + data.tobytes())
    world.barrier()
    with pytest.raises(FileFormatError, match="takes the nearest links instead"):
        read_links(shared_tmp_path / "field", lattice=lattice, verify=("group",))


def test_a_damaged_file_of_ours_is_refused(tmp_path: Path) -> None:
    U = Links.hot(Lattice((4, 2, 4, 6), 3))
    for format in ("nersc", "ildg", "hdf5"):
        path = write_links(U, tmp_path / format, format)
        content = bytearray(path.read_bytes())
        content[len(content) * 2 // 3] ^= 64
        path.write_bytes(content)
        with pytest.raises(FileFormatError):
            read_links(path)
