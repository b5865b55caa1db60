"""Refusals of device = cuda, each one sentence with a remedy, and the choice of the card, on the stand-in for CuPy."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hpcgauge.comm.world import World
from hpcgauge.errors import DeviceError, exit_code
from hpcgauge.fields.card import Card
from hpcgauge.fields.choice import LOCAL_RANKS, SHARING
from hpcgauge.fields.device import Device
from hpcgauge.fields.field import MATRICES, Field
from hpcgauge.fields.lattice import Lattice
from tests.support.emulated import Settings, install
from tests.support.jobs import PLAIN, SMALL, start_job
from tests.support.ranks import agree, clean_environment

MIB = 2**20
NAME = "Emulated card (no GPU)"
pytestmark = pytest.mark.host


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable that a launcher or a user set decides here."""
    for name in (*LOCAL_RANKS, SHARING):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cards(card: None) -> Iterator[Callable[..., None]]:
    """Puts emulated cards of these settings in the place of CuPy."""

    def put(**settings: Any) -> None:
        install(Settings(**settings))

    yield put
    gc.collect()  # what is left is freed on the card that it lay on


def refusal(make: Callable[[], object]) -> str:
    """The text of the DeviceError, which is one sentence and ends the command line with exit code 4."""
    with pytest.raises(DeviceError) as raised:
        make()
    text = str(raised.value)
    assert exit_code(raised.value) == 4 and "\n" not in text and ". " not in text.replace("e.g. ", "")
    return text


def card(local_rank: int = 0, local_size: int = 1) -> Card:
    hardware = Device("cuda", local_size=local_size, local_rank=local_rank).hardware
    assert isinstance(hardware, Card)
    return hardware


# Refusals


def test_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setitem(sys.modules, "cupy.cuda", None)
    text = refusal(card)
    assert "CuPy cannot be imported" in text and "pip install 'hpcgauge[cuda13]'" in text and "device = cpu" in text


BROKEN = """
import sys
sys.modules["cupy._core"] = None
from hpcgauge.fields.device import Device
try:
    Device("cuda")
except RuntimeError as error:
    print(error)
"""


def test_a_cupy_that_is_broken_is_quoted_in_a_line() -> None:
    """The true CuPy says more than ten lines when a library of CUDA is missing."""
    ended = subprocess.run([sys.executable, "-c", BROKEN], capture_output=True, text=True, env=clean_environment())
    lines = ended.stdout.splitlines()
    assert len(lines) == 1 and "CuPy cannot be imported (ModuleNotFoundError: import of cupy._core" in lines[0]
    assert "pip install 'hpcgauge[cuda13]'" in lines[0]


def test_without_a_driver(cards: Callable[..., None]) -> None:
    cards(driver=0)
    text = refusal(card)
    assert "cudaErrorInsufficientDriver" in text and "install an NVIDIA driver" in text and "device = cpu" in text


def test_without_a_visible_card(cards: Callable[..., None]) -> None:
    cards(cards=0)
    assert "no card is visible; see CUDA_VISIBLE_DEVICES, or use device = cpu" in refusal(card)


