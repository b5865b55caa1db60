"""Fields: round trips, layout, precision, links off the group."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import numpy as np
import pytest

from hpcgauge.bench.case import complex_normal
from hpcgauge.bench.oracle import algebra
from hpcgauge.bench.oracle.algebra import Array, random_su
from hpcgauge.bench.oracle.gauge import rough_links
from hpcgauge.comm.world import World
from hpcgauge.errors import DeviceError
from hpcgauge.fermion.vectors import ColorVector
from hpcgauge.fields.device import Device
from hpcgauge.fields.field import LINKS, MATRICES, ROTATION, Field, Kind, reals, vectors
from hpcgauge.fields.host import ALIGNMENT
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import Links, MatrixField, Rotation, reunitarised
from hpcgauge.lattice.offsets import STAR
from tests.support.kernels.cases import MIXED_GRIDS
from tests.support.kernels.samples import EXTENTS
from tests.support.ranks import agree

# A number passes through a field unchanged but for the sums of a projection on quaternions.
ROUNDING = 1e-15
KINDS = {"links": LINKS, "matrices": MATRICES, "rotation": ROTATION, "vector": vectors(1), "3 vectors": vectors(3)}


def random_array(lattice: Lattice, kind: Kind, seed: int = 1) -> Array:
    """An array for a field of this kind, in the shape of `to_numpy`; matrices of SU(2) are group elements."""
    rng = np.random.default_rng(seed)
    sites = tuple(reversed(lattice.extent))
    shape = sites if kind.count == 1 else (kind.elements(lattice.dimensions), *sites)
    if kind.element == "real":
        return rng.standard_normal(shape)
    if kind.element == "vector":
        return complex_normal(rng, (*shape, lattice.colors))
    if kind.is_group or lattice.colors == 2:
        return random_su(shape, lattice.colors, rng)
    return complex_normal(rng, (*shape, lattice.colors, lattice.colors))


# Round trips


@pytest.mark.ranks
@pytest.mark.parametrize("dimensions", [2, 3, 4])
@pytest.mark.parametrize("colors", [2, 3, 4])
@pytest.mark.parametrize("name", [*KINDS, "5 reals"])
def test_global_arrays_come_back(world: World, name: str, colors: int, dimensions: int) -> None:
    lattice, kind = Lattice(EXTENTS[dimensions], colors, world), KINDS.get(name, reals(5))
    array = random_array(lattice, kind)
    field = Field(lattice, kind).set_global(array)
    agree(world, abs(field.to_numpy() - array).max() < ROUNDING, "global")
    local, origin = field.local_to_numpy()
    window = tuple(slice(o, o + n) for o, n in zip(reversed(origin), reversed(lattice.local_extent), strict=True))
    whole = array[None] if kind.count == 1 else array
    agree(world, origin == lattice.origin and abs(local - whole[:, *window]).max() < ROUNDING, "local")
    again = Field(lattice, kind).set_local(local)
    agree(world, np.array_equal(again.to_numpy(), field.to_numpy()), "local array comes back bit for bit")


@pytest.mark.ranks
def test_the_cut_of_the_lattice_does_not_show(world: World) -> None:
    automatic = Lattice(EXTENTS[4], 3, world)
    mixed = Lattice((4, 4, 4, 4), 3, world, process_grid=MIXED_GRIDS.get(world.size, "auto"))
    for lattice in (automatic, mixed):
        array = random_array(lattice, MATRICES)
        field = MatrixField.from_numpy(lattice, array)
        numbers = field.lattice.world.allgather(field.to_numpy().tobytes() == array.tobytes())
        agree(world, all(numbers), str(lattice))


@pytest.mark.ranks
def test_matrices_of_su2_are_projected_on_quaternions(world: World) -> None:
    lattice = Lattice(EXTENTS[4], 2, world)
    array = complex_normal(np.random.default_rng(2), (4, *reversed(EXTENTS[4]), 2, 2))
    projected = MatrixField.from_numpy(lattice, array).to_numpy()
    agree(world, abs(projected - algebra.project_quaternion(array)).max() < ROUNDING * 4)


@pytest.mark.ranks
def test_precision(world: World) -> None:
    lattice = Lattice(EXTENTS[4], 3, world)
    array = random_array(lattice, MATRICES)
    field = MatrixField.from_numpy(lattice, array)
    single = field.astype("single")
    agree(world, np.array_equal(single.to_numpy(), array.astype(np.complex64)), "rounded to single")
    agree(world, single.data.dtype == np.float32 and single.to_numpy().dtype == np.complex128, "types")
    agree(world, np.array_equal(single.astype("double").to_numpy(), single.to_numpy()), "back to double")
    agree(world, np.array_equal(field.to_numpy(), array), "the original is left alone")
    half = Lattice(EXTENTS[4], 3, world, precision="single")
    agree(world, Links.hot(half).precision == ColorVector.zeros(half).precision == "single", "the lattice's default")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda g: Field(g, LINKS).set_global(np.zeros((4, 2, 2))), r"links have shape \(4, 2, 2\); \(4, 8, 6, 2, 4"),
        (lambda g: Field(g, MATRICES).set_local(np.zeros(3)), r"local matrices have shape \(3,\)"),
        (lambda g: Links.from_numpy(g, np.zeros((4, 2, 2))), r"links have shape \(4, 2, 2\)"),
        (lambda g: ColorVector.from_numpy(g, np.zeros((8, 6, 2, 4, 3))), "vectors have shape .* is right"),
        (lambda g: Field(g, LINKS, "half"), "precision = 'half' is not known"),
    ],
)
def test_wrong_arrays_are_refused_with_the_right_shape(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(Lattice(EXTENTS[4]))


@pytest.mark.ranks
def test_processors_of_two_types_are_refused_on_every_rank(world: World) -> None:
    device = Device("cpu", threads=1)
    device.lanes = 4 if world.rank == 0 else 8
    if world.size == 1:
        agree(world, Lattice(EXTENTS[4], world=world, device=device).lanes("double") == 4)
        return
    others = rf"4 on 1 ranks \(first: 0\), 8 on {world.size - 1} ranks \(first: 1\).*nodes of one type"
    with pytest.raises(DeviceError, match=others):
        Lattice(EXTENTS[4], world=world, device=device)


def test_more_numbers_than_kernels_reach_are_refused() -> None:
    lattice = Lattice((16, 16, 16, 16))
    for precision in ("double", "single"):
        with pytest.raises(ValueError, match=r"65536 sites .* with 32768 numbers each are 2147483648 .* more ranks"):
            Field(lattice, reals(2**15), precision)


def test_ghosts_count_among_the_numbers_that_kernels_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    lattice = Lattice((4, 4, 4, 4))
    monkeypatch.setattr("hpcgauge.fields.field.INDEX_LIMIT", 2 * lattice.geometry.n_sites + 1)
    field, n_sites = Field(lattice, reals(2)), lattice.geometry.n_sites
    ghosts = dataclasses.replace(lattice.ghosts(STAR), n_ghosts=16)
    with pytest.raises(ValueError, match=f"{n_sites + 16} sites of one rank, ghosts included"):
        field.reserve(ghosts)


# Layout


@pytest.mark.ranks
@pytest.mark.parametrize("precision", ["double", "single"])
def test_layout(world: World, precision: str) -> None:
    """data[block][component][lane]: even sites first, then odd, x fastest; padding holds unit links or zeros."""
    lattice = Lattice((4, 2, 6, 8), 3, world, precision=precision)
    geometry, lanes = lattice.geometry, lattice.lanes(precision)
    number = np.arange(lattice.volume, dtype=float).reshape(1, *reversed(lattice.extent))
    data = Field(lattice, reals(2)).set_global(np.concatenate([number, -number])).own_data
    shape = geometry.n_sites // lanes, 2, lanes
    agree(world, data.shape == shape and data.strides[0] == data.nbytes // shape[0], str(data.shape))
    data = lattice.device.hardware.read(data)
    agree(world, data.flags.c_contiguous, str(data.strides))
    for position, (*x, site) in enumerate(geometry.coordinates):
        block, lane = divmod(position, lanes)
        expected = site if site >= 0 else 0
        agree_here = data[block, 0, lane] == expected and data[block, 1, lane] == -expected
        assert agree_here and (site < 0 or sum(x) % 2 == position // geometry.parity_sites)
    links = Field(lattice, LINKS).set_global(random_array(lattice, LINKS))
    padding = links.by_site.reshape(geometry.n_sites, -1)[geometry.coordinates[:, -1] < 0]
    unit = np.tile(np.eye(3)[..., None] * [1, 0], (4, 1, 1, 1)).ravel()
    agree(world, np.array_equal(padding, np.broadcast_to(unit, padding.shape)), "padding")
    agree(world, links.address % ALIGNMENT == 0, "alignment")


def test_a_float_block_is_two_double_blocks() -> None:
    lattice = Lattice((2, 2, 2, 6), 2)
    field = Links.hot(lattice, seed=3)
    read = lattice.device.hardware.read
    pairs = read(field.own_data).reshape(-1, 2, field.components, lattice.lanes("double"))
    joined = np.concatenate([pairs[:, 0], pairs[:, 1]], axis=2).astype(np.float32)
    assert np.array_equal(read(field.astype("single").own_data), joined)


def test_copies_do_not_share() -> None:
    lattice = Lattice((4, 4), 2)
    U = Links.hot(lattice)
    before, twin = U.to_numpy(), U.copy()
    assert np.array_equal(twin.to_numpy(), before)
    twin.fill(0)
    assert np.array_equal(U.to_numpy(), before) and not twin.to_numpy().any()
    assert np.array_equal(twin.copy_from(U).to_numpy(), before)


# The group


@pytest.mark.ranks
@pytest.mark.parametrize("colors", [2, 3])
def test_links_off_the_group_are_refused_naming_the_worst_site(world: World, colors: int) -> None:
    extent = (4, 2, 6, 8)
    lattice, array = Lattice(extent, colors, world), rough_links(extent, colors, 4, 0.7)
    exact = Links.from_numpy(lattice, array).to_numpy()
    agree(world, abs(exact - array).max() < ROUNDING * 2, "links on the group are taken as they are")
    array[1, 2, 3, 0, 1] *= 1 + 1e-9
    array[2, 7, 4, 1, 3] *= 1 + 1e-8
    with pytest.raises(ValueError) as caught:
        Links.from_numpy(lattice, array)
    text = str(caught.value)
    agree(world, f"mu = 2 at site (3, 1, 4, 7) is off SU({colors}) by {colors}e-08" in text and "1e-10" in text, text)
    fixed = Links.from_numpy(lattice, array, reunitarise=True).to_numpy()
    agree(world, algebra.group_error(fixed) < 1e-14 and abs(fixed - array).max() < 3e-8, "reunitarise")
    rounded = Links.from_numpy(lattice, exact.astype(np.complex64))
    agree(world, abs(rounded.to_numpy() - exact).max() < 1e-6, "single precision data are let in")


@pytest.mark.ranks
@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_links_that_are_no_numbers_are_refused(world: World, broken: float) -> None:
    array = rough_links((4, 4, 4, 4), 3, 6, 0.7)
    array[3, 3, 0, 1, 2] = broken
    with pytest.raises(ValueError, match=r"mu = 3 at site \(2, 1, 0, 3\)"):
        Links.from_numpy(Lattice((4, 4, 4, 4), 3, world), array)


@pytest.mark.ranks
@pytest.mark.parametrize("colors", [2, 3, 4])
def test_hot_and_unit_links_are_in_the_group(world: World, colors: int) -> None:
    lattice = Lattice((4, 2, 6, 8), colors, world)
    unit, hot, G = Links.unit(lattice).to_numpy(), Links.hot(lattice, seed=7).to_numpy(), Rotation.hot(lattice)
    agree(world, np.array_equal(unit, np.broadcast_to(np.eye(colors), unit.shape)), "unit")
    agree(world, max(algebra.group_error(hot), algebra.group_error(G.to_numpy())) < 1e-14, "hot")
    agree(world, abs(hot.mean()) < 0.05 and not np.array_equal(hot, Links.hot(lattice, seed=8).to_numpy()), "random")
    agree(world, np.array_equal(hot, Links.hot(Lattice(lattice.extent, colors), seed=7).to_numpy()), "as on one rank")
    reunited = reunitarised(Field(lattice, LINKS).set_global(hot)).to_numpy()
    agree(world, abs(reunited - hot).max() < 1e-14, "reunitarised")


@pytest.mark.ranks
def test_invariant_measure(world: World) -> None:
    """tr U of SU(2) has the moments of Haar's measure: <(tr U)^2> = 1, <(tr U)^4> = 2; for SU(3) <|tr U|^2> = 1."""
    n = 4 * 8**4
    trace = partial(np.trace, axis1=-2, axis2=-1)
    su2 = trace(Links.hot(Lattice((8, 8, 8, 8), 2, world), seed=9).to_numpy()).real
    su3 = trace(Links.hot(Lattice((8, 8, 8, 8), 3, world), seed=9).to_numpy())
    for values, expected in ((su2**2, 1), (su2**4, 2), (abs(su3) ** 2, 1), (su3.real, 0), (abs(su3) ** 4, 2)):
        error = values.std() / np.sqrt(n)
        agree(world, abs(values.mean() - expected) < 4 * error, f"{values.mean()} is not {expected} +- {error}")
