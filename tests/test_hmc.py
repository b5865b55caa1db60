"""Hybrid Monte Carlo: the exact distribution with any guide, errors, and the same chain on any number of ranks."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy
import pytest

from hpcgauge.action.action import AbstractAction, Evaluation, zero_gradient
from hpcgauge.action.transformed import Transformed
from hpcgauge.comm.world import World
from hpcgauge.errors import PhysicsError
from hpcgauge.fermion.pseudofermion import StaggeredAction
from hpcgauge.fields.field import Field
from hpcgauge.gauge.links import kinetic
from hpcgauge.gauge.plaquette import PlaquetteAction
from hpcgauge.kernels.algebra import scaled
from hpcgauge.kernels.draws import Draw, Stream, random_momenta
from hpcgauge.network.cask import Cask
from hpcgauge.sampler.hmc import HMC, REUNITARISE_EVERY, Record, State, drift, time_scales
from hpcgauge.sampler.integrators import LEAPFROG, OMELYAN, Level, Scheme, integrate
from tests.support.chains import BETA, PLAQUETTE, PLAQUETTE_ERROR, lattice_on, mean_and_error, thermal
from tests.support.ranks import agree

GAUGE = PlaquetteAction(BETA)
# One layer with all four numbers (PHYSICS.md section 3)
CASK = Cask([[-0.012, 0.024, 0.014, 0.125]], reach=3)


def fermion_pair() -> tuple[AbstractAction, AbstractAction]:
    """A target with fermions and its guide with a network."""
    guide = GAUGE + 1.1 * Transformed(StaggeredAction(mass=0.4, tastes=4), CASK)
    return GAUGE + StaggeredAction(mass=0.3, tastes=4), guide


def chain(hmc: HMC, state: State, trajectories: int) -> tuple[State, list[Record]]:
    """The state after so many trajectories, and their records. Collective."""
    records = []
    for _ in range(trajectories):
        state, record = hmc.step(state)
        records.append(record)
    return state, records


def check_exactness(hmc: HMC, trajectories: int) -> list[Record]:
    """The records of a chain that has <exp(-dH)> = 1 and the known plaquette within 3 errors."""
    _, records = chain(hmc, State(thermal(World.alone()), seed=21), trajectories)
    weight, weight_error = mean_and_error([math.exp(-record.dH) for record in records], 10)
    assert abs(weight - 1) < 3 * weight_error
    assert weight_error < 0.1
    found, error = mean_and_error([record.plaquette for record in records], trajectories // 20)
    assert abs(found - PLAQUETTE) < 3 * math.hypot(error, PLAQUETTE_ERROR)
    assert error < 0.003
    return records


def test_plain_chain_is_exact() -> None:
    records = check_exactness(HMC(GAUGE, scheme=LEAPFROG, steps=8), 600)
    acceptance = sum(record.accepted for record in records) / len(records)
    assert 0.5 < acceptance < 0.95  # the step decides something
    assert all(record.dH == record.dH_guide for record in records)


def test_chain_with_another_guide_is_exact() -> None:
    records = check_exactness(HMC(GAUGE, PlaquetteAction(BETA + 0.1), steps=4, length=0.5), 800)
    acceptance = sum(record.accepted for record in records) / len(records)
    assert 0.3 < acceptance < 0.95


def errors(hmc: HMC, U: Field) -> tuple[float, float]:
    """The rms of dH_guide and of dH over three proposals from U."""
    proposals = [hmc.propose(State(U, seed)) for seed in (1, 2, 3)]
    return tuple(math.sqrt(sum(getattr(p, name) ** 2 for p in proposals) / 3) for name in ("dH_guide", "dH"))  # type: ignore[return-value]


@pytest.mark.parametrize("pair", [lambda: (GAUGE, PlaquetteAction(BETA + 0.1)), fermion_pair], ids=["gauge", "cask"])
def test_guide_energy_error_falls_with_the_step_and_that_of_the_target_does_not(pair: Any) -> None:
    target, guide = pair()
    U = thermal(World.alone())
    (coarse_guide, coarse), (fine_guide, fine) = (errors(HMC(target, guide, steps=n), U) for n in (8, 16))
    assert coarse_guide / fine_guide == pytest.approx(4, rel=0.15)
    assert coarse / fine == pytest.approx(1, rel=0.15)


MOVE_FIRST = Scheme("QPQ", (0.5, 1.0, 0.5))


@pytest.mark.parametrize("scheme", [OMELYAN, MOVE_FIRST], ids=["kicks at the ends", "moves at the ends"])
def test_energy_error_of_the_guide_is_that_of_its_values(scheme: Scheme) -> None:
    target, guide = fermion_pair()
    hmc = HMC(target, guide, levels=time_scales(guide, scheme, steps=3, gauge_steps=2))
    proposal = hmc.propose(State(thermal(World.alone()), seed=3))
    fields = [None, proposal.fields[1]]
    before, after = (guide.evaluate(U, fields, gradient=False).value for U in (proposal.U_0, proposal.U_tau))
    kinetic_change = proposal.dH - (proposal.S_tau - proposal.S_0)
    assert proposal.dH_guide == pytest.approx(kinetic_change + after - before, abs=1e-8)


def test_time_scales_with_fermions() -> None:
    target, _ = fermion_pair()
    levels = time_scales(target, OMELYAN, steps=3, gauge_steps=2)
    assert [level.terms for level in levels] == [(1,), (0,)]
    U = thermal(World.alone())
    nested = HMC(target, levels=levels).propose(State(U, seed=2))
    single = HMC(target, steps=3).propose(State(U, seed=2))
    assert abs(nested.dH) < abs(single.dH)
    with pytest.raises(ValueError, match="two time scales"):
        time_scales(GAUGE, OMELYAN, steps=3, gauge_steps=2)


@pytest.mark.ranks
def test_trajectories_with_fermions_and_network_are_reversible(world: World) -> None:
    target, guide = fermion_pair()
    hmc, start = HMC(target, guide, steps=3, length=0.5), thermal(world)
    fields = hmc.target.refresh(Draw(Stream.PSEUDOFERMION, 4), start)

    def gradient(U: Field) -> Field:
        found = hmc.guide.evaluate(U, [None, fields[1]]).gradient
        assert found is not None
        return found

    U, P = start.copy(), random_momenta(start.lattice, Draw(Stream.MOMENTUM, 4))
    integrate(hmc.moves, U, P, [gradient])
    is_moved = abs(U.to_numpy() - start.to_numpy()).max() > 0.1
    P = scaled(P, -1.0)
    integrate(hmc.moves, U, P, [gradient])
    error = abs(U.to_numpy() - start.to_numpy()).max()
    agree(world, is_moved and error <= 1e-10, f"|dU| = {error}")


def history(world: World) -> list[dict[str, Any]]:
    """Records of quenched, fermionic and guided trajectories, without their times. Collective."""
    target, guide = fermion_pair()
    state, records = State(thermal(world), seed=9), []
    for hmc in (HMC(GAUGE, steps=2), HMC(target, guide, steps=2, length=0.3)):
        state, some = chain(hmc, state, 2)
        records += [record.as_dict() for record in some]
    for record in records:
        del record["seconds"]
    return records


@pytest.mark.ranks
def test_history_is_the_same_on_every_number_of_ranks(world: World) -> None:
    together, alone = history(world), history(World.alone())
    agree(world, together == alone, f"{together} on {world.size} ranks, {alone} on one")


def test_a_trajectory_leaves_the_old_state_alone() -> None:
    state = State(thermal(World.alone()), seed=1, trajectory=REUNITARISE_EVERY - 1)
    before = state.U.to_numpy()
    after, record = HMC(GAUGE, steps=3).step(state)
    assert numpy.array_equal(state.U.to_numpy(), before)
    assert (after.seed, after.trajectory, record.trajectory) == (1, REUNITARISE_EVERY, REUNITARISE_EVERY)
    assert drift(after.U) < 1e-14


def test_metropolis_rejects_and_accepts_by_the_random_number() -> None:
    hmc = HMC(GAUGE, steps=3)
    state = State(thermal(World.alone()), seed=1)
    proposal = hmc.propose(state)
    accepted = []
    for dH in (-1.0, 0.0, 50.0):
        after, record = hmc.decide(state, dataclasses.replace(proposal, dH=dH))
        accepted.append(record.accepted)
        assert (after.U is proposal.U_tau) == record.accepted
        assert (after.U is state.U) == (not record.accepted)
    assert accepted == [True, True, False]


@pytest.mark.ranks
def test_drift_is_the_mean_distance_from_the_group(world: World) -> None:
    U = thermal(world)
    is_clean = drift(U) < 1e-14
    U.set_blocks(slice(None), 1.001 * U.by_site)
    array = U.to_numpy()
    off = array @ array.conj().swapaxes(-1, -2) - numpy.eye(2)
    expected = math.sqrt((abs(off) ** 2).sum() / (4 * U.lattice.volume))
    agree(world, is_clean and numpy.isclose(drift(U), expected, rtol=1e-12), f"{drift(U)}, not {expected}")


def test_links_off_the_group_stop_the_run() -> None:
    U = thermal(World.alone())
    U.set_blocks(slice(None), (1 + 1e-9) * U.by_site)
    with pytest.raises(PhysicsError, match=r"trajectory 8: links are off SU\(2\) by"):
        HMC(GAUGE, steps=2).step(State(U, seed=1, trajectory=7))


class Broken(AbstractAction):
    """An action whose value is no number."""

    slot = None

    def refresh(self, draw: Draw, U: Field) -> Any:
        return None

    def evaluate(self, U: Field, fields: Any, gradient: bool = True, parameters: bool = False) -> Evaluation:
        return Evaluation(math.nan, zero_gradient(U) if gradient else None)


def test_an_energy_that_is_no_number_stops_the_run() -> None:
    with pytest.raises(PhysicsError, match="trajectory 1: dH = nan"):
        HMC(Broken(), steps=2).step(State(thermal(World.alone()), seed=1))


def test_what_cannot_work_is_refused_when_built() -> None:
    fermions = StaggeredAction(mass=0.4, tastes=8)
    with pytest.raises(ValueError, match="guide term 1 lives on"):
        HMC(GAUGE + StaggeredAction(mass=0.3, tastes=4), GAUGE + fermions, steps=3)
    with pytest.raises(ValueError, match="steps"):
        HMC(GAUGE)
    with pytest.raises(ValueError, match="steps"):
        HMC(GAUGE, steps=3, levels=[Level(LEAPFROG, 3, (0,))])
    with pytest.raises(ValueError, match="length"):
        HMC(GAUGE, steps=3, length=0.0)
    with pytest.raises(ValueError, match="must be in one"):
        HMC(GAUGE + fermions, levels=[Level(LEAPFROG, 3, (0,))])


def test_momenta_have_the_weight_of_the_kinetic_energy() -> None:
    P = random_momenta(lattice_on(World.alone()), Draw(Stream.MOMENTUM, 1))
    degrees = 3 * 4 * 256
    assert abs(kinetic(P) - degrees / 2) < 4 * math.sqrt(degrees / 2)
