// The pullback of the staple sum S of W with cotangent M.
//
// f = sum Re tr M_mu^+ S_mu is a sum over plaquettes with one of their four links in M instead of W, so the cotangent of
// W_mu is the staple sum with one of the three links in M: of A B C^+ it is (M_A B + A M_B) C^+ + A B M_C^+.
#pragma once
#include "links.h"

namespace site {

#if COLORS == 2
#define STAPLE_FN SITE_FN
#else
#define STAPLE_FN SITE_CALL
#endif

struct StapleLinks {
    ColorMatrix first, second, third;
};

// sum += the upper staple, A B C^+
STAPLE_FN void add_upper(ColorMatrix& sum, const StapleLinks& W, const StapleLinks& M) {
    sum = sum + ((M.first * W.second + W.first * M.second) * adjoint(W.third) +
                 (W.first * W.second) * adjoint(M.third));
}
// sum += the lower staple, A^+ B C
STAPLE_FN void add_lower(ColorMatrix& sum, const StapleLinks& W, const StapleLinks& M) {
    sum = sum + ((adjoint(M.first) * W.second + adjoint(W.first) * M.second) * W.third +
                 (adjoint(W.first) * W.second) * M.third);
}

// The links from y along nu, from z along mu, and from y + mu along nu
SITE_FN StapleLinks staple_links(const Matrices<N_DIMENSIONS>& W, Site y, Site z, Site beside, int mu, int nu) {
    return StapleLinks{get(W, y, nu), get(W, z, mu), get(W, beside, nu)};
}

SITE_FN void staple_pullback(const Lattice& g, Site x, Matrices<N_DIMENSIONS> dW, Matrices<N_DIMENSIONS> M,
                             Matrices<N_DIMENSIONS> W) {
    EACH_DIRECTION {
        ColorMatrix sum = get(dW, x, mu);
        const Site right = up(g, x, mu);
        for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
            if (nu == mu) continue;
            const Site above = up(g, x, nu), below = down(g, x, nu), below_right = shift(g, x, mu, 1, nu, -1);
            add_upper(sum, staple_links(W, x, above, right, mu, nu), staple_links(M, x, above, right, mu, nu));
            add_lower(sum, staple_links(W, below, below, below_right, mu, nu),
                      staple_links(M, below, below, below_right, mu, nu));
        }
        set(dW, x, mu, sum);
    }
}

}  // namespace site
