"""Network parameters in a file, with the description of the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

from hpcgauge.comm.world import World
from hpcgauge.errors import FileFormatError
from hpcgauge.io.container import Contents, read_container, write_container

KIND = "network"


@dataclass(frozen=True)
class NetworkFile:
    """A network: its parameters by name, what they belong to, and where they come from."""

    parameters: Mapping[str, numpy.ndarray]
    variant: str
    reach: int
    colors: int
    attributes: Mapping[str, Any] = field(default_factory=dict)


def save_network(path: Path, world: World, network: NetworkFile) -> None:
    """Writes the network, whole or not at all; the parameters are those of rank 0. Collective."""
    described = {"variant": network.variant, "reach": network.reach, "colors": network.colors}
    contents = Contents({}, network.parameters, {**described, "attributes": dict(network.attributes)})
    write_container(path, world, KIND, contents)


def load_network(path: Path, world: World, colors: int) -> NetworkFile:
    """The network in a file, on a lattice of any extents with these colours. Collective."""
    contents = read_container(path, world, KIND, {})
    said = contents.attributes
    missing = [name for name in ("variant", "reach", "colors", "attributes") if name not in said]
    if missing:
        raise FileFormatError(f"{path}: the network's description lacks {', '.join(missing)}; save it again")
    if said["colors"] != colors:
        raise FileFormatError(
            f"{path}: the network is one for SU({said['colors']}), the lattice has SU({colors}); train one for "
            "this group"
        )
    return NetworkFile(contents.replicated, said["variant"], said["reach"], said["colors"], said["attributes"])
