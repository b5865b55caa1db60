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
#define RAIL_LOOP UNROLL
#else
#define RAIL_LOOP UNROLL_ON_CPU
#endif

namespace site {

// Products of the links of s steps: from y to y + s nu above, from y - s nu to y below
SITE_FN void rails(const Line& steps, const Matrices<N_DIMENSIONS>& W, int nu, Side (&rail)[2]) {
    ColorMatrix room;
    EACH_SIDE rail[side].at[1] = &look(W, steps.at[side][1], nu, rail[side].own[1]);
    RAIL_LOOP for (int s = 2; s <= REACH; ++s) {
        join(rail[ABOVE].own[s], *rail[ABOVE].at[s - 1], look(W, steps.at[ABOVE][s], nu, room));
        join(rail[BELOW].own[s], look(W, steps.at[BELOW][s], nu, room), *rail[BELOW].at[s - 1]);
        EACH_SIDE rail[side].at[s] = &rail[side].own[s];
    }
}

// Between the rails of a pair mu, nu
struct Rails {
    Side left[2], right[2];
};

// M_mu(x + s nu) or M_mu(x - s nu) carried to x, s = 0 ... last; of W these are the paths P_{nu,s} or P_{-nu,s}
SITE_FN void carry_all(const Line& line, const Matrices<N_DIMENSIONS>& M, int mu, const Rails& rails, int side, int last,
                       Side& carried) {
    ColorMatrix room;
    carried.at[0] = &look(M, line.at[side][0], mu, carried.own[0]);
    RAIL_LOOP for (int s = 1; s <= last; ++s) {
        if (s < last) call_ahead(M, line.at[side][s + 1], mu);
        carry(carried.own[s], side, *rails.left[side].at[s], look(M, line.at[side][s], mu, room), *rails.right[side].at[s]);
        carried.at[s] = &carried.own[s];
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

// The slopes of the right rail's steps
SITE_FN int right_slopes(int mu, int nu, int side) { return 2 * N_DIMENSIONS + 2 * plane_number(mu, nu) + side; }

// Adds the paths along sigma nu beside mu; `moved`: A_j, `paths`: P_r
SITE_FN void pull_back_steps(const Slopes& slopes, Site x, const Weights& weights, int mu, int nu, int side,
                             const Side& moved, const Side& paths, Ending& ending) {
    ColorMatrix arriving[REACH];  // [r]: sum_j w A_j
    for (int k = 0; k < MATRIX_REALS; ++k) {
        UNROLL for (int r = 0; r < REACH; ++r) {
            real sum = weights.w[1][r] * moved.own[1].a[k];
            UNROLL for (int j = 2; j + r <= REACH; ++j) sum = fma(weights.w[j][j + r - 1], moved.own[j].a[k], sum);
            arriving[r].a[k] = sum;
        }
    }
    Traceless first, left, right;
    closed_products(arriving, paths.at, first, left, right);
    ending.ahead[mu] = ending.ahead[mu] + first;
    // V = W_nu(x - nu), or W_nu(x)^+, which turns the sign
    if (side == ABOVE)
        ending.behind[nu] = ending.behind[nu] + left;
    else
        ending.ahead[nu] = ending.ahead[nu] - left;
    set(slopes, x, right_slopes(mu, nu, side), right);
}

// Calls what the last lines of a pullback write, before the work on the last direction
SITE_FN void call_ending(const Slopes& slopes, Site x, int nu) {
    if (nu < N_DIMENSIONS - 1) return;
    for (int k = 0; k < 2 * N_DIMENSIONS; ++k) call_ahead(slopes, x, k);
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
    Rails both;
    Side moved, paths;
    Weights weights;
    for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
        const Line line = line_of(g, x, nu);
        call_ending(slopes, x, nu);
        rails(left_steps(line), W, nu, both.left);
        EACH_OTHER(nu, mu) {
            rails(right_steps(g, x, mu, nu), W, nu, both.right);
            EACH_SIDE {
                const int first = path_number(mu, nu, side, 1);
                call_ahead(slopes, x, right_slopes(mu, nu, side));
                call_ahead(shifted, x, first, REACH);
                for (int j = 1; j <= REACH; ++j) call_ahead(a, line.at[BELOW - side][j], first, REACH);
                call_ahead(W, line.at[side][1], mu);
                carry_all(line, M, mu, both, BELOW - side, REACH, moved);
                carry_all(line, W, mu, both, side, REACH - 1, paths);
                UNROLL for (int j = 1; j <= REACH; ++j) fetch(a, line.at[BELOW - side][j], first, weights.w[j]);
                if (side == ABOVE) call_ahead(M, line.at[ABOVE][1], mu);
                pull_back_steps(slopes, x, weights, mu, nu, side, moved, paths, ending);
                real found[REACH];
                UNROLL for (int s = 1; s <= REACH; ++s)
                    found[s - 1] = attention_slope(weights.w[1][s - 1]) * real_product(moved.own[1], *paths.at[s - 1]);
                put(shifted, x, first, found);
            }
        }
    }
    set(slopes, x, ending);
}

}  // namespace site
