"""Whether MPI takes the memory of a card, found out by a process that may die of it, and what the doctor says."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hpcgauge.comm import aware
from hpcgauge.comm.aware import Awareness, cuda_awareness
from hpcgauge.fields.choice import LOCAL_RANKS
from hpcgauge.report import doctor
from tests.support.emulated import Settings, install
from tests.support.ranks import ROOT, SECONDS_OF_A_HANG

pytestmark = pytest.mark.host
NAME = "Emulated card (no GPU)"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe may compile the stand-in first, on a busy machine."""
    monkeypatch.setattr(aware, "SECONDS", SECONDS_OF_A_HANG)


def test_a_probe_that_a_signal_ends() -> None:
    found = cuda_awareness(0, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert not found.is_aware and "ended its process (-11: nothing was said)" in found.reason


def test_a_probe_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aware, "SECONDS", 1.0)
    found = cuda_awareness(0, "import time; time.sleep(60)")
    assert found == (False, "a message in device memory was not there after 1 s")


@pytest.mark.parametrize(
    ("probe", "found"),
    [
        ("print('carried')", (True, "a message in device memory arrived")),
        ("print('lost')", (False, "a message in device memory arrived with other content")),
        ("raise OSError('no such thing')", (False, "ended its process (1: OSError: no such thing)")),
    ],
)
def test_what_a_probe_says(probe: str, found: tuple[bool, str]) -> None:
    awareness = cuda_awareness(0, probe)
    assert awareness.is_aware is found[0] and awareness.reason.endswith(found[1])
    assert awareness.route.startswith("straight from the card" if found[0] else "through pinned memory of the host")


def test_a_probe_is_told_of_the_card() -> None:
    """Each rank tries its own: those of all ranks on one would take its memory."""
    assert cuda_awareness(3, "import sys; print('carried' if sys.argv[1:] == ['3'] else '')").is_aware


def test_a_probe_is_not_told_of_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMPI_COMM_WORLD_SIZE", "PMI_RANK"):
        monkeypatch.setenv(name, "2")
    probe = "import os; print('carried' if not {'OMPI_COMM_WORLD_SIZE', 'PMI_RANK'} & {*os.environ} else '')"
    assert cuda_awareness(0, probe).is_aware


def test_an_mpi_that_is_not_aware_dies_of_the_true_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in's memory cannot be touched by the host, as a card's."""
    before = "from tests.support.emulated import Settings, install; install(Settings())\n"
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    found = cuda_awareness(0, before + aware.PROBE)
    assert not found.is_aware and "ended its process (-11" in found.reason, found


@pytest.fixture
def sign(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The doctor sees a card's driver."""
    monkeypatch.setattr(doctor, "SIGNS_OF_A_CARD", (str(tmp_path),))


def test_the_doctor_names_the_card_and_the_route_of_ghosts(
    card: None, sign: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are those of the card that a run would take, which a launcher may choose."""
    install(Settings(cards=2))
    monkeypatch.setenv(LOCAL_RANKS[0], "1")
    monkeypatch.setattr(doctor, "cuda_awareness", lambda card: Awareness(False, f"card {card} said so"))
    finding = doctor._card()
    assert finding.is_fine and finding.found == (
        f"cpu, cuda (card 1, {NAME}, sm_90); ghosts travel through pinned memory of the host: card 1 said so"
    )
    assert json.dumps(doctor.as_data([finding]))


def test_the_doctor_tells_why_a_card_cannot_be_used(card: None, sign: None) -> None:
    install(Settings(driver=0))
    finding = doctor._card()
    assert finding.is_fine and finding.found == "cpu" and "install an NVIDIA driver" in finding.remedy


def test_the_doctor_without_a_card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "SIGNS_OF_A_CARD", (str(tmp_path / "nothing"),))
    assert doctor._card().found == "cpu; no NVIDIA card"
