"""A card in the place of every device: HPCGAUGE_DEVICE=emulated, or cuda for a real one.

So it is in this process and in every Python that it starts, directly or not: they find the folder door/ on their path,
whose sitecustomize.py does there what conftest.py does here.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

from hpcgauge.fields.hardware import Hardware

FOLDER = Path(__file__).parent
CARDS = 8
IS_EMULATED = os.environ.get("HPCGAUGE_DEVICE") == "emulated"
IS_CUDA = os.environ.get("HPCGAUGE_DEVICE") == "cuda"


def use_cards() -> None:
    """From here on every device of this process and of those that it starts is a card."""
    from hpcgauge.fields import device
    from tests.support import emulated
    from tests.support.emulated.settings import VARIABLE

    folders = [FOLDER / "door"]
    if IS_EMULATED:
        # One for each rank; what was asked for otherwise counts.
        os.environ[VARIABLE] = f"cards={CARDS} {os.environ.get(VARIABLE, '')}"
        emulated.install()
        folders.append(FOLDER / "emulated" / "instead")
    replace_devices(device)
    former = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([*map(str, folders), *filter(None, former)]))


def replace_devices(device: ModuleType) -> None:
    """Every device that hpcgauge.fields.device makes is a card from here on; what it refuses is refused."""
    real = device._hardware

    def hardware(name: str, local_rank: int, local_size: int) -> Hardware:
        return _card(local_rank, local_size) if name in ("cpu", "cuda") else real(name, local_rank, local_size)

    device._hardware = hardware  # type: ignore[attr-defined]


def _card(local_rank: int, local_size: int) -> Hardware:
    """This rank's card. Emulated ones are as many as there may be ranks."""
    from hpcgauge.fields.card import Card

    return Card(local_rank, 1 if IS_EMULATED else local_size)
