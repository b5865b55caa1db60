"""Global sums, the same bits for every process grid and thread count.

A contribution is split into absolute bins of 2^40 held as int64, so that sums are integer sums. Bin k counts units of
2^(40 k - 280); the last bin counts NaN, infinities and overflows.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy

from hpcgauge.comm.world import World

BINS = 16
DIGIT_BINS = BINS - 1
BIN_BITS = 40
LOWEST_EXPONENT = -280


def rounded(bins: numpy.ndarray) -> float:
    """The double nearest to a sum held in bins, ties to even; NaN where the flag bin is set."""
    digits = bins.tolist()
    if digits[DIGIT_BINS]:
        return math.nan
    total = 0
    for digit in reversed(digits[:DIGIT_BINS]):
        total = (total << BIN_BITS) + digit
    return _scaled(total)


def add_up(world: World, bins: numpy.ndarray, rounding: Callable[[numpy.ndarray], float] = rounded) -> list[float]:
    """The sums held in `bins`, int64 (count, 16), over all ranks, each rounded once; `bins` holds them afterwards.

    Digits must be below 2^42 in size, as kernels leave them: so a million ranks can be added. `rounding` may be a
    faster way to the same number. Collective.
    """
    world.allreduce_int64(bins)
    return [rounding(row) for row in bins]


def _scaled(total: int) -> float:
    # int -> float rounds half to even; what is left out below 2^-1074 + 53 bits cannot occur: the unit is 2^-280.
    excess = max(0, total.bit_length() - 1000)
    if excess:
        sticky = 1 if total & ((1 << excess) - 1) else 0
        return math.ldexp(float((total >> excess) | sticky), LOWEST_EXPONENT + excess)
    return math.ldexp(float(total), LOWEST_EXPONENT)
