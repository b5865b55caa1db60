"""Random fields and numbers: Philox keyed by seed, stream, trajectory, global site and component (SC11,
doi:10.1145/2063384.2063405). Nothing depends on ranks, lanes, devices or the order of calls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from hpcgauge.fields.field import LINKS, MATRICES, ROTATION, Field, vectors
from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.kernel import Kernel, Numbers, writes
from hpcgauge.kernels.loop import run

DRAW = Numbers("draw", 4)
RANDOM_GROUP = Kernel("draws.h", (writes("U", "matrix"), DRAW), function="random_group")
RANDOM_MOMENTA = Kernel("draws.h", (writes("P", "matrix"), DRAW), function="random_momenta")
RANDOM_VECTORS = Kernel("draws.h", (writes("xi", "vector"), DRAW), function="random_vectors")


class Stream(IntEnum):
    """Every use of random numbers has a number of its own."""

    HOT = 1
    ROTATION = 2
    MOMENTUM = 3
    PSEUDOFERMION = 4
    METROPOLIS = 5
    NOISE = 6
    PARAMETERS = 7


@dataclass(frozen=True)
class Draw:
    """The key of one random field: seed (64 bits), trajectory (32 bits), stream and instance (16 bits each)."""

    stream: Stream
    seed: int
    trajectory: int = 0
    instance: int = 0

    def __post_init__(self) -> None:
        for name, bits in (("seed", 64), ("trajectory", 32), ("instance", 16)):
            if not 0 <= getattr(self, name) < 2**bits:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least 0 and below 2^{bits}")

    def of(self, stream: Stream, instance: int = 0) -> Draw:
        """The draw of the same seed and trajectory for another stream or instance."""
        return replace(self, stream=stream, instance=instance)

    @property
    def numbers(self) -> tuple[float, ...]:
        """What kernels take: trajectory, stream and instance, lower and upper half of the seed."""
        return self.trajectory, self.stream << 16 | self.instance, self.seed & 0xFFFFFFFF, self.seed >> 32


def random_links(lattice: Lattice, draw: Draw) -> Field:
    """Links of the invariant measure."""
    U = Field(lattice, LINKS, "double")
    run(RANDOM_GROUP, U=U, draw=draw.numbers)
    return _rounded(U)


def random_rotation(lattice: Lattice, draw: Draw) -> Field:
    """One group element of the invariant measure on each site."""
    G = Field(lattice, ROTATION, "double")
    run(RANDOM_GROUP, U=G, draw=draw.numbers)
    return _rounded(G)


def random_momenta(lattice: Lattice, draw: Draw) -> Field:
    """Momenta P = i pi_a T_a with normal pi_a."""
    P = Field(lattice, MATRICES, "double")
    run(RANDOM_MOMENTA, P=P, draw=draw.numbers)
    return _rounded(P)


def random_vectors(lattice: Lattice, draw: Draw, n_rhs: int = 1) -> Field:
    """Color vectors of weight exp(-xi^+ xi)."""
    xi = Field(lattice, vectors(n_rhs), "double")
    run(RANDOM_VECTORS, xi=xi, draw=draw.numbers)
    return _rounded(xi)


def _rounded(field: Field) -> Field:
    """The field in the lattice's precision: numbers are drawn in double and then rounded."""
    return field if field.lattice.precision == "double" else field.astype(field.lattice.precision)


def uniform(draw: Draw, component: int = 0) -> float:
    """One number in (0, 1), the same on every rank: what site 0 would draw."""
    trajectory, stream, low, high = (int(number) for number in draw.numbers)
    first, second, _, _ = philox((0, component, trajectory, stream), (low, high))
    return (first << 20 | second >> 12) / 2**52 + 2.0**-53


def philox(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    """The four 32-bit words of Philox4x32-10."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        first, second = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = second >> 32 ^ c1 ^ k0, second & 0xFFFFFFFF, first >> 32 ^ c3 ^ k1, first & 0xFFFFFFFF
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0, c1, c2, c3
