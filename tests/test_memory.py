"""Memory of fields: counted, on huge pages, split over ranks; and nothing gathers a field on one rank."""

from __future__ import annotations

import gc
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpcgauge.action.transformed import Transformed
from hpcgauge.bench.oracle.gauge import rough_links
from hpcgauge.comm.world import World
from hpcgauge.fermion.pseudofermion import StaggeredAction
from hpcgauge.fields.device import Device
from hpcgauge.fields.field import LINKS, Field, vectors
from hpcgauge.fields.host import ALIGNMENT, HUGE_PAGE
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import Links, reunitarised
from hpcgauge.gauge.plaquette import PlaquetteAction, plaquette
from hpcgauge.network.cask import Cask
from hpcgauge.sampler.hmc import HMC, State
from tests.support.ranks import agree

# On 4 ranks a rank holds at most this part of the memory of one rank, ghosts included; on 2 ranks ghosts add less.
MEMORY_PARTS = {1: 1.0, 2: 0.65, 4: 0.35}
# What ranks tell each other beside messages between neighbours: flags, names, sums. A field is far larger.
MAX_TOLD_BYTES = 500


def test_memory_is_counted() -> None:
    device = Device("cpu")
    lattice = Lattice((4, 4, 4, 4), 3, device=device)
    field = Field(lattice, LINKS)
    assert device.bytes_in_use == field.data.nbytes == 4**4 * 4 * 18 * 8
    view = field.own_data[:3]
    other = Field(lattice, vectors(1))
    both = field.data.nbytes + other.data.nbytes
    assert device.bytes_in_use == device.bytes_peak == both
    del field
    gc.collect()
    assert device.bytes_in_use == both, "a view keeps memory alive"
    del view
    gc.collect()
    assert device.bytes_in_use == other.data.nbytes and device.bytes_peak == both


def test_memory_of_fields_that_are_gone_is_used_again() -> None:
    device = Device("cpu", threads=1)
    lattice = Lattice((4, 4, 4, 4), 2, device=device)
    first, second = Field(lattice, LINKS), Field(lattice, LINKS)
    size, address = first.data.nbytes, second.address
    assert (device.bytes_in_use, device.bytes_peak, device.bytes_kept) == (2 * size, 2 * size, 0)
    view = second.data[1:2]
    del second
    assert device.bytes_in_use == 2 * size, "a view keeps memory in use"
    del view
    assert (device.bytes_in_use, device.bytes_kept) == (size, size)
    assert Field(lattice, LINKS).address == address
    # A larger field takes the place of what is kept: both together stay below the peak.
    larger = Field(lattice, vectors(5))
    assert larger.data.nbytes > size
    assert device.bytes_kept == 0 and device.bytes_in_use == device.bytes_peak == size + larger.data.nbytes
    del first, larger
    assert device.bytes_in_use == 0 and device.bytes_kept == device.bytes_peak


@pytest.mark.host
def test_large_fields_lie_on_huge_pages() -> None:
    device = Device("cpu")
    small, large = device.empty((1000,), np.float64), device.empty((HUGE_PAGE // 8 + 5,), np.float64)
    assert small.ctypes.data % ALIGNMENT == 0 and large.ctypes.data % HUGE_PAGE == 0
    large[:] = 1.0
    assert large.sum() == len(large) and device.bytes_in_use == small.nbytes + large.nbytes
    support = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if support.exists() and "[never]" not in support.read_text():
        assert "hg" in memory_flags(large.ctypes.data)
    del large
    gc.collect()
    assert device.bytes_in_use == small.nbytes


def memory_flags(address: int) -> list[str]:
    """The kernel's flags of the mapping that holds an address."""
    is_inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split()[0]
        if "-" in first and not first.endswith(":"):
            start, end = (int(part, 16) for part in first.split("-"))
            is_inside = start <= address < end
        elif is_inside and first == "VmFlags:":
            return line.split()[1:]
    return []


@pytest.mark.host
def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="'cpu' and 'cuda' are possible"):
        Device("tpu")
    assert Device("cpu", threads=3).threads == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert Device("cpu").threads == 3
    for wrong in ("two", "0", "-1"):
        monkeypatch.setenv("OMP_NUM_THREADS", wrong)
        with pytest.raises(ValueError, match=f"OMP_NUM_THREADS = {wrong} must be an integer, at least 1"):
            Device("cpu")
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert Device("cpu").threads == len(os.sched_getaffinity(0)) >= Device("cpu", local_size=2).threads >= 1


def trajectory(lattice: Lattice) -> float:
    """The plaquette after a short trajectory of plain HMC, the work whose memory and messages are looked at."""
    action = PlaquetteAction(2.7) + StaggeredAction(mass=1.0, tastes=4, tolerance=1e-4, force_tolerance=1e-4)
    _, record = HMC(action, steps=1, length=0.1).step(State(Links.unit(lattice), seed=1))
    return record.plaquette


@pytest.mark.ranks
def test_memory_is_split_over_ranks(world: World) -> None:
    extent, together = (16, 16, 16, 16), Device("cpu", threads=1)
    value = trajectory(Lattice(extent, 2, world, together))
    alone = Device("cpu", threads=1)
    value_alone = trajectory(Lattice(extent, 2, World.alone(), alone)) if world.rank == 0 else 0.0
    value_alone, bytes_alone = world.broadcast((value_alone, alone.bytes_peak))
    part = together.bytes_peak / bytes_alone
    agree(world, part <= MEMORY_PARTS[world.size], f"{together.bytes_peak} bytes, {part:.3f} of one rank's")
    agree(world, value == value_alone, f"plaquette {value!r}, on one rank {value_alone!r}")


@pytest.mark.ranks
def test_no_field_is_gathered_outside_to_numpy(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trajectories, networks and constructors tell other ranks nothing larger than a few numbers."""
    told: list[tuple[str, int]] = []
    gather, allgather, broadcast = World.gather_arrays, World.allgather, World.broadcast

    def noted(original: Any, name: str, self: World, value: Any, *rest: Any) -> Any:
        told.append((name, len(pickle.dumps(value))))
        return original(self, value, *rest)

    for name, original in (("gather_arrays", gather), ("allgather", allgather), ("broadcast", broadcast)):
        monkeypatch.setattr(World, name, lambda *a, o=original, n=name: noted(o, n, *a))
    lattice = Lattice((4, 4, 4, 4), 2, world)
    array = rough_links((4, 4, 4, 4), 2, 5, 0.3)
    U = Links.from_numpy(lattice, array)
    guide = PlaquetteAction(2.7) + Transformed(StaggeredAction(0.4, 4), Cask([[0.05, 0.02, 0.03, 0.04]]))
    hmc = HMC(PlaquetteAction(2.7) + StaggeredAction(0.3, 4), guide, steps=1, length=0.1)
    state, _ = hmc.step(State(reunitarised(U), seed=1))
    plaquette(state.U)
    agree(world, all(name != "gather_arrays" for name, _ in told), "a field was gathered")
    agree(world, all(size < MAX_TOLD_BYTES for _, size in told), str(told))
    U.to_numpy()
    agree(world, "gather_arrays" in [name for name, _ in told], "to_numpy gathers, so the watch works")
