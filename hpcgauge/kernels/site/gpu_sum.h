// Exact sums on the GPU: the digits of sum.h, added over the threads of a warp and then by integer atomics.
//
// There is one set of bins for each of COPIES and each sum, [copy][sum][bin]; a warp adds to the copy of its number, so
// that not all wait for one address. No digit of a warp passes 2^45: 2^18 warps fit into a copy, 2^27 sites of one rank.
#pragma once
#include "sum.h"

namespace site {

static constexpr int COPIES = 16;
// 53 bits touch at most so many digits, if the first is well chosen
static constexpr int STEPS = 3;

SITE_FN int64* sum_copy(long long* bins, unsigned warp, int sum, int n_sums) {
    return bins + ((warp % COPIES) * n_sums + sum) * SUM_BINS;
}

// The multiple of unit_k in x, in such units; x keeps the rest
SITE_FN int64 take_digit(wide& x, int k) {
    const int64 pattern = digit_rounder(k);
    const wide rounder = from_bits(pattern), rounded = x + rounder;
    x = x - (rounded - rounder);
    return bits(rounded) - pattern;
}

// Adds the values of all threads of a warp, which call it together.
SITE_FN void add_over_warp(int64* bins, real value) {
    wide x = widen(value, 0);
    const int64 size = bits(x) & int64(0x7fffffffffffffff);
    const bool is_bad = size >= SIZE_LIMIT;
    if (is_bad) x = 0;
    // The digit that the first bit belongs to
    const int exponent = int(size >> 52) - 1023 - LOWEST_EXPONENT;
    const int top = is_bad ? STEPS - 1 : max(exponent / DIGIT_BITS, STEPS - 1);
    const int64 high = take_digit(x, top), middle = take_digit(x, top - 1), low = take_digit(x, top - 2);
    const bool is_leader = threadIdx.x % WARP == 0;
    unsigned used = warp_or(size ? 7u << (top - 2) : 0);  // a bit for each digit
    while (used) {
        const int k = __ffs(used) - 1;
        used &= used - 1;
        const int64 sum = warp_sum(k == top ? high : k == top - 1 ? middle : k == top - 2 ? low : 0);
        if (is_leader && sum != 0) deposit(bins + k, sum);
    }
    const unsigned refused = __ballot_sync(~0u, is_bad);
    if (is_leader && refused) deposit(bins + DIGITS, __popc(refused));
}

}  // namespace site
