"""Gauge files pass through memory in slabs, those of HDF5 too."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest

from hpcgauge.comm.world import World
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import Links
from hpcgauge.io.container import Contents, read_container, write_container
from hpcgauge.io.gauge.convert import convert
from hpcgauge.io.gauge.formats import wanted
from hpcgauge.io.gauge.links import read_links, write_links
from hpcgauge.run.stored import distributed
from tests.support.ranks import agree


@pytest.mark.host  # a card's field comes to the host as a whole
@pytest.mark.parametrize("format", ["nersc", "openqcd", "hdf5"])
def test_writing_takes_little_memory_beside_the_field(
    format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some slabs, however large the field is; converting holds no field at all."""
    U = Links.unit(Lattice((8, 8, 8, 64), 3))
    limit = U.data.nbytes / 3
    monkeypatch.setattr("hpcgauge.io.gauge.links.SLAB", 1 << 20)
    monkeypatch.setattr("hpcgauge.io.gauge.sweep.SLAB", 1 << 20)
    write_links(U, tmp_path / "field", "nersc")
    actions: list[Callable[[], object]] = [
        lambda: write_links(U, tmp_path / "field", format, overwrite=True),
        lambda: convert(tmp_path / "field", tmp_path / "other", wanted(format)),
    ]
    for action in actions:
        tracemalloc.start()
        try:
            action()
            assert tracemalloc.get_traced_memory()[1] < limit
        finally:
            tracemalloc.stop()


@pytest.mark.ranks
def test_links_in_hdf5_are_a_container(world: World, shared_tmp_path: Path) -> None:
    """Made of slabs and what is around them, the file is the one that HDF5 lays out for the whole array."""
    U, path = Links.hot(Lattice((4, 2, 4, 6), 3, world)), shared_tmp_path / "container"
    write_links(U, shared_tmp_path / "field", "hdf5")
    contents = read_container(shared_tmp_path / "field", world, "links", {})
    write_container(path, world, "links", Contents({"links": distributed(U)}, {}, contents.attributes))
    agree(world, path.read_bytes() == (shared_tmp_path / "field").read_bytes(), "the same bytes")
    agree(world, set(contents.attributes) == {"plaquette", "link_trace"}, f"{contents.attributes}")
    write_container(path, world, "links", Contents({"links": distributed(U)}))
    agree(world, numpy.array_equal(read_links(path, world).to_numpy(), U.to_numpy()), "a chain's own file is one too")
