"""Gauge files from one format into another: the numbers stay what they are, on any number of ranks."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest

from hpcgauge.comm.world import World
from hpcgauge.errors import FileFormatError
from hpcgauge.io.gauge import sweep
from hpcgauge.io.gauge.convert import convert
from hpcgauge.io.gauge.formats import wanted
from hpcgauge.io.gauge.gaugefile import open_gauge_file
from hpcgauge.io.gauge.header import Extent
from hpcgauge.io.gauge.links import read_links
from tests.support.gaugefiles import hirep_quaternions, nersc, put, random_links
from tests.support.gaugeoracles import hirep_quaternions as hirep_oracle
from tests.support.gaugeoracles import told
from tests.support.ranks import agree

EXTENTS: list[Extent] = [(4, 2, 4, 6), (2, 4, 2, 10), (6, 4, 2, 2)]


def steps(
    world: World, folder: Path, first: Path, chain: tuple[str, ...], extent: Extent | None = None, **form: str
) -> list[Path]:
    """Files, each made from the one before, the first of them from a file that may not say its extents."""
    made = [first]
    for number, name in enumerate(chain):
        path = folder / f"{number}.{name}"
        chosen = wanted(name, form.get("precision"), form.get("byte_order"))
        convert(made[-1], path, chosen, world, extent if number == 0 else None)
        made.append(path)
    return made


@pytest.mark.ranks
@pytest.mark.parametrize("extent", EXTENTS)
@pytest.mark.parametrize("slab", [1, 1 << 24])
def test_a_chain_of_all_formats_ends_where_it_began(
    slab: int, extent: Extent, world: World, shared_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the lattice has odd extents or fewer slices than there are ranks, and one slice is a slab."""
    monkeypatch.setattr(sweep, "SLAB", slab)
    U = random_links(3, extent)
    first = put(world, shared_tmp_path / "first", nersc(U, 3, "IEEE64BIG", ">f8"))
    chain = ("ildg", "openqcd", "hirep", "hdf5", "openqcd", "hdf5", "nersc")
    made = steps(world, shared_tmp_path, first, chain)
    for path, name in zip(made[1:], chain, strict=True):
        found, facts = told(path, name)
        agree(world, numpy.array_equal(found, U), name)
        facts.pop("plaquette", None)
        agree(world, all(stored == computed for stored, computed in facts.values()), f"{name} {facts}")
    agree(world, made[2].read_bytes() == made[5].read_bytes(), "openQCD again")


@pytest.mark.ranks
@pytest.mark.parametrize("colors", [2, 4])
def test_other_groups_and_odd_extents(colors: int, world: World, shared_tmp_path: Path) -> None:
    U = random_links(colors, (3, 2, 5, 3))
    first = put(world, shared_tmp_path / "first", nersc(U, colors, "IEEE64LITTLE", "<f8"))
    for path in steps(world, shared_tmp_path, first, ("hirep", "ildg", "hdf5", "nersc"))[1:]:
        agree(world, numpy.array_equal(told(path, path.suffix[1:])[0], U), path.suffix)


@pytest.mark.ranks
@pytest.mark.parametrize("byte_order", ["big", "little"])
def test_single_precision_is_widened_and_comes_back(byte_order: str, world: World, shared_tmp_path: Path) -> None:
    U = random_links(3, (4, 2, 4, 6)).astype(numpy.complex64)
    first = put(world, shared_tmp_path / "first", nersc(U, 3, "IEEE32BIG", ">f4"))
    wide = steps(world, shared_tmp_path, first, ("hirep", "openqcd"))
    agree(world, numpy.array_equal(told(wide[2], "openqcd")[0], U), "widened")
    for path in wide[1:]:
        again = read_links(path, world)
        agree(world, numpy.array_equal(again.to_numpy(), U), f"{path.name} is read with all checks")
    narrow = shared_tmp_path / "narrow"
    with pytest.raises(ValueError, match="say precision = 'single'"):
        convert(wide[2], narrow, wanted("milc", None, byte_order), world)
    convert(wide[2], narrow, wanted("milc", "single", byte_order), world)
    agree(world, numpy.array_equal(told(narrow, "milc")[0], U), "the same again")


@pytest.mark.ranks
def test_two_rows_are_kept(world: World, shared_tmp_path: Path) -> None:
    U = random_links(3, (4, 2, 4, 6))
    first = put(world, shared_tmp_path / "first", nersc(U, 2, "IEEE64BIG", ">f8"))
    last = steps(world, shared_tmp_path, first, ("ildg", "nersc-2x3"))[-1]
    agree(world, numpy.array_equal(told(last, "nersc-2x3")[0], U[..., :2, :]), "two rows")


