"""Everything on a card that is not there, by the way that `device: cuda` goes: kernels on ranks, and a whole chain.

The stand-in for CuPy (tests/support/emulated) is there for the tests of this file only.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpcgauge.bench.case import Case, entries
from hpcgauge.comm.world import World
from hpcgauge.fields.card import Card
from hpcgauge.fields.device import Device
from hpcgauge.fields.lattice import Lattice
from tests.support.emulated import Settings, install, remove
from tests.support.jobs import SMALL, described, lines_of, on_rank_0, run_here
from tests.support.kernels.cases import EXTENTS, compile_for_cards, disagreement, fields_of, run_case
from tests.support.ranks import agree

pytestmark = pytest.mark.host

KINDS = ((2, "double"), (3, "single"))
CASES = [
    Case(name, colors, precision, EXTENTS[4])
    for colors, precision in KINDS
    for name, entry in entries(4).items()
    if entry.is_for(colors, precision)
]
PARITIES = {"double": "both", "single": "odd"}
# The guide's only layer is attention over staples of length one, beside heavier fermions; one update, two trajectories
# after it.
CHAIN = (*SMALL, "chain.produce=3")


@pytest.fixture(scope="module", autouse=True)
def card(world: World) -> Iterator[None]:
    """One emulated card for each rank, with all kernels of this file compiled. Collective."""
    installed = install(Settings(cards=world.local_size))
    jobs = [(case.entry.kernel, case.entry.cuda_target(4, case.colors, case.precision)) for case in CASES]
    compile_for_cards(list(dict.fromkeys(jobs))[world.rank :: world.size], 2 if world.size == 1 else 1)
    world.barrier()
    yield
    gc.collect()
    remove(installed)


@pytest.fixture(scope="module")
def on(world: World) -> Callable[[Case, str], Lattice]:
    """The lattice of a case on "cuda" or "cpu", made once."""
    lattices: dict[Any, Lattice] = {}
    devices = {name: Device(name, 1, world.local_size, world.local_rank) for name in ("cuda", "cpu")}
    assert isinstance(devices["cuda"].hardware, Card)

    def lattice(case: Case, name: str) -> Lattice:
        key = case.colors, case.precision, name
        if key not in lattices:
            lattices[key] = Lattice(case.extent, case.colors, world, devices[name], case.precision)
        return lattices[key]

    return lattice


@pytest.mark.ranks
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-SU({case.colors})-{case.precision}")
def test_a_kernel_on_cards_has_the_bits_of_the_cpu(
    world: World, on: Callable[[Case, str], Lattice], case: Case
) -> None:
    parity = PARITIES[case.precision]
    before = {name: field.to_numpy() for name, field in fields_of(case, on(case, "cpu")).items()}
    expected, expected_sums = run_case(case, fields_of(case, on(case, "cpu")), parity)
    outputs, sums = run_case(case, fields_of(case, on(case, "cuda")), parity)
    different = [name for name in outputs if not np.array_equal(outputs[name], expected[name])]
    agree(world, not different and sums == expected_sums, f"{different}, sums {sums}, on the cpu {expected_sums}")
    wrong = disagreement(case, before, outputs, sums, parity) if world.rank == 0 else ""
    agree(world, not wrong, wrong)


@pytest.mark.ranks
@pytest.mark.parametrize("colors", [2, 4])
def test_a_chain_on_cards_has_the_history_of_the_cpu(world: World, shared_tmp_path: Path, colors: int) -> None:
    """Self-learning HMC with a CASK guide, trained on the way, from the configuration to the folder."""
    changes, folder = (*CHAIN, f"lattice.colors={colors}"), shared_tmp_path / "cards"
    finished = run_here(described(*changes, "lattice.device=cuda"), folder, world)
    agree(world, "Emulated card" in finished.said or world.rank > 0, finished.said)
    on_rank_0(world, described(*changes), shared_tmp_path / "cpu")
    found, expected = (lines_of(shared_tmp_path / name) for name in ("cards", "cpu"))
    agree(world, len(expected) == 5 and found == expected, f"{found}, on the cpu {expected}")
