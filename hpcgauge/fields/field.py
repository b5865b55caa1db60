"""Field: numbers on the sites of a lattice, in blocks of lanes. The layout is known here and in site/lattice.h only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import numpy

from hpcgauge.fields import convert
from hpcgauge.fields.lattice import PRECISIONS, Lattice
from hpcgauge.lattice.ghosts import Ghosts

NUMBER = {"double": numpy.float64, "single": numpy.float32}
# Kernels gather with 32-bit indices.
INDEX_LIMIT = 2**31


@dataclass(frozen=True)
class Kind:
    """What stands on a site: `count` elements (0: one for each direction), each a color "matrix", a "traceless"
    antihermitian one, a color "vector", or a "real" number. `is_group`: matrices that are group elements (padding
    holds 1)."""

    name: str
    element: str
    count: int = 0
    is_group: bool = False

    def elements(self, n_dimensions: int) -> int:
        return self.count or n_dimensions

    def components(self, n_dimensions: int, colors: int) -> int:
        """Real numbers on one site."""
        return self.elements(n_dimensions) * convert.reals(self.element, colors)


LINKS = Kind("links", "matrix", is_group=True)
MATRICES = Kind("matrices", "matrix")
ROTATION = Kind("rotation", "matrix", 1, is_group=True)


def vectors(n_rhs: int) -> Kind:
    """The kind of `n_rhs` color vectors on each site."""
    return Kind("vectors", "vector", n_rhs)


def reals(count: int) -> Kind:
    """The kind of `count` real numbers on each site."""
    return Kind("reals", "real", count)


@final
class Field:
    """Numbers of one kind on every site of a lattice: data[block][component][lane], ghosts behind the own sites.

    Whoever writes `data` calls `touch()`. `halos`: exchanges of its ghosts, kept for launches to come.
    """

    def __init__(self, lattice: Lattice, kind: Kind, precision: str | None = None, colors: int | None = None):
        """A field that is not initialised."""
        self.lattice, self.kind = lattice, kind
        self.precision = precision or lattice.precision
        self.colors = colors or lattice.colors
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision = {precision!r} is not known; 'double' and 'single' are possible")
        self._ghosts: Ghosts | None = None
        self._fresh = (False, False)
        self.halos: dict[Any, Any] = {}
        self._hold(0)

    def _hold(self, n_ghosts: int) -> None:
        lanes, n_sites = self.lattice.lanes(self.precision), self.lattice.geometry.n_sites + n_ghosts
        if n_sites * self.components >= INDEX_LIMIT:
            raise ValueError(
                f"{self!r}: {n_sites} sites of one rank, ghosts included, with {self.components} numbers each are "
                f"{n_sites * self.components} numbers; kernels reach fewer than 2^31 = {INDEX_LIMIT}. Use more ranks."
            )
        blocks = n_sites // lanes
        self.data = self.lattice.device.empty((blocks, self.components, lanes), NUMBER[self.precision])
        self.address = self.lattice.device.hardware.address(self.data)
        self.halos = {}

    @property
    def components(self) -> int:
        """Real numbers on one site."""
        return self.kind.components(self.lattice.dimensions, self.colors)

    @property
    def own_data(self) -> Any:
        """The blocks of the rank's own sites, where they lie."""
        return self.data[: self.lattice.geometry.n_sites // self.lattice.lanes(self.precision)]

    @property
    def by_site(self) -> numpy.ndarray:
        """Own data as [block, lane, component]: sites in the order of memory, padding included; a view on the host, a
        copy of what a card holds."""
        return self.lattice.device.hardware.read(self.own_data).transpose(0, 2, 1)

    @property
    def strides(self) -> tuple[int, int]:
        """How far components of a site lie from each other in `data`, and elements of a site, counted in numbers."""
        lanes = self.lattice.lanes(self.precision)
        return lanes, convert.reals(self.kind.element, self.colors) * lanes

    def addresses(self, sites: numpy.ndarray, parities: numpy.ndarray) -> numpy.ndarray:
        """int64: where own sites begin in `data`, in numbers. Sites count from the rank's corner, x fastest."""
        lanes = self.lattice.lanes(self.precision)
        positions = sites >> 1
        positions += parities * self.lattice.geometry.parity_sites
        # Site p lies in block p / lanes, lanes being a power of two; in place, as there may be many.
        address = positions >> lanes.bit_length() - 1
        address *= lanes * (self.components - 1)
        address += positions
        return address

    @contextmanager
    def written_on_host(self) -> Iterator[numpy.ndarray]:
        """All own data as an array of the host, to be filled; padding holds 1 for group elements, else 0. A card takes
        them over at the end."""
        self.touch()
        hardware, own = self.lattice.device.hardware, self.own_data
        data = own if isinstance(own, numpy.ndarray) else numpy.empty(own.shape, NUMBER[self.precision])
        self._pad(data)
        yield data
        if data is not own:
            hardware.write(own, data)

    def _pad(self, data: numpy.ndarray) -> None:
        geometry, n_lanes = self.lattice.geometry, data.shape[2]
        half, true = geometry.parity_sites, geometry.local_volume // 2
        unit = numpy.zeros(self.components)
        if self.kind.is_group:
            unit[:] = convert.unit_reals(self.kind.elements(geometry.dimensions), self.colors)
        for first in (0, half):
            for site in range(first + true, first + half):
                data[site // n_lanes, :, site % n_lanes] = unit

    def set_blocks(self, blocks: slice, sites: numpy.ndarray) -> None:
        """Nothing; these own blocks hold the components of their sites, (site, component)."""
        self.touch()
        shaped = sites.reshape(-1, self.data.shape[2], self.components).transpose(0, 2, 1)
        self.lattice.device.hardware.write(self.own_data[blocks], shaped)

    def touch(self) -> None:
        """Says that own data changed, so that ghosts are stale."""
        self._check_use()
        self._ghosts = None

    def _check_use(self) -> None:
        """Nothing; ValueError while launches are recorded instead of made: the numbers are not there."""
        if self.lattice.recorded is not None:
            raise ValueError(f"{self!r} was read or written by hand in a recording; only kernels may do so there")

    def is_fresh(self, ghosts: Ghosts, parity: int) -> bool:
        """True if the ghosts of a parity (0 even, 1 odd, 2 both) hold the neighbours' present values."""
        return self._ghosts is ghosts and (all(self._fresh) if parity == 2 else self._fresh[parity])

    def refresh(self, ghosts: Ghosts, parity: int) -> None:
        """Says that the ghosts of a parity hold the neighbours' present values."""
        before = self._fresh if self._ghosts is ghosts else (False, False)
        self._fresh = before[0] or parity != 1, before[1] or parity != 0
        self._ghosts = ghosts

    def reserve(self, ghosts: Ghosts) -> None:
        """Makes room for ghosts behind the own sites, once; own data are kept."""
        lanes = self.lattice.lanes(self.precision)
        if self.data.shape[0] * lanes < ghosts.n_sites + ghosts.n_ghosts:
            own = self.own_data
            self._hold(ghosts.n_ghosts)
            self.lattice.device.hardware.copy(self.own_data, own)
            self._ghosts = None

    def fill(self, value: float) -> Field:
        """This field, every component set to `value`."""
        self.touch()
        self.lattice.device.hardware.write(self.data, value)
        return self

    def copy(self) -> Field:
        """A new field with the same numbers."""
        return Field(self.lattice, self.kind, self.precision, self.colors).copy_from(self)

    def copy_from(self, other: Field) -> Field:
        """This field with the numbers of another of the same kind and precision."""
        self.touch()
        self.lattice.device.hardware.copy(self.own_data, other.own_data)
        return self

    def astype(self, precision: str) -> Field:
        """A new field in "single" or "double" precision."""
        other = Field(self.lattice, self.kind, precision, self.colors)
        other._set_sites(self._sites())
        return other

    def _sites(self) -> numpy.ndarray:
        """Components of all own sites in the order of memory, padding included: (n_sites, components)."""
        self._check_use()
        return self.by_site.reshape(-1, self.components)

    def _set_sites(self, sites: numpy.ndarray) -> None:
        self.set_blocks(slice(None), sites)

    def local_to_numpy(self) -> tuple[numpy.ndarray, tuple[int, ...]]:
        """This rank's part, in the index order of `to_numpy`, and its origin (x, y, z, t)."""
        geometry = self.lattice.geometry
        sites = self._sites()[geometry.position_of].astype(numpy.float64)
        count = self.kind.elements(self.lattice.dimensions)
        elements = convert.to_elements(sites, self.kind.element, count, self.colors)
        shaped = elements.reshape(*reversed(geometry.local_extent), *elements.shape[1:])
        return numpy.moveaxis(shaped, geometry.dimensions, 0).copy(), geometry.origin

    def to_numpy(self) -> numpy.ndarray:
        """The whole field, the same on every rank: complex128 (element, t, z, y, x, row, column), (element, t, z, y, x,
        color), or float64 (element, t, z, y, x). Collective. A single color vector or rotation has no element axis."""
        local, _ = self.local_to_numpy()
        parts = self.lattice.world.gather_arrays(local)
        origins = self.lattice.world.allgather(self.lattice.origin)
        whole = numpy.empty(
            (local.shape[0], *reversed(self.lattice.extent), *local.shape[1 + self.lattice.dimensions :]), local.dtype
        )
        for part, origin in zip(parts, origins, strict=True):
            whole[convert.window(origin, self.lattice.local_extent)] = part
        return whole[0] if self.kind.count == 1 else whole

    def set_local(self, array: numpy.ndarray) -> Field:
        """This field with this rank's part set from an array in the index order of `local_to_numpy`."""
        geometry = self.lattice.geometry
        elements = self.kind.elements(geometry.dimensions)
        expected = (elements, *reversed(geometry.local_extent), *convert.element_shape(self.kind.element, self.colors))
        if array.shape != expected:
            raise ValueError(f"local {self.kind.name} have shape {array.shape}; {expected} is right")
        moved = numpy.moveaxis(array, 0, geometry.dimensions)
        flat = moved.reshape(-1, *moved.shape[geometry.dimensions :])
        values = convert.to_reals(flat, self.kind.element, self.colors)
        sites = numpy.zeros((geometry.n_sites, self.components))
        if self.kind.is_group:
            sites[:] = convert.unit_reals(elements, self.colors)
        sites[geometry.position_of] = values
        self._set_sites(sites)
        return self

    def set_global(self, array: numpy.ndarray) -> Field:
        """This field set from the whole array (the index order of `to_numpy`), each rank taking its part."""
        array = numpy.asarray(array)
        geometry = self.lattice.geometry
        expected = (
            self.kind.elements(geometry.dimensions),
            *reversed(geometry.extent),
            *convert.element_shape(self.kind.element, self.colors),
        )
        if self.kind.count == 1 and array.shape == expected[1:]:
            array = array[None]
        if array.shape != expected:
            right = expected[1:] if self.kind.count == 1 else expected
            raise ValueError(f"{self.kind.name} have shape {array.shape}; {right} is right")
        return self.set_local(array[convert.window(geometry.origin, geometry.local_extent)])

    def __repr__(self) -> str:
        return f"Field({self.kind.name}, {self.lattice.extent}, colors={self.colors}, {self.precision})"
