"""Trained numbers in a file: what they belong to, how they were trained, and where they come from."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

from hpcgauge.comm.world import World
from hpcgauge.errors import FileFormatError
from hpcgauge.fields.lattice import Lattice
from hpcgauge.io.container import Contents, read_container, write_container

KIND = "network"
HISTORY = "history/"
REQUIRED = ("variant", "reach", "colors", "attributes")


@dataclass(frozen=True)
class NetworkFile:
    """A network: its parameters by name, what they belong to, and where they come from.

    `history`: arrays of one length, such as `loss` and `trajectory`, an entry for each step of training. `provenance`:
    configuration, versions, ensemble, and the files it was started from.
    """

    parameters: Mapping[str, numpy.ndarray]
    variant: str
    reach: int
    colors: int
    attributes: Mapping[str, Any] = field(default_factory=dict)
    history: Mapping[str, numpy.ndarray] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """The hash of the parameters: their names, shapes and little-endian numbers."""
        found = hashlib.sha256()
        for name, array in sorted(self.parameters.items()):
            little = numpy.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            found.update(f"{name} {little.dtype.str} {array.shape}\n".encode() + little.tobytes())
        return found.hexdigest()

    @property
    def trained_extent(self) -> tuple[int, ...] | None:
        """The extents of the lattice that the network was trained on; None if the file does not say them."""
        ensemble = self.provenance.get("ensemble")
        extent = ensemble.get("extent") if isinstance(ensemble, dict) else None
        return tuple(extent) if isinstance(extent, list) and all(type(n) is int for n in extent) else None

    def trained_on(self, extent: tuple[int, ...]) -> str:
        """Where the network was trained, in words, and that these extents are others if they are."""
        there, here = (" x ".join(map(str, n)) for n in (self.trained_extent or (), extent))
        if not there:
            return "which does not say what it was trained on"
        text = f"trained on {there} at beta {self.provenance['ensemble'].get('beta')}"
        return text + (f"; here {here}" if here != there else "")


def save_network(path: str | Path, world: World, network: NetworkFile) -> None:
    """Writes the network, whole or not at all; the parameters are those of rank 0. Collective."""
    described = {"variant": network.variant, "reach": network.reach, "colors": network.colors}
    described |= {"sha256": network.sha256, "provenance": dict(network.provenance)}
    arrays = {**network.parameters, **{HISTORY + name: array for name, array in network.history.items()}}
    write_container(
        Path(path), world, KIND, Contents({}, arrays, {**described, "attributes": dict(network.attributes)})
    )


def load_network(path: str | Path, lattice: Lattice) -> NetworkFile:
    """The network in a file, for this lattice. Collective.

    A network for another group is refused. Other extents than those it was trained on are allowed, and told by a
    UserWarning on rank 0.
    """
    network = read_network(Path(path), lattice.world, lattice.colors)
    if network.trained_extent != lattice.extent and lattice.world.rank == 0:
        warnings.warn(f"network {path}, {network.trained_on(lattice.extent)}", stacklevel=2)
    return network


def read_network(path: Path, world: World, colors: int) -> NetworkFile:
    """The network in a file, on a lattice of any extents with these colours. Collective."""
    contents = read_container(path, world, KIND, {})
    said = contents.attributes
    missing = [name for name in REQUIRED if name not in said]
    if missing or not isinstance(said["attributes"], dict):
        raise FileFormatError(f"{path}: the network's description lacks {', '.join(missing)}; save it again")
    if said["colors"] != colors:
        raise FileFormatError(
            f"{path}: the network is one for SU({said['colors']}), the lattice has SU({colors}); train one for "
            "this group"
        )
    history = {n.removeprefix(HISTORY): array for n, array in contents.replicated.items() if n.startswith(HISTORY)}
    parameters = {name: array for name, array in contents.replicated.items() if not name.startswith(HISTORY)}
    description = said["variant"], said["reach"], said["colors"], said["attributes"]
    origin = said.get("provenance")
    network = NetworkFile(parameters, *description, history, origin if isinstance(origin, dict) else {})
    # Files of schema 1 have no hash.
    if said.get("sha256", network.sha256) != network.sha256:
        raise FileFormatError(
            f"{path}: stores the hash {said['sha256']}, its numbers give {network.sha256}; train anew"
        )
    return network
