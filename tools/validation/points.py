"""What is measured, and the numbers it has to give."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

# A quick run has this part of the trajectories, and errors that are larger accordingly.
QUICK = 1 / 12
QUICK_ERRORS = 6.0
LEAST_TRAJECTORIES = 60


@dataclass(frozen=True)
class Known:
    """A number with its error, and the largest error that a measurement of it may have."""

    value: float
    error: float
    largest_error: float


@dataclass(frozen=True)
class Point:
    """A plain HMC chain. `length` in `steps` of the second-order minimum-norm scheme; `tastes` = 0 is quenched."""

    name: str
    extent: tuple[int, ...]
    colors: int
    beta: float
    plaquette: Known
    trajectories: int
    thermalise: int = 300
    steps: int = 4
    length: float = 1.0
    tastes: int = 0
    mass: float = 0.3
    condensate: Known | None = None

    def quick(self) -> Point:
        """The same point with fewer trajectories and larger errors."""
        condensate = None if self.condensate is None else _coarse(self.condensate)
        return replace(
            self,
            trajectories=max(LEAST_TRAJECTORIES, int(QUICK * self.trajectories)),
            thermalise=max(LEAST_TRAJECTORIES, self.thermalise // 3),
            plaquette=_coarse(self.plaquette),
            condensate=condensate,
        )


def _coarse(known: Known) -> Known:
    return replace(known, largest_error=QUICK_ERRORS * known.largest_error)


def series_error(beta: float, volume: int) -> float:
    """What 1 - 3/(4b) - 0.15138/b^2 leaves out: the next order as large as the last one over b, and the missing modes
    of a finite volume, a part 1/volume of the first order."""
    return 0.15138 / beta**3 + 0.75 / beta / volume


def bessel(n: int, x: float) -> float:
    """The modified Bessel function I_n(x)."""
    return math.fsum((x / 2) ** (n + 2 * k) / (math.factorial(k) * math.factorial(n + k)) for k in range(80))


def torus(beta: float, volume: int) -> float:
    """The plaquette of SU(2) on a two-dimensional torus: d log Z / d beta / V, Z = sum_n (2 I_n(beta) / beta)^V."""
    indices = range(1, 30)
    weights = [(bessel(n, beta) / bessel(1, beta)) ** volume for n in indices]
    slopes = [(bessel(n - 1, beta) + bessel(n + 1, beta)) / (2 * bessel(n, beta)) - 1 / beta for n in indices]
    return math.fsum(w * s for w, s in zip(weights, slopes, strict=True)) / math.fsum(weights)


SMALL = (4, 4, 4, 4)
# Measured independently of this package; quarks are antiperiodic in t.
DYNAMICAL = [
    Point(
        f"SU(2) 4^4 beta 2.7 m 0.3 {tastes} tastes",
        SMALL,
        2,
        2.7,
        Known(plaquette, error, 0.0006),
        5000,
        150,
        tastes=tastes,
        condensate=Known(condensate, condensate_error, 0.0010),
    )
    for tastes, plaquette, error, condensate, condensate_error in (
        (4, 0.70254, 0.00025, 0.4250, 0.0008),
        (8, 0.71575, 0.00026, 0.4088, 0.0006),
    )
]
QUENCHED_SU2 = [
    Point(f"SU(2) 4^4 beta {beta}", SMALL, 2, beta, Known(plaquette, error, 0.0003), trajectories)
    for beta, plaquette, error, trajectories in (
        (2.0, 0.50149, 0.00014, 24000),
        (2.2, 0.57461, 0.00018, 80000),
        (2.3, 0.60945, 0.00012, 30000),
        (2.5, 0.65474, 0.00007, 15000),
        (2.7, 0.68707, 0.00006, 10000),
        (3.0, 0.72414, 0.00006, 6000),
    )
]
QUENCHED_SU3 = [
    Point("SU(3) 4^4 beta 5.5", SMALL, 3, 5.5, Known(0.49902, 0.00069, 0.0010), 12000, steps=6, length=1.25),
    Point("SU(3) 4^4 beta 6.0", SMALL, 3, 6.0, Known(0.59667, 0.00021, 0.0005), 5000, steps=6, length=1.25),
    Point("SU(3) 8^4 beta 6.0", (8,) * 4, 3, 6.0, Known(0.59402, 0.00020, 0.0003), 700, 150, steps=10, length=1.25),
]
# Exact in infinite volume, from which 32 x 32 does not differ visibly, and on a small torus, which does.
TWO_DIMENSIONS = [
    Point("SU(2) 32^2 beta 2.7", (32, 32), 2, 2.7, Known(0.53297073, 0, 0.0003), 4000, length=1.25),
    Point("SU(2) 32^2 beta 4.0", (32, 32), 2, 4.0, Known(0.65804727, 0, 0.0003), 4000, length=1.0),
    Point("SU(2) 4x4 torus beta 2.7", (4, 4), 2, 2.7, Known(torus(2.7, 16), 0, 0.0015), 10000, length=1.25),
    Point("SU(2) 4x4 torus beta 8", (4, 4), 2, 8.0, Known(torus(8.0, 16), 0, 0.0006), 20000, length=1.25),
    Point("SU(3) 32^2 beta 6.0", (32, 32), 3, 6.0, Known(0.42253174, 0, 0.0003), 4000, length=1.0),
]
# The strong series ends with 16 u^5 u'; its square over u is of the next order.
SERIES = [
    Point("SU(2) 4^4 beta 0.5, strong coupling", SMALL, 2, 0.5, Known(0.123830, 1e-6, 0.0005), 1500, 50, 3),
    Point("SU(2) 4^4 beta 1.0, strong coupling", SMALL, 2, 1.0, Known(0.243030, 4e-5, 0.0005), 2000, 50, 3),
    Point(
        "SU(2) 6^4 beta 12, weak coupling",
        (6,) * 4,
        2,
        12.0,
        Known(1 - 0.75 / 12 - 0.15138 / 144, series_error(12.0, 6**4), 0.0001),
        1000,
        200,
        6,
        1.0,
    ),
]
POINTS = [*DYNAMICAL, *QUENCHED_SU2, *QUENCHED_SU3, *TWO_DIMENSIONS, *SERIES]
