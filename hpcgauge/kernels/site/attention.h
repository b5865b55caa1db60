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
    Side left[2];
    ColorMatrix room;
    for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
        const Line line = line_of(g, x, nu);
        step_links(left_steps(line), key, nu, left);
        EACH_OTHER(nu, mu) {
            const int first = path_number(mu, nu, ABOVE, 1);
            const Line right = right_steps(g, x, mu, nu);
            call_ahead(a, x, first, 2 * REACH);
            if (!PAPER) for (int s = 1; s <= REACH; ++s) call_ahead(loops, line.at[BELOW][s], first, REACH);
            const ColorMatrix& q = look(query, x, mu, room);
            real own[REACH], plain[REACH];
            traces(line, left, right, q, key, mu, nu, ABOVE, own);
            fetch(loops, x, first, plain);
            UNROLL for (int s = 1; s <= REACH; ++s) own[s - 1] = attention_number(own[s - 1] - plain[s - 1]);
            put(a, x, first, own);
            if (!PAPER) {
                traces(line, left, right, q, key, mu, nu, BELOW, own);
                UNROLL for (int s = 1; s <= REACH; ++s)
                    own[s - 1] = attention_number(own[s - 1] - get(loops, line.at[BELOW][s], first + s - 1));
            }
            put(a, x, path_number(mu, nu, BELOW, 1), own);
        }
    }
}

}  // namespace site
