// Pullbacks of sums and traces over the paths of CASK.
//
// f = sum_x w_{mu,sigma nu,s}(x) Re tr M_mu(x) P_{sigma nu,s}(W)(x)^+. A path that starts at y = x - j sigma nu passes x
// after j steps of its rails; with A_j(x) = M_mu(y) carried to x along them it is closed there as w A_j P_r^+, r = s - j,
// P_0 = W_mu(x). The step of the left rail that ends at x, changed to V (1 + X), has df = Re tr(C^+ X) with
//   C = sum_{j >= 1, r >= 0} w_{j+r}(x - j sigma nu) A_j P_r^+,
// the right rail's step that ends at x + mu the same with C' = -sum w P_r^+ A_j, and W_mu(x) -> (1 + X) W_mu(x) the terms
// r = 0 of C. Only TA(C) matters.
#pragma once
#include "paths.h"
#include "traceless.h"

namespace site {

// [nu]: TA(C) of W_nu(x) -> (1 + X) W_nu(x). [D + nu]: of W_nu(x - nu) -> W_nu(x - nu) (1 + X).
// [2 D + SIGNS plane + (sigma < 0)]: -TA(C') of the right rail's step along sigma nu that ends at x + mu.
template <int SIGNS>
using Slopes = TracelessMatrices<2 * N_DIMENSIONS + SIGNS * PLANES>;

// What stands at x + s nu and x - s nu, s = 0 ... REACH
struct Sides {
    ColorMatrix above[REACH + 1], below[REACH + 1];
};

// Products of s links along nu: from y = x + i mu to y + s nu, and from y - s nu to y
SITE_FN void rails(const Lattice& g, Site x, const Matrices<N_DIMENSIONS>& W, int mu, int i, int nu, Sides& rail) {
    rail.above[1] = get(W, shift(g, x, mu, i), nu);
    rail.below[1] = get(W, shift(g, x, mu, i, nu, -1), nu);
    for (int s = 2; s <= REACH; ++s) {
        rail.above[s] = product(rail.above[s - 1], get(W, shift(g, x, mu, i, nu, s - 1), nu));
        rail.below[s] = product(get(W, shift(g, x, mu, i, nu, -s), nu), rail.below[s - 1]);
    }
}

// M_mu(x + s nu) and M_mu(x - s nu) carried to x, s = 0 ... last; of W these are the paths P_{+nu,s} and P_{-nu,s}
SITE_FN void carry(const Lattice& g, Site x, const Matrices<N_DIMENSIONS>& M, int mu, int nu, const Sides& left,
                   const Sides& right, int last, Sides& carried) {
    carried.above[0] = carried.below[0] = get(M, x, mu);
    for (int s = 1; s <= last; ++s) {
        carried.above[s] = carried_down(left.above[s], get(M, shift(g, x, nu, s), mu), right.above[s]);
        carried.below[s] = carried_up(left.below[s], get(M, shift(g, x, nu, -s), mu), right.below[s]);
    }
}

// The weight of the path of j + r steps that starts at x - j sigma nu
SITE_FN real weight(const Lattice& g, Site x, const Reals<PATHS>& weights, int mu, int nu, int sigma, int j, int r) {
    return get(weights, shift(g, x, nu, -sigma * j), path_number(mu, nu, sigma, j + r));
}
// Loops, M = W: a path along -nu closed by W_mu is the loop of a path along nu. `negative`: of the weights
struct Loops {
    Reals<PATHS> negative;
};
SITE_FN real weight(const Lattice& g, Site x, const Loops& loops, int mu, int nu, int sigma, int j, int r) {
    return -(weight(g, x, loops.negative, mu, nu, sigma, j, r) + weight(g, x, loops.negative, mu, nu, -sigma, r, j));
}

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
template <int SIGNS, class Weights>
SITE_FN void pull_back_steps(const Lattice& g, Site x, const Slopes<SIGNS>& slopes, const Weights& weights, int mu, int nu,
                             int sigma, const ColorMatrix* moved, const ColorMatrix* paths, Ending& ending) {
    ColorMatrix arriving[REACH];  // [r]: sum_j w A_j
    for (int r = 0; r < REACH; ++r) {
        arriving[r] = weight(g, x, weights, mu, nu, sigma, 1, r) * moved[1];
        for (int j = 2; j + r <= REACH; ++j)
            arriving[r] = multiply_add(weight(g, x, weights, mu, nu, sigma, j, r), moved[j], arriving[r]);
    }
    Traceless first, left, right;
    closed_products(arriving, paths, first, left, right);
    ending.ahead[mu] = ending.ahead[mu] + first;
    // V = W_nu(x - nu), or W_nu(x)^+, which turns the sign
    if (sigma > 0)
        ending.behind[nu] = ending.behind[nu] + left;
    else
        ending.ahead[nu] = ending.ahead[nu] - left;
    set(slopes, x, 2 * N_DIMENSIONS + SIGNS * plane_number(mu, nu) + (sigma < 0), right);
}

template <int SIGNS>
SITE_FN void set(const Slopes<SIGNS>& slopes, Site x, const Ending& ending) {
    EACH_DIRECTION {
        set(slopes, x, mu, ending.ahead[mu]);
        set(slopes, x, N_DIMENSIONS + mu, ending.behind[mu]);
    }
}

// Of sum w P(W) with the cotangent M: the slopes of W, and d/dw = Re tr M P^+ of the paths that start at x - sigma nu
SITE_FN void path_pullback(const Lattice& g, Site x, Slopes<2> slopes, Reals<PATHS> traces, Reals<PATHS> weights,
                           Matrices<N_DIMENSIONS> M, Matrices<N_DIMENSIONS> W) {
    Ending ending = no_steps();
    Sides left, right, m, w;
    for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
        rails(g, x, W, nu == 0, 0, nu, left);
        EACH_OTHER(nu, mu) {
            rails(g, x, W, mu, 1, nu, right);
            carry(g, x, M, mu, nu, left, right, REACH, m);
            carry(g, x, W, mu, nu, left, right, REACH - 1, w);
            pull_back_steps<2>(g, x, slopes, weights, mu, nu, 1, m.below, w.above, ending);
            pull_back_steps<2>(g, x, slopes, weights, mu, nu, -1, m.above, w.below, ending);
            for (int s = 1; s <= REACH; ++s) {
                set(traces, x, path_number(mu, nu, 1, s), real_product(m.below[1], w.above[s - 1]));
                set(traces, x, path_number(mu, nu, -1, s), real_product(m.above[1], w.below[s - 1]));
            }
        }
    }
    set<2>(slopes, x, ending);
}

