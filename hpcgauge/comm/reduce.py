"""Global sums, the same bits for every process grid and thread count.

A contribution is split into absolute bins of 2^40 held as int64, so that sums are integer sums. Bin k counts units of
2^(40 k - 280); the last bin counts NaN, infinities and overflows.
"""

from __future__ import annotations

import math

import numpy

from hpcgauge.comm.world import World

BINS = 16
DIGIT_BINS = BINS - 1
BIN_BITS = 40
LOWEST_EXPONENT = -280


def add_up(world: World, bins: numpy.ndarray) -> list[float]:
    """The sums held in `bins`, int64 (count, 16), over all ranks, each rounded once; NaN where the flag bin is set.

    Collective.
    """
    if world.size > 1:
        normalise(bins)
        world.allreduce_int64(bins)
    return [rounded(row) for row in bins.tolist()]


def normalise(bins: numpy.ndarray) -> None:
    """Carries digits upward until each is below 2^39 in size, so that thousands of ranks can be added."""
    for k in range(DIGIT_BINS - 1):
        carry = (bins[:, k] + 2 ** (BIN_BITS - 1)) >> BIN_BITS
        bins[:, k] -= carry << BIN_BITS
        bins[:, k + 1] += carry


def rounded(digits: list[int]) -> float:
    """The double nearest to a sum held in bins."""
    if digits[DIGIT_BINS]:
        return math.nan
    total = 0
    for digit in reversed(digits[:DIGIT_BINS]):
        total = (total << BIN_BITS) + digit
    return _scaled(total)


def _scaled(total: int) -> float:
    # int -> float rounds half to even; what is left out below 2^-1074 + 53 bits cannot occur: the unit is 2^-280.
    excess = max(0, total.bit_length() - 1000)
    if excess:
        sticky = 1 if total & ((1 << excess) - 1) else 0
        return math.ldexp(float((total >> excess) | sticky), LOWEST_EXPONENT + excess)
    return math.ldexp(float(total), LOWEST_EXPONENT)
