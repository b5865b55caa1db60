"""Faults planted in what is CUDA's alone are caught on the emulated card: in the text of a unit, in the structs that
kernels take, in tables, and in the order of work on the way of ghosts between a card and MPI."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hpcgauge.bench.case import Case
from hpcgauge.comm.halo import Halo
from hpcgauge.comm.world import World
from hpcgauge.fields.card import TO_HOST, Card, CardArray
from hpcgauge.fields.device import Device
from hpcgauge.fields.field import Field, vectors
from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels import card_kernel, cuda_source, nvrtc
from hpcgauge.kernels.card_transport import CardTransport
from hpcgauge.lattice.ghosts import Ghosts, Message
from hpcgauge.lattice.offsets import LOCAL
from tests.support.emulated import Settings, install
from tests.support.emulated.settings import ORDERS
from tests.support.kernels.cases import disagreement, fields_of, run_case

pytestmark = pytest.mark.host

CASE = Case("staggered_hop_add", 2, "double", (4, 2, 8, 16))
Plant = Callable[[pytest.MonkeyPatch], None]
# Of an order that is drawn, so many tries show what can be seen.
TRIES = 10


@pytest.fixture(autouse=True)
def collected(card: None) -> Iterator[None]:
    """What is left is freed on the card that it lay on."""
    yield
    gc.collect()


def fault() -> str:
    """Empty if the kernel on the card gives the numbers of the formula; else what is wrong."""
    lattice = Lattice(CASE.extent, CASE.colors, World.alone(), Device("cuda"), CASE.precision)
    fields = fields_of(CASE, lattice)
    before = {name: field.to_numpy() for name, field in fields.items()}
    try:
        outputs, sums = run_case(CASE, fields)
    except RuntimeError as error:
        return str(error)
    return disagreement(CASE, before, outputs, sums)


def in_text(right: str, wrong: str) -> Plant:
    """The unit with something else in a place."""

    def faulty(*given: Any) -> str:
        text = cuda_source.cuda_source(*given)
        assert right in text
        return text.replace(right, wrong)

    return lambda patch: patch.setattr(nvrtc, "cuda_source", faulty)


def in_struct(struct: np.dtype, first: str, second: str) -> np.dtype:
    """The struct with two members in each other's place."""
    names = struct.names or ()
    places = {name: struct.fields[name][1] for name in names}  # type: ignore[index]
    places[first], places[second] = places[second], places[first]
    return np.dtype({"names": names, "formats": [struct[n] for n in names], "offsets": [places[n] for n in names]})


def in_call(first: str, second: str) -> Plant:
    return lambda patch: patch.setattr(
        card_kernel, "call_type", lambda n_fields: in_struct(cuda_source.call_type(n_fields), first, second)
    )


def in_sums(first: str, second: str) -> Plant:
    return lambda patch: patch.setattr(card_kernel, "SUM_CALL", in_struct(cuda_source.SUM_CALL, first, second))


def in_tables(changed: Callable[[Any, Ghosts], Any]) -> Plant:
    """The tables of a card with something changed."""
    right = card_kernel.warp_tables
    return lambda patch: patch.setattr(card_kernel, "warp_tables", lambda ghosts: changed(right(ghosts), ghosts))


def one_neighbour(site: int) -> Callable[[Any, Ghosts], Any]:
    """A place so far behind all own sites and ghosts as neighbour of one site."""

    def changed(tables: Any, ghosts: Ghosts) -> Any:
        neighbours = tables.neighbours.copy()
        neighbours[3, 2, 5] = ghosts.n_sites + ghosts.n_ghosts + site
        return replace(tables, neighbours=neighbours)

    return changed


def without_a_warp(tables: Any, ghosts: Ghosts) -> Any:
    return replace(tables, interior=tuple(warps[:-1] for warps in tables.interior))


