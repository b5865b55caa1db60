// The pullback of sums over the paths of CASK.
//
// f = sum_x w_{mu,sigma nu,s}(x) Re tr M_mu(x) P_{sigma nu,s}(W)(x)^+. A path that starts at y = x - j sigma nu passes x
// after j steps of its rails; with A_j(x) = M_mu(y) carried to x along them it is closed there as w A_j P_r^+, r = s - j,
// P_0 = W_mu(x). The step of the left rail that ends at x, changed to V (1 + X), has df = Re tr(C^+ X) with
//   C = sum_{j >= 1, r >= 0} w_{j+r}(x - j sigma nu) A_j P_r^+,
// the right rail's step that ends at x + mu the same with C' = -sum w P_r^+ A_j, and W_mu(x) -> (1 + X) W_mu(x) the terms
// r = 0 of C.
#pragma once
#include "attention_number.h"
#include "slopes.h"

// Loops over matrices that a GPU has no registers for
#if COLORS == 2
#define RAIL_LOOP
#else
#define RAIL_LOOP ROLLED
#endif

namespace site {

// What stands at x + s nu and x - s nu, s = 0 ... REACH
struct Sides {
    ColorMatrix above[REACH + 1], below[REACH + 1];
};

// Products of s links along nu: from y = x + i mu to y + s nu, and from y - s nu to y
SITE_FN void rails(const Lattice& g, Site x, const Matrices<N_DIMENSIONS>& W, int mu, int i, int nu, Sides& rail) {
    rail.above[1] = get(W, shift(g, x, mu, i), nu);
    rail.below[1] = get(W, shift(g, x, mu, i, nu, -1), nu);
    RAIL_LOOP for (int s = 2; s <= REACH; ++s) {
        rail.above[s] = product(rail.above[s - 1], get(W, shift(g, x, mu, i, nu, s - 1), nu));
        rail.below[s] = product(get(W, shift(g, x, mu, i, nu, -s), nu), rail.below[s - 1]);
    }
}

// M_mu(x + s nu) and M_mu(x - s nu) carried to x, s = 0 ... last; of W these are the paths P_{+nu,s} and P_{-nu,s}
SITE_FN void carry(const Line& line, const Matrices<N_DIMENSIONS>& M, int mu, const Sides& left, const Sides& right, int last,
                   Sides& carried) {
    carried.above[0] = carried.below[0] = get(M, line.above[0], mu);
    RAIL_LOOP for (int s = 1; s <= last; ++s) {
        carried.above[s] = carried_down(left.above[s], get(M, line.above[s], mu), right.above[s]);
        carried.below[s] = carried_up(left.below[s], get(M, line.below[s], mu), right.below[s]);
    }
}

// [j][s - 1]: the weight of the path of s steps that starts at x - j sigma nu, j <= s
struct Weights {
    real w[REACH + 1][REACH];
};

// The cotangents of steps that end at x, in the order of Slopes
struct Ending {
    Traceless ahead[N_DIMENSIONS], behind[N_DIMENSIONS];
};

SITE_FN Ending no_steps() {
    Ending r;
    EACH_DIRECTION r.ahead[mu] = r.behind[mu] = zero_traceless();
    return r;
}

// Adds the paths along sigma nu beside mu; `moved`: A_j, `paths`: P_r
SITE_FN void pull_back_steps(const Slopes& slopes, Site x, const Weights& weights, int mu, int nu, int sigma,
                             const ColorMatrix* moved, const ColorMatrix* paths, Ending& ending) {
    ColorMatrix arriving[REACH];  // [r]: sum_j w A_j
    for (int k = 0; k < MATRIX_REALS; ++k) {
        UNROLL for (int r = 0; r < REACH; ++r) {
            real sum = weights.w[1][r] * moved[1].a[k];
            UNROLL for (int j = 2; j + r <= REACH; ++j) sum = fma(weights.w[j][j + r - 1], moved[j].a[k], sum);
            arriving[r].a[k] = sum;
        }
    }
    Traceless first, left, right;
    closed_products(arriving, paths, first, left, right);
    ending.ahead[mu] = ending.ahead[mu] + first;
    // V = W_nu(x - nu), or W_nu(x)^+, which turns the sign
    if (sigma > 0)
        ending.behind[nu] = ending.behind[nu] + left;
    else
        ending.ahead[nu] = ending.ahead[nu] - left;
    set(slopes, x, 2 * N_DIMENSIONS + 2 * plane_number(mu, nu) + (sigma < 0), right);
}

SITE_FN void set(const Slopes& slopes, Site x, const Ending& ending) {
    EACH_DIRECTION {
        set(slopes, x, mu, ending.ahead[mu]);
        set(slopes, x, N_DIMENSIONS + mu, ending.behind[mu]);
    }
}

// Of sum a P(W) with the cotangent M: the slopes of W, and da/dt Re tr M P^+ of the paths that start at x - sigma nu, the
// cotangents of the differences t of traces that a is made of
SITE_FN void path_pullback(const Lattice& g, Site x, Slopes slopes, Reals<PATHS> shifted, Reals<PATHS> a,
                           Matrices<N_DIMENSIONS> M, Matrices<N_DIMENSIONS> W) {
    Ending ending = no_steps();
    Sides left, right, m, w;
    Weights weights;
    for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
        const Line line = line_of(g, x, nu);
        rails(g, x, W, nu == 0, 0, nu, left);
        EACH_OTHER(nu, mu) {
            rails(g, x, W, mu, 1, nu, right);
            carry(line, M, mu, left, right, REACH, m);
            carry(line, W, mu, left, right, REACH - 1, w);
            for (int sigma = 1; sigma >= -1; sigma -= 2) {
                const ColorMatrix* const moved = sigma > 0 ? m.below : m.above;
                const ColorMatrix* const paths = sigma > 0 ? w.above : w.below;
                const int first = path_number(mu, nu, sigma, 1);
                for (int j = 1; j <= REACH; ++j) fetch(a, sigma > 0 ? line.below[j] : line.above[j], first, weights.w[j]);
                pull_back_steps(slopes, x, weights, mu, nu, sigma, moved, paths, ending);
                real found[REACH];
                for (int s = 1; s <= REACH; ++s)
                    found[s - 1] = attention_slope(weights.w[1][s - 1]) * real_product(moved[1], paths[s - 1]);
                put(shifted, x, first, found);
            }
        }
    }
    set(slopes, x, ending);
}

}  // namespace site
