"""run(KERNEL, ...): ghosts move only when stale, wrong arguments are refused, sums are exact."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from hpcgauge.comm.exchange import Exchange
from hpcgauge.comm.world import World
from hpcgauge.fermion.descent import reduce_kernel
from hpcgauge.fermion.staggered import Staggered, gradient_kernel, hop_kernel
from hpcgauge.fermion.vectors import ColorVector, inner_each
from hpcgauge.fields.field import MATRICES, Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import KICK, UPDATE_LINKS, Links, MatrixField, Rotation, gauge_rotate
from hpcgauge.gauge.plaquette import STAPLE_SUM, plaquette, staple_sum
from hpcgauge.kernels.algebra import combine, inner
from hpcgauge.kernels.draws import Draw, Stream, random_momenta, random_vectors
from hpcgauge.kernels.kernel import Kernel, Sums, reads
from hpcgauge.kernels.loop import Launch, run
from tests.support.ranks import agree

EXTENT = (4, 4, 6, 8)
PERIODIC = (1, 1, 1, 1)
DRAW = Draw(Stream.NOISE, seed=11)


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The number of messages sent in each exchange, in the order of exchanges."""
    seen: list[int] = []
    original = Exchange.start

    def counted(self: Exchange) -> Exchange:
        seen.append(len(self.sends))
        return original(self)

    monkeypatch.setattr(Exchange, "start", counted)
    yield seen


