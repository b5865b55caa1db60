// A layer's own kernel: staples X are weighted by what they say about their link U,
// Z = (rho + slope h) X,  h = Re tr(X U^+) / norm,  norm = 2 (d - 1) N (h = 1 where all plaquettes are 1).
#pragma once
#include "links.h"

namespace site {

SITE_FN real agreement(const ColorMatrix& X, const ColorMatrix& U) {
    return scalar(1.0 / (2 * (N_DIMENSIONS - 1) * COLORS)) * real_product(X, U);
}

SITE_FN void weigh(const Lattice&, Site x, Matrices<N_DIMENSIONS> Z, Matrices<N_DIMENSIONS> X, Matrices<N_DIMENSIONS> U,
                   const double* parameters) {
    EACH_DIRECTION {
        const ColorMatrix staple = get(X, x, mu);
        const real weight = fma(number(parameters, 1), agreement(staple, get(U, x, mu)), number(parameters));
        set(Z, x, mu, weight * staple);
    }
}

// dX = (rho + slope h) dZ + slope s / norm U,  dU += slope s / norm X,  s = Re tr(dZ^+ X); d rho = s, d slope = s h
SITE_FN void weigh_pullback(const Lattice&, Site x, Matrices<N_DIMENSIONS> dX, Matrices<N_DIMENSIONS> dU,
                            Matrices<N_DIMENSIONS> dZ, Matrices<N_DIMENSIONS> X, Matrices<N_DIMENSIONS> U,
                            const double* parameters, real (&totals)[2]) {
    EACH_DIRECTION {
        const ColorMatrix staple = get(X, x, mu), link = get(U, x, mu), cotangent = get(dZ, x, mu);
        const real s = real_product(cotangent, staple), h = agreement(staple, link);
        const real weight = fma(number(parameters, 1), h, number(parameters));
        const real share = scalar(1.0 / (2 * (N_DIMENSIONS - 1) * COLORS)) * (number(parameters, 1) * s);
        set(dX, x, mu, multiply_add(share, link, weight * cotangent));
        set(dU, x, mu, multiply_add(share, staple, get(dU, x, mu)));
        totals[0] = totals[0] + s;
        totals[1] = fma(s, h, totals[1]);
    }
}

}  // namespace site
