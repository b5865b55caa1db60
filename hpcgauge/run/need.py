"""How much memory a run takes of its device, estimated from its configuration before it starts.

The numbers are fits to Device.bytes_peak of small runs on the CPU, SU(2) and SU(3), with and without programs; those of
ghosts to runs on 2 and 4 ranks. tests/test_need.py measures again and holds them within 20 %.
"""

from __future__ import annotations

import numpy

from hpcgauge.action.action import SMALL
from hpcgauge.config import Run
from hpcgauge.config.schema import NetworkSection
from hpcgauge.fermion.staggered import hop_links_kind, hop_rows_kind
from hpcgauge.fields.field import MATRICES, NUMBER, vectors
from hpcgauge.fields.lattice import Lattice
from hpcgauge.network.paths import path_numbers, slopes
from hpcgauge.observables.condensate import TOGETHER
from hpcgauge.run.controls import beside

# Fields of links: of a trajectory, and what a scheme with force gradients has beside them.
TRAJECTORY, FORCE_GRADIENT = 7, 3
# Color vectors: of a solve, of mixed precision, of each earlier solution (also with programs), of each further mass.
SOLVE, MIXED, EARLIER, EARLIER_SMALL, FURTHER_MASS = 9, 1.5, 2, 5, 3
# Fields of links of a layer: kept for the pullback, and of the pullback; the latter once, with programs for each layer.
KEPT, PULLED, PULLED_SMALL = {"cask": 8, "covnet": 2}, {"cask": 3, "covnet": 1}, {"cask": 9, "covnet": 2}
# Links of a measurement, and vectors for each of its right-hand sides.
MEASUREMENT, SOURCE = 3, 10
# The part of what is at the faces between ranks that has ghosts: not all fields do.
WITH_GHOSTS = 0.7
# Integers of 4 bytes on each site in a card's tables of neighbours: without networks, and for each step that paths
# reach. The CPU's are smaller; it is the memory of a card that the need is compared with.
TABLES, TABLES_OF_REACH = 64, 64


def bytes_needed(run: Run, lattice: Lattice) -> float:
    """Bytes of fields and tables of this rank, for the most demanding of the run's chains."""
    return field_bytes(run, lattice) + 4 * (TABLES + TABLES_OF_REACH * _reach(run)) * lattice.geometry.n_sites


def field_bytes(run: Run, lattice: Lattice) -> float:
    """Bytes of fields of this rank at most, ghosts included: what Device.bytes_peak will be."""
    chains, sites = (run, *beside(run).values()), lattice.geometry.n_sites
    number = numpy.dtype(NUMBER[lattice.precision]).itemsize
    is_small = sites * MATRICES.components(lattice.dimensions, lattice.colors) * number <= SMALL
    numbers = max(_numbers(chain, lattice.dimensions, lattice.colors, is_small) for chain in chains)
    return numbers * number * sites * (1 + WITH_GHOSTS * _face_share(lattice, max(1, _reach(run))))


def _numbers(run: Run, dimensions: int, colors: int, is_small: bool) -> float:
    """Real numbers on a site."""
    links, vector = MATRICES.components(dimensions, colors), vectors(1).components(dimensions, colors)
    hop_kind = hop_rows_kind(dimensions) if colors == 3 else hop_links_kind(dimensions)
    found: float = links * (TRAJECTORY + FORCE_GRADIENT * (run.integrator.scheme == "force_gradient"))
    if run.action.fermion is None:
        return found
    terms = run.guide.fermion if run.guide is not None else ()
    earlier = run.solver.chronological * (EARLIER_SMALL if is_small else EARLIER)
    solve = SOLVE + MIXED * (run.solver.precision == "mixed") + FURTHER_MASS * max(0, len(terms) - 1)
    hop = hop_kind.components(dimensions, colors)
    found += hop + vector * (solve + earlier)
    networks = [term.network for term in terms if term.network is not None]
    found += max((_of_network(network, dimensions, colors, is_small) for network in networks), default=0)
    measured = run.measure.condensate is not None
    return max(found, measured * (links * MEASUREMENT + hop + vector * SOURCE * TOGETHER))


def _of_network(network: NetworkSection, dimensions: int, colors: int, is_small: bool) -> float:
    """What a network adds to the numbers on a site."""
    links, kind = MATRICES.components(dimensions, colors), network.kind
    a = path_numbers(dimensions, network.reach).components(dimensions, colors) if network.reach else 0
    work = a + slopes(dimensions).components(dimensions, colors) if network.reach else 0
    if is_small:
        return network.layers * (links * (KEPT[kind] + PULLED_SMALL[kind]) + a + work)
    return network.layers * (links * KEPT[kind] + a) + links * PULLED[kind] + work


def _reach(run: Run) -> int:
    """The longest paths of the run's networks; 0 without."""
    chains = [chain.guide for chain in (run, *beside(run).values()) if chain.guide is not None]
    return max((term.network.reach or 0 for guide in chains for term in guide.fermion if term.network), default=0)


def _face_share(lattice: Lattice, reach: int) -> float:
    """The sites within reach beyond the faces that other ranks have, over the own sites."""
    cut = zip(lattice.local_extent, lattice.process_grid, strict=True)
    return sum(2 * min(reach, length) / length for length, parts in cut if parts > 1)
