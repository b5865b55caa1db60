"""A chain's state in its files: checkpoints, the links that controls start from, recorded trajectories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy

from hpcgauge.config.schema import CheckpointSection
from hpcgauge.errors import FileFormatError
from hpcgauge.fields.convert import window
from hpcgauge.fields.field import LINKS, Field, vectors
from hpcgauge.fields.lattice import Lattice
from hpcgauge.io.checkpoint import keep_last, newest_valid, read_checkpoint, write_checkpoint
from hpcgauge.io.container import Contents, read_container, write_container
from hpcgauge.io.distributed import Distributed
from hpcgauge.io.record import Mark
from hpcgauge.io.recorded import read_trajectory, record_trajectory, recorded_trajectories
from hpcgauge.sampler.chain import ChainState
from hpcgauge.sampler.hmc import State
from hpcgauge.training.proposal import Proposal
from hpcgauge.training.train import Learned

LINKS_FILE = "links"
ENERGIES = ("S_0", "S_tau", "dH", "dH_guide")
MEMORY = "memory."
FIELD = "field."


def distributed(field: Field) -> Distributed:
    """A field as a block of its global array, in the index order of `to_numpy`."""
    local, origin = field.local_to_numpy()
    behind = local.shape[1 + field.lattice.dimensions :]
    shape = (local.shape[0], *reversed(field.lattice.extent), *behind)
    return Distributed(shape, (0, *reversed(origin), *(0 for _ in behind)), local)


def _slices(lattice: Lattice, shape: tuple[int, ...]) -> tuple[slice, ...]:
    here = window(lattice.origin, lattice.local_extent)
    return (slice(0, shape[0]), *here[1:], *(slice(0, length) for length in shape[len(here) :]))


def save_state(folder: Path, lattice: Lattice, now: ChainState, mark: Mark, keep: CheckpointSection) -> None:
    """Writes the checkpoint of a chain and removes old ones. Collective."""
    learned: dict[str, numpy.ndarray] = {}
    if now.learned is not None:
        learned = {"vector": now.learned.vector, **{MEMORY + k: value for k, value in now.learned.memory.items()}}
    attributes = {"trajectory": now.state.trajectory, "seed": now.state.seed, "history": list(mark)}
    contents = Contents({"links": distributed(now.state.U)}, learned, attributes)
    write_checkpoint(folder, now.state.trajectory, lattice.world, contents)
    keep_last(folder, lattice.world, keep.keep, keep.keep_every, now.state.trajectory)


def load_state(folder: Path, lattice: Lattice) -> tuple[ChainState | None, Mark | None, list[str]]:
    """The newest whole checkpoint as a chain's state, the mark of its history, and what was wrong with newer ones.

    Collective.
    """
    newest = newest_valid(folder, lattice.world)
    if newest.path is None:
        return None, None, newest.messages
    contents = read_checkpoint(newest.path, lattice.world, lambda name, shape: _slices(lattice, shape))
    said, numbers = contents.attributes, contents.replicated
    missing = [name for name in ("seed", "trajectory", "history") if name not in said]
    if missing or "links" not in contents.arrays:
        raise FileFormatError(f"{newest.path}: lacks {', '.join(missing) or 'links'}: no state of a chain; remove it")
    if not _is_state(said):
        raise FileFormatError(f"{newest.path}: its seed, trajectory or history are none; remove it")
    U = _links(lattice, contents.arrays["links"].local)
    memory = {name.removeprefix(MEMORY): value for name, value in numbers.items() if name.startswith(MEMORY)}
    learned = Learned(numbers["vector"], memory) if "vector" in numbers else None
    return ChainState(State(U, said["seed"], said["trajectory"]), learned), Mark(*said["history"]), newest.messages


def _is_state(said: Mapping[str, Any]) -> bool:
    """True if a checkpoint's attributes are of the kinds that a state has."""
    history = said["history"]
    is_mark = isinstance(history, list) and len(history) == 2 and isinstance(history[1], str)
    return is_mark and all(type(n) is int and n >= 0 for n in (said["seed"], said["trajectory"], history[0]))


def save_links(path: Path, U: Field) -> None:
    """Writes links that another chain starts from, as a checkpoint would hold them. Collective.

    In four dimensions `read_links` reads the file too. `write_links` writes gauge fields for other programs: in four
    dimensions alone, in the field's precision, with plaquette and link trace, and none off the group.
    """
    write_container(path, U.lattice.world, LINKS_FILE, Contents({"links": distributed(U)}))


def load_links(path: Path, lattice: Lattice) -> Field:
    """Links of a file written by `save_links`. Collective."""
    contents = read_container(path, lattice.world, LINKS_FILE, lambda name, shape: _slices(lattice, shape))
    return _links(lattice, contents.arrays["links"].local)


def _links(lattice: Lattice, local: numpy.ndarray) -> Field:
    """Links as they were written: checksums have vouched for them."""
    return Field(lattice, LINKS).set_local(local)


def record_proposal(folder: Path, proposal: Proposal) -> None:
    """Writes one proposal for training later. Collective."""
    arrays = {"start": distributed(proposal.U_0), "end": distributed(proposal.U_tau)}
    arrays |= {f"{FIELD}{k}": distributed(own) for k, own in enumerate(proposal.fields) if own is not None}
    attributes: dict[str, Any] = {name: getattr(proposal, name) for name in ENERGIES}
    attributes["terms"] = len(proposal.fields)
    record_trajectory(folder, proposal.trajectory, proposal.U_0.lattice.world, arrays, attributes)


def read_proposals(folder: Path, lattice: Lattice, last: int | None) -> list[Proposal]:
    """The recorded proposals, or the last ones of them, the oldest first. Collective."""
    numbers = recorded_trajectories(folder, lattice.world)
    return [_read_proposal(folder, number, lattice) for number in (numbers if last is None else numbers[-last:])]


def _read_proposal(folder: Path, number: int, lattice: Lattice) -> Proposal:
    contents = read_trajectory(folder, number, lattice.world, lambda name, shape: _slices(lattice, shape))
    U_0, U_tau = (_links(lattice, contents.arrays[name].local) for name in ("start", "end"))
    fields: list[Field | None] = [None] * contents.attributes["terms"]
    for name, part in contents.arrays.items():
        if name.startswith(FIELD):
            fields[int(name.removeprefix(FIELD))] = Field(lattice, vectors(len(part.local))).set_local(part.local)
    return Proposal(number, U_0, U_tau, fields, **{name: contents.attributes[name] for name in ENERGIES})
