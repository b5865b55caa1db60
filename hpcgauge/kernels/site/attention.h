// Attention of CASK: on every path the number of Re tr Q_mu P(K)^+ - Re tr U_mu P(U)^+.
//
// PAPER = 1: paths with sigma = - take the number of their sigma = + partner.
#pragma once
#include "attention_number.h"
#include "paths.h"

namespace site {

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
                    traces[s - 1] = attention_number(traces[s - 1] - get(loops, start, loop + s - 1));
                }
            }
            put(a, x, path_number(mu, nu, sigma, 1), traces);
        }
    }
}

}  // namespace site
