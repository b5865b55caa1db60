"""Offset sets: which neighbours a kernel reads."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy

# The sites that a kernel works on, as places in lists by parity
PARITY = {"even": 0, "odd": 1, "both": 2}


@dataclass(frozen=True)
class Offsets:
    """The vectors i mu + j nu, for every ordered pair of directions mu != nu and every (i, j) in `pairs`."""

    pairs: tuple[tuple[int, int], ...]

    @property
    def reach(self) -> int:
        """The largest |i| or |j|."""
        return max((max(abs(i), abs(j)) for i, j in self.pairs), default=0)

    @property
    def parities(self) -> frozenset[int]:
        """0 if a site of the same parity is reached, 1 if one of the other."""
        return frozenset((i + j) % 2 for i, j in self.pairs)

    def vectors(self, n_dimensions: int) -> list[tuple[int, ...]]:
        """The distinct non-zero vectors, sorted; their places number the columns of a neighbour table."""
        found = set()
        for mu, nu in permutations(range(n_dimensions), 2):
            for i, j in self.pairs:
                vector = [0] * n_dimensions
                vector[mu], vector[nu] = i, j
                found.add(tuple(vector))
        return sorted(found - {(0,) * n_dimensions})

    def lookup(self, n_dimensions: int) -> numpy.ndarray:
        """int32 [mu, nu, i + reach, j + reach]: the place of i mu + j nu in `vectors`, -1 if it is missing."""
        place = {vector: index for index, vector in enumerate(self.vectors(n_dimensions))}
        reach = self.reach
        table = numpy.full((n_dimensions, n_dimensions, 2 * reach + 1, 2 * reach + 1), -1, dtype=numpy.int32)
        for mu, nu in permutations(range(n_dimensions), 2):
            for i in range(-reach, reach + 1):
                for j in range(-reach, reach + 1):
                    vector = [0] * n_dimensions
                    vector[mu], vector[nu] = i, j
                    table[mu, nu, i + reach, j + reach] = place.get(tuple(vector), -1)
        return table


def rectangle(first: range, second: range) -> Offsets:
    """Offsets i mu + j nu with i in `first` and j in `second`."""
    return Offsets(tuple((i, j) for i in first for j in second if (i, j) != (0, 0)))


LOCAL = Offsets(())
STAR = Offsets(((-1, 0), (1, 0)))
FORWARD = Offsets(((1, 0),))
BACKWARD = Offsets(((-1, 0),))