// Of sum w Re tr M P(W)^+: the slopes of W, and dM = sum w P(W)
SITE_FN void trace_pullback(const Lattice& g, Site x, Slopes<2> slopes, Matrices<N_DIMENSIONS> dM, Reals<PATHS> weights,
                            Matrices<N_DIMENSIONS> M, Matrices<N_DIMENSIONS> W) {
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
            pull_back_steps<2>(g, x, slopes, weights, mu, nu, 1, m.below, w.above, ending);
            pull_back_steps<2>(g, x, slopes, weights, mu, nu, -1, m.above, w.below, ending);
            for (int s = 1; s <= REACH; ++s) {
                sum[mu] = multiply_add(get(weights, x, path_number(mu, nu, 1, s)), w.above[s], sum[mu]);
                sum[mu] = multiply_add(get(weights, x, path_number(mu, nu, -1, s)), w.below[s], sum[mu]);
            }
        }
    }
    set<2>(slopes, x, ending);
    EACH_DIRECTION set(dM, x, mu, sum[mu]);
}

// Of -sum negative Re tr W P(W)^+: the slopes of W as sides and tops of loops; as their bottoms it is added to dW
SITE_FN void loop_pullback(const Lattice& g, Site x, Slopes<1> slopes, Matrices<N_DIMENSIONS> dW, Reals<PATHS> negative,
                           Matrices<N_DIMENSIONS> W) {
    const Loops loops{negative};
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

// dW_nu(x) += [S_nu(x) + sum_mu S_{mu,-nu}(x - mu)] W_nu(x) + W_nu(x) [S_{D+nu}(x + nu) - sum_mu S_{mu,+nu}(x + nu - mu)]
template <int SIGNS>
SITE_FN void with_slopes(const Lattice& g, Site x, const Matrices<N_DIMENSIONS>& dW, const Slopes<SIGNS>& slopes,
                        const Matrices<N_DIMENSIONS>& W) {
    for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
        Traceless ahead = get(slopes, x, nu), behind = get(slopes, up(g, x, nu), N_DIMENSIONS + nu);
        EACH_OTHER(nu, mu) {
            const int first = 2 * N_DIMENSIONS + SIGNS * plane_number(mu, nu);
            behind = behind - get(slopes, shift(g, x, nu, 1, mu, -1), first);
            if (SIGNS == 2) ahead = ahead + get(slopes, down(g, x, mu), first + 1);
        }
        const ColorMatrix link = get(W, x, nu);
        set(dW, x, nu, get(dW, x, nu) + matrix(ahead) * link + link * matrix(behind));
    }
}

SITE_FN void add_slopes(const Lattice& g, Site x, Matrices<N_DIMENSIONS> dW, Slopes<2> slopes, Matrices<N_DIMENSIONS> W) {
    with_slopes<2>(g, x, dW, slopes, W);
}

SITE_FN void add_loop_slopes(const Lattice& g, Site x, Matrices<N_DIMENSIONS> dW, Slopes<1> slopes, Matrices<N_DIMENSIONS> W) {
    with_slopes<1>(g, x, dW, slopes, W);
}

}  // namespace site