@pytest.mark.ranks
def test_quaternions_of_hirep_are_read(world: World, shared_tmp_path: Path) -> None:
    U = random_links(2, (4, 2, 4, 6))
    first = put(world, shared_tmp_path / "first", hirep_quaternions(U))
    found = told(steps(world, shared_tmp_path, first, ("ildg",))[-1], "ildg")[0]
    agree(world, numpy.abs(found - U).max() < 1e-14, "the same links")


@pytest.mark.ranks
@pytest.mark.parametrize("slab", [1, 1 << 24])
def test_quaternions_are_written_and_come_back(
    slab: int, world: World, shared_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Matrices that quaternions hold keep all their bits, there and back, also where a number is zero."""
    monkeypatch.setattr(sweep, "SLAB", slab)
    links = random_links(2, (3, 2, 5, 3))
    links[:, 1, 0] = numpy.eye(2)
    first = put(world, shared_tmp_path / "first", hirep_quaternions(links))
    U = told(first, "hirep-quaternions")[0]
    chain = ("hirep", "hirep-quaternions", "ildg", "hirep-quaternions", "hirep-quaternions", "nersc")
    made = steps(world, shared_tmp_path, first, chain)
    for path, name in zip(made[1:], chain, strict=True):
        agree(world, numpy.array_equal(told(path, name)[0], U), name)
        agree(world, open_gauge_file(path).header.is_quaternion == (name == "hirep-quaternions"), name)
    agree(world, len({made[number].read_bytes()[28:] for number in (2, 4, 5)}) == 1, "the same files")


@pytest.mark.ranks
@pytest.mark.parametrize("part", [(1, 0), (1, 1)])
def test_matrices_that_quaternions_do_not_hold_are_refused(
    part: tuple[int, int], world: World, shared_tmp_path: Path
) -> None:
    """One last bit of the second row is another, and the first such link is named."""
    U = hirep_oracle(hirep_quaternions(random_links(2, (4, 2, 4, 6))))[0]
    for at in ((3, 5, 0, 1, 2), (3, 4, 3, 1, 2)):
        U[*at, *part] *= 1 + 2**-51
    first = put(world, shared_tmp_path / "first", nersc(U, 2, "IEEE64BIG", ">f8"))
    with pytest.raises(
        ValueError, match=r"link mu = 3 at site \(2, 1, [03], [45]\) is not \(a, b; -b\*, a\*\) in all digits"
    ):
        convert(first, shared_tmp_path / "refused", wanted("hirep-quaternions"), world)
    world.barrier()
    agree(world, [path.name for path in shared_tmp_path.iterdir()] == ["first"], "nothing is left")
    convert(first, shared_tmp_path / "taken", wanted("hirep"), world)
    agree(world, numpy.array_equal(told(shared_tmp_path / "taken", "hirep")[0], U), "as matrices")


@pytest.mark.ranks
def test_files_of_other_codes_are_converted_bit_by_bit(
    world: World, shared_tmp_path: Path, configurations: Path
) -> None:
    milc = steps(world, shared_tmp_path, configurations / "milc.l4448", ("milc",), byte_order="big")
    agree(world, milc[1].read_bytes() == (configurations / "milc.l4448").read_bytes(), "MILC")
    openqcd = steps(world, shared_tmp_path, configurations / "openqcd.l8t8", ("hdf5", "openqcd"))
    agree(world, openqcd[2].read_bytes() == (configurations / "openqcd.l8t8").read_bytes(), "openQCD")
    for name, format in (("nersc.l8t4b3360", "nersc"), ("ildg.l8t4b3360", "ildg")):
        other = {"nersc": "ildg", "ildg": "nersc"}[format]
        folder = shared_tmp_path / name
        if world.rank == 0:
            folder.mkdir()
        world.barrier()
        made = steps(world, folder, configurations / name, (other, format))
        data = (configurations / name).read_bytes()
        first = data.find(made[1].read_bytes()[-1179648:]) if other == "nersc" else len(data) - 1179648
        numbers = data[first : first + 1179648]
        agree(world, first > 0 and all(numbers in path.read_bytes() for path in made), name)


@pytest.mark.ranks
def test_a_damaged_source_is_refused_and_taken_on_request(
    world: World, shared_tmp_path: Path, configurations: Path
) -> None:
    source, target = configurations / "milc.badchecksum", shared_tmp_path / "target"
    with pytest.raises(FileFormatError, match=r"stores the checksums sum29 2e218ab1.*give sum29 72d77a0a"):
        convert(source, target, wanted("ildg"), world)
    world.barrier()
    agree(world, not list(shared_tmp_path.iterdir()), "nothing is left")
    convert(source, target, wanted("milc"), world, verify=False)
    agree(world, target.read_bytes()[96:] == source.read_bytes()[96:], "the same data")
