// The naive staggered operator: D = m + K, K = 1/2 sum_mu eta_mu(x) [ U_mu(x) d_{x+mu} - U_mu^+(x-mu) d_{x-mu} ].
//
// `boundary[mu]` is the sign of a hop across the boundary in direction mu; it belongs to the operator, not to the links.
#pragma once
#include "links.h"

namespace site {

// eta_mu(x) = (-1)^(x_0 + ... + x_{mu-1}) as a sign bit
SITE_FN integer phase(const Lattice& g, Site x, int mu) {
    integer sum = broadcast_integer(0);
    for (int nu = 0; nu < mu; ++nu) sum = sum + coordinate(g, x, nu);
    return sum << (8 * SCALAR_BYTES - 1);
}
SITE_FN integer crossing(integer here, integer edge, const double* boundary, int mu) {
    const integer none = broadcast_integer(0);
    return boundary[mu] < 0 ? select(here == edge, broadcast_integer(SIGN_BIT), none) : none;
}
SITE_FN integer forward_sign(const Lattice& g, Site x, int mu, const double* boundary) {
    return phase(g, x, mu) ^ crossing(coordinate(g, x, mu), broadcast_integer(g.extent[mu] - 1), boundary, mu);
}
// The sign of the hop from x - mu, without the minus in front of it
SITE_FN integer backward_sign(const Lattice& g, Site x, int mu, const double* boundary) {
    return phase(g, x, mu) ^ crossing(coordinate(g, x, mu), broadcast_integer(0), boundary, mu);
}

template <int RHS>
SITE_FN void hop(const Lattice& g, Site x, const Matrices<N_DIMENSIONS>& U, const Vectors<RHS>& psi, const double* boundary,
                 ColorVector (&sum)[RHS]) {
    UNROLL for (int k = 0; k < RHS; ++k) sum[k] = zero_vector();
    EACH_DIRECTION {
        const Site next = up(g, x, mu), last = down(g, x, mu);
        const ColorMatrix ahead = get(U, x, mu), behind = adjoint(get(U, last, mu));
        const integer plus = forward_sign(g, x, mu, boundary), minus = backward_sign(g, x, mu, boundary) ^ SIGN_BIT;
        UNROLL for (int k = 0; k < RHS; ++k) {
            sum[k] = sum[k] + flip(ahead * get(psi, next, k), plus);
            sum[k] = sum[k] + flip(behind * get(psi, last, k), minus);
        }
    }
}

// out = a chi + b K psi, and Re <chi, out> for each right-hand side
template <int RHS>
SITE_FN void staggered_hop(const Lattice& g, Site x, Vectors<RHS> out, Matrices<N_DIMENSIONS> U, Vectors<RHS> psi,
                           Vectors<RHS> chi, const double* boundary, const double* a, const double* b, real (&totals)[RHS]) {
    ColorVector sum[RHS];
    hop(g, x, U, psi, boundary, sum);
    UNROLL for (int k = 0; k < RHS; ++k) {
        const ColorVector here = get(chi, x, k);
        const ColorVector value = multiply_add(scalar(0.5) * number(b), sum[k], number(a) * here);
        set(out, x, k, value);
        totals[k] = real_product(here, value);
    }
}

// out = b K psi
template <int RHS>
SITE_FN void staggered_hop_only(const Lattice& g, Site x, Vectors<RHS> out, Matrices<N_DIMENSIONS> U, Vectors<RHS> psi,
                                const double* boundary, const double* b) {
    ColorVector sum[RHS];
    hop(g, x, U, psi, boundary, sum);
    UNROLL for (int k = 0; k < RHS; ++k) set(out, x, k, (scalar(0.5) * number(b)) * sum[k]);
}

// C += sum over right-hand sides of weight eta [ X(x) Y^+(x+mu) - Y(x) X^+(x+mu) ], the gradient of X^+ D^+D X's inverse
// form phi^+ (D^+D)^-1 phi with X = (D^+D)^-1 phi, Y = D X (dS = Re sum tr(C^+ dU))
template <int RHS>
SITE_FN void staggered_gradient(const Lattice& g, Site x, Matrices<N_DIMENSIONS> C, Vectors<RHS> X, Vectors<RHS> Y,
                                const double* boundary, const double* weight) {
    EACH_DIRECTION {
        const Site next = up(g, x, mu);
        const integer sign = forward_sign(g, x, mu, boundary);
        ColorMatrix sum = get(C, x, mu);
        UNROLL for (int k = 0; k < RHS; ++k) {
            const real factor = flip(number(weight, k), sign);
            sum = multiply_add(factor, outer(get(X, x, k), get(Y, next, k)), sum);
            sum = multiply_add(-factor, outer(get(Y, x, k), get(X, next, k)), sum);
        }
        set(C, x, mu, sum);
    }
}

}  // namespace site
