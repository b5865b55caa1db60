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

// [s]: x + s nu and x - s nu, s = 0 ... REACH
struct Line {
    Site above[REACH + 1], below[REACH + 1];
};
SITE_FN Line line_of(const Lattice& g, Site x, int nu) {
    Line line;
    for (int s = 0; s <= REACH; ++s) {
        line.above[s] = shift(g, x, nu, s);
        line.below[s] = shift(g, x, nu, -s);
    }
    return line;
}

// The steps of the left rails: [s]: W_nu(x + s nu) and W_nu(x - s nu), of which above[REACH] and below[0] are not used.
// They are kept where there is room.
struct Steps {
    ColorMatrix above[KEEPS_MATRICES ? REACH : 1], below[KEEPS_MATRICES ? REACH + 1 : 1];
};
SITE_FN void steps(const Line& line, const Matrices<N_DIMENSIONS>& W, int nu, Steps& left) {
    if (KEEPS_MATRICES) for (int s = 1; s <= REACH; ++s) {
        left.above[s - 1] = get(W, line.above[s - 1], nu);
        left.below[s] = get(W, line.below[s], nu);
    }
}
SITE_FN const ColorMatrix& step(const ColorMatrix& kept, ColorMatrix& place, const Matrices<N_DIMENSIONS>& W, Site y, int nu) {
    if (KEEPS_MATRICES) return kept;
    place = get(W, y, nu);
    return place;
}
SITE_FN const ColorMatrix& step_above(const Line& line, const Matrices<N_DIMENSIONS>& W, int nu, Steps& left, int s) {
    return step(left.above[KEEPS_MATRICES ? s : 0], left.above[0], W, line.above[s], nu);
}
SITE_FN const ColorMatrix& step_below(const Line& line, const Matrices<N_DIMENSIONS>& W, int nu, Steps& left, int s) {
    return step(left.below[KEEPS_MATRICES ? s : 0], left.below[0], W, line.below[s], nu);
}

// sum_{sigma nu s} w P_{sigma nu,s}(W), from the far end: V(x) [w_1 W(x+nu) + V(x+nu) [w_2 W(x+2nu) + ...] V^+] V(x+mu)^+
SITE_FN void path_sum(const Lattice& g, Site x, Matrices<N_DIMENSIONS> sum, Reals<PATHS> weights, Matrices<N_DIMENSIONS> W) {
    ColorMatrix total[N_DIMENSIONS];
    EACH_DIRECTION total[mu] = zero_matrix();
    Steps left;
    for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
        const Line line = line_of(g, x, nu);
        steps(line, W, nu, left);
        EACH_OTHER(nu, mu) {
            ColorMatrix above = zero_matrix(), below = zero_matrix();
            for (int s = REACH; s >= 1; --s) {
                above = multiply_add(get(weights, x, path_number(mu, nu, 1, s)), get(W, line.above[s], mu), above);
                above = carried_down(step_above(line, W, nu, left, s - 1), above, get(W, shift(g, x, mu, 1, nu, s - 1), nu));
                below = multiply_add(get(weights, x, path_number(mu, nu, -1, s)), get(W, line.below[s], mu), below);
                below = carried_up(step_below(line, W, nu, left, s), below, get(W, shift(g, x, mu, 1, nu, -s), nu));
            }
            total[mu] = total[mu] + above + below;
        }
    }
    EACH_DIRECTION set(sum, x, mu, total[mu]);
}

// [s - 1]: Re tr M_mu P_{+nu,s}(W)^+ and Re tr M_mu P_{-nu,s}(W)^+, M carried along the paths
SITE_FN void traces_above(const Lattice& g, Site x, const Line& line, Steps& left, const ColorMatrix& M,
                          const Matrices<N_DIMENSIONS>& W, int mu, int nu, real (&traces)[REACH]) {
    ColorMatrix moved = M;
    for (int s = 1; s <= REACH; ++s) {
        moved = carried_up(step_above(line, W, nu, left, s - 1), moved, get(W, shift(g, x, mu, 1, nu, s - 1), nu));
        traces[s - 1] = real_product(moved, get(W, line.above[s], mu));
    }
}
SITE_FN void traces_below(const Lattice& g, Site x, const Line& line, Steps& left, const ColorMatrix& M,
                          const Matrices<N_DIMENSIONS>& W, int mu, int nu, real (&traces)[REACH]) {
    ColorMatrix moved = M;
    for (int s = 1; s <= REACH; ++s) {
        moved = carried_down(step_below(line, W, nu, left, s), moved, get(W, shift(g, x, mu, 1, nu, -s), nu));
        traces[s - 1] = real_product(moved, get(W, line.below[s], mu));
    }
}

// Re tr W_mu P_{+nu,s}(W)^+, the loops of s steps along nu and one along mu; what stands at sigma = - is left alone
SITE_FN void loop_traces(const Lattice& g, Site x, Reals<PATHS> traces, Matrices<N_DIMENSIONS> W) {
    Steps left;
    for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
        const Line line = line_of(g, x, nu);
        steps(line, W, nu, left);
        EACH_OTHER(nu, mu) {
            real found[REACH];
            traces_above(g, x, line, left, get(W, x, mu), W, mu, nu, found);
            put(traces, x, path_number(mu, nu, 1, 1), found);
        }
    }
}

}  // namespace site
