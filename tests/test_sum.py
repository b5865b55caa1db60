"""Exact sums against rational arithmetic."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterable
from fractions import Fraction

import numpy as np
import pytest

from tests.support.mathharness import Target, aligned, library, pointer, targets

pytestmark = pytest.mark.host

BINS, DIGIT_BITS, UNIT, LIMIT = 16, 40, Fraction(2) ** -280, 2.0**300
SOURCE = """
#include "site/sum.h"
#include "site/sum_runtime.h"
namespace site {
extern "C" void add_up(int64* bins, const scalar* x, long n, long repeat) {
    ExactSums<1> sum;
    for (long r = 0; r < repeat; ++r)
        for (long i = 0; i < n; i += ON_GPU ? 1 : LANES) {
            const real value[1] = {load(x + i)};
            sum.add(value, broadcast_integer(0) == broadcast_integer(0));
        }
    sum.merge_into(bins);
}
}
"""
DOUBLES, SINGLES = targets("double"), targets("single")


def bins_of(x: np.ndarray, target: Target, repeat: int = 1) -> np.ndarray:
    """The bins of `repeat` times the sum of x, normalised; x is filled up with zeros to whole vectors."""
    values = aligned(np.concatenate([x, np.zeros(-x.size % 16)]).astype(target.dtype))
    bins = np.zeros(BINS, np.int64)
    code = library(SOURCE, target)
    code.add_up(pointer(bins), pointer(values), ctypes.c_long(values.size), ctypes.c_long(repeat))
    code.normalise(pointer(bins))
    return bins


def rounded(bins: np.ndarray) -> float:
    """The sum held in bins, by the runtime."""
    code = library(SOURCE, DOUBLES[0])
    code.round_bins.restype = ctypes.c_double
    return code.round_bins(pointer(bins))


def kept(value: float) -> Fraction:
    """The multiple of 2^-280 nearest to a value, ties to even."""
    return round(Fraction(float(value)) / UNIT) * UNIT


def exact(values: Iterable[float]) -> Fraction:
    """The sum of what is kept of the values."""
    return sum((kept(value) for value in values), Fraction(0))


def held(bins: np.ndarray) -> Fraction:
    """The number that the bins stand for."""
    return sum((Fraction(int(d)) * UNIT * 2 ** (DIGIT_BITS * k) for k, d in enumerate(bins[: BINS - 1])), Fraction(0))


def samples() -> dict[str, np.ndarray]:
    """Sets of numbers with different difficulties."""
    g = np.random.default_rng(11)
    wild = np.ldexp(g.uniform(-1, 1, 512), g.integers(-320, 300, 512))
    base = np.ldexp(g.normal(size=128), g.integers(-200, 200, 128))
    exponents = np.repeat([-280, -241, -240, -239, -1, 0, 39, 40, 279, 280, 299], 3)
    ties = np.ldexp(g.integers(-9, 9, 256) / 2, -280)
    return {
        "plain": g.normal(size=1000),
        "wild": wild,
        "cancelling": np.concatenate([base, [1e-60, 2.0**-280], -base]),
        "ties": np.concatenate([ties, [2.0**-281, -(2.0**-281), 3 * 2.0**-281, 2.0**-1074]]),
        "edges": np.ldexp(np.resize([1.0, 1.0, -1.0], 33), exponents),
        "tiny": np.ldexp(g.uniform(-1, 1, 64), -1000),
        "empty": np.zeros(16),
    }


@pytest.mark.parametrize("name", samples())
def test_sum_is_exact_for_every_grouping(name: str) -> None:
    x = samples()[name]
    total = exact(x)
    reference = bins_of(x, DOUBLES[0])
    assert held(reference) == total
    assert rounded(reference) == float(total)
    g = np.random.default_rng(1)
    for target in DOUBLES:
        assert np.array_equal(bins_of(g.permutation(x), target), reference)
        parts = np.array_split(g.permutation(x), 3)
        merged = np.zeros(BINS, np.int64)
        for part in parts:
            library(SOURCE, target).merge(pointer(merged), pointer(bins_of(part, target)))
        library(SOURCE, target).normalise(pointer(merged))
        assert np.array_equal(merged, reference)


def test_single_precision_numbers_are_added_as_doubles() -> None:
    g = np.random.default_rng(2)
    x = np.ldexp(g.normal(size=999), g.integers(-120, 120, 999)).astype(np.float32)
    for target in SINGLES:
        bins = bins_of(x, target)
        assert held(bins) == exact(x)
        assert np.array_equal(bins, bins_of(x.astype(np.float64), DOUBLES[0]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, LIMIT, -1e300])
def test_what_cannot_be_added_makes_the_sum_nan(bad: float) -> None:
    for target in DOUBLES:
        for position in (0, 5, 15):
            x = np.ones(16)
            x[position] = bad
            bins = bins_of(x, target)
            assert bins[BINS - 1] == 1 and held(bins) == 15
            assert math.isnan(rounded(bins))
    largest = float(np.nextafter(LIMIT, 0))
    assert rounded(bins_of(np.full(3, largest), DOUBLES[0])) == float(3 * Fraction(largest))


def test_carries_come_before_overflow() -> None:
    # 2^40 - 1 fills a digit: without carries 2^23 of them would pass 2^63.
    target = DOUBLES[0]
    x = np.full(target.lanes, 2.0**40 - 1)
    x[0] = -x[0] / 2
    repeat = 2**23 + 5
    assert held(bins_of(np.resize(x, 16), target, repeat)) == repeat * exact(np.resize(x, 16))


def test_rounding_of_bins() -> None:
    g = np.random.default_rng(3)
    for _ in range(2000):
        bins = np.zeros(BINS, np.int64)
        chosen = g.integers(0, BINS - 1, g.integers(1, 6))
        bins[chosen] = g.integers(-(2**62), 2**62, chosen.size) >> g.integers(0, 63, chosen.size)
        assert rounded(bins) == float(held(bins))


def test_halfway_cases_round_to_even() -> None:
    for odd in (2**53 + 1, 2**53 + 3, 2**60 + 2**7, 2**60 + 3 * 2**7):
        for sign in (1, -1):
            for rest in (0, 1, -1):
                bins = np.zeros(BINS, np.int64)
                bins[7], bins[0] = sign * odd, rest
                assert rounded(bins) == float(held(bins))