PLANTS: dict[str, Plant] = {
    "the wrong index of a block": in_text("blockIdx.x * blockDim", "blockIdx.y * blockDim"),
    "the number of a warp instead of its place": in_text("call.warps[thread / WARP]", "int(thread / WARP + 1)"),
    "one warp too many": in_text("thread / WARP >= call.n_warps", "thread / WARP > call.n_warps"),
    "coordinates where neighbours belong": in_text("lattice_{call.neighbours", "lattice_{call.coordinates"),
    "a field in the place of another": in_text("call.fields[1]", "call.fields[2]"),
    "numbers in the place of sums": in_call("numbers", "bins"),
    "warps in the place of their number": in_call("warps", "n_warps"),
    "bins in the place of sums": in_sums("bins", "sums"),
    "copies in the place of bins": in_sums("copies", "bins"),
    "a ghost just out of range": in_tables(one_neighbour(0)),
    "a ghost far out of range": in_tables(one_neighbour(10**6)),
    "a neighbour before the field": in_tables(one_neighbour(-(10**6))),
    "a warp left out": in_tables(without_a_warp),
}


@pytest.mark.parametrize("name", PLANTS)
def test_a_fault_is_caught(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    PLANTS[name](monkeypatch)
    assert fault()


def test_without_a_fault_nothing_is_caught() -> None:
    assert not fault()


# The way of ghosts, from a rank to itself


def ghosts_arrive(card: Card) -> bool:
    """True if ghosts are what was written just before they were sent, several times over."""
    device = Device("cuda")
    device.hardware = card
    lattice = Lattice((4, 4, 4, 8), 2, World.alone(), device)
    field, n_sites, g = Field(lattice, vectors(1)), lattice.geometry.n_sites, np.random.default_rng(1)
    sites = g.integers(0, n_sites, 128)
    message = Message(0, 0, n_sites, 128, 64, sites)
    ghosts = dataclasses.replace(lattice.ghosts(LOCAL), n_ghosts=128, messages=(message,))
    field.reserve(ghosts)
    halo = Halo(lattice.world, ghosts, [field.data], CardTransport(card, False), 2)
    found = []
    for _ in range(3):
        numbers = g.normal(size=(n_sites, field.components))
        field.set_blocks(slice(None), numbers)
        halo.start()
        halo.wait()
        arrived = card.read(field.data[len(field.own_data) :]).transpose(0, 2, 1).reshape(-1, field.components)
        found.append(np.array_equal(arrived, numbers[sites]))
    return all(found)


def without_a_wait(stream: str) -> Callable[[pytest.MonkeyPatch, Card], None]:
    """A stream of the card does not wait for the other one."""

    def plant(patch: pytest.MonkeyPatch, card: Card) -> None:
        wait, deaf = card.runtime.streamWaitEvent, getattr(card, stream)
        patch.setattr(card.runtime, "streamWaitEvent", lambda s, event: None if s == deaf else wait(s, event))

    return plant


def hasty(patch: pytest.MonkeyPatch, card: Card) -> None:
    """What is read is looked at before it has come."""
    arrays = []

    def read(array: CardArray) -> np.ndarray:
        # Kept, as it will be written to.
        arrays.append(np.zeros(array.shape, array.dtype))
        card.runtime.memcpyAsync(arrays[-1].ctypes.data, array.address, array.nbytes, TO_HOST, card.stream)
        return arrays[-1].copy()

    patch.setattr(card, "read", read)


ORDER_FAULTS: dict[str, Callable[[pytest.MonkeyPatch, Card], None]] = {
    "sent before they are packed": lambda patch, card: patch.setattr(CardTransport, "gather", lambda self: None),
    "packed before they are written": without_a_wait("side"),
    "read before they are filled": without_a_wait("stream"),
    "seen before they are copied": hasty,
}


@pytest.mark.parametrize("order", ORDERS)
def test_ghosts_arrive_in_any_order_of_work(order: str) -> None:
    install(Settings(order=order))
    card = Card(0, 1)
    assert all(ghosts_arrive(card) for _ in range(TRIES))


@pytest.mark.parametrize("name", ORDER_FAULTS)
def test_a_missing_wait_on_the_way_of_ghosts_is_caught(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    card = Card(0, 1)
    ORDER_FAULTS[name](monkeypatch, card)
    assert not all(ghosts_arrive(card) for _ in range(TRIES))
