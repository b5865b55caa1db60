// What the host does with the bins of exact sums (sum.h): merge, carry, round. Plain C++, for the CPU only.
#pragma once

extern "C" {

void merge(long long* into, const long long* from) {
    for (int k = 0; k < 16; ++k) into[k] += from[k];
}

// Digits in [-2^39, 2^39), but for the last: then the bins of equal sums are equal
void normalise(long long* bins) {
    for (int k = 0; k < 14; ++k) {
        const long long up = (bins[k] + (1ll << 39)) >> 40;
        bins[k] -= up << 40;
        bins[k + 1] += up;
    }
}

// The double nearest to the sum, ties to even; NaN if a value was refused
double round_bins(const long long* bins) {
    if (bins[15] != 0) return __builtin_nan("");
    long long digit[15];
    for (int k = 0; k < 15; ++k) digit[k] = bins[k];
    normalise(digit);
    int k = 14;
    while (k > 0 && digit[k] == 0) --k;
    const bool negative = digit[k] < 0;
    // The leading digits as one integer of at least 64 bits, then only whether anything is left: 55 bits decide.
    __int128 leading = 0;
    for (; k >= 0 && leading < (__int128(1) << 64); --k)
        leading = leading * (1ll << 40) + (negative ? -digit[k] : digit[k]);
    const int lowest = k + 1;
    while (k >= 0 && digit[k] == 0) --k;
    if (k >= 0) leading = leading * 2 + ((digit[k] < 0) == negative ? 1 : -1);
    const double size = double(leading) * __builtin_ldexp(1.0, 40 * lowest - 280 - (k >= 0));
    return negative ? -size : size;
}
}