@pytest.fixture
def bytes_sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The bytes of each message, in the order of exchanges."""
    seen: list[int] = []
    original = Exchange.start

    def counted(self: Exchange) -> Exchange:
        seen.extend(array.nbytes for _, array in self.sends)
        return original(self)

    monkeypatch.setattr(Exchange, "start", counted)
    yield seen


# Ghosts


@pytest.mark.ranks
def test_ghosts_move_only_when_the_field_has_changed(world: World, exchanges: list[int]) -> None:
    lattice = Lattice(EXTENT, 2, world)
    moves = int(world.size > 1)
    U = Links.hot(lattice)
    first = plaquette(U)
    agree(world, len(exchanges) == moves, f"the first reading: {exchanges}")
    agree(world, plaquette(U) == first and len(exchanges) == moves, f"read again, not exchanged: {exchanges}")
    P = random_momenta(lattice, DRAW)
    run(UPDATE_LINKS, U=U, P=P, step=0.1)
    agree(world, len(exchanges) == moves, "a kernel of the own site needs no ghosts")
    second = plaquette(U)
    agree(world, second != first and len(exchanges) == 2 * moves, f"stale after an update: {exchanges}")
    U.copy_from(Links.unit(lattice))
    agree(world, plaquette(U) == 1 and len(exchanges) == 3 * moves, f"stale after a copy: {exchanges}")
    U.set_global(Links.hot(lattice).to_numpy())
    agree(world, plaquette(U) == first and len(exchanges) == 4 * moves, f"stale after new data: {exchanges}")


@pytest.mark.ranks
def test_every_stale_field_of_a_kernel_travels_in_one_exchange(world: World, exchanges: list[int]) -> None:
    lattice = Lattice(EXTENT, 3, world)
    X, Y, C = random_vectors(lattice, DRAW), ColorVector.zeros(lattice), MatrixField.zeros(lattice)
    kernel = gradient_kernel(4, 1)
    n_messages = len(lattice.ghosts(kernel.offsets).messages)
    launch = Launch(kernel, C=C, X=X, Y=Y, boundary=PERIODIC, weight=1.0)
    launch()
    agree(world, exchanges == ([2 * n_messages] if world.size > 1 else []), f"X and Y: {exchanges}")
    launch()
    X.touch()
    launch()
    expected = [2 * n_messages, n_messages] if world.size > 1 else []
    agree(world, exchanges == expected, f"then X alone: {exchanges}")


@pytest.mark.ranks
def test_a_launch_on_one_parity_moves_the_ghosts_that_it_reads(world: World, bytes_sent: list[int]) -> None:
    lattice = Lattice(EXTENT, 3, world)
    D, psi, out = Staggered(Links.hot(lattice), 0.1), random_vectors(lattice, DRAW), ColorVector.zeros(lattice)
    arguments = {"out": out, "W": D.links, "psi": psi, "b": 1.0}
    del bytes_sent[:]
    whole = sum(message.count for message in lattice.ghosts(hop_kernel(False).offsets).messages) * 6 * 8
    for parity, moved in (("even", whole // 2), ("even", 0), ("odd", whole // 2), ("both", 0)):
        run(hop_kernel(False), parity, **arguments)
        agree(world, sum(bytes_sent) == moved, f"{parity}: {bytes_sent}")
        del bytes_sent[:]
    psi.touch()
    run(hop_kernel(False), "both", **arguments)
    agree(world, sum(bytes_sent) == whole, f"both: {bytes_sent}")


@pytest.mark.ranks
def test_kernels_of_other_offsets_do_not_trust_each_others_ghosts(world: World) -> None:
    lattice, alone = Lattice(EXTENT, 2, world), Lattice(EXTENT, 2)
    values = []
    for on in (lattice, alone):
        U = Links.hot(on)
        G = Rotation.hot(on)
        values.append((plaquette(U), staple_sum(U).to_numpy(), plaquette(gauge_rotate(U, G)), plaquette(U)))
    same = [np.array_equal(a, b) for a, b in zip(*values, strict=True)]
    agree(world, all(same), str(same))


@pytest.mark.ranks
def test_room_for_ghosts_keeps_what_a_field_holds(world: World) -> None:
    lattice = Lattice(EXTENT, 2, world)
    U = Links.hot(lattice)
    before = U.to_numpy()
    launch = Launch(UPDATE_LINKS, U=U, P=MatrixField.zeros(lattice), step=0.0)
    staple_sum(U)
    agree(world, np.array_equal(U.to_numpy(), before), "the numbers are kept when memory moves")
    U.fill(0)
    launch()
    agree(world, not U.to_numpy().any(), "a launch made before follows the field to its new memory")


# Parities


@pytest.mark.ranks
def test_parity_limits_what_is_written(world: World) -> None:
    lattice = Lattice(EXTENT, 2, world)
    U = Links.hot(lattice)
    x = np.indices(tuple(reversed(EXTENT))).sum(axis=0) % 2
    whole = staple_sum(U).to_numpy()
    for parity, odd in (("even", 0), ("odd", 1)):
        field = MatrixField.zeros(lattice)
        run(STAPLE_SUM, parity, sum=field, U=U, factor=1.0)
        expected = np.where((x == odd)[..., None, None], whole, 0)
        agree(world, np.array_equal(field.to_numpy(), expected), parity)
    even, odd_, both = (inner(U, U, parity) for parity in ("even", "odd", "both"))
    agree(world, math.isclose(even + odd_, both, rel_tol=1e-15), f"{even} + {odd_} = {both}")


# Sums


@pytest.mark.ranks
def test_sums_are_the_same_bits_for_every_number_of_ranks(world: World) -> None:
    sums = []
    for on in (Lattice(EXTENT, 3, world), Lattice(EXTENT, 3, World.alone())):
        v = random_vectors(on, DRAW, 3)
        U = Links.hot(on)
        single = U.astype("single")
        sums.append((plaquette(U), inner(U, U), *inner_each(v, v), plaquette(single), inner(single, single, "odd")))
    agree(world, sums[0] == sums[1], f"{sums[0]} and {sums[1]}")
    agree(world, len(set(world.allgather(sums[0]))) == 1, "ranks differ")


@pytest.mark.ranks
def test_sums_are_exact(world: World) -> None:
    """The sum over sites of numbers of very different size is the one that math.fsum gives."""
    lattice = Lattice(EXTENT, 2, world)
    rng = np.random.default_rng(12)
    sizes = 10.0 ** rng.integers(-15, 15, (1, *reversed(EXTENT), 1, 1))
    numbers = sizes * rng.standard_normal((4, *reversed(EXTENT), 2, 2))
    field, ones = MatrixField.from_numpy(lattice, numbers + 0j), MatrixField.zeros(lattice)
    ones.fill(1.0)
    components = field._sites()[lattice.geometry.position_of]
    site_sums = np.zeros(len(components))
    for k in range(components.shape[1]):
        site_sums = site_sums + components[:, k]
    everywhere = np.concatenate(world.gather_arrays(site_sums))
    agree(world, inner(field, ones) == math.fsum(everywhere), f"{inner(field, ones)!r}, {math.fsum(everywhere)!r}")


@pytest.mark.ranks
def test_a_number_that_is_none_shows_in_the_sum(world: World) -> None:
    lattice = Lattice(EXTENT, 2, world)
    array = np.zeros((4, *reversed(EXTENT), 2, 2), dtype=complex)
    array[0, 0, 0, 0, 0] = np.nan * np.eye(2)
    field = MatrixField.from_numpy(lattice, array)
    agree(world, math.isnan(inner(field, field)), "NaN on one site")
    bins = np.zeros((1, 16), dtype=np.int64)
    bins[0, 7] = 1
    agree(world, world.allreduce_int64(bins)[0, 7] == world.size, "one unit of 2^0 from every rank")


# Refusals


LATTICE = Lattice((4, 4), 2)
OTHER = Lattice((4, 4), 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"U": "U"}, r"kernel kick takes \['C', 'P', 'U', 'step'\], not \['U'\]"),
        ({"P": "P", "C": "C", "U": "U", "step": 1.0, "extra": 2}, r"not \['C', 'P', 'U', 'extra', 'step'\]"),
        ({"P": "P", "C": "C", "U": "other", "step": 1.0}, "kick: U has lattice .* they must agree"),
        ({"P": "P", "C": "single", "U": "U", "step": 1.0}, "kick: C has precision single, P has double"),
        ({"P": "P", "C": "C", "U": "su3", "step": 1.0}, "kick: U has colors 3, P has 2"),
        ({"P": "P", "C": "C", "U": "vector", "step": 1.0}, "kick: U must hold a matrix field"),
        ({"P": "P", "C": "C", "U": "U", "step": (1.0, 2.0)}, "kick: step has 2 numbers, 1 are right"),
    ],
)
def test_wrong_arguments_are_refused_with_a_sentence(arguments: dict[str, Any], message: str) -> None:
    U, P = Links.unit(LATTICE), MatrixField.zeros(LATTICE)
    given = {
        "U": U,
        "P": P,
        "C": P.copy(),
        "other": Links.unit(OTHER),
        "single": P.astype("single"),
        "su3": Field(LATTICE, MATRICES, colors=3),
        "vector": ColorVector.zeros(LATTICE),
    }
    with pytest.raises(ValueError, match=message):
        run(KICK, **{k: given.get(v, v) if isinstance(v, str) else v for k, v in arguments.items()})


def test_a_field_cannot_be_written_where_its_neighbours_are_read() -> None:
    lattice = Lattice((4, 4), 2)
    U, v = Links.unit(lattice), ColorVector.zeros(lattice)
    with pytest.raises(ValueError, match="staple_sum: sum is written while U, the same field, is read"):
        run(STAPLE_SUM, sum=U, U=U, factor=1.0)
    with pytest.raises(ValueError, match="out is written while psi, the same field, is read"):
        run(hop_kernel(False), out=v, W=Staggered(U, 0.1).links, psi=v, b=1.0)
    before = U.to_numpy()
    combine(2.0, U, 0.0, U, out=U)
    assert np.array_equal(U.to_numpy(), 2 * before), "on its own site a kernel may read what it writes"


def test_kernels_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"Kernel header = 'nothing\.h' is neither in site/ nor a file"):
        Kernel("nothing.h", (reads("U", "matrix"),))
    with pytest.raises(ValueError, match="Sums must be the last argument"):
        Kernel("links.h", (Sums(1), reads("U", "matrix")), "kinetic")
    kernel = reduce_kernel(2)
    assert kernel.name == "reduce" and kernel.n_sums == 2 and [n.count for n in kernel.numbers] == [2, 2]
    assert [field.access for field in kernel.fields] == ["update", "read"]
