// Attention of CASK: on every path the number of Re tr Q_mu P(K)^+ - Re tr U_mu P(U)^+.
//
// PAPER = 1: paths with sigma = - take the number of their sigma = + partner.
#pragma once
#include "attention_number.h"
#include "paths.h"

namespace site {

// `loops`: of U. A path along -nu closed by U_mu is the loop of a path along nu that starts at its end.
SITE_FN void attention(const Lattice& g, Site x, Reals<PATHS> a, Matrices<N_DIMENSIONS> query, Matrices<N_DIMENSIONS> key,
                       Reals<PATHS> loops) {
    Steps left;
    for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
        const Line line = line_of(g, x, nu);
        steps(line, key, nu, left);
        EACH_OTHER(nu, mu) {
            const int first = path_number(mu, nu, 1, 1);
            const ColorMatrix q = get(query, x, mu);
            real own[REACH], plain[REACH];
            traces_above(g, x, line, left, q, key, mu, nu, own);
            fetch(loops, x, first, plain);
            for (int s = 1; s <= REACH; ++s) own[s - 1] = attention_number(own[s - 1] - plain[s - 1]);
            put(a, x, first, own);
            if (!PAPER) {
                traces_below(g, x, line, left, q, key, mu, nu, own);
                for (int s = 1; s <= REACH; ++s)
                    own[s - 1] = attention_number(own[s - 1] - get(loops, line.below[s], first + s - 1));
            }
            put(a, x, path_number(mu, nu, -1, 1), own);
        }
    }
}

}  // namespace site
