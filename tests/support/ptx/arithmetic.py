"""Arithmetic, comparison, selection and conversion, with the bits that the hardware gives."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcgauge.kernels.build import load_library
from tests.support.ptx.memory import GLOBAL, WINDOW
from tests.support.ptx.text import DTYPE, Instruction, PtxError

if TYPE_CHECKING:
    from tests.support.ptx.machine import Action, Machine

FMA = """extern "C" {
#define FMA(name, number, fma) __attribute__((visibility("default"))) void name( \\
    number* out, const number* a, const number* b, const number* c, const unsigned char* mask, long n) { \\
    for (long k = 0; k < n; ++k) if (!mask || mask[k]) out[k] = fma(a[k], b[k], c[k]); }
FMA(fma64, double, __builtin_fma)
FMA(fma32, float, __builtin_fmaf)
}
"""
WIDER = {np.int16: np.int32, np.uint16: np.uint32, np.int32: np.int64, np.uint32: np.uint64}
# Rounding to nearest is the only one that NumPy has, and the only one that kernels use.
BINARY: dict[tuple[str, ...], Callable[..., Any]] = {
    ("add",): np.add,
    ("add", "rn"): np.add,
    ("sub",): np.subtract,
    ("sub", "rn"): np.subtract,
    ("mul", "lo"): np.multiply,
    ("mul", "rn"): np.multiply,
    ("div", "rn"): np.divide,
    ("and",): np.bitwise_and,
    ("or",): np.bitwise_or,
    ("xor",): np.bitwise_xor,
    ("min",): np.minimum,
    ("max",): np.maximum,
}
UNARY: dict[tuple[str, ...], Callable[..., Any]] = {
    ("neg",): np.negative,
    ("not",): np.invert,
    ("sqrt", "rn"): np.sqrt,
    ("rcp", "rn"): np.reciprocal,
    ("mov",): np.positive,
}
ORDERED = {"eq": np.equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}


@functools.cache
def fma_library() -> ctypes.CDLL:
    """Multiply-adds rounded once, which NumPy does not have."""
    return load_library(FMA, "ptx_fma")


def bind_arithmetic(machine: Machine, instruction: Instruction) -> Action | None:
    """What an instruction does; None if it is none of these."""
    name, operands = instruction.name, instruction.operands
    kind = name[:-1]
    if name[0] == "setp":
        return _comparison(machine, name, operands)
    if name[0] == "cvt":
        return _conversion(machine, name[1:], operands)
    if name[0] == "cvta":
        return _address(machine, name, operands)
    if name[-1] not in DTYPE:
        return None
    dtype = DTYPE[name[-1]]
    if kind in BINARY and len(operands) == 3:
        out, a, b = machine.register(operands[0], dtype), *(machine.value(o, dtype) for o in operands[1:])
        function = BINARY[kind]
        return lambda mask: function(a, b, out=out, where=mask)
    if kind in UNARY and len(operands) == 2:
        return _unary(machine, kind, dtype, operands)
    special = SPECIAL.get(kind)
    return special(machine, dtype, operands) if special else None


def _unary(machine: Machine, kind: tuple[str, ...], dtype: Any, operands: list[str]) -> Action:
    out, a, function = machine.register(operands[0], dtype), machine.value(operands[1], dtype), UNARY[kind]
    if kind == ("mov",):
        return lambda mask: np.copyto(out, a, where=mask)
    if kind == ("neg",) and not issubclass(dtype, np.signedinteger | np.floating):
        raise PtxError("neg of a number without a sign")
    return lambda mask: function(a, out=out, where=mask)


def _population(machine: Machine, dtype: Any, operands: list[str]) -> Action:
    out, a = machine.register(operands[0], np.uint32), machine.value(operands[1], dtype)
    return lambda mask: np.copyto(out, np.bitwise_count(a), where=mask)


def _leading_zeros(machine: Machine, dtype: Any, operands: list[str], of_zero: int | None = None) -> Action:
    out, a = machine.register(operands[0], np.uint32), machine.value(operands[1], dtype)
    width = 8 * np.dtype(dtype).itemsize
    if not issubclass(dtype, np.unsignedinteger):
        raise PtxError("leading zeros of a number with a sign")

    def count(mask: np.ndarray | bool) -> None:
        rest, zeros = a.copy(), np.full(machine.n, width, np.uint32)
        while rest.any():
            zeros -= rest != 0
            rest >>= dtype(1)
        np.copyto(out, zeros if of_zero is None else np.where(a == 0, np.uint32(of_zero), zeros), where=mask)

    return count


def _reversed_bits(machine: Machine, dtype: Any, operands: list[str]) -> Action:
    out, a = machine.register(operands[0], dtype), machine.value(operands[1], dtype)

    def reverse(mask: np.ndarray | bool) -> None:
        bits = np.unpackbits(a.view(np.uint8).reshape(machine.n, -1), axis=1, bitorder="little")
        np.copyto(out, np.packbits(bits[:, ::-1], axis=1, bitorder="little").view(dtype).ravel(), where=mask)

    return reverse


def _quotient(machine: Machine, dtype: Any, operands: list[str]) -> Action:
    """Division, of integers towards 0."""
    out, a, b = machine.register(operands[0], dtype), *(machine.value(o, dtype) for o in operands[1:])
    if issubclass(dtype, np.floating):
        raise PtxError("div without a rounding")

    def divide(mask: np.ndarray | bool) -> None:
        floor = a // b
        np.copyto(out, floor + ((floor < 0) & (floor * b != a)).astype(dtype), where=mask)

    return divide


def _carrying_sum(machine: Machine, dtype: Any, operands: list[str], takes: bool, gives: bool) -> Action:
    """A sum that takes the carry of the one before, or leaves its own."""
    out, a, b = machine.register(operands[0], np.uint64), *(machine.value(o, np.uint64) for o in operands[1:])
    if np.dtype(dtype).itemsize != 8:
        raise PtxError("a carry of 32 bits")

    def add(mask: np.ndarray | bool) -> None:
        carry = machine.carry if takes else np.zeros(machine.n, np.uint64)
        part = a + b
        total = part + carry
        if gives:
            np.copyto(machine.carry, (part < a) | (total < part), where=mask)
        np.copyto(out, total, where=mask)

    return add


def _wide_product(machine: Machine, dtype: Any, operands: list[str]) -> Action:
    wide = WIDER[dtype]
    out, a, b = machine.register(operands[0], wide), *(machine.value(o, dtype) for o in operands[1:])
    return lambda mask: np.multiply(a, b, out=out, where=mask, dtype=wide)


def _high_product(machine: Machine, dtype: Any, operands: list[str]) -> Action:
    wide, bits = WIDER[dtype], 8 * np.dtype(dtype).itemsize
    out, a, b = machine.register(operands[0], dtype), *(machine.value(o, dtype) for o in operands[1:])
    return lambda mask: np.copyto(out, (np.multiply(a, b, dtype=wide) >> wide(bits)).astype(dtype), where=mask)


def _multiply_add(machine: Machine, dtype: Any, operands: list[str]) -> Action:
    out, a, b, c = machine.register(operands[0], dtype), *(machine.value(o, dtype) for o in operands[1:])
    return lambda mask: np.copyto(out, a * b + c, where=mask)


def _wide_multiply_add(machine: Machine, dtype: Any, operands: list[str]) -> Action:
    wide = WIDER[dtype]
    out, c = machine.register(operands[0], wide), machine.value(operands[3], wide)
    a, b = (machine.value(o, dtype) for o in operands[1:3])
    return lambda mask: np.copyto(out, np.multiply(a, b, dtype=wide) + c, where=mask)


def _fma(machine: Machine, dtype: Any, operands: list[str]) -> Action:
    rows = [machine.register(operands[0], dtype), *(machine.value(o, dtype) for o in operands[1:])]
    function = fma_library().fma64 if dtype is np.float64 else fma_library().fma32
    addresses = [ctypes.c_void_p(row.ctypes.data) for row in rows]
    n = ctypes.c_long(machine.n)

    def fma(mask: np.ndarray | bool) -> None:
        function(*addresses, None if mask is True else ctypes.c_void_p(np.asarray(mask).ctypes.data), n)

    return fma


def _shift(machine: Machine, dtype: Any, operands: list[str], is_left: bool) -> Action:
    """Shifts by the width or more give what is left then: 0, or the sign."""
    bits = 8 * np.dtype(dtype).itemsize
    out, a, by = (
        machine.register(operands[0], dtype),
        machine.value(operands[1], dtype),
        machine.value(operands[2], np.uint32),
    )

    def shift(mask: np.ndarray | bool) -> None:
        amount = np.minimum(by, bits - 1).astype(dtype)
        shifted = a << amount if is_left else a >> amount
        if is_left or not issubclass(dtype, np.signedinteger):
            shifted[by >= bits] = 0
        np.copyto(out, shifted, where=mask)

    return shift


def _select(machine: Machine, dtype: Any, operands: list[str]) -> Action:
    out, a, b = machine.register(operands[0], dtype), *(machine.value(o, dtype) for o in operands[1:3])
    predicate = machine.register(operands[3], np.bool_)
    return lambda mask: np.copyto(out, np.where(predicate, a, b), where=mask)


def _insert_bits(machine: Machine, dtype: Any, operands: list[str]) -> Action:
    out, a, b = machine.register(operands[0], dtype), *(machine.value(o, dtype) for o in operands[1:3])
    at, count = int(operands[3], 0), int(operands[4], 0)
    field, ones = dtype(((1 << count) - 1) << at), dtype(at)
    return lambda mask: np.copyto(out, (a << ones) & field | b & ~field, where=mask)


SPECIAL: dict[tuple[str, ...], Callable[[Machine, Any, list[str]], Action]] = {
    ("mul", "wide"): _wide_product,
    ("mul", "hi"): _high_product,
    ("mad", "lo"): _multiply_add,
    ("mad", "wide"): _wide_multiply_add,
    ("fma", "rn"): _fma,
    ("shl",): functools.partial(_shift, is_left=True),
    ("shr",): functools.partial(_shift, is_left=False),
    ("selp",): _select,
    ("bfi",): _insert_bits,
    ("popc",): _population,
    ("clz",): _leading_zeros,
    ("bfind", "shiftamt"): functools.partial(_leading_zeros, of_zero=2**32 - 1),
    ("brev",): _reversed_bits,
    ("div",): _quotient,
    ("add", "cc"): functools.partial(_carrying_sum, takes=False, gives=True),
    ("addc", "cc"): functools.partial(_carrying_sum, takes=True, gives=True),
    ("addc",): functools.partial(_carrying_sum, takes=True, gives=False),
}


def _comparison(machine: Machine, name: tuple[str, ...], operands: list[str]) -> Action:
    how, dtype = name[1], DTYPE[name[2]]
    out, a, b = machine.register(operands[0], np.bool_), *(machine.value(o, dtype) for o in operands[1:])
    if how in ORDERED:
        function = ORDERED[how]
        return lambda mask: function(a, b, out=out, where=mask)
    if how in ("num", "nan"):
        return lambda mask: np.copyto(out, (np.isnan(a) | np.isnan(b)) == (how == "nan"), where=mask)
    if how == "ne":
        return lambda mask: np.copyto(out, (a < b) | (a > b), where=mask)
    if how == "neu":
        return lambda mask: np.not_equal(a, b, out=out, where=mask)
    if how[-1:] == "u" and how[:-1] in ORDERED:
        same = ORDERED[how[:-1]]
        return lambda mask: np.copyto(out, same(a, b) | np.isnan(a) | np.isnan(b), where=mask)
    raise PtxError(f"unknown comparison: {'.'.join(name)}")


def _conversion(machine: Machine, name: tuple[str, ...], operands: list[str]) -> Action:
    *how, target, source = name
    to, of = DTYPE[target], DTYPE[source]
    out, a = machine.register(operands[0], to), machine.value(operands[1], of)
    is_float = issubclass(to, np.floating), issubclass(of, np.floating)
    if how == ["rzi"] and is_float == (False, True):
        low, high = float(np.iinfo(to).min), float(np.iinfo(to).max)
        return lambda mask: np.copyto(out, np.clip(np.nan_to_num(np.trunc(a)), low, high).astype(to), where=mask)
    is_exact = not how and (is_float == (False, False) or (to, of) == (np.float64, np.float32))
    if is_exact or (how == ["rn"] and is_float[0]):
        return lambda mask: np.copyto(out, a.astype(to), where=mask)
    raise PtxError(f"unknown conversion: cvt.{'.'.join(name)}")


def _address(machine: Machine, name: tuple[str, ...], operands: list[str]) -> Action:
    """Local memory has a window in the generic addresses; global memory has its own addresses there."""
    out, a = machine.register(operands[0], np.uint64), machine.value(operands[1], np.uint64)
    if "global" in name:
        return lambda mask: np.copyto(out, a, where=mask)
    if name[1] == "local":
        return lambda mask: np.add(a, np.uint64(WINDOW), out=out, where=mask)
    if name[1:3] == ("to", "local"):
        return lambda mask: np.subtract(a, np.uint64(WINDOW), out=out, where=mask)
    raise PtxError(f"unknown instruction: {'.'.join(name)}")


assert GLOBAL < WINDOW
