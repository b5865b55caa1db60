// Attention of CASK: a = tan(pi / (4 (N + 0.01)) (Re tr Q_mu P(K)^+ - Re tr U_mu P(U)^+)) on every path.
//
// PAPER = 1: paths with sigma = - take the number of their sigma = + partner.
#pragma once
#include "math.h"
#include "paths.h"

namespace site {

static constexpr scalar ATTENTION_SCALE = scalar(0.78539816339744830962 / (COLORS + 0.01));
typedef Reals<PLANES * REACH> LoopTraces;

// `loops`: of U. A path along -nu closed by U_mu is the loop of a path along nu that starts at its end.
SITE_FN void attention(const Lattice& g, Site x, Reals<PATHS> a, Matrices<N_DIMENSIONS> query, Matrices<N_DIMENSIONS> key,
                       LoopTraces loops) {
    EACH_DIRECTION EACH_OTHER(mu, nu) {
        const int loop = plane_number(mu, nu) * REACH;
        real traces[REACH];
        for (int sigma = 1; sigma >= -1; sigma -= 2) {
            if (!PAPER || sigma > 0) {
                traces_of_paths(g, x, get(query, x, mu), key, mu, nu, sigma, traces);
                for (int s = 1; s <= REACH; ++s) {
                    const Site start = sigma > 0 ? x : shift(g, x, nu, -s);
                    traces[s - 1] = tan(ATTENTION_SCALE * (traces[s - 1] - get(loops, start, loop + s - 1)));
                }
            }
            put(a, x, path_number(mu, nu, sigma, 1), traces);
        }
    }
}

// From the cotangents of a, those of paths that start at x - sigma nu standing at x: da, the cotangents of the traces of
// query and key, and their negatives those of U's
SITE_FN void attention_pullback(const Lattice& g, Site x, Reals<PATHS> da, Reals<PATHS> a, Reals<PATHS> shifted) {
    EACH_DIRECTION EACH_OTHER(mu, nu) {
        const Site ahead = up(g, x, nu), behind = down(g, x, nu);
        for (int s = 1; s <= REACH; ++s) {
            const int with = path_number(mu, nu, 1, s), against = path_number(mu, nu, -1, s);
            real forward = get(shifted, ahead, with), backward = get(shifted, behind, against);
            if (PAPER) {
                forward = forward + backward;
                backward = broadcast(0);
            }
            const real up = get(a, x, with), down = get(a, x, against);
            set(da, x, with, ATTENTION_SCALE * (fma(up, up, scalar(1)) * forward));
            set(da, x, against, ATTENTION_SCALE * (fma(down, down, scalar(1)) * backward));
        }
    }
}

}  // namespace site
