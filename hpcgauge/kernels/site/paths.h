// The paths of CASK (arXiv:2501.16955): P_{sigma nu,s}(x) goes s steps along sigma nu, one step along mu, s steps back.
//
// Numbers on paths are Reals<PATHS>: [plane][sigma = +, -][s - 1], the planes being the pairs mu, nu != mu.
#pragma once
#include "links.h"

namespace site {

static constexpr int PLANES = N_DIMENSIONS * (N_DIMENSIONS - 1), PATHS = PLANES * 2 * REACH;

// The number of the ordered pair mu, nu
SITE_FN int plane_number(int mu, int nu) { return mu * (N_DIMENSIONS - 1) + nu - (nu > mu); }
SITE_FN int path_number(int mu, int nu, int sigma, int s) {
    return (plane_number(mu, nu) * 2 + (sigma < 0)) * REACH + s - 1;
}

#define EACH_OTHER(mu, nu) for (int nu = 0; nu < N_DIMENSIONS; ++nu) if (nu != mu)
#if COLORS == 2
#define PATH_FN SITE_FN
#else
#define PATH_FN SITE_CALL
#endif

PATH_FN ColorMatrix product(const ColorMatrix& a, const ColorMatrix& b) { return a * b; }
// left m right^+
PATH_FN ColorMatrix carried_down(const ColorMatrix& left, const ColorMatrix& m, const ColorMatrix& right) {
    return left * m * adjoint(right);
}
// left^+ m right
PATH_FN ColorMatrix carried_up(const ColorMatrix& left, const ColorMatrix& m, const ColorMatrix& right) {
    return adjoint(left) * m * right;
}

// sum_{sigma nu s} w P_{sigma nu,s}(W), from the far end: V(x) [w_1 W(x+nu) + V(x+nu) [w_2 W(x+2nu) + ...] V^+] V(x+mu)^+
SITE_FN void path_sum(const Lattice& g, Site x, Matrices<N_DIMENSIONS> sum, Reals<PATHS> weights, Matrices<N_DIMENSIONS> W) {
    EACH_DIRECTION {
        ColorMatrix total = zero_matrix();
        EACH_OTHER(mu, nu) {
            ColorMatrix above = zero_matrix(), below = zero_matrix();
            for (int s = REACH; s >= 1; --s) {
                above = multiply_add(get(weights, x, path_number(mu, nu, 1, s)), get(W, shift(g, x, nu, s), mu), above);
                above = carried_down(get(W, shift(g, x, nu, s - 1), nu), above, get(W, shift(g, x, mu, 1, nu, s - 1), nu));
                const Site back = shift(g, x, nu, -s);
                below = multiply_add(get(weights, x, path_number(mu, nu, -1, s)), get(W, back, mu), below);
                below = carried_up(get(W, back, nu), below, get(W, shift(g, x, mu, 1, nu, -s), nu));
            }
            total = total + above + below;
        }
        set(sum, x, mu, total);
    }
}

// [s - 1]: Re tr M_mu P_{sigma nu,s}(W)^+, M carried along the path
SITE_FN void traces_of_paths(const Lattice& g, Site x, const ColorMatrix& M, const Matrices<N_DIMENSIONS>& W, int mu, int nu,
                             int sigma, real (&traces)[REACH]) {
    ColorMatrix moved = M;
    for (int s = 1; s <= REACH; ++s) {
        const Site end = shift(g, x, nu, sigma * s), start = sigma > 0 ? shift(g, x, nu, s - 1) : end;
        const ColorMatrix left = get(W, start, nu), right = get(W, shift(g, x, mu, 1, nu, sigma > 0 ? s - 1 : -s), nu);
        moved = sigma > 0 ? carried_up(left, moved, right) : carried_down(left, moved, right);
        traces[s - 1] = real_product(moved, get(W, end, mu));
    }
}

// [plane][s - 1]: Re tr W_mu P_{+nu,s}(W)^+, the loops of s steps along nu and one along mu
SITE_FN void loop_traces(const Lattice& g, Site x, Reals<PLANES * REACH> traces, Matrices<N_DIMENSIONS> W) {
    EACH_DIRECTION EACH_OTHER(mu, nu) {
        real found[REACH];
        traces_of_paths(g, x, get(W, x, mu), W, mu, nu, 1, found);
        put(traces, x, plane_number(mu, nu) * REACH, found);
    }
}

}  // namespace site