def test_no_card_may_be_counted_instead_of_refused(cards: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    cards()
    import cupy

    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", lambda: 0)
    assert "no card is visible" in refusal(card)


@pytest.mark.parametrize(("capability", "is_taken"), [(70, False), (74, False), (75, True), (90, True)])
def test_cards_that_are_too_old(cards: Callable[..., None], capability: int, is_taken: bool) -> None:
    cards(capability=capability)
    if is_taken:
        assert card().architecture == f"sm_{capability}"
        return
    text = refusal(card)
    assert f"compute capability {capability / 10}, and 7.5 or more is needed" in text and NAME in text
    assert "CUDA_VISIBLE_DEVICES" in text and "device = cpu" in text


def test_a_card_that_another_process_holds(cards: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    cards()
    from cupy.cuda import runtime

    def busy(device: int) -> None:
        raise runtime.CUDARuntimeError(101)

    monkeypatch.setattr(runtime, "setDevice", busy)
    assert "card 0 cannot be used (cudaErrorInvalidDevice" in refusal(card)


def test_more_ranks_than_cards(cards: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    cards(cards=2)
    text = refusal(lambda: card(0, 3))
    assert "3 ranks on this machine and 2 visible cards; start one rank for each card, or set" in text
    monkeypatch.setenv(SHARING, "1")
    assert [card(rank, 3).number for rank in range(3)] == [0, 1, 0]
    monkeypatch.setenv(SHARING, "0")
    assert "3 ranks" in refusal(lambda: card(0, 3))


@pytest.mark.ranks
def test_ranks_that_took_one_card(world: World, cards: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """One visible card is taken by every rank, as launchers show each its own; a lattice finds that it is the same."""
    cards(cards=1)
    if world.size > 1:
        text = refusal(lambda: Lattice((4, 4, 4, 4), world=world, device="cuda"))
        agree(world, f"{world.size} ranks took the card 00:01:00 of" in text and f"{SHARING}=1" in text, text)
    monkeypatch.setenv(SHARING, "1")
    lattice = Lattice((4, 4, 4, 4), world=world, device="cuda")
    agree(world, lattice.device.hardware.description == f"cuda (card 0, {NAME}, sm_90)")


@pytest.mark.ranks
def test_ranks_that_have_a_card_each(world: World, cards: Callable[..., None]) -> None:
    cards(cards=4)
    lattice = Lattice((4, 4, 4, 4), world=world, device="cuda")
    hardware = lattice.device.hardware
    assert isinstance(hardware, Card)
    agree(world, hardware.number == world.local_rank)
    agree(world, len(set(world.allgather(hardware.identity))) == world.size)


def test_too_little_memory(cards: Callable[..., None]) -> None:
    """The numbers are in the sentence; what was there before still works."""
    cards(memory=4 * MIB)
    lattice = Lattice((8, 8, 8, 8), colors=3, device="cuda")
    first = Field(lattice, MATRICES).fill(0)
    text = refusal(lambda: Field(lattice, MATRICES))
    assert f"card 0 ({NAME}) has 2 of 4 MiB free, and 2 MiB more are needed" in text and "use more cards" in text
    assert lattice.device.bytes_in_use == lattice.device.bytes_peak == first.data.nbytes
    assert not first.to_numpy().any()


def test_memory_in_pieces(cards: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough is free, but the driver finds no place for it; other errors are not called that."""
    cards()
    from cupy.cuda import runtime

    found, errors = card(), iter((2, 700))

    def malloc(size: int) -> int:
        raise runtime.CUDARuntimeError(next(errors))

    monkeypatch.setattr(runtime, "malloc", malloc)
    assert "8192 of 8192 MiB free, and 3 MiB in one piece are needed" in refusal(lambda: found.region(3 * MIB))
    with pytest.raises(runtime.CUDARuntimeError):
        found.region(3 * MIB)


def test_too_little_pinned_memory(cards: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the host, for messages; other errors are not called that."""
    cards()
    from cupy.cuda import runtime

    found, errors = card(), iter((2, 700))

    def host_alloc(size: int, flags: int) -> int:
        raise runtime.CUDARuntimeError(next(errors))

    monkeypatch.setattr(runtime, "hostAlloc", host_alloc)
    text = refusal(lambda: found.pinned((3 * MIB,), "u1"))
    assert (
        "the host has no 3 MiB of pinned memory for card 0 (cudaErrorMemoryAllocation" in text and "ulimit -l" in text
    )
    with pytest.raises(runtime.CUDARuntimeError):
        found.pinned((3 * MIB,), "u1")


def test_kept_memory_is_given_back_before_a_refusal(cards: Callable[..., None]) -> None:
    """Memory of fields that are gone does not stand in the way of others."""
    cards(memory=4 * MIB)
    device = Device("cuda")
    gone = [device.empty((MIB,), "u1") for _ in range(3)]
    del gone
    assert device.bytes_kept == 3 * MIB
    assert device.empty((5 * MIB // 2,), "u1").nbytes == 5 * MIB // 2 and device.bytes_kept <= MIB // 2


# The choice of the card


@pytest.mark.parametrize("name", LOCAL_RANKS)
def test_the_card_is_that_of_the_launchers_local_rank(
    cards: Callable[..., None], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    cards(cards=4)
    monkeypatch.setenv(name, "3")
    assert card(1, 4).number == 3


def test_the_first_launcher_that_speaks_is_heard(cards: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    cards(cards=4)
    assert card(1, 4).number == 1
    for rank, name in enumerate(LOCAL_RANKS):
        monkeypatch.setenv(name, str(rank))
    assert card(3, 4).number == 0
    for name, number in zip(LOCAL_RANKS, (1, 2, 3, 3), strict=True):
        monkeypatch.setenv(name, "none")
        assert card(3, 4).number == number


def test_the_number_of_a_batch_job_s_shell_is_not_taken(
    cards: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """mpirun in a batch job: SLURM_LOCALID is that of the shell, the same for all ranks."""
    cards(cards=4)
    monkeypatch.setenv("SLURM_LOCALID", "0")
    monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_RANK", "2")
    assert card(2, 4).number == 2


def test_one_visible_card_is_that_one(cards: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    cards(cards=1)
    monkeypatch.setenv("SLURM_LOCALID", "3")
    assert card(3, 4).number == 0


# A run, from its command line

NO_DRIVER = "from tests.support.emulated import Settings, install; install(Settings(driver=0))"


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_a_run_without_a_driver_does_not_fall_back(n_ranks: int, tmp_path: Path) -> None:
    changes = (*SMALL, *PLAIN, "lattice.device=cuda")
    job = start_job(n_ranks, tmp_path / "run", *changes, before=NO_DRIVER)
    lines = [line for line in job.stderr.splitlines() if line.startswith("hpcgauge: ")]
    assert job.returncode == 4 and lines and not (tmp_path / "run" / "history.jsonl").exists()
    assert all("no card can be reached" in line and "or use device = cpu" in line for line in lines)
    assert "Traceback" not in job.stderr
