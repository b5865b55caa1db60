"""A kernel of the catalogue with numbers for its arguments, and what its formula makes of them."""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass

import numpy as np

from hpcgauge.bench.formulas import Result
from hpcgauge.bench.oracle.algebra import Array, coordinates, random_algebra, random_su
from hpcgauge.bench.oracle.kernels import ORACLES
from hpcgauge.catalogue import Entry, all_entries
from hpcgauge.fields.field import Kind

# A kernel is a chain of at most some hundred roundings, relative to its largest result.
ROUNDINGS = 200
TOLERANCE = {name: ROUNDINGS * float(np.finfo(name).eps) / 2 for name in ("double", "single")}
REACH = 3
GROUP_ARGUMENTS, ALGEBRA_ARGUMENTS, NEARLY_UNITARY = ("U", "W", "G", "query", "key"), ("P",), ("reunitarise", "drift")
INNER_AXES = {"matrix": 2, "traceless": 2, "vector": 1, "real": 0}
DRAW = (3.0, float(6 << 16 | 2), 12345.0, 67.0)
ANTIPERIODIC = (1, -1, 1, -1)


@dataclass(frozen=True)
class Case:
    """A kernel of the catalogue on so many right-hand sides, with N colors in a precision; `boundary`: signs, the last
    of them for the last direction."""

    name: str
    colors: int
    precision: str
    extent: tuple[int, ...]
    n_rhs: int = 2
    boundary: tuple[int, ...] = ANTIPERIODIC

    @property
    def dimensions(self) -> int:
        return len(self.extent)

    @property
    def entry(self) -> Entry:
        return entries(self.dimensions, self.n_rhs)[self.name]

    @functools.cached_property
    def kinds(self) -> dict[str, Kind]:
        """The kind of every field argument."""
        return dict(zip((field.name for field in self.entry.kernel.fields), self.entry.kinds, strict=True))

    @functools.cached_property
    def inputs(self) -> dict[str, Array]:
        """A random array for every field argument, also those that are written, in the shape of `Field.to_numpy`; an
        axis of right-hand sides is there even if there is only one."""
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        return {name: self._array(name, kind, rng) for name, kind in self.kinds.items()}

    @functools.cached_property
    def _single(self) -> set[str]:
        """The field arguments that hold one element on a site, however many right-hand sides there are."""
        entry = entries(self.dimensions, 2)[self.name]
        return {field.name for field, kind in zip(entry.kernel.fields, entry.kinds, strict=True) if kind.count == 1}

    def _array(self, name: str, kind: Kind, rng: np.random.Generator) -> Array:
        sites = tuple(reversed(self.extent))
        shape = sites if name in self._single else (kind.elements(self.dimensions), *sites)
        if kind.element == "real":
            numbers = rng.uniform(-self.colors / 2, self.colors / 2, shape)
            if name == "W":  # compressed links, which end with a number that holds a sign for each
                numbers[-1] = rng.integers(0, 2 ** (2 * self.dimensions), sites)
            return numbers
        if kind.element == "vector":
            return complex_normal(rng, (*shape, self.colors))
        if name in ALGEBRA_ARGUMENTS or kind.element == "traceless":
            return random_algebra(shape, self.colors, rng)
        matrices = complex_normal(rng, (*shape, self.colors, self.colors))
        if self.entry.kernel.name in NEARLY_UNITARY:
            return random_su(shape, self.colors, rng) + 0.1 * matrices
        return random_su(shape, self.colors, rng) if name in GROUP_ARGUMENTS else matrices

    @property
    def numbers(self) -> dict[str, Array]:
        """A value for every number argument."""
        signs = self.boundary[-self.dimensions :]
        last = {"direction": (self.dimensions - 1,), "place": (self.n_rhs - 1,)}
        special = {"draw": DRAW, "boundary": signs, **last}
        usual = (0.35, -0.8, 0.6)
        arguments = self.entry.kernel.numbers
        return {n.name: np.array(special.get(n.name, usual[: n.count]), dtype=float) for n in arguments}

    def expected(self, before: Result) -> Result:
        """The formula's outputs for fields that hold `before`."""
        constants = {name.lower(): value for name, value in self.entry.kernel.constants}
        return ORACLES[self.name](**before, **self.numbers, **constants, colors=self.colors)


def complex_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Independent complex normal numbers."""
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def on_parity(extent: tuple[int, ...], parity: str) -> Array:
    """True where a kernel run on this parity writes."""
    sites = coordinates(tuple(reversed(extent))).sum(axis=0) % 2
    return np.isin(sites, {"both": (0, 1), "even": (0,), "odd": (1,)}[parity])


@functools.cache
def entries(dimensions: int, n_rhs: int = 2) -> dict[str, Entry]:
    """The catalogue with kernels of reach 3 and so many right-hand sides."""
    return all_entries(dimensions, REACH, n_rhs)
