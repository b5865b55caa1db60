"""Kernel objects: a site function, and what it reads and writes at which offsets."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from hpcgauge.lattice.offsets import LOCAL, Offsets

SITE_FOLDER = Path(__file__).parent / "site"


@dataclass(frozen=True)
class Argument:
    """A field argument. `element`: "matrix", "traceless", "vector", "real", or "any" (a field of any kind, taken as
    its real components); `access`: "read", "write" or "update" (own site)."""

    name: str
    element: str
    access: str
    offsets: Offsets = LOCAL


@dataclass(frozen=True)
class Numbers:
    """`count` real numbers of double precision, read by every site: a number, or one for each right-hand side."""

    name: str
    count: int = 1


@dataclass(frozen=True)
class Sums:
    """`count` exact sums over the sites, returned by `run`: the last argument of a kernel."""

    count: int = 1


def reads(name: str, element: str, offsets: Offsets = LOCAL) -> Argument:
    """A field that is read, on the site itself and at `offsets`."""
    return Argument(name, element, "read", offsets)


def writes(name: str, element: str) -> Argument:
    """A field that is written on the site itself, all of its components."""
    return Argument(name, element, "write")


def updates(name: str, element: str) -> Argument:
    """A field that is read and written on the site itself."""
    return Argument(name, element, "update")


@dataclass(frozen=True)
class Kernel:
    """A site function and its arguments, in the order in which the function takes them.

    `header`: a file of kernels/site, or the path of the user's own; `function`: its name there, the header's stem by
    default; `constants`: integers that the header wants at compile time. The function's arguments are
    (const Lattice& g, Site x, ...): fields by value as Matrices<n>, Vectors<n> or Reals<n>, Numbers as const double*,
    Sums as real (&totals)[count], zero at the start.
    """

    header: str
    arguments: tuple[Argument | Numbers | Sums, ...]
    function: str = ""
    constants: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        _find(self.header)
        if any(isinstance(argument, Sums) for argument in self.arguments[:-1]):
            raise ValueError(f"Kernel {self.name}: Sums must be the last argument")

    def __hash__(self) -> int:
        return self._hash

    @functools.cached_property
    def _hash(self) -> int:
        return hash((self.header, self.function, self.arguments, self.constants))

    @functools.cached_property
    def path(self) -> Path:
        return _find(self.header)

    @functools.cached_property
    def name(self) -> str:
        return self.function or Path(self.header).stem

    @functools.cached_property
    def fields(self) -> tuple[Argument, ...]:
        return tuple(argument for argument in self.arguments if isinstance(argument, Argument))

    @functools.cached_property
    def numbers(self) -> tuple[Numbers, ...]:
        return tuple(argument for argument in self.arguments if isinstance(argument, Numbers))

    @functools.cached_property
    def names(self) -> frozenset[str]:
        """The names of its fields and numbers."""
        return frozenset(argument.name for argument in self.arguments if not isinstance(argument, Sums))

    @functools.cached_property
    def n_numbers(self) -> int:
        """All of its numbers."""
        return sum(number.count for number in self.numbers)

    @functools.cached_property
    def n_sums(self) -> int:
        last = self.arguments[-1]
        return last.count if isinstance(last, Sums) else 0

    @functools.cached_property
    def offsets(self) -> Offsets:
        """All offsets that any argument is read at."""
        pairs = {pair for field in self.fields for pair in field.offsets.pairs}
        return Offsets(tuple(sorted(pairs)))


@functools.cache
def _find(header: str) -> Path:
    for path in (SITE_FOLDER / header, Path(header).resolve()):
        if path.exists():
            return path
    raise ValueError(f"Kernel header = {header!r} is neither in {SITE_FOLDER.name}/ nor a file")
