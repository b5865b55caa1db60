"""Measurements: plain HMC chains, and free staggered quarks."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass

import numpy
from points import Known, Point

import hpcgauge as hg
from hpcgauge.fields.device import Device
from hpcgauge.observables.statistics import gamma

SIGMAS = 3.0
SEED = 20240601
CONDENSATE_EVERY, SOURCES = 5, 4
# Free quarks on 4^4, antiperiodic in t: eigenvalues of -K^2 for one color and how often they come.
FREE_SPECTRUM = {0.5: 32, 1.5: 96, 2.5: 96, 3.5: 32}
FREE_MASS = 0.3
# Rounding of a dense eigenvalue solver, and of the solver of the package at this tolerance.
EIGENVALUE_ROUNDING, SOLVER_TOLERANCE = 1e-13, 1e-13


@dataclass(frozen=True)
class Row:
    """A measured number beside the known one."""

    point: str
    quantity: str
    value: float
    error: float
    known: Known
    seconds: float = 0.0
    trajectories: int = 0
    acceptance: float = math.nan
    tau_int: float = math.nan

    @property
    def sigmas(self) -> float:
        """The difference in units of the combined error."""
        return abs(self.value - self.known.value) / math.hypot(self.error, self.known.error)

    @property
    def is_good(self) -> bool:
        """True if the difference is at most three errors, and the error small enough."""
        return self.sigmas <= SIGMAS and self.error <= self.known.largest_error


def lattice_of(point: Point) -> hg.Lattice:
    """The point's lattice, on one thread."""
    return hg.Lattice(point.extent, colors=point.colors, device=Device("cpu", threads=1))


def measure(point: Point) -> list[Row]:
    """The rows of a point: its plaquette, and its condensate if that is known."""
    began = time.perf_counter()
    action: hg.AbstractAction = hg.PlaquetteAction(point.beta)
    if point.tastes:
        # Energies are exact to the default 1e-12; a force to 1e-9 keeps the chain reversible far below its errors.
        action = action + hg.StaggeredAction(point.mass, point.tastes, force_tolerance=1e-9)
    hmc = hg.HMC(action, scheme=hg.OMELYAN, steps=point.steps, length=point.length)
    state = hg.State(hg.Links.hot(lattice_of(point), SEED), SEED)
    plaquettes, accepted, condensates = [], 0, []
    for n in range(point.thermalise + point.trajectories):
        state, record = hmc.step(state)
        if n < point.thermalise:
            continue
        plaquettes.append(record.plaquette)
        accepted += record.accepted
        if point.condensate is not None and n % CONDENSATE_EVERY == 0:
            condensates.append(hg.condensate(state.U, point.mass, SOURCES, SEED, n).value)
    rows = [_row(point, "plaquette", plaquettes, point.plaquette, accepted, began)]
    if point.condensate is not None:
        rows.append(_row(point, "Tr D^-1", condensates, point.condensate, accepted, began))
    return rows


def _row(point: Point, quantity: str, series: list[float], known: Known, accepted: int, began: float) -> Row:
    found = gamma(series)
    return Row(
        point.name,
        quantity,
        found.value,
        found.error,
        known,
        time.perf_counter() - began,
        point.trajectories,
        accepted / point.trajectories,
        found.tau_int,
    )


def free_quarks() -> list[Row]:
    """Tr D^-1 on unit links from a solve for each site and color, and the spectrum of -K^2: the largest error of an
    eigenvalue and the number of eigenvalues that should be others."""
    began = time.perf_counter()
    lattice = hg.Lattice((4, 4, 4, 4), device=Device("cpu", threads=1))
    D = hg.Staggered(hg.Links.unit(lattice), FREE_MASS)
    n = lattice.volume * lattice.colors
    basis = [hg.ColorVector.from_numpy(lattice, unit) for unit in numpy.eye(n, dtype=complex).reshape(n, 4, 4, 4, 4, 2)]
    K = numpy.array([D.hop(vector).to_numpy().ravel() for vector in basis]).T
    eigenvalues = numpy.linalg.eigvalsh(-K @ K)
    expected = numpy.sort(numpy.repeat(list(FREE_SPECTRUM), [2 * count for count in FREE_SPECTRUM.values()]))
    counted = Counter(float(value) for value in numpy.round(eigenvalues, 6))
    n_wrong = sum(abs(counted[value] - 2 * count) for value, count in FREE_SPECTRUM.items())
    inverse = [_diagonal(D, vector) for vector in basis]
    trace = 2 * sum(count * FREE_MASS / (FREE_MASS**2 + value) for value, count in FREE_SPECTRUM.items())
    name, seconds = "free quarks 4^4", time.perf_counter() - began
    exactly, solved = Known(0, EIGENVALUE_ROUNDING, 0), Known(trace / lattice.volume, SOLVER_TOLERANCE, 0)
    return [
        Row(name, "-K^2, eigenvalues", float(abs(eigenvalues - expected).max()), 0, exactly, seconds),
        Row(name, "-K^2, degeneracies", n_wrong, 0, exactly, seconds),
        Row(name, "Tr D^-1", math.fsum(inverse) / lattice.volume, 0, solved, seconds),
    ]


def _diagonal(D: hg.Staggered, vector: hg.Field) -> float:
    """Re <e, D^-1 e>."""
    solution = hg.solve(D, vector, SOLVER_TOLERANCE)
    return float(numpy.vdot(vector.to_numpy(), solution.value.to_numpy()).real)
