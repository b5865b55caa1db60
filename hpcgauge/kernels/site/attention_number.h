// The attention number of a path, a = tan(pi / (4 (N + 0.01)) t), t a difference of two traces, |t| <= 2 N, and da/dt.
#pragma once
#include "math.h"

namespace site {

static constexpr scalar ATTENTION_SCALE = scalar(0.78539816339744830962 / (COLORS + 0.01));

// tan x = 2 s c / (c^2 - s^2) with the sine and cosine of x / 2, |x| < pi / 2: no reduction of the angle
SITE_FN real attention_number(real t) {
    constexpr scalar sine[] = {scalar(1), scalar(-1.0 / 6), scalar(1.0 / 120), scalar(-1.0 / 5040), scalar(1.0 / 362880),
        scalar(-1.0 / 39916800), scalar(1.0 / 6227020800), scalar(-1.0 / 1307674368000), scalar(1.0 / 355687428096000)};
    constexpr scalar cosine[] = {scalar(1), scalar(-1.0 / 2), scalar(1.0 / 24), scalar(-1.0 / 720), scalar(1.0 / 40320),
        scalar(-1.0 / 3628800), scalar(1.0 / 479001600), scalar(-1.0 / 87178291200), scalar(1.0 / 20922789888000)};
    const real half = (ATTENTION_SCALE * scalar(0.5)) * t, z = half * half;
    const real s = half * polynomial(sine, IS_DOUBLE ? 9 : 6, z), c = polynomial(cosine, IS_DOUBLE ? 9 : 6, z);
    return (scalar(2) * s) * c / ((c - s) * (c + s));
}
SITE_FN real attention_slope(real a) { return ATTENTION_SCALE * fma(a, a, scalar(1)); }

}  // namespace site
