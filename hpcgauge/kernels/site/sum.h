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
static constexpr int64 SIZE_BITS = 0x7fffffffffffffffll, SIZE_LIMIT = int64(300 + 1023) << 52;
// The digits of a value that are taken at once. With them 53 or 24 bits are mostly at an end.
static constexpr int WINDOW = SCALAR_BYTES == 8 ? 3 : 2;
// Values for which a window is large enough, and windows for which a bin is: a value adds at most 2^40 to either.
static constexpr int EMPTY_EVERY = 1 << 10, CARRY_EVERY = 1 << 11;

// The bits of 2^40 unit_k: below it a value may start at digit k
SITE_FN int64 digit_bound(int k) {
    return k == DIGITS - 1 ? SIZE_LIMIT : int64(DIGIT_BITS * (k + 1) + LOWEST_EXPONENT + 1023) << 52;
}
// The bits of 3/2 2^52 unit_k: adding it rounds to a multiple of unit_k
SITE_FN wide_integer digit_rounder(int k) {
    return wide_integer{} + (int64(DIGIT_BITS * k + LOWEST_EXPONENT + 52 + 1023) << 52) + (int64(1) << 51);
}

struct ExactSum {
    wide_integer digit[DIGITS] = {}, refused = {};
    wide window[WINDOW];  // what was added to digits top, top - 1, ... since they were emptied, on top of their rounders
    int64 bound;
    int top, n_emptied = 0;

    SITE_METHOD ExactSum() { open(WINDOW); }
    // Lets the window begin at digit k. It ends above digit 0, where a value alone must be rounded, not the sum.
    SITE_METHOD void open(int k) {
        top = k;
        bound = digit_bound(k);
        UNROLL for (int i = 0; i < WINDOW; ++i) window[i] = from_bits(digit_rounder(k - i));
    }
    // Puts what is in the window into the digits
    SITE_METHOD void empty() {
        UNROLL for (int i = 0; i < WINDOW; ++i) {
            digit[top - i] += bits(window[i]) - digit_rounder(top - i);
            window[i] = from_bits(digit_rounder(top - i));
        }
        if (++n_emptied == CARRY_EVERY) carry();
    }
    // What is left of x, smaller than the bound, when the window has taken its part
    SITE_METHOD wide take(wide x) {
        UNROLL for (int i = 0; i < WINDOW; ++i) {
            const wide sum = window[i] + x;
            x = x - (sum - window[i]);
            window[i] = sum;
        }
        return x;
    }
    // Adds x, what the window has left, to the digits below
    SITE_METHOD void add_rest(wide x) {
        for (int k = top - WINDOW; k >= 0 && any(x != 0.0); --k) {
            const wide_integer pattern = digit_rounder(k);
            const wide rounder = from_bits(pattern), rounded = x + rounder;
            digit[k] += bits(rounded) - pattern;
            x = x - (rounded - rounder);
        }
    }
    // x without the values that cannot be added; lets the window begin where the largest does
    SITE_METHOD wide admit(wide x) {
        wide_integer size = bits(x) & SIZE_BITS;
        const wide_mask bad = size >= SIZE_LIMIT;
        refused += select(bad, wide_integer{} + 1, wide_integer{});
        size = select(bad, wide_integer{}, size);
        int k = top;
        while (any(size >= digit_bound(k))) ++k;
        if (k > top) {
            empty();
            open(k);
        }
        return select(bad, wide{}, x);
    }
    // Moves what exceeds 2^39 in size to the next digit
    SITE_METHOD void carry() {
        UNROLL for (int k = 0; k < DIGITS - 1; ++k) {
            const wide_integer up = (digit[k] + (int64(1) << (DIGIT_BITS - 1))) >> DIGIT_BITS;
            digit[k] -= up << DIGIT_BITS;
            digit[k + 1] += up;
        }
        n_emptied = 0;
    }
    // Adds this sum to the bins in memory. Up to 2^23 sums may be merged before the bins are normalised.
    SITE_METHOD void merge_into(int64* bins) {
        empty();
        carry();
        UNROLL for (int k = 0; k < DIGITS; ++k) deposit(bins + k, lane_sum(digit[k]));
        deposit(bins + DIGITS, lane_sum(refused));
    }
};

SITE_CALL wide admitted(ExactSum& sum, wide x) { return sum.admit(x); }
SITE_CALL void add_rest(ExactSum& sum, wide x) { sum.add_rest(x); }
SITE_CALL void empty(ExactSum& sum) { sum.empty(); }
SITE_CALL void merge_sum(ExactSum& sum, int64* bins) { sum.merge_into(bins); }

// COUNT sums over the same sites: what is rare is asked for all of them at once.
template <int COUNT>
struct ExactSums {
    static constexpr int PARTS = COUNT * WIDE_PARTS;  // a vector of floats has 2 parts
    ExactSum sums[COUNT];
    int n_values = 0;

    // Adds the lanes of a mask
    SITE_METHOD void add(const real (&values)[COUNT], mask counted) {
        wide x[PARTS];
        wide_integer fitting = wide_integer{} - 1, left = {};  // negative where all fit; 0 but for signs if nothing is left
        UNROLL for (int k = 0; k < PARTS; ++k) {
            x[k] = widen(select(counted, values[k / WIDE_PARTS], broadcast(0)), k % WIDE_PARTS);
            fitting &= (bits(x[k]) & SIZE_BITS) - sums[k / WIDE_PARTS].bound;
        }
        if (any(fitting >= 0)) UNROLL for (int k = 0; k < PARTS; ++k) x[k] = admitted(sums[k / WIDE_PARTS], x[k]);
        UNROLL for (int k = 0; k < PARTS; ++k) {
            x[k] = sums[k / WIDE_PARTS].take(x[k]);
            left |= bits(x[k]);
        }
        if (any((left & SIZE_BITS) != 0)) UNROLL for (int k = 0; k < PARTS; ++k) add_rest(sums[k / WIDE_PARTS], x[k]);
        n_values += WIDE_PARTS;
        if (n_values < EMPTY_EVERY) return;
        for (int k = 0; k < COUNT; ++k) empty(sums[k]);
        n_values = 0;
    }
    // Adds them to 16 bins each
    SITE_METHOD void merge_into(int64* bins) {
        for (int k = 0; k < COUNT; ++k) merge_sum(sums[k], bins + k * SUM_BINS);
    }
};

}  // namespace site
