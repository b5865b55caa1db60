"""LIME files with the deviations that are in use, files that are none, and damaged ones."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy
import pytest

from hpcgauge.comm.world import World
from hpcgauge.errors import FileFormatError
from hpcgauge.io.gauge.gaugefile import open_gauge_file
from hpcgauge.io.gauge.links import read_links
from hpcgauge.report.info import describe
from tests.support.gaugefiles import (
    DATA,
    FIELD,
    FORMAT,
    PRIVATE,
    SMALL,
    lime,
    numbers,
    random_links,
    read,
)
from tests.support.ranks import agree

# Rounding of float32.
SINGLE = 1e-7


@pytest.mark.parametrize(
    "records",
    [
        (("ildg-format", FORMAT), FIELD),
        (("ildg-format", FORMAT.replace(b'ildg">', b"ildg>")), FIELD),
        (
            ("scidac-private-file-xml", b"<dims>2 4 2 6 </dims>\0"),
            ("scidac-private-record-xml", PRIVATE),
            ("scidac-binary-data", DATA),
        ),
        (("xlf-info", b"plaquette = 0.5"), ("ildg-format", FORMAT), FIELD),
        (FIELD,),
        (("scidac-private-record-xml", PRIVATE), ("scidac-binary-data", DATA)),
        (
            ("scidac-private-file-xml", b"<version>1.0</version><dims>2 4 2 6 </dims><multifile>1</multifile>"),
            ("scidac-private-record-xml", b"<version>1.0</version><globaldata>0</globaldata>" + PRIVATE),
            ("scidac-binary-data", DATA),
        ),
        (
            ("scidac-private-file-xml", b"<dims>2 4 2 6 </dims><volfmt>0</volfmt>"),
            ("scidac-private-record-xml", b"<recordtype>0</recordtype>"),
            ("ildg-binary-data", DATA),
        ),
    ],
    ids=["plain", "missing quote", "scidac", "xlf-info", "only data", "no file record", "QIO 1.0", "no precision"],
)
def test_lime_files_with_their_deviations(tmp_path: Path, records: tuple[tuple[str, bytes], ...]) -> None:
    path = tmp_path / "field"
    path.write_bytes(lime(*records))
    says_extents = any(b"<lx" in data or b"<dims" in data for _, data in records)
    file, U = read(path, World.alone(), None if says_extents else SMALL)
    assert numpy.array_equal(U, random_links(3))
    assert (file.extent, file.colors) == (SMALL, 3)


@pytest.mark.parametrize("colors", [2, 4])
@pytest.mark.parametrize("real", [">f4", ">f8"])
def test_ildg_holds_other_groups_under_the_same_names(tmp_path: Path, colors: int, real: str) -> None:
    path, text = tmp_path / "field", FORMAT.replace(b">64<", b">32<") if real == ">f4" else FORMAT
    path.write_bytes(lime(("ildg-format", text), ("ildg-binary-data", numbers(random_links(colors), colors, real))))
    file, U = read(path, World.alone())
    assert file.colors == colors
    assert numpy.abs(U - random_links(colors)).max() < SINGLE


@pytest.mark.ranks
@pytest.mark.parametrize("colors", [2, 3, 4])
@pytest.mark.parametrize("real", [">f4", ">f8"])
@pytest.mark.parametrize("described", [(), (("ildg-format", FORMAT.replace(b"<precision>64</precision>", b"")),)])
def test_the_length_tells_precision_and_group(
    colors: int, real: str, described: tuple[tuple[str, bytes], ...], world: World, shared_tmp_path: Path
) -> None:
    """Of old files that hold nothing but the numbers, or a description that lacks the precision."""
    path, links = shared_tmp_path / "field", random_links(colors)
    if world.rank == 0:
        path.write_bytes(lime(*described, ("ildg-binary-data", numbers(links, colors, real))))
    world.barrier()
    file, U = read(path, world, None if described else SMALL)
    agree(world, (file.colors, file.precision) == (colors, "single" if real == ">f4" else "double"), f"{file.header}")
    agree(world, numpy.array_equal(U, links.astype("c8" if real == ">f4" else "c16")), "the same bits")


def test_a_file_without_extents_is_described_without_precision(tmp_path: Path) -> None:
    (tmp_path / "field").write_bytes(lime(("ildg-binary-data", numbers(random_links(3), 3, ">f4"))))
    assert {describe(tmp_path / "field")[name] for name in ("extent", "group", "precision")} == {None}
    assert describe(tmp_path / "field", extent=SMALL)["precision"] == "single"


WRONG_LIME = {
    "no extents": ((FIELD,), "holds no lattice extents .neither ildg-format nor scidac.*: give them as extent="),
    "one extent": (
        (("ildg-format", FORMAT.replace(b"<ly>4</ly>", b"")), FIELD),
        "field: ildg-format lacks <ly>; fetch the file again",
    ),
    "many volumes": (
        (("scidac-private-file-xml", b"<dims>2 4 2 6</dims><volfmt>2</volfmt>"), FIELD),
        "<volfmt> of scidac-private-file-xml is 2, not 0: the field lies in several files",
    ),
    "many files": (
        (("scidac-private-file-xml", b"<dims>2 4 2 6</dims><multifile>8</multifile>"), FIELD),
        "<multifile> of scidac-private-file-xml is 8, not 1: the field lies in several files",
    ),
    "one of many": ((("scidac-sitelist", b""), FIELD), "scidac-sitelist says that the field lies in several files"),
    "no field of a lattice": (
        (("ildg-format", FORMAT), ("scidac-private-record-xml", b"<recordtype>1</recordtype>"), FIELD),
        "<recordtype> of scidac-private-record-xml is 1; expected 0, a field",
    ),
    "neither precision": (
        (
            ("scidac-private-file-xml", b"<dims>2 4 2 6</dims>"),
            ("ildg-binary-data", DATA[:-8]),
        ),
        r"on 2 x 4 x 2 x 6 with 8-byte or 4-byte numbers \(SU\(2\) would be 24576 or 12288, SU\(3\)",
    ),
    "two fields": ((FIELD, FIELD), "two binary records"),
    "no field": ((("ildg-format", FORMAT),), "no binary record"),
    "group": (
        (("ildg-format", FORMAT.replace(b"su3gauge", b"su5gauge")), FIELD),
        r"<field> is 'su5gauge', the numbers are SU\(3\)",
    ),
    "entity": ((("ildg-format", b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + FORMAT), FIELD), "document type or an entity"),
    "pickle": ((("lyncs-io-info", b"cposix\nsystem\n"), FIELD), "pickled object"),
    "length": ((("ildg-format", FORMAT), ("ildg-binary-data", DATA[:-8])), "which is no gauge field on 2 x 4 x 2 x 6"),
    "precision": (
        (("ildg-format", FORMAT.replace(b"64", b"16")), FIELD),
        "<precision> is '16'; expected 32, 64, F or D",
    ),
    "huge": ((("ildg-format", FORMAT.replace(b">6<", b">999999999<")), FIELD), "expected four whole numbers"),
    "two extents": (
        (("ildg-format", FORMAT), ("scidac-private-file-xml", b"<dims>4 4 4 4</dims>"), FIELD),
        "ildg-format says 2 x 4 x 2 x 6, scidac-private-file-xml 4 x 4 x 4 x 4",
    ),
    "colors": (
        (("ildg-format", FORMAT), ("scidac-private-record-xml", PRIVATE.replace(b">3<", b">2<")), FIELD),
        "says 2 colours, but",
    ),
    "checksum": (
        (("ildg-format", FORMAT), FIELD, ("scidac-checksum", b"<suma>0</suma><sumb>1</sumb>")),
        "stores the checksums suma 00000000, sumb 00000001, the data give suma",
    ),
}


@pytest.mark.parametrize("case", WRONG_LIME)
def test_wrong_lime_files_are_refused(tmp_path: Path, case: str) -> None:
    records, message = WRONG_LIME[case]
    path = tmp_path / "field"
    path.write_bytes(lime(*records))
    with pytest.raises(FileFormatError, match=message):
        read(path, World.alone())


def test_other_extents_than_the_file_has_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "field"
    path.write_bytes(lime(("ildg-format", FORMAT), FIELD))
    with pytest.raises(FileFormatError, match="the lattice is 2 x 4 x 2 x 6, the caller expects 4 x 4 x 4 x 4"):
        open_gauge_file(path, (4, 4, 4, 4))
    path.write_bytes(lime(FIELD))
    with pytest.raises(FileFormatError, match="which is no gauge field on 4 x 4 x 4 x 4"):
        open_gauge_file(path, (4, 4, 4, 4))


def test_half_a_checksum_is_refused_where_it_is_compared(tmp_path: Path) -> None:
    path = tmp_path / "field"
    path.write_bytes(lime(("ildg-format", FORMAT), FIELD, ("scidac-checksum", b"<suma>1</suma>")))
    assert read_links(path, verify=False).to_numpy().shape[1:5] == (6, 2, 4, 2)
    with pytest.raises(FileFormatError, match=r"the record scidac-checksum lacks <sumb>; .* or leave this check out"):
        read_links(path, verify=("checksum",))


def test_foreign_and_missing_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "field"
    for content, message in (
        (b"", "has 0 bytes; expected a gauge field"),
        (b"# some text", "starts with b'# some text'"),
        (struct.pack("<i", 59354) + bytes(100), "an old MILC file"),
        (struct.pack("<i4i64siII", 20103, 2, 2, 2, 2, b"", 1, 0, 0), "MILC site order 1; expected 0"),
        (struct.pack("<i", 20103), "a MILC header has 96"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    ):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match=message):
            open_gauge_file(path)
    with pytest.raises(FileFormatError, match="no such file"):
        open_gauge_file(tmp_path / "nothing")
