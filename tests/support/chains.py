"""Small chains that the tests of integrators, samplers and training start from."""

from __future__ import annotations

import functools

import numpy

from hpcgauge.comm.world import World
from hpcgauge.fields.device import Device
from hpcgauge.fields.field import Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import Links
from hpcgauge.gauge.plaquette import PlaquetteAction
from hpcgauge.sampler.hmc import HMC, State

# SU(2) quenched, 4^4 (PHYSICS.md section 4)
BETA, PLAQUETTE, PLAQUETTE_ERROR = 2.3, 0.60945, 0.00012


def lattice_on(world: World, extent: tuple[int, ...] = (4, 4, 4, 4)) -> Lattice:
    """A lattice whose kernels run on one thread."""
    return Lattice(extent, world=world, device=Device("cpu", threads=1))


@functools.cache
def thermal_array(extent: tuple[int, ...] = (4, 4, 4, 4)) -> numpy.ndarray:
    """Thermalised quenched SU(2) links at BETA, the same on every rank without a message."""
    state = State(Links.hot(lattice_on(World.alone(), extent), seed=5), seed=5)
    hmc = HMC(PlaquetteAction(BETA), steps=6)
    for _ in range(60):
        state, _ = hmc.step(state)
    return state.U.to_numpy()


def thermal(world: World, extent: tuple[int, ...] = (4, 4, 4, 4)) -> Field:
    """Thermalised quenched SU(2) links at BETA. Collective."""
    return Links.from_numpy(lattice_on(world, extent), thermal_array(extent))


def mean_and_error(values: list[float], bin_size: int) -> tuple[float, float]:
    """The mean and its error from bins that are longer than the autocorrelation."""
    bins = numpy.array(values[: len(values) // bin_size * bin_size]).reshape(-1, bin_size).mean(axis=1)
    return float(bins.mean()), float(bins.std(ddof=1) / len(bins) ** 0.5)
