"""Loads, stores and integer atomics."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.support.ptx.memory import READ, WINDOW, WRITE
from tests.support.ptx.text import DTYPE, Instruction, PtxError

if TYPE_CHECKING:
    from tests.support.ptx.machine import Action, Machine

ADDRESS = re.compile(r"\[\s*([%\w$.]+)\s*(?:\+\s*(-?\d+))?\s*\]")
MODIFIERS = {"nc"}


def bind_access(machine: Machine, instruction: Instruction) -> Action | None:
    """What an instruction does; None if it is none of these."""
    name = instruction.name
    if name[0] == "ld" and "param" in name:
        return _parameter(machine, name, instruction.operands)
    if name[0] in ("ld", "st"):
        return _transfer(machine, name, instruction.operands)
    if name in (("atom", "global", "add", "u64"), ("red", "global", "add", "u64")):
        return _atomic_add(machine, name, instruction.operands)
    return None


def _split(operand: str) -> tuple[str, int]:
    match = ADDRESS.fullmatch(operand)
    if not match:
        raise PtxError(f"not an address: {operand}")
    return match[1], int(match[2] or 0)


def _parameter(machine: Machine, name: tuple[str, ...], operands: list[str]) -> Action:
    (base, offset), dtype = _split(operands[1]), DTYPE[name[-1]]
    out = machine.register(operands[0], dtype)
    start, size = machine.program.parameters[base]
    if name[1:-1] != ("param",) or offset + out.itemsize > size:
        raise PtxError(f"unknown load of a parameter: {operands}")
    at = start + offset

    def load(mask: np.ndarray | bool) -> None:
        np.copyto(out, np.frombuffer(machine.parameters, dtype, 1, at)[0], where=mask)

    return load


def _transfer(machine: Machine, name: tuple[str, ...], operands: list[str]) -> Action:
    is_load, dtype = name[0] == "ld", DTYPE[name[-1]]
    middle = [part for part in name[1:-1] if part not in MODIFIERS]
    space = middle.pop(0) if middle and middle[0] in ("global", "local") else "generic"
    if middle not in ([], ["v2"], ["v4"]):
        raise PtxError(f"unknown instruction: {'.'.join(name)}")
    where, what = operands if not is_load else operands[::-1]
    base, offset = _split(where)
    address, shift = machine.value(base, np.uint64), np.uint64(offset % 2**64)
    rows = [_row(machine, entry, dtype, is_load) for entry in what.strip("{}").split(",")]
    size = np.dtype(dtype).itemsize

    def transfer(mask: np.ndarray | bool) -> None:
        at = (address if mask is True else address[mask]) + shift
        if len(rows) > 1 and (at & np.uint64(size * len(rows) - 1)).any():
            raise PtxError(f"an address is not a multiple of {size * len(rows)}")
        for k, row in enumerate(rows):
            view, places = _places(machine, space, at + np.uint64(k * size), size, mask, is_load)
            view = view.view(dtype)
            if is_load:
                row[mask] = view[places]
            else:
                view[places] = row if mask is True else row[mask]

    return transfer


def _row(machine: Machine, entry: str, dtype: Any, is_load: bool) -> np.ndarray:
    """A register as wide as what is moved; what is loaded may go into a wider one."""
    name = entry.strip()
    wider = {np.uint32: np.uint64, np.int32: np.int64, np.uint8: np.uint32, np.int8: np.int32}
    if is_load and machine.program.registers[name][0] == "b64" and np.dtype(dtype).itemsize < 8:
        return machine.register(name, wider[dtype])
    return machine.register(name, dtype) if is_load else machine.value(name, dtype)


def _places(
    machine: Machine, space: str, at: np.ndarray, size: int, mask: np.ndarray | bool, is_load: bool
) -> tuple[np.ndarray, np.ndarray]:
    right = READ if is_load else WRITE
    if space == "generic":
        is_local = bool((at >= np.uint64(WINDOW)).any())
        if is_local and not (at >= np.uint64(WINDOW)).all():
            raise PtxError("one instruction goes to local and to global memory")
        space, at = ("local", at - np.uint64(WINDOW)) if is_local else ("global", at)
    if space == "local":
        return machine.local.places(at, size, mask)
    return machine.memory.places(at, size, right)


def _atomic_add(machine: Machine, name: tuple[str, ...], operands: list[str]) -> Action:
    out = machine.register(operands[0], np.uint64) if name[0] == "atom" else None
    where, what = operands[-2:]
    (base, offset), value = _split(where), machine.value(what, np.uint64)
    address, shift = machine.value(base, np.uint64), np.uint64(offset % 2**64)

    def add(mask: np.ndarray | bool) -> None:
        threads = np.arange(machine.n)[mask] if mask is not True else np.arange(machine.n)
        view, places = machine.memory.places(address[threads] + shift, 8, WRITE)
        for thread, place in zip(threads, places, strict=True):
            if out is not None:
                out[thread] = view[place]
            view[place] += value[thread]

    return add
