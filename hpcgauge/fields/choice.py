"""Which card a process takes, and why it may not have it: one sentence with a remedy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from hpcgauge.errors import DeviceError

REMEDY = "pip install 'hpcgauge[cuda13]' (cuda12 where the driver is older than CUDA 13)"
ANOTHER = "choose another card with CUDA_VISIBLE_DEVICES, or use device = cpu"
# What launchers call a process among those of its machine. SLURM's comes last: the shell of a batch job has it too, and
# hands its 0 to all that another launcher starts from there.
LOCAL_RANKS = ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "PMI_LOCAL_RANK", "SLURM_LOCALID")
# Set to 1 where several ranks are to share a card.
SHARING = "HPCGAUGE_SHARE_CARDS"
LEAST_CAPABILITY = 75
# CUDA's number of the error.
NO_DEVICE = 100


def choose(runtime: Any, local_rank: int, local_size: int) -> int:
    """The number of this process's card. DeviceError where there is none for it."""
    try:
        n_cards = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        if error.status != NO_DEVICE:
            raise DeviceError(
                f"device = cuda: no card can be reached ({error}); install an NVIDIA driver as new as CuPy's CUDA, or "
                "use device = cpu"
            ) from None
        n_cards = 0
    if not n_cards:
        raise DeviceError("device = cuda: no card is visible; see CUDA_VISIBLE_DEVICES, or use device = cpu")
    if n_cards == 1:
        return 0
    if local_size > n_cards and not is_shared():
        raise DeviceError(
            f"device = cuda: {local_size} ranks on this machine and {n_cards} visible cards; start one rank for each "
            f"card, or set {SHARING}=1 to let ranks share them"
        )
    return local_rank_of(os.environ, local_rank) % n_cards


def architecture_of(number: int, properties: Mapping[str, Any]) -> str:
    """What machine code for a card is made for, as "sm_90". DeviceError for one that is too old."""
    capability = 10 * properties["major"] + properties["minor"]
    if capability < LEAST_CAPABILITY:
        raise DeviceError(
            f"device = cuda: card {number} ({title_of(properties)}) has compute capability {capability / 10}, and "
            f"{LEAST_CAPABILITY / 10} or more is needed; {ANOTHER}"
        )
    return f"sm_{capability}"


def title_of(properties: Mapping[str, Any]) -> str:
    """A card's name."""
    name = properties["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


def local_rank_of(environment: Mapping[str, str], known: int) -> int:
    """The process among those of its machine: what the launcher says, else what MPI found."""
    for name in LOCAL_RANKS:
        if environment.get(name, "").isdigit():
            return int(environment[name])
    return known


def is_shared() -> bool:
    """True if ranks may share cards."""
    return os.environ.get(SHARING) == "1"


def in_a_line(error: Exception) -> str:
    """What an error says, or the one that it quotes as the original, in one line."""
    text = str(error)
    return (text.partition("Original error:")[2] or text).strip().partition("\n")[0]
