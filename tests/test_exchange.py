"""Messages between ranks: prepared once, sent again and again, given back."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy
import pytest

from hpcgauge.comm import halo as packing_halo
from hpcgauge.comm.exchange import Exchange
from hpcgauge.comm.halo import _runs
from hpcgauge.comm.world import World
from hpcgauge.fermion.staggered import Staggered, hop_kernel
from hpcgauge.fermion.vectors import ColorVector
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import Links
from hpcgauge.gauge.plaquette import plaquette, staple_sum
from hpcgauge.kernels.draws import Draw, Stream, random_vectors
from hpcgauge.kernels.loop import run
from tests.support.ranks import agree, run_job

NOISE = Draw(Stream.NOISE, seed=11)
JOB = """
import sys
import numpy
from hpcgauge.comm.world import World
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import Links
from hpcgauge.gauge.plaquette import plaquette, staple_sum
world = World()
with world.guard():
    other, out, into = 1 - world.rank, numpy.full(100000, world.rank), numpy.zeros(100000)
    messages = world.exchange([(other, out)], [(other, into)])
    messages.start()
    {body}
    messages.wait()
"""


@pytest.mark.ranks
def test_messages_of_one_pair_do_not_mix(world: World) -> None:
    """Both neighbours in a ring are the same rank on two ranks, and this rank itself on one."""
    right, left = (world.rank + 1) % world.size, (world.rank - 1) % world.size
    sent = [numpy.full(n, 10 * world.rank + n, dtype=dtype) for n, dtype in ((3, "float64"), (5, "float32"))]
    received = [numpy.zeros_like(array) for array in sent]
    first = world.exchange([(right, sent[0]), (right, sent[1])], [(left, received[0]), (left, received[1])]).start()
    other = numpy.zeros(4)
    second = world.exchange([(left, numpy.full(4, -1.0 - world.rank))], [(right, other)]).start()
    second.wait()
    first.wait()
    first.wait()
    expected = [bool((received[k] == 10 * left + n).all()) for k, n in ((0, 3), (1, 5))]
    agree(world, all(expected) and (other == -1.0 - right).all(), f"{received} {other}")


def test_alone_refuses_a_message_to_another_rank() -> None:
    world = World.alone()
    with pytest.raises(ValueError, match="alone"):
        world.exchange([(1, numpy.zeros(2))], [])
    with pytest.raises(ValueError, match="contiguous"):
        world.exchange([(0, numpy.zeros((4, 4))[:, 0])], [(0, numpy.zeros(4))])
    with pytest.raises(ValueError, match="sends itself"):
        world.exchange([(0, numpy.zeros(3))], [(0, numpy.zeros(4))])


@pytest.mark.ranks
@pytest.mark.parametrize("size", [1, 100000])
def test_an_exchange_is_started_again_and_again(world: World, size: int) -> None:
    """What the arrays hold at each start travels, to the next rank and back to this one."""
    right, left = (world.rank + 1) % world.size, (world.rank - 1) % world.size
    out, into, own, copied = (numpy.zeros(size) for _ in range(4))
    messages = world.exchange([(right, out), (world.rank, own)], [(left, into), (world.rank, copied)])
    good = []
    for k in range(5):
        out[:], own[:] = 10 * k + world.rank, -k
        assert messages.start() is messages
        messages.wait()
        good.append((into == 10 * k + left).all() and (copied == -k).all())
    agree(world, all(good), str(good))


@pytest.mark.ranks
def test_what_an_exchange_holds_is_given_back(world: World) -> None:
    other = (world.rank + 1) % world.size
    out, into = numpy.zeros(3), numpy.zeros(3)
    messages = world.exchange([(other, out)], [((world.rank - 1) % world.size, into)])
    messages.start().wait()
    requests = messages._requests
    agree(world, len(requests) == (2 if world.size > 1 else 0) and all(requests))
    del messages
    gc.collect()
    agree(world, not any(requests), "requests of an exchange that is gone")


@pytest.mark.ranks
def test_a_field_keeps_its_exchanges_and_takes_them_with_it(world: World) -> None:
    """One for each offset set, none when its memory has moved; a field that is gone has given its memory back."""
    lattice = Lattice((4, 4, 4, 8), 2, world)
    U = Links.hot(lattice)
    plaquette(U)
    halos = list(U.halos.values())
    U.touch()
    plaquette(U)
    agree(world, list(U.halos.values()) == halos and len(halos) == (world.size > 1))
    staple_sum(U)
    agree(world, not set(halos) & set(U.halos.values()), "memory moved")
    del halos
    before = lattice.device.bytes_in_use
    n_bytes = U.data.nbytes
    del U
    agree(world, lattice.device.bytes_in_use == before - n_bytes)


def test_runs_of_whole_blocks() -> None:
    sites = numpy.array([8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3])
    assert _runs(sites, 4) == [slice(2, 4), slice(0, 1)]
    assert _runs(sites, 2) == [slice(4, 8), slice(0, 2)]
    assert _runs(sites[::-1].copy(), 4) == [] == _runs(sites - 1, 4) and _runs(sites[:0], 4) == []


@pytest.mark.ranks
@pytest.mark.parametrize(
    ("extent", "parity"), [((4, 4, 4, 8), "even"), ((4, 4, 8, 16), "both"), ((8, 16, 8, 8), "odd")]
)
def test_ghosts_are_the_same_packed_or_sent_from_where_they_lie(
    world: World, monkeypatch: pytest.MonkeyPatch, extent: tuple[int, ...], parity: str
) -> None:
    found = []
    for least in (0, 1 << 60):
        monkeypatch.setattr(packing_halo, "LEAST_DIRECT", least)
        lattice = Lattice(extent, 3, world)
        D, psi, out = Staggered(Links.hot(lattice), 0.1), random_vectors(lattice, NOISE), ColorVector.zeros(lattice)
        for _ in range(2):
            run(hop_kernel(False), parity, out=out, W=D.links, psi=psi, b=1.0)
            psi.copy_from(out)
        found.append((out.to_numpy().tobytes(), plaquette(Links.hot(lattice))))
    agree(world, found[0] == found[1])


@pytest.mark.ranks
def test_arrays_outlive_messages_under_way(world: World) -> None:
    """A receive that nobody answers is given up; what MPI might still fill is kept."""
    kept: list[object] = []
    into = numpy.zeros(3)
    if world.size > 1:
        apart = world.communicator.Dup()
        messages = Exchange(apart, world.rank, [], [((world.rank + 1) % world.size, into)], kept).start()
        del messages
        gc.collect()
    agree(world, len(kept) == (world.size > 1))


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ("if world.rank == 1: raise ValueError('lost')", 2, "ValueError (rank 1 of 2): lost"),
        ("if world.rank == 0: raise KeyboardInterrupt", 130, "KeyboardInterrupt (rank 0 of 2): interrupted"),
        ("messages.wait(); sys.exit(75)", 75, ""),
        ("messages.wait(); messages.start()", 0, ""),
    ],
)
def test_a_job_ends_with_messages_prepared_or_under_way(tmp_path: Path, body: str, code: int, text: str) -> None:
    program = tmp_path / "job.py"
    program.write_text(JOB.format(body=body))
    job = run_job(2, ["python", program])
    assert job.returncode == code and text in job.stderr, job.stderr
    assert code or not job.stderr, job.stderr
