"""Objects of a configuration: lattice, links, actions, guide, sampler, learner."""

from __future__ import annotations

import math

import numpy

from hpcgauge.action.action import AbstractAction, Sum
from hpcgauge.action.transformed import Transformed
from hpcgauge.comm.world import World
from hpcgauge.config import Run
from hpcgauge.config.schema import GuideFermion, NetworkSection
from hpcgauge.errors import ConfigError
from hpcgauge.fermion.pseudofermion import StaggeredAction
from hpcgauge.fermion.solvers import Method
from hpcgauge.fields.device import Device
from hpcgauge.fields.field import Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import OFF_GROUP_LIMIT, Links
from hpcgauge.gauge.plaquette import PlaquetteAction
from hpcgauge.io.gauge.links import read_links
from hpcgauge.kernels.draws import Draw, Stream, uniform
from hpcgauge.network.cask import Cask
from hpcgauge.network.covnet import CovNet
from hpcgauge.run.need import bytes_needed
from hpcgauge.sampler.hmc import HMC, drift, time_scales
from hpcgauge.sampler.integrators import SCHEMES
from hpcgauge.training.losses import Objective
from hpcgauge.training.optimisers import SGD, Adam, Optimiser
from hpcgauge.training.train import Learner
from hpcgauge.training.trainable import Trainable

# Starts that are no path.
UNIT, HOT = "unit", "hot"


def lattice_of(run: Run, world: World) -> Lattice:
    """The lattice, on its device. DeviceError when the run needs more memory than is free there. Collective."""
    section = run.lattice
    threads = None if section.threads == "auto" else section.threads
    device = Device(section.device, threads, world.local_size, world.local_rank)
    lattice = Lattice(section.extent, section.colors, world, device, section.precision, section.process_grid)
    device.hardware.demand(bytes_needed(run, lattice), "for this run")
    return lattice


def links_of(run: Run, lattice: Lattice) -> Field:
    """The first links. Collective."""
    if run.start == UNIT:
        return Links.unit(lattice)
    if run.start == HOT:
        return Links.hot(lattice, run.chain.seed)
    U = read_links(run.start, lattice=lattice, extent=lattice.extent, reunitarise=run.start_reunitarise)
    off, limit = drift(U), OFF_GROUP_LIMIT[lattice.precision]
    if off > limit:
        raise ConfigError(
            f"start = {run.start}: its links are off SU({lattice.colors}) by {off:.2g}, as in single precision files; "
            f"start_reunitarise: true takes the nearest ones, lattice.precision = {lattice.precision} needs {limit:g}"
        )
    return U


def target_of(run: Run) -> Sum:
    """The target action."""
    terms: list[AbstractAction] = [PlaquetteAction(run.action.gauge.beta)]
    if run.action.fermion is not None:
        terms.append(_staggered(run, run.action.fermion.mass))
    return Sum(terms, [1.0] * len(terms))


def guide_of(run: Run) -> Sum | None:
    """The guide with its start values; None for plain HMC."""
    if run.guide is None:
        return None
    gauge = run.guide.gauge or run.action.gauge
    terms: list[AbstractAction] = [PlaquetteAction(gauge.beta)]
    terms += [_guide_term(run, number, term) for number, term in enumerate(run.guide.fermion)]
    return Sum(terms, [1.0, *(term.weight for term in run.guide.fermion)])


def sampler_of(run: Run, guide: Sum | None) -> HMC:
    """Hybrid Monte Carlo of the target, driven by the guide, or by the target itself."""
    section, target = run.integrator, target_of(run)
    scheme = SCHEMES[section.scheme]
    if section.gauge_steps is None:
        return HMC(target, guide, scheme, section.steps, section.length)
    levels = time_scales(target if guide is None else guide, scheme, section.steps, section.gauge_steps)
    return HMC(target, guide, length=section.length, levels=levels)


def trainable_of(run: Run, guide: Sum) -> Trainable | None:
    """What is trained; None if this run trains nothing."""
    if run.guide is None or not run.chain.train:
        return None
    return Trainable(guide, "fermion" if run.guide.train_weights else "none")


def learner_of(run: Run, target: Sum, trainable: Trainable) -> Learner:
    """The learner of live training."""
    assert run.training is not None
    return Learner(Objective(target, trainable, run.training.loss), optimiser_of(run, trainable))


def optimiser_of(run: Run, trainable: Trainable) -> Optimiser:
    """Adam or SGD, with the rates of network and weights."""
    assert run.training is not None
    section = run.training
    rates = trainable.rates(section.rate, section.weight_rate)
    updates = run.chain.train if section.schedule == "cosine" else None
    if updates is not None and section.recorded is not None and section.source == "recorded":
        updates = min(updates, section.recorded.trajectories or updates) * section.recorded.epochs
    if section.optimiser == "sgd":
        return SGD(rates, updates)
    return Adam(rates, section.beta1, section.beta2, updates=updates)


def _staggered(run: Run, mass: float) -> StaggeredAction:
    assert run.action.fermion is not None
    fermion, solver = run.action.fermion, run.solver
    method = Method(solver.precision, solver.chronological)
    return StaggeredAction(
        mass, fermion.tastes, fermion.boundary, solver.tolerance, solver.force_tolerance, solver.max_steps, method
    )


def _guide_term(run: Run, number: int, term: GuideFermion) -> AbstractAction:
    action = _staggered(run, term.mass)
    if term.network is None:
        return action
    parameters = _start_values(run, number, term.network)
    if term.network.kind == "covnet":
        return Transformed(action, CovNet(parameters))
    assert term.network.reach is not None
    return Transformed(action, Cask(parameters, term.network.reach, term.network.variant))


def _start_values(run: Run, number: int, network: NetworkSection) -> numpy.ndarray:
    """Given values, or normal ones of width `start_scale`, the same on every rank; zeros where a file gives them."""
    if network.parameters is not None:
        rows = numpy.array(network.parameters)
        return numpy.tile(rows, (network.layers // len(rows), 1))
    columns = 4 if network.kind == "cask" else 1
    if network.start_scale is None:
        return numpy.zeros((network.layers, columns))
    draw = Draw(Stream.PARAMETERS, run.chain.seed, instance=number)
    values = [_normal(draw, component) for component in range(network.layers * columns)]
    return network.start_scale * numpy.array(values).reshape(network.layers, columns)


def _normal(draw: Draw, component: int) -> float:
    first, second = uniform(draw, 2 * component), uniform(draw, 2 * component + 1)
    return math.sqrt(-2 * math.log(first)) * math.cos(2 * math.pi * second)
