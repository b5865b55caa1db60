"""A card in the place of every device: HPCGAUGE_DEVICE=emulated, or cuda for a real one."""

from __future__ import annotations

import os

from hpcgauge.fields import device
from hpcgauge.fields.card import Card
from hpcgauge.fields.hardware import Hardware
from tests.support import emulated
from tests.support.emulated.settings import settings_of_environment

IS_EMULATED = os.environ.get("HPCGAUGE_DEVICE") == "emulated"
IS_CUDA = os.environ.get("HPCGAUGE_DEVICE") == "cuda"


def use_emulated_cards(n_cards: int) -> None:
    """From here on every device of this process is one of so many emulated cards, another one for each rank."""
    settings = settings_of_environment()
    settings.cards = n_cards
    emulated.install(settings)
    real = device._hardware

    def hardware(name: str, local_rank: int, local_size: int) -> Hardware:
        return Card(local_rank, 1) if name in ("cpu", "cuda") else real(name, local_rank, local_size)

    device._hardware = hardware


def use_card() -> None:
    """From here on every device of this process is this rank's card."""

    def hardware(name: str, local_rank: int, local_size: int) -> Hardware:
        return Card(local_rank, local_size)

    device._hardware = hardware
