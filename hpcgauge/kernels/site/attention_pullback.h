// Pullbacks of the traces that attention numbers are made of, Re tr Q_mu P(K)^+ - Re tr U_mu P(U)^+.
//
// PAPER = 1: paths with sigma = - took the number of their sigma = + partner, so that one gets the cotangents of both.
#pragma once
#include "pullback.h"

namespace site {

// Cotangents of traces, as path_pullback leaves them: one step along the path from where it starts.
struct Shifted {
    Reals<PATHS> data;
};
SITE_FN real weight(const Lattice& g, Site x, const Shifted& weights, int mu, int nu, int sigma, int j, int r) {
    const int s = j + r;
    if (PAPER && sigma < 0) return broadcast(0);
    const real own = get(weights.data, shift(g, x, nu, -sigma * (j - 1)), path_number(mu, nu, sigma, s));
    return PAPER ? own + get(weights.data, shift(g, x, nu, -j - 1), path_number(mu, nu, -1, s)) : own;
}

// Those of loops, which are subtracted: a path along -nu closed by W_mu is the loop of a path along nu from its end.
struct Loops {
    Shifted negative;
};
SITE_FN real weight(const Lattice& g, Site x, const Loops& loops, int mu, int nu, int sigma, int j, int r) {
    return -(weight(g, x, loops.negative, mu, nu, sigma, j, r) + weight(g, x, loops.negative, mu, nu, -sigma, r, j));
}

// Of sum w Re tr M P(W)^+: the slopes of W, and dM = sum w P(W)
SITE_FN void trace_pullback(const Lattice& g, Site x, Slopes<2> slopes, Matrices<N_DIMENSIONS> dM, Reals<PATHS> shifted,
                            Matrices<N_DIMENSIONS> M, Matrices<N_DIMENSIONS> W) {
    const Shifted weights{shifted};
    Ending ending = no_steps();
    ColorMatrix sum[N_DIMENSIONS];
    EACH_DIRECTION sum[mu] = zero_matrix();
    Sides left, right, m, w;
    for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
        rails(g, x, W, nu == 0, 0, nu, left);
        EACH_OTHER(nu, mu) {
            rails(g, x, W, mu, 1, nu, right);
            carry(g, x, M, mu, nu, left, right, REACH, m);
            carry(g, x, W, mu, nu, left, right, REACH, w);
            for (int sigma = 1; sigma >= -1; sigma -= 2) {
                const ColorMatrix* const moved = sigma > 0 ? m.below : m.above;
                const ColorMatrix* const paths = sigma > 0 ? w.above : w.below;
                pull_back_steps<2>(g, x, slopes, weights, mu, nu, sigma, moved, paths, ending);
                for (int s = 1; s <= REACH; ++s)
                    sum[mu] = multiply_add(weight(g, x, weights, mu, nu, sigma, 0, s), paths[s], sum[mu]);
            }
        }
    }
    set<2>(slopes, x, ending);
    EACH_DIRECTION set(dM, x, mu, sum[mu]);
}

// Of -sum w Re tr W P(W)^+: the slopes of W as sides and tops of loops; as their bottoms it is added to dW
SITE_FN void loop_pullback(const Lattice& g, Site x, Slopes<1> slopes, Matrices<N_DIMENSIONS> dW, Reals<PATHS> shifted,
                           Matrices<N_DIMENSIONS> W) {
    const Loops loops{{shifted}};
    Ending ending = no_steps();
    ColorMatrix sum[N_DIMENSIONS];
    EACH_DIRECTION sum[mu] = get(dW, x, mu);
    Sides left, right, w;
    for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
        rails(g, x, W, nu == 0, 0, nu, left);
        EACH_OTHER(nu, mu) {
            rails(g, x, W, mu, 1, nu, right);
            carry(g, x, W, mu, nu, left, right, REACH, w);
            pull_back_steps<1>(g, x, slopes, loops, mu, nu, 1, w.below, w.above, ending);
            for (int s = 1; s <= REACH; ++s)
                sum[mu] = multiply_add(weight(g, x, loops, mu, nu, 1, 0, s), w.above[s], sum[mu]);
        }
    }
    set<1>(slopes, x, ending);
    EACH_DIRECTION set(dW, x, mu, sum[mu]);
}

}  // namespace site
