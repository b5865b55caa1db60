"""Integrators of molecular dynamics as coefficient tables, nested in time scales.

P kicks the momenta, P <- P + c eps F(U). Q moves the links, U <- exp(c eps P) U. G is P with the force at links that
the force has shifted, F(exp(shift eps^2 F(U)) U), which needs no second derivatives (arXiv:1111.5059).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Integral

from hpcgauge.fields.field import Field
from hpcgauge.gauge.links import KICK, UPDATE_LINKS, force
from hpcgauge.kernels.loop import Launch, run

ROUNDING = 1e-12
# Omelyan, Mryglod, Folk, Comput. Phys. Commun. 151 (2003) 272: second order (lambda), and the velocity form of fourth
# order with five forces (theta, rho, lambda, mu in hep-lat/0505020).
LAMBDA = 0.1931833275037836
THETA_5, RHO_5, LAMBDA_5, MU_5 = 0.08398315262876693, 0.2539785108410595, 0.6822365335719091, -0.03230286765269967


@dataclass(frozen=True)
class Scheme:
    """One step of an integrator: letters P, Q, G in `order`, each with its coefficient; `shift` belongs to G.

    ValueError unless the table reads the same backwards and both kicks and moves add up to 1.
    """

    order: str
    coefficients: tuple[float, ...]
    shift: float = 0.0

    def __post_init__(self) -> None:
        letters, numbers = self.order, self.coefficients
        if len(letters) != len(numbers) or not set(letters) <= set("PQG"):
            raise ValueError(f"Scheme({letters!r}, {numbers}): one coefficient for each letter P, Q or G is right")
        if letters != letters[::-1] or any(abs(a - b) > ROUNDING for a, b in zip(numbers, numbers[::-1], strict=True)):
            raise ValueError(f"Scheme({letters!r}, {numbers}) is not reversible; it must read the same backwards")
        for name, kind in (("kicks", "PG"), ("moves", "Q")):
            total = sum(c for letter, c in zip(letters, numbers, strict=True) if letter in kind)
            if abs(total - 1) > ROUNDING:
                raise ValueError(f"Scheme({letters!r}, {numbers}): the {name} add up to {total!r}; 1 is right")


LEAPFROG = Scheme("PQP", (0.5, 1.0, 0.5))
OMELYAN = Scheme("PQPQP", (LAMBDA, 0.5, 1 - 2 * LAMBDA, 0.5, LAMBDA))
_FIRST_HALF = (THETA_5, RHO_5, LAMBDA_5, MU_5, 0.5 - THETA_5 - LAMBDA_5)
FOURTH_ORDER = Scheme("PQPQPQPQPQP", (*_FIRST_HALF, 1 - 2 * (RHO_5 + MU_5), *reversed(_FIRST_HALF)))
# arXiv:1111.5059, eq. 2.10 and the shift of links below it
FORCE_GRADIENT = Scheme("PQGQP", (1 / 6, 1 / 2, 2 / 3, 1 / 2, 1 / 6), shift=1 / 24)

SCHEMES = {
    "leapfrog": LEAPFROG,
    "omelyan": OMELYAN,
    "fourth_order": FOURTH_ORDER,
    "force_gradient": FORCE_GRADIENT,
}


@dataclass(frozen=True)
class Level:
    """A time scale: terms of the guide by number, and `steps` of a scheme inside each Q of the level outside it."""

    scheme: Scheme
    steps: int
    terms: tuple[int, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.scheme, Scheme):
            raise ValueError(f"scheme = {self.scheme!r} must be a Scheme, such as hpcgauge.OMELYAN")
        if not isinstance(self.steps, Integral) or self.steps < 1:
            raise ValueError(f"steps = {self.steps} must be an integer, at least 1")


@dataclass(frozen=True)
class Move:
    """A kick (P or G, with a level's force) or a move of links (Q) over `step`; G shifts the links by `shift` F."""

    letter: str
    step: float
    level: int = -1
    shift: float = 0.0


def moves(levels: Sequence[Level], length: float) -> tuple[Move, ...]:
    """A trajectory of this length; levels from the outermost inwards. Neighbouring kicks of a level are one."""
    if not levels:
        raise ValueError("levels is empty; at least one Level is needed")
    merged: list[Move] = []
    for move in _expanded(levels, 0, length):
        place = _place_to_merge(merged, move)
        if place is None:
            merged.append(move)
        else:
            merged[place] = replace(merged[place], step=merged[place].step + move.step)
    return tuple(merged)


def _expanded(levels: Sequence[Level], number: int, span: float) -> Iterator[Move]:
    scheme, step = levels[number].scheme, span / levels[number].steps
    for _ in range(levels[number].steps):
        for letter, coefficient in zip(scheme.order, scheme.coefficients, strict=True):
            if letter != "Q":
                yield Move(letter, coefficient * step, number, scheme.shift * step * step if letter == "G" else 0.0)
            elif number + 1 < len(levels):
                yield from _expanded(levels, number + 1, coefficient * step)
            else:
                yield Move("Q", coefficient * step)


def _place_to_merge(before: Sequence[Move], move: Move) -> int | None:
    """The earlier move that can take this one up: nothing between them changes what it depends on."""
    for place in reversed(range(len(before))):
        earlier = before[place]
        if (earlier.letter, earlier.level, earlier.shift) == (move.letter, move.level, move.shift):
            return place
        if "Q" in (earlier.letter, move.letter):
            return None
    return None


def integrate(trajectory: Sequence[Move], U: Field, P: Field, gradients: Sequence[Callable[[Field], Field]]) -> None:
    """Nothing; U and P are moved along the trajectory. `gradients`: for each level C(U) with dS = Re sum tr(C^+ dU).

    They are asked at the same fields all along the trajectory: U, and one more where forces shift it. Collective.
    """
    move_links = Launch(UPDATE_LINKS, U=U, P=P, step=0.0)
    kicks: dict[int, Launch] = {}
    shifted = U.copy() if any(move.letter == "G" for move in trajectory) else U
    for move in trajectory:
        if move.letter == "Q":
            move_links.numbers[0] = move.step
            move_links()
            continue
        gradient, at = gradients[move.level], U
        if move.letter == "G":
            at = shifted.copy_from(U)
            run(UPDATE_LINKS, U=at, P=force(gradient(U), U), step=move.shift)
        on = [P, gradient(at), at]
        if move.level not in kicks or kicks[move.level].fields != on:
            kicks[move.level] = Launch(KICK, P=P, C=on[1], U=at, step=0.0)
        kicks[move.level].numbers[0] = move.step
        kicks[move.level]()
