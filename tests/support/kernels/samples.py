"""Random links and vectors, as arrays and as fields."""

from __future__ import annotations

import numpy as np

from hpcgauge.bench.case import complex_normal
from hpcgauge.bench.oracle.algebra import Array, random_su
from hpcgauge.bench.oracle.gauge import rough_links
from hpcgauge.comm.world import World
from hpcgauge.fields.field import Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import Links

# Different extents, one of 2.
EXTENTS = {2: (4, 8), 3: (4, 6, 8), 4: (4, 2, 6, 8)}
ROUGHNESS = {"smooth": 0.1, "rough": 0.6}


def link_array(kind: str, extent: tuple[int, ...], colors: int) -> Array:
    """Smooth links near 1, rough ones as in equilibrium, or hot ones."""
    if kind == "hot":
        return random_su((len(extent), *reversed(extent)), colors, np.random.default_rng(3))
    return rough_links(extent, colors, 30, ROUGHNESS[kind])


def rough(world: World | None, colors: int, dimensions: int = 4) -> tuple[Array, Field]:
    """Rough links as an array and as a field; world None: on one rank alone. Collective."""
    array = link_array("rough", EXTENTS[dimensions], colors)
    return array, Links.from_numpy(Lattice(EXTENTS[dimensions], colors, world), array)


def vector_array(U: Field, n_rhs: int = 1, seed: int = 32) -> Array:
    """Normal vectors on the sites of U; with one right-hand side there is no axis for it."""
    shape = (*reversed(U.lattice.extent), U.colors)
    return complex_normal(np.random.default_rng(seed), shape if n_rhs == 1 else (n_rhs, *shape))
