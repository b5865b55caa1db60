"""One kernel on random inputs: made as arrays, run on a lattice, compared with its formula."""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcgauge.bench.formulas import SUMS, Result
from hpcgauge.bench.oracle.algebra import Array, coordinates, random_algebra, random_su
from hpcgauge.bench.oracle.kernels import ORACLES
from hpcgauge.catalogue import Entry, all_entries, compile_all
from hpcgauge.comm.world import World
from hpcgauge.fields.device import Device
from hpcgauge.fields.field import Field, Kind
from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.loop import run

# Four different extents, one of 2; t is long enough to leave an interior on 4 ranks.
EXTENTS = {2: (4, 16), 3: (4, 6, 16), 4: (4, 2, 6, 16)}
# Enough blocks for two threads, also of floats.
THREADED_EXTENT = (4, 4, 6, 16)
# A kernel is a chain of at most some hundred roundings, relative to its largest result.
ROUNDINGS = 200
TOLERANCE = {name: ROUNDINGS * float(np.finfo(name).eps) / 2 for name in ("double", "single")}
REACH, N_RHS = 3, 2
PARITIES = ("both", "even", "odd")
# Grids that cut x and others too, by the number of ranks.
MIXED_GRIDS = {1: (1, 1, 1, 1), 2: (2, 1, 1, 1), 4: (2, 1, 1, 2)}
GROUP_ARGUMENTS, ALGEBRA_ARGUMENTS, NEARLY_UNITARY = ("U", "W", "G"), ("P",), ("reunitarise", "drift")
INNER_AXES = {"matrix": 2, "vector": 1, "real": 0}
DRAW = (3.0, float(6 << 16 | 2), 12345.0, 67.0)


@dataclass(frozen=True)
class Case:
    """A kernel of the catalogue in so many dimensions, with N colors in a precision."""

    name: str
    colors: int
    precision: str
    extent: tuple[int, ...] = EXTENTS[4]

    @property
    def dimensions(self) -> int:
        return len(self.extent)

    @property
    def entry(self) -> Entry:
        return entries(self.dimensions)[self.name]

    @functools.cached_property
    def inputs(self) -> dict[str, Array]:
        """A random array for every field argument, also those that are written, in the shape of `Field.to_numpy`."""
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        fields = zip(self.entry.kernel.fields, self.entry.kinds, strict=True)
        return {field.name: self._array(field.name, kind, rng) for field, kind in fields}

    def _array(self, name: str, kind: Kind, rng: np.random.Generator) -> Array:
        sites = tuple(reversed(self.extent))
        shape = sites if kind.count == 1 else (kind.elements(self.dimensions), *sites)
        if kind.element == "real":
            return rng.uniform(-self.colors / 2, self.colors / 2, shape)
        if kind.element == "vector":
            return complex_normal(rng, (*shape, self.colors))
        if name in ALGEBRA_ARGUMENTS:
            return random_algebra(shape, self.colors, rng)
        matrices = complex_normal(rng, (*shape, self.colors, self.colors))
        if self.entry.kernel.name in NEARLY_UNITARY:
            return random_su(shape, self.colors, rng) + 0.1 * matrices
        return random_su(shape, self.colors, rng) if name in GROUP_ARGUMENTS else matrices

    @property
    def numbers(self) -> dict[str, Array]:
        """A value for every number argument; boundary signs end with -1."""
        special = {"draw": DRAW, "direction": (self.dimensions - 1,), "boundary": (1, -1, 1, -1)[-self.dimensions :]}
        usual = (0.35, -0.8, 0.6)
        arguments = self.entry.kernel.numbers
        return {n.name: np.array(special.get(n.name, usual[: n.count]), dtype=float) for n in arguments}

    def fields(self, lattice: Lattice) -> dict[str, Field]:
        """The inputs as fields."""
        kinds = zip(self.inputs.items(), self.entry.kinds, strict=True)
        return {
            name: Field(lattice, kind, self.precision, self.colors).set_global(array) for (name, array), kind in kinds
        }

    def run(self, fields: dict[str, Field], parity: str = "both") -> tuple[Result, tuple[float, ...]]:
        """What the kernel writes, and its sums. Collective."""
        sums = run(self.entry.kernel, parity, **fields, **self.numbers)
        written = [field.name for field in self.entry.kernel.fields if field.access != "read"]
        return {name: fields[name].to_numpy() for name in written}, sums

    def expected(self, before: Result) -> Result:
        """The formula's outputs."""
        constants = {name.lower(): value for name, value in self.entry.kernel.constants}
        return ORACLES[self.name](**before, **self.numbers, **constants, colors=self.colors)

    def disagreement(self, before: Result, outputs: Result, sums: tuple[float, ...], parity: str = "both") -> str:
        """Empty if outputs and sums agree with the formula within rounding; else what does not."""
        expected, limit, wrong = self.expected(before), TOLERANCE[self.precision], []
        sites = on_parity(self.extent, parity)
        kinds = {field.name: kind for field, kind in zip(self.entry.kernel.fields, self.entry.kinds, strict=True)}
        for name, output in outputs.items():
            chosen = sites[(..., *[None] * INNER_AXES[kinds[name].element])]
            difference = output - np.where(chosen, expected[name], before[name])
            error = abs(difference).max() / max(1.0, abs(expected[name]).max())
            if not error <= limit:
                wrong.append(f"{name} off by {error:.2g}")
            if np.where(chosen, 0, difference).any():
                wrong.append(f"{name} changed on other sites")
        terms = expected.get(SUMS, np.zeros((0, *sites.shape)))[:, sites]
        for total, parts in zip(sums, terms, strict=True):
            error = abs(total - parts.sum()) / max(1.0, abs(parts).sum())
            if not error <= limit:
                wrong.append(f"a sum off by {error:.2g}")
        return ", ".join(wrong)


def complex_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Independent complex normal numbers."""
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def on_parity(extent: tuple[int, ...], parity: str) -> Array:
    """True where a kernel run on this parity writes."""
    sites = coordinates(tuple(reversed(extent))).sum(axis=0) % 2
    return np.isin(sites, {"both": (0, 1), "even": (0,), "odd": (1,)}[parity])


@functools.cache
def entries(dimensions: int) -> dict[str, Entry]:
    """The catalogue that kernels are tested from."""
    return all_entries(dimensions, REACH, N_RHS)


def lattice(world: World | None, case: Case, grid: str = "auto", threads: int = 1) -> Lattice:
    """A lattice for a case; kept, so that its tables are made once. World None: alone."""
    return _lattice(world, case.extent, case.colors, case.precision, grid, threads)


@functools.cache
def _lattice(
    world: World | None, extent: tuple[int, ...], colors: int, precision: str, grid: str, threads: int
) -> Lattice:
    own = world or World.alone()
    cut: Any = "auto" if grid == "auto" else MIXED_GRIDS[own.size]
    return Lattice(extent, colors, own, Device("cpu", threads), precision, cut)


def compile_entries(world: World, jobs: list[tuple[Entry, int, int, str]]) -> None:
    """Returns when entries are compiled for (dimensions, colors, precision); ranks share the work. Collective."""
    kernels = [(entry.kernel, entry.target(*wanted)) for entry, *wanted in jobs if wanted[2] in entry.precisions]
    distinct = list(dict.fromkeys(kernels))
    compile_all(distinct[world.rank :: world.size], workers=2 if world.size == 1 else 1)
    world.barrier()
