"""On a card: every kernel of the catalogue agrees with its formula, and a chain has the bits of the processor."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcgauge.bench.case import entries
from hpcgauge.bench.periodic import Periodic
from hpcgauge.comm.world import World
from hpcgauge.fields import device as device_module
from hpcgauge.fields.card import Card
from hpcgauge.fields.host import Host
from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.loop import run
from tests.support.jobs import SMALL, described, lines_of, run_here

pytestmark = pytest.mark.gpu
EXTENT = (8, 4, 4, 4)


@pytest.fixture(autouse=True)
def both(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor is a device beside the card, also where all other tests are on the card."""

    def hardware(name: str, local_rank: int, local_size: int) -> Host | Card:
        return Host() if name == "cpu" else Card(local_rank, local_size)

    monkeypatch.setattr(device_module, "_hardware", hardware)


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("colors", [2, 3])
def test_kernels_agree_with_their_formulas(colors: int, precision: str) -> None:
    lattice = Lattice(EXTENT, colors, device="cuda", precision=precision)
    wrong = {}
    for name, entry in entries(4, 1).items():
        if entry.is_for(colors, precision):
            periodic = Periodic(name, lattice, "both")
            fields = periodic.fields()
            sums = run(periodic.case.entry.kernel, **fields, **periodic.case.numbers)
            wrong[name] = periodic.disagreement(fields, sums)
    assert wrong and not any(wrong.values()), {name: text for name, text in wrong.items() if text}


def test_a_chain_has_the_bits_of_the_processor(tmp_path: Path) -> None:
    for device in ("cpu", "cuda"):
        run_here(described(*SMALL, f"lattice.device={device}"), tmp_path / device, World.alone())
    assert lines_of(tmp_path / "cuda") == lines_of(tmp_path / "cpu")
