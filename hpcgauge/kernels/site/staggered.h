// The naive staggered operator: D = m + K, K = 1/2 sum_mu eta_mu(x) [ U_mu(x) d_{x+mu} - U_mu^+(x-mu) d_{x-mu} ].
//
// `boundary[mu]` is the sign of a hop across the boundary in direction mu; it belongs to the operator, not to the links.
#pragma once
#include "group.h"
#include "links.h"
#include "math.h"

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

// What a hop multiplies with, signs included: W_{2 mu} = eta_mu U_mu(x), W_{2 mu + 1} = -eta_mu U_mu(x-mu)^+.
static constexpr int HOPS = 2 * N_DIMENSIONS;

// The sign of W_{hop} in front of a link
SITE_FN integer hop_sign(const Lattice& g, Site x, int hop, const double* boundary) {
    return hop % 2 ? backward_sign(g, x, hop / 2, boundary) ^ SIGN_BIT : forward_sign(g, x, hop / 2, boundary);
}
SITE_FN ColorMatrix hop_link(const Lattice& g, Site x, int hop, const Matrices<N_DIMENSIONS>& U) {
    return hop % 2 ? adjoint(get(U, down(g, x, hop / 2), hop / 2)) : get(U, x, hop / 2);
}
SITE_FN void hop_links(const Lattice& g, Site x, Matrices<HOPS> W, Matrices<N_DIMENSIONS> U, const double* boundary) {
    for (int hop = 0; hop < HOPS; ++hop) set(W, x, hop, flip(hop_link(g, x, hop, U), hop_sign(g, x, hop, boundary)));
}
SITE_FN ColorMatrix hopping(const Matrices<HOPS>& W, Site x, int hop) { return get(W, x, hop); }
SITE_FN void hopping_ahead(const Lattice& g, const Matrices<HOPS>& W, Site x, int hop) {
    fetch_ahead(g, W.reals, x, hop * MATRIX_REALS, MATRIX_REALS);
}

#if COLORS == 3
// The same in 12 numbers for each hop, the upper two rows, and one number for all signs: sum_hop 2^hop where it is -.
static constexpr int ROW_REALS = 4 * COLORS, COMPRESSED = HOPS * ROW_REALS + 1;

SITE_FN void hop_rows(const Lattice& g, Site x, Reals<COMPRESSED> W, Matrices<N_DIMENSIONS> U, const double* boundary) {
    integer signs = broadcast_integer(0);
    for (int hop = 0; hop < HOPS; ++hop) {
        const integer sign = hop_sign(g, x, hop, boundary);
        const ColorMatrix m = flip(hop_link(g, x, hop, U), sign);
        UNROLL for (int k = 0; k < ROW_REALS; ++k) set(W, x, hop * ROW_REALS + k, m.a[k]);
        signs = signs | select(sign != 0, broadcast_integer(integer_scalar(1) << hop), broadcast_integer(0));
    }
    set(W, x, COMPRESSED - 1, to_real(signs));
}
SITE_FN void hopping_ahead(const Lattice& g, const Reals<COMPRESSED>& W, Site x, int hop) {
    fetch_ahead(g, W, x, hop * ROW_REALS, ROW_REALS);
}
// With a sign s the third row is s (row 0 x row 1)^*.
SITE_FN ColorMatrix hopping(const Reals<COMPRESSED>& W, Site x, int hop) {
    ColorMatrix m;
    UNROLL for (int k = 0; k < ROW_REALS; ++k) m.a[k] = get(W, x, hop * ROW_REALS + k);
    const integer sign = (to_integer(get(W, x, COMPRESSED - 1)) << (8 * SCALAR_BYTES - 1 - hop)) & SIGN_BIT;
    complete(m);
    EACH_COLUMN {
        m.a[RE(2, column)] = flip(m.a[RE(2, column)], sign);
        m.a[IM(2, column)] = flip(m.a[IM(2, column)], sign);
    }
    return m;
}
#endif

// sum_mu W_{2 mu} psi(x+mu) + W_{2 mu + 1} psi(x-mu)
template <int RHS, class HopLinks>
SITE_FN void hop(const Lattice& g, Site x, const HopLinks& W, const Vectors<RHS>& psi, ColorVector (&sum)[RHS]) {
    UNROLL for (int k = 0; k < RHS; ++k) sum[k] = zero_vector();
    UNROLL_ON_GPU EACH_DIRECTION {
        const Site next = up(g, x, mu), last = down(g, x, mu);
        hopping_ahead(g, W, x, 2 * mu);
        const ColorMatrix forward = hopping(W, x, 2 * mu);
        UNROLL for (int k = 0; k < RHS; ++k) sum[k] = multiply_add(forward, get(psi, next, k), sum[k]);
        hopping_ahead(g, W, x, 2 * mu + 1);
        const ColorMatrix backward = hopping(W, x, 2 * mu + 1);
        UNROLL for (int k = 0; k < RHS; ++k) sum[k] = multiply_add(backward, get(psi, last, k), sum[k]);
    }
}

// out = b K psi
template <int RHS, class HopLinks>
SITE_FN void staggered_hop(const Lattice& g, Site x, Vectors<RHS> out, HopLinks W, Vectors<RHS> psi, const double* b) {
    ColorVector sum[RHS];
    hop(g, x, W, psi, sum);
    UNROLL for (int k = 0; k < RHS; ++k) set_past(g, out, x, k, (scalar(0.5) * number(b)) * sum[k]);
}

// out = a chi + b K psi, and Re <chi, out> for each right-hand side
template <int RHS, class HopLinks>
SITE_FN void staggered_hop_add(const Lattice& g, Site x, Vectors<RHS> out, HopLinks W, Vectors<RHS> psi, Vectors<RHS> chi,
                               const double* a, const double* b, real (&totals)[RHS]) {
    ColorVector sum[RHS];
    hop(g, x, W, psi, sum);
    UNROLL for (int k = 0; k < RHS; ++k) {
        const ColorVector here = get(chi, x, k);
        const ColorVector value = multiply_add(scalar(0.5) * number(b), sum[k], number(a) * here);
        set_past(g, out, x, k, value);
        totals[k] = real_product(here, value);
    }
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
