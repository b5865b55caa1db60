// Pullbacks of the traces that attention numbers are made of, Re tr Q_mu P(K)^+ - Re tr U_mu P(U)^+.
//
// PAPER = 1: paths with sigma = - took the number of their sigma = + partner, so that one gets the cotangents of both.
#pragma once
#include "pullback.h"

namespace site {

// x - (j - 1) sigma nu
SITE_FN Site shifted_site(const Line& line, int side, int j) { return j > 0 ? line.at[BELOW - side][j - 1] : line.at[side][1]; }

SITE_FN void call_shifted(const Line& line, const Reals<PATHS>& shifted, int mu, int nu, int side) {
    for (int j = 0; j <= REACH; ++j) call_ahead(shifted, shifted_site(line, side, j), path_number(mu, nu, side, 1), REACH);
}

// What path_pullback leaves one step along the path from where it starts, as weights of the paths on a side
SITE_FN void fetch_shifted(const Lattice& g, Site x, const Line& line, const Reals<PATHS>& shifted, int mu, int nu, int side,
                           Weights& weights) {
    UNROLL for (int j = 0; j <= REACH; ++j) {
        fetch(shifted, shifted_site(line, side, j), path_number(mu, nu, side, 1), weights.w[j]);
        if (!PAPER) continue;
        real partner[REACH];
        fetch(shifted, shift(g, x, nu, -j - 1), path_number(mu, nu, BELOW, 1), partner);
        UNROLL for (int s = 1; s <= REACH; ++s)
            weights.w[j][s - 1] = side == ABOVE ? weights.w[j][s - 1] + partner[s - 1] : broadcast(0);
    }
}

// The same for loops, which are subtracted: a path along -nu closed by W_mu is the loop of a path along nu from its end.
SITE_FN void fetch_loops(const Lattice& g, Site x, const Line& line, const Reals<PATHS>& shifted, int mu, int nu, Weights& weights) {
    Weights backward;
    fetch_shifted(g, x, line, shifted, mu, nu, ABOVE, weights);
    fetch_shifted(g, x, line, shifted, mu, nu, BELOW, backward);
    UNROLL for (int j = 0; j <= REACH; ++j)
        UNROLL for (int s = j > 1 ? j : 1; s <= REACH; ++s) weights.w[j][s - 1] = -(weights.w[j][s - 1] + backward.w[s - j][s - 1]);
}

// sum += sum_s w P_s of the paths that start at x
SITE_FN void add_paths(ColorMatrix& sum, const Weights& weights, const Side& paths) {
    for (int k = 0; k < MATRIX_REALS; ++k)
        UNROLL for (int s = 1; s <= REACH; ++s) sum.a[k] = fma(weights.w[0][s - 1], paths.own[s].a[k], sum.a[k]);
}

// The same path by path
struct PathAdder {
    const Weights& weights;
    Growing& sums;
    int mu;
    SITE_METHOD void operator()(int s, const ColorMatrix& path, const ColorMatrix&) const {
        if (s == 0) return;
        ColorMatrix& sum = growing(sums, mu);
        sum = multiply_add(weights.w[0][s - 1], path, sum);
        grown(sums, mu);
    }
};

// Adds the paths along sigma nu beside mu, also those that start at x to sums[mu]; `moved`: A_j of M, `paths`: P_r of W
SITE_FN void pull_back_and_add(const Weights& weights, const Journey& way, const Side& moved, const Side& paths,
                               const Matrices<N_DIMENSIONS>& M, const Matrices<N_DIMENSIONS>& W, Ending& ending, Growing& sums) {
    if (KEEPS_MATRICES) {
        pull_back_steps(weights, way.mu, way.nu, way.side, moved, paths, ending);
        add_paths(growing(sums, way.mu), weights, paths);
    } else {
        pull_back_again<GROUP_ROWS>(weights, way, M, W, REACH, ending, PathAdder{weights, sums, way.mu});
    }
}

// Of sum w Re tr Q P(K)^+: the slopes of the key K, and of the query Q dQ = sum w P(K)
SITE_FN void trace_pullback(const Lattice& g, Site x, Slopes slopes, Matrices<N_DIMENSIONS> d_query, Reals<PATHS> shifted,
                            Matrices<N_DIMENSIONS> query, Matrices<N_DIMENSIONS> key) {
    Ending ending = no_steps(slopes, x);
    Growing sums{d_query, x};
    EACH_DIRECTION start(sums, mu, zero_matrix());
    Rails both;
    Side moved, paths;
    Weights weights;
    for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
        const Line line = line_of(g, x, nu), left = left_steps(line);
        call_ending(slopes, x, nu);
        if (nu == N_DIMENSIONS - 1) EACH_DIRECTION call_ahead(d_query, x, mu);
        rails(left, key, nu, both.left);
        EACH_OTHER(nu, mu) {
            const Line right = right_steps(g, x, mu, nu);
            rails(right, key, nu, both.right);
            EACH_SIDE {
                call_ahead(slopes, x, right_slopes(mu, nu, side));
                call_shifted(line, shifted, mu, nu, side);
                call_ahead(key, line.at[side][1], mu);
                carry_all<GROUP_ROWS>(line, query, mu, both, BELOW - side, REACH, moved);
                carry_all<GROUP_ROWS>(line, key, mu, both, side, REACH, paths);
                fetch_shifted(g, x, line, shifted, mu, nu, side, weights);
                if (side == ABOVE) call_ahead(query, line.at[ABOVE][1], mu);
                pull_back_and_add(weights, Journey{line, left, right, mu, nu, side}, moved, paths, query, key, ending, sums);
            }
        }
    }
    finish(ending);
    finish(sums);
}

// Of -sum w Re tr W P(W)^+: the slopes of W as sides and tops of loops along nu; as their bottoms it is added to dW
SITE_FN void loop_pullback(const Lattice& g, Site x, Slopes slopes, Matrices<N_DIMENSIONS> dW, Reals<PATHS> shifted,
                           Matrices<N_DIMENSIONS> W) {
    Ending ending = no_steps(slopes, x);
    Growing sums{dW, x};
    if (KEEPS_MATRICES) EACH_DIRECTION start(sums, mu, get(dW, x, mu));
    Rails both;
    Side moved, paths;
    Weights weights;
    for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
        const Line line = line_of(g, x, nu), left = left_steps(line);
        call_ending(slopes, x, nu);
        rails(left, W, nu, both.left);
        EACH_OTHER(nu, mu) {
            const Line right = right_steps(g, x, mu, nu);
            rails(right, W, nu, both.right);
            call_ahead(slopes, x, right_slopes(mu, nu, ABOVE));
            EACH_SIDE call_shifted(line, shifted, mu, nu, side);
            carry_all<GROUP_ROWS>(line, W, mu, both, BELOW, REACH, moved);
            carry_all<GROUP_ROWS>(line, W, mu, both, ABOVE, REACH, paths);
            fetch_loops(g, x, line, shifted, mu, nu, weights);
            pull_back_and_add(weights, Journey{line, left, right, mu, nu, ABOVE}, moved, paths, W, W, ending, sums);
        }
    }
    finish(ending);
    finish(sums);
}

}  // namespace site
