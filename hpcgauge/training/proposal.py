"""Proposals: what training sees of a trajectory, accepted or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hpcgauge.fields.field import Field


@dataclass(frozen=True)
class Proposal:
    """The ends of a trajectory: links, the target's fields, and energies.

    `trajectory`: the number of trajectories before it. `S_0`, `S_tau`: the target at the ends; `dH`, `dH_guide`: the
    changes of kinetic energy plus target or guide. All are constants when the guide is trained.
    """

    trajectory: int
    U_0: Field
    U_tau: Field
    fields: list[Any]
    S_0: float
    S_tau: float
    dH: float
    dH_guide: float
    solver_steps: int = 0
    seconds: float = 0.0
