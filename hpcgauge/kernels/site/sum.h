// Exact sums: the same integers, and so the same rounded number, for every grouping over lanes, threads and ranks.
//
// A value is split into digits of 2^40: x = sum_k d_k 2^(40 k - 280), k = 0, ..., 14, each d_k added to an int64 bin.
// Every value is exact but for bits below 2^-280: a value is first rounded to a multiple of that, ties to even.
// Bin 15 counts the values that are no number, infinite, or not below 2^300 in size: then the sum is NaN.
#pragma once
#include "platform.h"

#define SUM_BINS 16

namespace site {

static constexpr int DIGITS = SUM_BINS - 1, DIGIT_BITS = 40, LOWEST_EXPONENT = -280;
static constexpr int STEPS = 3;                           // 53 bits touch at most 3 digits, if the first is well chosen
static constexpr int CARRY_EVERY = 1 << 22;               // |d_k| <= 2^40 for one value: then no bin passes 2^63
static constexpr int64 SIZE_LIMIT = int64(300 + 1023) << 52;

// The bits of 2^40 unit_k: below it a value may start at digit k
SITE_FN int64 digit_bound(int k) {
    return k == DIGITS - 1 ? SIZE_LIMIT : int64(DIGIT_BITS * (k + 1) + LOWEST_EXPONENT + 1023) << 52;
}
// The bits of 3/2 2^52 unit_k: adding it rounds to a multiple of unit_k
SITE_FN int64 digit_rounder(int k) {
    return (int64(DIGIT_BITS * k + LOWEST_EXPONENT + 52 + 1023) << 52) + (int64(1) << 51);
}

struct ExactSum {
    wide_integer digit[DIGITS] = {}, refused = {};
    int top = STEPS - 1, n_values = 0;

    // x has 2 parts where `real` is a vector of floats
    SITE_METHOD void add(real x) {
        UNROLL for (int part = 0; part < WIDE_PARTS; ++part) add_wide(widen(x, part));
    }
    SITE_METHOD void add_wide(wide x) {
        const wide_integer size = bits(x) & int64(0x7fffffffffffffff);
        if (any(size >= digit_bound(top))) x = admit(x, size);
        UNROLL for (int step = 0; step < STEPS; ++step) x = take_digit(x, top - step);
        for (int k = top - STEPS; k >= 0 && any(x != 0.0); --k) x = take_digit(x, k);
        if (++n_values == CARRY_EVERY) carry();
    }
    // Adds this sum to the bins in memory. Up to 2^23 sums may be merged before the bins are normalised.
    SITE_METHOD void merge_into(int64* bins) {
        carry();
        UNROLL for (int k = 0; k < DIGITS; ++k) deposit(bins + k, lane_sum(digit[k]));
        deposit(bins + DIGITS, lane_sum(refused));
    }

    // What is left of x when its multiple of unit_k went to bin k
    SITE_METHOD wide take_digit(wide x, int k) {
        const wide_integer pattern = wide_integer{} + digit_rounder(k);
        const wide rounder = from_bits(pattern), rounded = x + rounder;
        digit[k] += bits(rounded) - pattern;
        return x - (rounded - rounder);
    }
    // x without the values that cannot be added; raises `top` to the largest
    SITE_METHOD wide admit(wide x, wide_integer size) {
        const wide_mask bad = size >= SIZE_LIMIT;
        refused += select(bad, wide_integer{} + 1, wide_integer{});
        size = select(bad, wide_integer{}, size);
        while (any(size >= digit_bound(top))) ++top;
        return select(bad, wide{}, x);
    }
    // Moves what exceeds 2^39 in size to the next digit
    SITE_METHOD void carry() {
        UNROLL for (int k = 0; k < DIGITS - 1; ++k) {
            const wide_integer up = (digit[k] + (int64(1) << (DIGIT_BITS - 1))) >> DIGIT_BITS;
            digit[k] -= up << DIGIT_BITS;
            digit[k + 1] += up;
        }
        n_values = 0;
    }
};

}  // namespace site
