// The cotangents of the steps of paths, in the algebra, and how they add up to the cotangents of links.
#pragma once
#include "paths.h"
#include "traceless.h"

namespace site {

// A step V that ends at x changes to V (1 + X), df = Re tr(C^+ X); only TA(C) matters.
// [nu]: TA(C) of W_nu(x) -> (1 + X) W_nu(x). [D + nu]: of W_nu(x - nu) -> W_nu(x - nu) (1 + X).
// [2 D + 2 plane + (sigma < 0)]: -TA(C) of the right rail's step along sigma nu that ends at x + mu.
typedef TracelessMatrices<2 * (N_DIMENSIONS + PLANES)> Slopes;

// BOTH: paths along nu and -nu; else along nu alone.
// dW_nu(x) = kept dW_nu(x) + [S_nu(x) + sum_mu S_{mu,-nu}(x - mu)] W_nu(x) + W_nu(x) [S_{D+nu}(x + nu) - sum_mu S_{mu,+nu}(x + nu - mu)]
template <bool BOTH>
SITE_FN void with_slopes(const Lattice& g, Site x, const Matrices<N_DIMENSIONS>& dW, const Slopes& slopes,
                         const Matrices<N_DIMENSIONS>& W, double kept) {
    for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
        Traceless ahead = get(slopes, x, nu), behind = get(slopes, up(g, x, nu), N_DIMENSIONS + nu);
        EACH_OTHER(nu, mu) {
            const int first = 2 * N_DIMENSIONS + 2 * plane_number(mu, nu);
            behind = behind - get(slopes, shift(g, x, nu, 1, mu, -1), first);
            if (BOTH) ahead = ahead + get(slopes, down(g, x, mu), first + 1);
        }
        const ColorMatrix link = get(W, x, nu);
        set(dW, x, nu, get_kept(dW, x, nu, kept) + matrix(ahead) * link + link * matrix(behind));
    }
}

SITE_FN void add_slopes(const Lattice& g, Site x, Matrices<N_DIMENSIONS> dW, Slopes slopes, Matrices<N_DIMENSIONS> W,
                        const double* kept) {
    with_slopes<true>(g, x, dW, slopes, W, kept[0]);
}

SITE_FN void add_loop_slopes(const Lattice& g, Site x, Matrices<N_DIMENSIONS> dW, Slopes slopes, Matrices<N_DIMENSIONS> W,
                             const double* kept) {
    with_slopes<false>(g, x, dW, slopes, W, kept[0]);
}

}  // namespace site
