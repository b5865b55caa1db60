// exp, log, sin, cos, tan of `real`: errors below 2 ulp (tests/test_math.py), the same bits on every machine.
//
// No table, no branch on a lane: one reduction, one Taylor polynomial, select for the special cases. NaN gives NaN.
// exp rounds once where its result is subnormal. sin, cos, tan: |x| <= ANGLE_LIMIT, beyond it and at infinity NaN.
#pragma once
#include "platform.h"

namespace site {

static constexpr bool IS_DOUBLE = sizeof(scalar) == 8;
static constexpr int MANTISSA_BITS = IS_DOUBLE ? 52 : 23;
static constexpr int EXPONENT_BIAS = IS_DOUBLE ? 1023 : 127;
static constexpr integer_scalar ONE = 1;
static constexpr scalar ANGLE_LIMIT = IS_DOUBLE ? 0x1p50 : 0x1p20;

static constexpr integer_scalar INFINITY_BITS = (2 * EXPONENT_BIAS + ONE) << MANTISSA_BITS;
SITE_FN real infinity() { return from_bits(broadcast_integer(INFINITY_BITS)); }
SITE_FN real not_a_number() { return from_bits(broadcast_integer(INFINITY_BITS | ONE << (MANTISSA_BITS - 1))); }

// HALFWAY = 3/2 2^MANTISSA_BITS: x + HALFWAY has unit spacing, so the sum rounds x to the nearest integer, ties to
// even, and holds it in its lowest bits. For |x| <= 2^51 (double), 2^22 (single).
static constexpr scalar HALFWAY = IS_DOUBLE ? 0x1.8p52 : 0x1.8p23;
static constexpr integer_scalar HALFWAY_BITS = IS_DOUBLE ? 0x4338000000000000 : 0x4b400000;
SITE_FN real nearest(real x) { return (x + HALFWAY) - HALFWAY; }
SITE_FN integer to_integer(real x) { return bits(x + HALFWAY) - HALFWAY_BITS; }
SITE_FN real to_real(integer n) { return from_bits(n + HALFWAY_BITS) - HALFWAY; }

// ln 2 and pi/2 as sums of numbers of this precision; LN2_HIGH has so few bits that k LN2_HIGH is exact
static constexpr scalar LN2_HIGH = IS_DOUBLE ? 0x1.62e42fefa38p-1 : 0x1.62e4p-1;
static constexpr scalar LN2_LOW = IS_DOUBLE ? 0x1.ef35793c7673p-45 : 0x1.7f7d1cp-20;
static constexpr scalar HALF_PI_1 = IS_DOUBLE ? 0x1.921fb54442d18p+0 : 0x1.921fb6p+0;
static constexpr scalar HALF_PI_2 = IS_DOUBLE ? 0x1.1a62633145c07p-54 : -0x1.777a5cp-25;
static constexpr scalar HALF_PI_3 = IS_DOUBLE ? -0x1.f1976b7ed8fbcp-110 : -0x1.ee59dap-50;

// c[0] + c[1] x + ... + c[n-1] x^(n-1)
template <int size>
SITE_FN real polynomial(const scalar (&c)[size], int n, real x) {
    real sum = broadcast(c[n - 1]);
    UNROLL for (int i = n - 2; i >= 0; --i) sum = fma(sum, x, c[i]);
    return sum;
}

// 2^k for a normal result
SITE_FN real power_of_two(integer k) { return from_bits((k + EXPONENT_BIAS) << MANTISSA_BITS); }

// exp(x) = 2^k exp(r), k = nearest(x / ln 2), |r| <= ln 2 / 2; the scale in two factors, since 2^k may be out of range
SITE_FN real exp(real x) {
    constexpr scalar taylor[] = {scalar(1.0), scalar(1.0), scalar(1.0 / 2), scalar(1.0 / 6), scalar(1.0 / 24),
        scalar(1.0 / 120), scalar(1.0 / 720), scalar(1.0 / 5040), scalar(1.0 / 40320), scalar(1.0 / 362880),
        scalar(1.0 / 3628800), scalar(1.0 / 39916800), scalar(1.0 / 479001600), scalar(1.0 / 6227020800)};
    constexpr scalar lowest = IS_DOUBLE ? -746 : -105, highest = IS_DOUBLE ? 710 : 90;
    x = select(x < lowest, broadcast(lowest), x);
    x = select(x > highest, broadcast(highest), x);
    real turns = x * scalar(1.4426950408889634074);
    real k = nearest(turns);
    real r = fma(k, -LN2_LOW, fma(k, -LN2_HIGH, x));
    integer whole = to_integer(turns), half = whole >> 1;
    real e = polynomial(taylor, IS_DOUBLE ? 14 : 8, r);
    return e * power_of_two(half) * power_of_two(whole - half);
}

// log(2^k (1 + f)) = k ln 2 + f - f^2/2 + s (f^2/2 + R), s = f / (2 + f), sqrt(1/2) <= 1 + f < sqrt(2),
// R = 2 (s^2/3 + s^4/5 + ...), from log(1 + f) = 2 artanh(s)
SITE_FN real log(real x) {
    constexpr scalar artanh[] = {scalar(2.0 / 3), scalar(2.0 / 5), scalar(2.0 / 7), scalar(2.0 / 9), scalar(2.0 / 11),
        scalar(2.0 / 13), scalar(2.0 / 15), scalar(2.0 / 17), scalar(2.0 / 19), scalar(2.0 / 21), scalar(2.0 / 23)};
    constexpr scalar normal = IS_DOUBLE ? 0x1p-1022 : 0x1p-126, scale = IS_DOUBLE ? 0x1p54 : 0x1p25;
    constexpr integer_scalar root_half = IS_DOUBLE ? 0x3fe6a09e667f3bcd : 0x3f3504f3;
    mask small = x < normal;
    integer pattern = bits(select(small, x * scale, x));
    integer k = (pattern - root_half) >> MANTISSA_BITS;
    real f = from_bits(pattern - (k << MANTISSA_BITS)) - scalar(1);
    k -= select(small, broadcast_integer(IS_DOUBLE ? 54 : 25), broadcast_integer(0));
    real n = to_real(k), s = f / (f + scalar(2)), z = s * s, half_square = f * f * scalar(0.5);
    real R = z * polynomial(artanh, IS_DOUBLE ? 10 : 5, z);
    real value = fma(n, broadcast(LN2_HIGH), f - (half_square - fma(s, half_square + R, n * LN2_LOW)));
    value = select(x == scalar(0), -infinity(), value);
    value = select(x < scalar(0), not_a_number(), value);
    return select((x == infinity()) | (x != x), x, value);
}

// An angle k pi/2 + high + low, |high| <= pi/4 (a little more where the rounding of x 2/pi says so)
struct Reduced {
    integer k;
    real high, low;
};
// Cody-Waite: x - k HALF_PI_1 is exact by one fma, the rest is carried as a sum of two
SITE_FN Reduced reduce(real x) {
    real turns = x * scalar(0.63661977236758134308), k = nearest(turns);
    real first = fma(k, -HALF_PI_1, x);
    real second = k * HALF_PI_2, second_low = fma(k, HALF_PI_2, -second);
    real high = first - second, part = first - high;
    real low = (first - (high + part)) + (part - second);
    low = low - fma(k, HALF_PI_3, second_low);
    high = select(abs(x) <= ANGLE_LIMIT, high, not_a_number());
    return {to_integer(turns), high, low};
}

// sin(high + low) - high and cos(high + low) - 1
SITE_FN real sine_correction(real high, real low) {
    constexpr scalar taylor[] = {scalar(-1.0 / 6), scalar(1.0 / 120), scalar(-1.0 / 5040), scalar(1.0 / 362880),
        scalar(-1.0 / 39916800), scalar(1.0 / 6227020800), scalar(-1.0 / 1307674368000),
        scalar(1.0 / 355687428096000)};
    real z = high * high;
    real cubic = high * z * polynomial(taylor, IS_DOUBLE ? 8 : 4, z);
    return cubic + fma(z * scalar(-0.5), low, low);
}
SITE_FN real cosine_correction(real high, real low, real& leading) {
    constexpr scalar taylor[] = {scalar(1.0 / 24), scalar(-1.0 / 720), scalar(1.0 / 40320), scalar(-1.0 / 3628800),
        scalar(1.0 / 479001600), scalar(-1.0 / 87178291200), scalar(1.0 / 20922789888000)};
    real z = high * high, half = z * scalar(0.5);
    leading = scalar(1) - half;
    real lost = (scalar(1) - leading) - half;
    return lost + fma(z * z, polynomial(taylor, IS_DOUBLE ? 7 : 4, z), -(high * low));
}

// sin and cos of k pi/2 + high + low
SITE_FN void sincos(const Reduced& angle, real& sine, real& cosine) {
    real leading;
    real s = angle.high + sine_correction(angle.high, angle.low);
    real correction = cosine_correction(angle.high, angle.low, leading);
    real c = leading + correction;
    mask odd = (angle.k & ONE) != 0;
    constexpr int to_sign = 8 * sizeof(scalar) - 2;
    sine = flip(select(odd, c, s), (angle.k & 2 * ONE) << to_sign);
    cosine = flip(select(odd, s, c), ((angle.k + ONE) & 2 * ONE) << to_sign);
}
SITE_FN void sincos(real x, real& sine, real& cosine) { sincos(reduce(x), sine, cosine); }

SITE_FN real sin(real x) {
    real sine, cosine;
    sincos(x, sine, cosine);
    return sine;
}
SITE_FN real cos(real x) {
    real sine, cosine;
    sincos(x, sine, cosine);
    return cosine;
}

// sin and cos of 2 pi u, |u| <= 1
SITE_FN void sincos_turn(real u, real& sine, real& cosine) {
    real quarters = u * scalar(4), rest = quarters - nearest(quarters);
    real high = rest * HALF_PI_1, low = fma(rest, HALF_PI_1, -high) + rest * HALF_PI_2;
    sincos(Reduced{to_integer(quarters), high, low}, sine, cosine);
}

// a / b for numerator a + a_low and denominator b + b_low, with one step of the remainder: tan needs both parts
SITE_FN real quotient(real a, real a_low, real b, real b_low) {
    real inverse = scalar(1) / b, q = a * inverse;
    real remainder = fma(-q, b, a) + fma(-q, b_low, a_low);
    return fma(remainder, inverse, q);
}
SITE_FN real tan(real x) {
    Reduced angle = reduce(x);
    real c;
    real s_low = sine_correction(angle.high, angle.low), c_low = cosine_correction(angle.high, angle.low, c);
    real s = angle.high + s_low, c_sum = c + c_low;
    s_low = (angle.high - s) + s_low;
    c_low = (c - c_sum) + c_low;
    mask odd = (angle.k & ONE) != 0;
    real above = select(odd, -c_sum, s), above_low = select(odd, -c_low, s_low);
    return quotient(above, above_low, select(odd, s, c_sum), select(odd, s_low, c_low));
}

}  // namespace site
