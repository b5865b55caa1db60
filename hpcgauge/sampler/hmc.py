"""Hybrid Monte Carlo: a guide drives the trajectory, the target accepts or rejects. Plain HMC is guide = target."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

from hpcgauge.action.action import AbstractAction, Evaluation, Sum, as_sum, match_slots, repeated
from hpcgauge.errors import PhysicsError
from hpcgauge.fields.field import Field
from hpcgauge.gauge.links import OFF_GROUP_LIMIT, kinetic, reunitarised
from hpcgauge.gauge.plaquette import plaquette
from hpcgauge.kernels.draws import Draw, Stream, random_momenta, uniform
from hpcgauge.kernels.kernel import Kernel, Sums, reads
from hpcgauge.kernels.loop import run
from hpcgauge.sampler.integrators import OMELYAN, Level, Scheme, integrate, moves
from hpcgauge.training.proposal import Proposal

DRIFT = Kernel("drift.h", (reads("U", "matrix"), Sums(1)), "drift")
# Links are put back on the group after every trajectory whose number is a multiple of this.
REUNITARISE_EVERY = 10


@dataclass(frozen=True)
class State:
    """Links, the seed of the chain, and how many trajectories it has done. The links are never changed in place."""

    U: Field
    seed: int
    trajectory: int = 0

    def __post_init__(self) -> None:
        Draw(Stream.MOMENTUM, self.seed, self.trajectory)  # ValueError where these numbers have no draws


@dataclass(frozen=True)
class Record:
    """What one trajectory did. `trajectory` counts from 1, `plaquette` is that of the new state, `seconds` are those of
    the trajectory alone."""

    trajectory: int
    accepted: bool
    dH: float
    dH_guide: float
    plaquette: float
    solver_steps: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """The record as plain values by name."""
        return asdict(self)


@final
class HMC:
    """Trajectories of a length, integrated with the guide's force, accepted with the change of the target's energy.

    One time scale with `steps` of `scheme`, or `levels` from the outermost to the innermost. ValueError when the guide
    does not live on the target's fields or a term of the guide is not in exactly one level.
    """

    def __init__(
        self,
        target: AbstractAction,
        guide: AbstractAction | None = None,
        scheme: Scheme = OMELYAN,
        steps: int | None = None,
        length: float = 1.0,
        levels: Sequence[Level] | None = None,
    ):
        if (steps is None) == (levels is None):
            raise ValueError("HMC: one of steps (with scheme) and levels is needed")
        if not length > 0:
            raise ValueError(f"length = {length} must be above 0")
        self.target = as_sum(target)
        self.guide = self.target if guide is None else as_sum(guide)
        for term, weight in zip(self.target.terms, self.target.weights, strict=True):
            if term.slot is not None and weight != 1:
                raise ValueError(f"{term!r} has weight {weight:g} in the target; its fields are drawn for 1")
        self.slots = match_slots(self.guide, self.target)
        everything = tuple(range(len(self.guide.terms)))
        self.levels = (Level(scheme, steps, everything),) if steps is not None else tuple(levels or ())
        if sorted(term for level in self.levels for term in level.terms) != list(everything):
            named = [level.terms for level in self.levels]
            raise ValueError(f"levels have the terms {named}; each of the guide's {len(everything)} must be in one")
        self.length = float(length)
        self.moves = moves(self.levels, self.length)

    def __repr__(self) -> str:
        guide = "" if self.guide is self.target else f", guide={self.guide!r}"
        steps = ", ".join(str(level.steps) for level in self.levels)
        return f"HMC({self.target!r}{guide}, steps={steps}, length={self.length:g})"

    def with_guide(self, guide: AbstractAction) -> HMC:
        """The same trajectories with another guide of as many terms."""
        return HMC(self.target, guide, length=self.length, levels=self.levels)

    def step(self, state: State) -> tuple[State, Record]:
        """The next state and a record. Collective."""
        return self.decide(state, self.propose(state))

    def propose(self, state: State) -> Proposal:
        """A trajectory from this state, not yet accepted or rejected.

        PhysicsError when the energy is no number or links leave the group. Collective.
        """
        began = time.perf_counter()
        draw = Draw(Stream.MOMENTUM, state.seed, state.trajectory)
        U, P = state.U.copy(), random_momenta(state.U.lattice, draw)
        fields = self.target.refresh(draw.of(Stream.PSEUDOFERMION), state.U)
        forces = _Forces(self, fields)
        forces.prepare(U)
        energy = repeated(self.target, U, fields, gradient=False)
        before = energy()
        K_0 = kinetic(P)
        integrate(self.moves, U, P, forces.gradients)
        K_tau = kinetic(P)
        after = energy()
        dH = K_tau - K_0 + after.value - before.value
        dH_guide = dH if self.guide is self.target else K_tau - K_0 + forces.change(state.U, U)
        _check(state.trajectory + 1, dH, U)
        return Proposal(
            state.trajectory,
            state.U,
            U,
            fields,
            float(before.value),
            float(after.value),
            float(dH),
            float(dH_guide),
            before.steps + after.steps + forces.steps,
            time.perf_counter() - began,
        )

    def decide(self, state: State, proposal: Proposal) -> tuple[State, Record]:
        """The next state, by Metropolis, and a record. Collective."""
        chance = uniform(Draw(Stream.METROPOLIS, state.seed, state.trajectory))
        # Decided once: the ranks' exp might differ in a bit.
        accepted = state.U.lattice.world.broadcast(proposal.dH <= 0 or chance < math.exp(-proposal.dH))
        U = proposal.U_tau if accepted else state.U
        done = state.trajectory + 1
        if done % REUNITARISE_EVERY == 0:
            U = reunitarised(U)
        record = Record(
            done, accepted, proposal.dH, proposal.dH_guide, plaquette(U), proposal.solver_steps, proposal.seconds
        )
        return State(U, state.seed, done), record


class _Forces:
    """The guide's gradients along one trajectory, by level, with its values at the ends and the solver's steps."""

    def __init__(self, hmc: HMC, fields: list[Any]):
        guide = hmc.guide
        on_fields = [None if slot is None else fields[slot] for slot in hmc.slots]
        self.parts = []
        for level in hmc.levels:
            action = Sum([guide.terms[k] for k in level.terms], [float(guide.weights[k]) for k in level.terms])
            self.parts.append((action, action.with_memory([on_fields[k] for k in level.terms])))
        self._prepared: dict[tuple[int, Field], Callable[[], Evaluation]] = {}
        self.ends_in_kicks = all(_kicks_at_end(end, len(self.parts)) for end in (hmc.moves, hmc.moves[::-1]))
        self.first: dict[int, float] = {}
        self.latest: dict[int, float] = {}
        self.steps = 0

    @property
    def gradients(self) -> list[Callable[[Field], Field]]:
        """For each level the gradient at links, as `integrate` takes them."""
        return [functools.partial(self._gradient, level) for level in range(len(self.parts))]

    def prepare(self, U: Field) -> None:
        """Nothing; the gradients at these links are ready. Before others, as forces need the most ghosts of U, which is
        then enlarged while little else is held. Collective."""
        for level in range(len(self.parts)):
            self._force(level, U)

    def _force(self, level: int, U: Field) -> Callable[[], Evaluation]:
        if (level, U) not in self._prepared:
            action, fields = self.parts[level]
            self._prepared[level, U] = repeated(action, U, fields)
        return self._prepared[level, U]

    def _gradient(self, level: int, U: Field) -> Field:
        evaluation = self._force(level, U)()
        self.first.setdefault(level, evaluation.value)
        self.latest[level] = evaluation.value
        self.steps += evaluation.steps
        assert evaluation.gradient is not None
        return evaluation.gradient

    def change(self, U_0: Field, U_tau: Field) -> float:
        """The change of the guide along the trajectory; where all levels kick at both ends it is known already."""
        if self.ends_in_kicks:
            return sum(self.latest[k] - self.first[k] for k in range(len(self.parts)))
        return self._value(U_tau) - self._value(U_0)

    def _value(self, U: Field) -> float:
        evaluations = [action.evaluate(U, fields, gradient=False) for action, fields in self.parts]
        self.steps += sum(evaluation.steps for evaluation in evaluations)
        return sum(evaluation.value for evaluation in evaluations)


def _kicks_at_end(trajectory: Sequence[Any], n_levels: int) -> bool:
    """True if every level kicks with P before the first move of the links."""
    letters = [move.letter for move in trajectory]
    kicks = trajectory[: letters.index("Q")]
    return {move.level for move in kicks if move.letter == "P"} == set(range(n_levels))


def drift(U: Field) -> float:
    """The root of the mean of |U U^+ - 1|^2 over links. Collective."""
    total = run(DRIFT, U=U)[0]
    return math.sqrt(total / (U.lattice.volume * U.lattice.dimensions))


def _check(trajectory: int, dH: float, U: Field) -> None:
    off, limit = drift(U), OFF_GROUP_LIMIT[U.precision]
    if not off <= limit:
        raise PhysicsError(
            f"trajectory {trajectory}: links are off SU({U.colors}) by {off:.3g} in the mean, more than {limit:g}; the "
            "run stops. Smaller integrator steps may help"
        )
    if not math.isfinite(dH):
        raise PhysicsError(
            f"trajectory {trajectory}: dH = {dH}; the run stops. Smaller integrator steps or a tighter solver may help"
        )


def time_scales(guide: AbstractAction, scheme: Scheme, steps: int, gauge_steps: int) -> tuple[Level, ...]:
    """Two levels: terms on fields outside, with `steps`; terms of links alone inside, `gauge_steps` in each move."""
    terms = as_sum(guide).terms
    outer = tuple(k for k, term in enumerate(terms) if term.slot is not None)
    inner = tuple(k for k, term in enumerate(terms) if term.slot is None)
    if not outer or not inner:
        raise ValueError(f"two time scales: the guide has {len(outer)} terms on fields and {len(inner)} of links alone")
    return Level(scheme, steps, outer), Level(scheme, gauge_steps, inner)
