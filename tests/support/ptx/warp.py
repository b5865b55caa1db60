"""What threads of a warp tell each other: shuffles and votes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tests.support.ptx.text import Instruction, PtxError

if TYPE_CHECKING:
    from tests.support.ptx.machine import Action, Machine

WARP = 32
EVERY = np.uint32(0xFFFFFFFF)


def bind_warp(machine: Machine, instruction: Instruction) -> Action | None:
    """What an instruction does; None if it is none of these."""
    name, operands = instruction.name, instruction.operands
    if name in (("shfl", "sync", "bfly", "b32"), ("shfl", "sync", "idx", "b32")):
        return _shuffle(machine, name[2], operands)
    if name[:2] == ("redux", "sync"):
        return _reduction(machine, name[2:], operands)
    if name == ("bar", "warp", "sync"):
        members = machine.value(operands[0], np.uint32)
        return lambda mask: _check(members[mask])
    if name in (("vote", "sync", "any", "pred"), ("vote", "sync", "all", "pred"), ("vote", "sync", "ballot", "b32")):
        return _vote(machine, name[2], operands)
    return None


def _check(members: np.ndarray) -> None:
    """The machine brings all threads of a warp together; the program must mean that too."""
    if (members != EVERY).any():
        raise PtxError("not all threads of a warp are named")


def _shuffle(machine: Machine, how: str, operands: list[str]) -> Action:
    target, _, valid = operands[0].partition("|")
    out = machine.register(target, np.uint32)
    is_valid = machine.register(valid, np.bool_) if valid else None
    a, place, clamp, members = (machine.value(operand, np.uint32) for operand in operands[1:])
    threads = np.arange(machine.n, dtype=np.uint32)

    def shuffle(mask: np.ndarray | bool) -> None:
        _check(members[mask])
        if (clamp[mask] != WARP - 1).any():
            raise PtxError("a shuffle in parts of a warp")
        source = threads ^ place if how == "bfly" else threads // WARP * WARP + place % WARP
        np.copyto(out, a[np.where(mask, source, 0)], where=mask)
        if is_valid is not None:
            np.copyto(is_valid, True, where=mask)

    return shuffle


def _vote(machine: Machine, how: str, operands: list[str]) -> Action:
    predicate, members = machine.value(operands[1], np.bool_), machine.value(operands[2], np.uint32)
    if how == "ballot":
        ballot = machine.register(operands[0], np.uint32)
    else:
        out = machine.register(operands[0], np.bool_)

    def vote(mask: np.ndarray | bool) -> None:
        _check(members[mask])
        by_warp = predicate.reshape(-1, WARP)
        if how == "ballot":
            words = np.packbits(by_warp, axis=1, bitorder="little").view(np.uint32)
            np.copyto(ballot, np.repeat(words.ravel(), WARP), where=mask)
        else:
            found = by_warp.any(axis=1) if how == "any" else by_warp.all(axis=1)
            np.copyto(out, np.repeat(found, WARP), where=mask)

    return vote


def _reduction(machine: Machine, how: tuple[str, ...], operands: list[str]) -> Action:
    functions = {("add", "s32"): np.add, ("add", "u32"): np.add, ("or", "b32"): np.bitwise_or}
    if how not in functions:
        raise PtxError(f"unknown reduction: {'.'.join(how)}")
    function, out = functions[how], machine.register(operands[0], np.uint32)
    a, members = (machine.value(operand, np.uint32) for operand in operands[1:])

    def reduce(mask: np.ndarray | bool) -> None:
        _check(members[mask])
        found = function.reduce(a.reshape(-1, WARP), axis=1, dtype=np.uint32)
        np.copyto(out, np.repeat(found, WARP), where=mask)

    return reduce
