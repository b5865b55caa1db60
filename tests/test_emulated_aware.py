"""Ghosts straight from the memory of cards, by an MPI that takes it: on the stand-in for CuPy, whose memory is open to
the true MPI while that sends and receives (tests/support/emulated/aware.py)."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hpcgauge.bench.case import Case
from hpcgauge.comm import aware as probing
from hpcgauge.comm.aware import Awareness, cuda_awareness
from hpcgauge.comm.world import World
from hpcgauge.fields.card import CardArray
from hpcgauge.fields.device import Device
from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.card_transport import CardTransport
from tests.support.emulated import Card, Settings, install, remove
from tests.support.emulated.aware import FOUND, make_aware
from tests.support.emulated.settings import ORDERS
from tests.support.jobs import SMALL, described, lines_of, on_rank_0, run_here
from tests.support.kernels.cases import EXTENTS, compile_for_cards, fields_of, run_case
from tests.support.ranks import ROOT, agree

pytestmark = pytest.mark.host

# One field and several with ghosts, of matrices, vectors and numbers, of the next sites and of those three away.
NAMES = ("staple_sum", "staggered_hop_add", "gauge_rotate", "staple_pullback", "path_sum", "trace_pullback (paper)")
CASES = [
    Case(name, colors, precision, EXTENTS[4])
    for colors, precision in ((2, "double"), (3, "single"))
    for name in (*NAMES, "hop_links", "shifted on vectors")
]
PARITIES = {"double": "both", "single": "odd"}
HOP = Case("staggered_hop_add", 2, "double", EXTENTS[4])
CHAIN = (*SMALL, "chain.produce=3")


@pytest.fixture(scope="module", autouse=True)
def compiled(world: World) -> None:
    """All kernels of this file. Collective."""
    card = install(Settings())
    jobs = [(case.entry.kernel, case.entry.cuda_target(4, case.colors, case.precision)) for case in CASES]
    compile_for_cards(list(dict.fromkeys(jobs))[world.rank :: world.size], 2 if world.size == 1 else 1)
    world.barrier()
    remove(card)


@pytest.fixture(params=ORDERS)
def order(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cards(world: World) -> Iterator[Callable[..., Card]]:
    """Puts one emulated card for each rank in the place of CuPy."""
    installed: list[Card] = []

    def put(order: str = "drawn") -> Card:
        installed.append(install(Settings(cards=world.local_size, order=order)))
        return installed[-1]

    yield put
    gc.collect()
    remove(installed[0])


def lattice(world: World, case: Case, device: str) -> Lattice:
    found = Device(device, 1, world.local_size, world.local_rank)
    return Lattice(case.extent, case.colors, world, found, case.precision)


def difference(world: World, case: Case) -> str:
    """Empty if the kernel on cards gives the bits of the processors, where fields held others before. Collective."""
    parity = PARITIES[case.precision]
    expected, expected_sums = run_case(case, fields_of(case, lattice(world, case, "cpu")), parity)
    fields = fields_of(case, lattice(world, case, "cuda"))
    for argument in case.entry.kernel.fields:
        if argument.offsets.pairs:
            fields[argument.name].fill(0)
    run_case(case, fields, parity)
    for name, values in case.inputs.items():
        fields[name].set_global(values)
    outputs, sums = run_case(case, fields, parity)
    different = [name for name in outputs if not np.array_equal(outputs[name], expected[name])]
    return f"{different}, sums {sums}, on the cpu {expected_sums}" if different or sums != expected_sums else ""


@pytest.mark.ranks
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-SU({case.colors})-{case.precision}")
def test_ghosts_straight_from_cards_give_the_bits_of_the_cpu(
    world: World, cards: Callable[..., Card], monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    made = make_aware(monkeypatch, cards())
    wrong = difference(world, case)
    agree(world, not wrong, wrong)
    agree(world, world.size == 1 or sum(exchange.n_on_card for exchange in made) >= 2, "nothing was sent from the card")


@pytest.mark.ranks
def test_a_chain_whose_ghosts_come_straight_from_cards_has_the_history_of_the_cpu(
    world: World, cards: Callable[..., Card], monkeypatch: pytest.MonkeyPatch, shared_tmp_path: Path
) -> None:
    make_aware(monkeypatch, cards())
    finished = run_here(described(*CHAIN, "lattice.device=cuda"), shared_tmp_path / "cards", world)
    said = f"ghosts travel straight from the card: {FOUND.reason}"
    agree(world, (said in finished.said) == (world.size > 1) or world.rank > 0, finished.said)
    on_rank_0(world, described(*CHAIN), shared_tmp_path / "cpu")
    found, expected = (lines_of(shared_tmp_path / name) for name in ("cards", "cpu"))
    agree(world, len(expected) == 5 and found == expected, f"{found}, on the cpu {expected}")


# Faults


def sent_from_the_field(self: CardTransport, data: CardArray, sites: np.ndarray, shape: tuple[int, ...]) -> CardArray:
    return data[: shape[0]]


def received_beside(self: CardTransport, ghost: CardArray) -> CardArray:
    return self._card.empty(ghost.shape, ghost.dtype)


def packed_too_early(patch: pytest.MonkeyPatch) -> None:
    """Packing does not wait for what fills the field."""
    begin = CardTransport.begin

    def hasty(self: CardTransport) -> None:
        runtime, side = self._card.runtime, self._card.side
        wait = runtime.streamWaitEvent
        runtime.streamWaitEvent = lambda stream, event: None if stream == side else wait(stream, event)
        begin(self)
        runtime.streamWaitEvent = wait

    patch.setattr(CardTransport, "begin", hasty)


FAULTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "sent before they are packed": lambda patch: patch.setattr(CardTransport, "gather", lambda self: None),
    "packed before they are written": packed_too_early,
    "another buffer sent": lambda patch: patch.setattr(CardTransport, "outgoing", sent_from_the_field),
    "another buffer filled": lambda patch: patch.setattr(CardTransport, "incoming", received_beside),
}


@pytest.mark.ranks
def test_they_arrive_in_any_order_of_work(
    world: World, cards: Callable[..., Card], monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    make_aware(monkeypatch, cards(order))
    wrong = difference(world, HOP)
    agree(world, not wrong, wrong)


@pytest.mark.ranks
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_on_their_way_is_caught(
    world: World, cards: Callable[..., Card], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """One rank has no ghosts, and nothing to catch."""
    make_aware(monkeypatch, cards("late"))
    FAULTS[name](monkeypatch)
    agree(world, bool(difference(world, HOP)) == (world.size > 1))


# The probe

PRELUDE = """
from tests.support.emulated import Settings, install
from tests.support.emulated.aware import make_probe_aware
make_probe_aware(install(Settings()))
"""


def probed(monkeypatch: pytest.MonkeyPatch, text: str) -> Awareness:
    """What the true probe finds where MPI takes memory of the emulated card."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])))
    return cuda_awareness(0, PRELUDE + text)


def test_the_true_probe_finds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert probed(monkeypatch, probing.PROBE) == (True, "a message in device memory arrived")


def test_a_probe_that_sends_too_early_finds_other_content(monkeypatch: pytest.MonkeyPatch) -> None:
    hasty = probing.PROBE.replace("        runtime.deviceSynchronize()\n", "", 1)
    assert hasty != probing.PROBE
    assert probed(monkeypatch, hasty) == (False, "a message in device memory arrived with other content")
