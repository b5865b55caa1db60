"""The exchange of ghosts: own sites are packed, travel, and land behind the neighbour's own sites."""

from __future__ import annotations

import numpy

from hpcgauge.comm.exchange import Exchange
from hpcgauge.comm.world import World
from hpcgauge.lattice.ghosts import Ghosts, Message


def start(world: World, ghosts: Ghosts, arrays: list[numpy.ndarray]) -> Exchange:
    """The exchange under way that fills the ghosts of `arrays`, each data[block][component][lane]; `wait()` ends it.

    Own sites may be read meanwhile, not written. Collective.
    """
    sends, receives = [], []
    for data in arrays:
        lanes = data.shape[2]
        for message in ghosts.messages:
            sends.append((message.target, pack(data, message)))
            receives.append((message.source, data[message.start // lanes : (message.start + message.count) // lanes]))
    return world.exchange(sends, receives)


def pack(data: numpy.ndarray, message: Message) -> numpy.ndarray:
    """The sites that a message carries, as whole blocks."""
    lanes = data.shape[2]
    blocks = message.sites.reshape(-1, lanes)
    return data[blocks[:, None, :] // lanes, numpy.arange(data.shape[1])[None, :, None], blocks[:, None, :] % lanes]
