"""Links of the neighbouring ranks just below this rank's part, which openQCD's files keep with its own points."""

from __future__ import annotations

from collections.abc import Iterator

import numpy

from hpcgauge.comm.exchange import Message
from hpcgauge.fields.field import Field
from hpcgauge.io.gauge.compiled import Place
from hpcgauge.io.gauge.header import DIRECTIONS
from hpcgauge.io.gauge.layouts import Region
from hpcgauge.lattice.geometry import ravel


def faces(U: Field, own: Place, region: Region) -> Iterator[tuple[int, Region, Place]]:
    """For each direction that is cut: its number, the slice below, where links of that direction lie. Collective."""
    lattice = U.lattice
    sends: list[Message] = []
    receives: list[Message] = []
    found = []
    for mu in range(DIRECTIONS):
        if lattice.process_grid[mu] > 1:
            packed = _packed(own, region, mu)
            received = numpy.empty_like(packed)
            sends.append((_neighbour(U, mu, 1), packed))
            receives.append((_neighbour(U, mu, -1), received))
            found.append((mu, region.beside(mu, -1), _place(own, received)))
    exchange = lattice.world.exchange(sends, receives)
    exchange.start()
    exchange.wait()
    yield from found


def _neighbour(U: Field, mu: int, step: int) -> int:
    """The rank beside this one."""
    grid, place = U.lattice.process_grid, list(U.lattice.geometry.place)
    place[mu] = (place[mu] + step) % grid[mu]
    return int(ravel(numpy.array(place), grid))


def _packed(own: Place, region: Region, mu: int) -> numpy.ndarray:
    """The links of one direction in the uppermost slice: (site, component)."""
    face = region.beside(mu, region.local[mu] - 1)
    axes = [face.axis(nu) for nu in reversed(range(DIRECTIONS))]
    t, z, y, x = numpy.meshgrid(*axes, indexing="ij")
    sites = numpy.sum([region.index(nu, a) for nu, a in enumerate((x, y, z, t))], axis=0).reshape(-1)
    base = own.addresses(sites, (x + y + z + t).reshape(-1) & 1) + mu * own.link_distance
    components = numpy.arange(own.link_distance // own.stride) * own.stride
    return own.data.reshape(-1)[base[:, None] + components]


def _place(own: Place, received: numpy.ndarray) -> Place:
    """Where the links of one direction lie, site after site."""
    n = received.shape[1]
    return Place(received, lambda sites, parities: sites * n, 1, 0, own.is_quaternion)
