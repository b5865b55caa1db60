// Pullbacks of the traces that attention numbers are made of, Re tr Q_mu P(K)^+ - Re tr U_mu P(U)^+.
//
// PAPER = 1: paths with sigma = - took the number of their sigma = + partner, so that one gets the cotangents of both.
#pragma once
#include "pullback.h"

namespace site {

// What path_pullback leaves one step along the path from where it starts, as weights of the paths along sigma nu
SITE_FN void fetch_shifted(const Lattice& g, Site x, const Line& line, const Reals<PATHS>& shifted, int mu, int nu, int sigma,
                           Weights& weights) {
    const Site* const back = sigma > 0 ? line.below : line.above;
    for (int j = 0; j <= REACH; ++j) {
        const Site step = j > 0 ? back[j - 1] : sigma > 0 ? line.above[1] : line.below[1];
        fetch(shifted, step, path_number(mu, nu, sigma, 1), weights.w[j]);
        if (!PAPER) continue;
        real partner[REACH];
        fetch(shifted, shift(g, x, nu, -j - 1), path_number(mu, nu, -1, 1), partner);
        for (int s = 1; s <= REACH; ++s) weights.w[j][s - 1] = sigma > 0 ? weights.w[j][s - 1] + partner[s - 1] : broadcast(0);
    }
}

// The same for loops, which are subtracted: a path along -nu closed by W_mu is the loop of a path along nu from its end.
SITE_FN void fetch_loops(const Lattice& g, Site x, const Line& line, const Reals<PATHS>& shifted, int mu, int nu, Weights& weights) {
    Weights backward;
    fetch_shifted(g, x, line, shifted, mu, nu, 1, weights);
    fetch_shifted(g, x, line, shifted, mu, nu, -1, backward);
    for (int j = 0; j <= REACH; ++j)
        for (int s = j > 1 ? j : 1; s <= REACH; ++s) weights.w[j][s - 1] = -(weights.w[j][s - 1] + backward.w[s - j][s - 1]);
}

// Of sum w Re tr M P(W)^+: the slopes of W, and dM = sum w P(W)
SITE_FN void trace_pullback(const Lattice& g, Site x, Slopes slopes, Matrices<N_DIMENSIONS> dM, Reals<PATHS> shifted,
                            Matrices<N_DIMENSIONS> M, Matrices<N_DIMENSIONS> W) {
    Ending ending = no_steps();
    ColorMatrix sum[N_DIMENSIONS];
    EACH_DIRECTION sum[mu] = zero_matrix();
    Sides left, right, m, w;
    Weights weights;
    for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
        const Line line = line_of(g, x, nu);
        rails(g, x, W, nu == 0, 0, nu, left);
        EACH_OTHER(nu, mu) {
            rails(g, x, W, mu, 1, nu, right);
            carry(line, M, mu, left, right, REACH, m);
            carry(line, W, mu, left, right, REACH, w);
            for (int sigma = 1; sigma >= -1; sigma -= 2) {
                const ColorMatrix* const moved = sigma > 0 ? m.below : m.above;
                const ColorMatrix* const paths = sigma > 0 ? w.above : w.below;
                fetch_shifted(g, x, line, shifted, mu, nu, sigma, weights);
                pull_back_steps(slopes, x, weights, mu, nu, sigma, moved, paths, ending);
                for (int s = 1; s <= REACH; ++s)
                    sum[mu] = multiply_add(weights.w[0][s - 1], paths[s], sum[mu]);
            }
        }
    }
    set(slopes, x, ending);
    EACH_DIRECTION set(dM, x, mu, sum[mu]);
}

// Of -sum w Re tr W P(W)^+: the slopes of W as sides and tops of loops along nu; as their bottoms it is added to dW
SITE_FN void loop_pullback(const Lattice& g, Site x, Slopes slopes, Matrices<N_DIMENSIONS> dW, Reals<PATHS> shifted,
                           Matrices<N_DIMENSIONS> W) {
    Ending ending = no_steps();
    ColorMatrix sum[N_DIMENSIONS];
    EACH_DIRECTION sum[mu] = get(dW, x, mu);
    Sides left, right, w;
    Weights weights;
    for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
        const Line line = line_of(g, x, nu);
        rails(g, x, W, nu == 0, 0, nu, left);
        EACH_OTHER(nu, mu) {
            rails(g, x, W, mu, 1, nu, right);
            carry(line, W, mu, left, right, REACH, w);
            fetch_loops(g, x, line, shifted, mu, nu, weights);
            pull_back_steps(slopes, x, weights, mu, nu, 1, w.below, w.above, ending);
            for (int s = 1; s <= REACH; ++s)
                sum[mu] = multiply_add(weights.w[0][s - 1], w.above[s], sum[mu]);
        }
    }
    set(slopes, x, ending);
    EACH_DIRECTION set(dW, x, mu, sum[mu]);
}

}  // namespace site
