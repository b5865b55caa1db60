"""A card as a device, on the stand-in for CuPy: its memory and arrays."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np
import pytest

from hpcgauge.errors import DeviceError
from hpcgauge.fields import card as fields_card
from hpcgauge.fields.card import HELD_BYTES, MOST_HELD, Card
from hpcgauge.fields.choice import LOCAL_RANKS, SHARING
from hpcgauge.fields.device import Device
from hpcgauge.fields.field import LINKS, Field, reals
from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.card_transport import CardTransport
from tests.support.emulated import Settings, install

pytestmark = pytest.mark.host


@pytest.fixture(autouse=True)
def stand_in(card: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An emulated card as new, and no launcher that says which one is to be taken."""
    for name in (*LOCAL_RANKS, SHARING):
        monkeypatch.delenv(name, raising=False)
    yield
    gc.collect()


def test_too_little_memory_is_said_with_the_numbers() -> None:
    install(Settings(memory=2**24))
    message = r"card 0 \(Emulated card.*\) has \d+ of 16 MiB free, and 36 MiB more are needed"
    with pytest.raises(DeviceError, match=message):
        Field(Lattice((16, 16, 16, 8), 3, device=Device("cuda")), reals(144))


def test_memory_of_tables_is_used_again_or_given_to_fields() -> None:
    install(Settings(memory=2**24))
    card = Card(0, 1)
    table = card.table(np.zeros(2**20))
    place = table.address
    del table
    assert card.table(np.arange(2**20)).address == place
    field = card.empty((3 * 2**19,), np.float64)
    assert field.address != place and card.runtime.memGetInfo()[0] <= 2**22


def test_arrays_are_read_and_written_in_slices() -> None:
    card = Card(0, 1)
    numbers = card.numbers([1.0, 2.0, 3.0])
    numbers[1], numbers[2:] = 5, 7
    assert np.array(numbers).tolist() == [1, 5, 7] and numbers[0] == 1 and numbers[-1] == 7 and len(numbers[1:]) == 2
    assert np.asarray(numbers, np.float32).dtype == np.float32 and card.numbers([]).nbytes == 0
    assert np.array(card.numbers([])).size == 0
    host = card.pinned((2, 3), np.int64)
    place = host.ctypes.data
    del host
    assert card.pinned((6,), np.int64).ctypes.data == place


def test_cupy_takes_arrays_as_they_are() -> None:
    field = Field(Lattice((4, 4, 4, 4), 3, device=Device("cuda")), LINKS)
    shown = field.data[1:].__cuda_array_interface__
    assert shown["shape"] == field.data[1:].shape and shown["typestr"] == "<f8"
    assert shown["data"] == (field.address + field.data.strides[0], False)


def test_what_was_written_is_what_the_array_held_then() -> None:
    """The host may change or free it at once, though CUDA may read it until the stream has been waited for."""
    card, g = Card(0, 1), np.random.default_rng(1)
    for n in (1, 1000, MOST_HELD // 8 + 1):
        for _ in range(10 if n <= 1000 else 1):
            held, numbers = card.empty((n,), np.float64), g.normal(size=n)
            before = numbers.copy()
            held[:] = numbers
            numbers[:] = 0
            assert np.array_equal(card.read(held), before)


def test_what_is_being_written_is_held_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields_card, "MOST_HELD", 10 * HELD_BYTES)
    card = Card(0, 1)
    numbers, held = card.numbers([0.0]), []
    for k in range(30):
        numbers[0] = k
        held.append(len(card._held))
    assert max(held) == 9 and 0 in held and numbers[0] == 29 and not card._held


def test_exchanges_share_their_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are made again and again in a long chain, and what the driver made for them is never given back."""
    card, made = Card(0, 1), []
    create = card.runtime.eventCreateWithFlags
    monkeypatch.setattr(card.runtime, "eventCreateWithFlags", lambda flags: made.append(flags) or create(flags))
    for _ in range(3):
        CardTransport(card, False)
    assert len(made) == 3
