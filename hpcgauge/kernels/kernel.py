"""Kernel objects: a site function, and what it reads and writes at which offsets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hpcgauge.lattice.offsets import LOCAL, Offsets

SITE_FOLDER = Path(__file__).parent / "site"


@dataclass(frozen=True)
class Argument:
    """A field argument: `element` is "matrix", "vector", "real", or "any" (a field of any kind, taken as its real components); `access` "read", "write" or "update" (own site)."""

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
        if not self.path.exists():
            raise ValueError(f"Kernel header = {self.header!r} is neither in {SITE_FOLDER.name}/ nor a file")
        if any(isinstance(argument, Sums) for argument in self.arguments[:-1]):
            raise ValueError(f"Kernel {self.name}: Sums must be the last argument")

    @property
    def path(self) -> Path:
        own = SITE_FOLDER / self.header
        return own if own.exists() else Path(self.header).resolve()

    @property
    def name(self) -> str:
        return self.function or self.path.stem

    @property
    def fields(self) -> tuple[Argument, ...]:
        return tuple(argument for argument in self.arguments if isinstance(argument, Argument))

    @property
    def numbers(self) -> tuple[Numbers, ...]:
        return tuple(argument for argument in self.arguments if isinstance(argument, Numbers))

    @property
    def n_sums(self) -> int:
        last = self.arguments[-1]
        return last.count if isinstance(last, Sums) else 0

    @property
    def offsets(self) -> Offsets:
        """All offsets that any argument is read at."""
        pairs = {pair for field in self.fields for pair in field.offsets.pairs}
        return Offsets(tuple(sorted(pairs)))
