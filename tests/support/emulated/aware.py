"""An MPI that takes memory of the emulated card: the true one, for which it is open while messages are under way.

Nothing that a stream was asked for is done by that, as MPI knows of no streams: what is sent before the packing was
waited for is what lay there before.
"""

from __future__ import annotations

from typing import Any, final

import pytest

from hpcgauge.comm.aware import Awareness
from hpcgauge.comm.exchange import Exchange
from hpcgauge.comm.world import World
from hpcgauge.fields.card import CardArray
from hpcgauge.kernels import card as backend
from tests.support.emulated.card import Card

FOUND = Awareness(True, "MPI of the tests takes memory of the emulated card")


@final
class AwareExchange:
    """Messages whose MPI reads and writes memory of the card from `start` to `wait`. `n_on_card`: of their arrays."""

    def __init__(self, exchange: Exchange, card: Card):
        self._exchange, self._card = exchange, card
        arrays = [array for _, array in [*exchange.sends, *exchange.receives]]
        self._on_card = [array for array in arrays if isinstance(array, CardArray)]

    @property
    def n_on_card(self) -> int:
        return len(self._on_card)

    def start(self) -> AwareExchange:
        library = self._card.library
        for array in self._on_card:
            assert library.is_allocated(array.address, array.nbytes), "MPI is handed memory of the card that is none"
        library.lend()
        self._exchange.start()
        return self

    def wait(self) -> None:
        self._exchange.wait()
        self._card.library.take_back()


def make_aware(patch: pytest.MonkeyPatch, card: Card) -> list[AwareExchange]:
    """The exchanges that are made from here on, by an MPI that is found to take memory of the card."""
    true, made = World.exchange, list[AwareExchange]()

    def exchange(world: World, *messages: Any) -> AwareExchange:
        made.append(AwareExchange(true(world, *messages), card))
        return made[-1]

    patch.setattr(World, "exchange", exchange)
    patch.setattr(backend, "awareness", lambda number: FOUND)
    return made


def make_probe_aware(card: Card) -> None:
    """From here on a message of MPI.COMM_SELF may lie on the card, as that of the probe in hpcgauge/comm/aware.py."""
    from mpi4py import MPI

    class Aware(MPI.Intracomm):
        def Sendrecv(self, *given: Any, **named: Any) -> None:
            card.library.lend()
            super().Sendrecv(*given, **named)
            card.library.take_back()

    MPI.COMM_SELF = Aware(MPI.COMM_SELF)
