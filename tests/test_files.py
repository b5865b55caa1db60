"""Gauge files of other codes: their numbers come out right on any number of ranks, and wrong ones are refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy
import pytest

from hpcgauge.bench.oracle.gauge import plaquette
from hpcgauge.comm.world import World
from hpcgauge.errors import FileFormatError
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.plaquette import plaquette as hpcgauge_plaquette
from hpcgauge.io.gauge.header import Extent
from hpcgauge.io.gauge.links import read_links
from tests.support.gaugefiles import SMALL, nersc, random_links, read
from tests.support.ranks import agree

# The stated plaquettes have twelve digits.
TWELVE_DIGITS = 6e-13
# Two readings of the same numbers in different forms differ by the rounding of one product, or of float32.
SAME, SINGLE = 1e-15, 1e-7
# One link that is scaled by 1 + 1e-4 comes back to the group up to rounding.
CLOSE = 1e-13
EVEN: Extent = (4, 2, 4, 6)


@dataclass(frozen=True)
class Fact:
    """What is known about a file of another code."""

    format: str
    extent: Extent
    colors: int
    precision: str
    byte_order: str
    plaquette: float
    sums: tuple[int, ...] = ()


FACTS = {
    "nersc.l8t4b3360": Fact("nersc", (8, 8, 8, 4), 3, "double", "big", 0.503866446950, (0xB379560A,)),
    "ildg.l8t4b3360": Fact("ildg", (8, 8, 8, 4), 3, "double", "big", 0.503866446950, (0x10D0EA1A, 0xA6A1B3B8)),
    "milc.l4444": Fact("milc", (4, 4, 4, 4), 3, "single", "little", 0.594850158947, (0x2352C05, 0xD137321D)),
    "milc.l4444.ildg": Fact("ildg", (4, 4, 4, 4), 3, "single", "big", 0.594850158947, (0x37AFFB9C, 0x2FC07BBF)),
    "milc.l4444.scidac": Fact("scidac", (4, 4, 4, 4), 3, "single", "big", 0.594850158947, (0x37AFFB9C, 0x2FC07BBF)),
    "milc.l4448": Fact("milc", (4, 4, 4, 8), 3, "single", "big", 0.569055724369),
    "milc.l4448.gf": Fact("milc", (4, 4, 4, 8), 3, "single", "big", 0.569055725854),
    "openqcd.l8t8": Fact("openqcd", (8, 8, 8, 8), 3, "double", "little", 0.001669681144),
    "weak_field.l4t8.lime": Fact("ildg", (4, 4, 4, 8), 3, "double", "big", 0.994804132267, (0xA2C41090, 0x11193C39)),
    "su2.l4444.ildg": Fact("ildg", (4, 4, 4, 4), 2, "double", "big", 0.668474886836),
}


@pytest.mark.ranks
@pytest.mark.parametrize("name", FACTS)
def test_files_of_other_codes_give_their_numbers(name: str, world: World, configurations: Path) -> None:
    fact = FACTS[name]
    file, U = read(configurations / name, world, fact.extent if name == "su2.l4444.ildg" else None)
    found = (file.format, file.extent, file.colors, file.precision, file.byte_order)
    agree(world, found == (fact.format, fact.extent, fact.colors, fact.precision, fact.byte_order), f"{found}")
    measured = plaquette(U)
    agree(world, abs(measured - fact.plaquette) < TWELVE_DIGITS, f"plaquette {measured}")
    agree(world, not fact.sums or tuple(file.sums.values()) == fact.sums, f"sums {file.sums}")
    file.verify_fact("plaquette", measured)


@pytest.mark.ranks
def test_a_wrong_checksum_is_refused_and_can_be_switched_off(world: World, configurations: Path) -> None:
    path = configurations / "milc.badchecksum"
    with pytest.raises(FileFormatError, match=r"stores the checksums sum29 2e218ab1.*give sum29 72d77a0a"):
        read(path, world)
    _, U = read(path, world, verify=False)
    agree(world, 0.5 < plaquette(U) < 0.6, "plaquette of a thermalised field")


@pytest.mark.ranks
def test_the_same_field_in_two_formats_is_the_same(world: World, configurations: Path) -> None:
    for first, second in (("nersc.l8t4b3360", "ildg.l8t4b3360"), ("milc.l4444", "milc.l4444.scidac")):
        difference = numpy.abs(read(configurations / first, world)[1] - read(configurations / second, world)[1]).max()
        agree(world, difference < SAME, f"{first} and {second} differ by {difference}")


FORMS = [
    ("IEEE32BIG", ">f4"),
    (None, ">f4"),
    ("IEEE32", ">f4"),
    ("IEEE32", "<f4"),
    ("IEEE32LITTLE", "<f4"),
    ("IEEE64BIG", ">f8"),
    ("IEEE64LITTLE", "<f8"),
]


@pytest.mark.parametrize(("colors", "rows"), [(3, 2), (3, 3), (2, 2), (4, 4)])
@pytest.mark.parametrize(("floating_point", "real"), FORMS)
def test_nersc_in_every_form(tmp_path: Path, colors: int, rows: int, floating_point: str | None, real: str) -> None:
    U, path = random_links(colors), tmp_path / "field"
    path.write_bytes(nersc(U, rows, floating_point, real))
    file, found = read(path, World.alone())
    assert (file.colors, file.extent) == (colors, SMALL)
    assert numpy.abs(found - U).max() < (SINGLE if real.endswith("4") else SAME)
    file.verify_fact("plaquette", plaquette(found))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"CHECKSUM": "123"}, r"stores the checksums checksum 00000123, the data give checksum"),
        ({"LINK_TRACE": "0.5"}, r"stores link_trace = 0.5, the data give"),
        ({"DIMENSION_1": "4"}, r"bytes follow the header; 4D_SU3_GAUGE_3x3 .* on 4 x 4 x 2 x 6 is"),
        ({"DIMENSION_4": "-6"}, r"DIMENSION_4 is '-6'; expected a whole number"),
        ({"DIMENSION_2": "999999999"}, r"expected four whole numbers"),
        ({"DATATYPE": "4D_SU3_GAUGE_3x2"}, r"DATATYPE is '4D_SU3_GAUGE_3x2'; expected"),
        ({"FLOATING_POINT": "IEEE128"}, r"FLOATING_POINT is 'IEEE128'; expected one of IEEE32BIG"),
        ({"CHECKSUM": "none"}, r"CHECKSUM is 'none'; expected at most 8 hexadecimal digits"),
    ],
)
def test_wrong_nersc_headers_are_refused(tmp_path: Path, changed: dict[str, str], message: str) -> None:
    path = tmp_path / "field"
    path.write_bytes(nersc(random_links(3), 3, "IEEE64BIG", ">f8", **changed))
    with pytest.raises(FileFormatError, match=message):
        read(path, World.alone())


def test_a_check_is_switched_off_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "field"
    path.write_bytes(nersc(random_links(3), 3, "IEEE64BIG", ">f8", LINK_TRACE="0.5", PLAQUETTE="0.9"))
    file, U = read(path, World.alone(), verify=("checksum",))
    with pytest.raises(FileFormatError, match=r"stores plaquette = 0.9, the data give"):
        file.verify_fact("plaquette", plaquette(U))
    with pytest.raises(ValueError, match="expected True, False or some of the names checksum, link_trace, plaquette"):
        read(path, World.alone(), verify=("sums",))


def test_numbers_without_a_byte_order_that_are_unitary_in_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "field"
    path.write_bytes(nersc(2 * random_links(3), 3, "IEEE32", ">f4"))
    with pytest.raises(FileFormatError, match="unitary in neither order"):
        read(path, World.alone())


@pytest.mark.ranks
def test_an_error_on_rank_0_is_an_error_on_all(world: World) -> None:
    try:
        read(Path("nothing-is-here"), world)
        refused = False
    except FileFormatError:
        refused = True
    agree(world, refused, "refused")


@pytest.mark.ranks
@pytest.mark.parametrize("name", FACTS)
def test_links_are_read_from_every_file(name: str, world: World, configurations: Path) -> None:
    fact = FACTS[name]
    U = read_links(configurations / name, world, fact.extent if name == "su2.l4444.ildg" else None)
    agree(world, (U.lattice.extent, U.colors) == (fact.extent, fact.colors), f"{U.lattice}")
    measured = hpcgauge_plaquette(U)
    agree(world, abs(measured - fact.plaquette) < TWELVE_DIGITS, f"plaquette {measured}")


@pytest.mark.ranks
def test_links_go_to_the_lattice_that_is_given(world: World, configurations: Path) -> None:
    lattice = Lattice((4, 4, 4, 4), colors=2, world=world)
    U = read_links(configurations / "su2.l4444.ildg", lattice=lattice)
    agree(world, U.lattice is lattice, "the lattice")
    with pytest.raises(FileFormatError, match=r"holds SU\(3\) links, the lattice is one for SU\(2\)"):
        read_links(configurations / "milc.l4444", lattice=lattice)
    with pytest.raises(FileFormatError, match="the lattice is 4 x 4 x 4 x 8, the caller expects 4 x 4 x 4 x 4"):
        read_links(configurations / "milc.l4448", lattice=lattice)


@pytest.mark.ranks
def test_links_off_the_group_are_taken_only_on_request(world: World, shared_tmp_path: Path) -> None:
    path = shared_tmp_path / "field"
    links = random_links(3, EVEN)
    links[1, 2, 0, 1, 1] *= 1 + 1e-4
    if world.rank == 0:
        path.write_bytes(nersc(links, 3, "IEEE64BIG", ">f8"))
    world.barrier()
    lattice = Lattice(EVEN, colors=3, world=world)
    with pytest.raises(ValueError, match="link mu = 1 at site"):
        read_links(path, lattice=lattice)
    whole = read_links(path, lattice=lattice, reunitarise=True).to_numpy()
    agree(world, numpy.abs(whole - random_links(3, EVEN)).max() < CLOSE, "the nearest links")


@pytest.mark.ranks
def test_a_wrong_stored_plaquette_is_refused(world: World, shared_tmp_path: Path) -> None:
    path = shared_tmp_path / "field"
    if world.rank == 0:
        path.write_bytes(nersc(random_links(3, EVEN), 2, "IEEE32LITTLE", "<f4", PLAQUETTE="0.25"))
    world.barrier()
    lattice = Lattice(EVEN, colors=3, world=world)
    with pytest.raises(FileFormatError, match=r"stores plaquette = 0.25, the data give"):
        read_links(path, lattice=lattice)
    U = read_links(path, lattice=lattice, verify=("checksum", "link_trace"))
    agree(world, abs(hpcgauge_plaquette(U) - plaquette(random_links(3, EVEN))) < SINGLE, "plaquette")
