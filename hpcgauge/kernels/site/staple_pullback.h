// The pullback of the staple sum S of W with cotangent M, added to `kept` times dW.
//
// f = sum Re tr M_mu^+ S_mu is a sum over plaquettes with one of their four links in M instead of W, so the cotangent of
// W_mu is the staple sum with one of the three links in M: of A B C^+ it is (M_A B + A M_B) C^+ + A B M_C^+.
#pragma once
#include "links.h"

namespace site {

struct StapleLinks {
    const ColorMatrix &first, &second, &third;
};

// sum += the upper staple, A B C^+
MATRIX_FN void add_upper(ColorMatrix& sum, const StapleLinks& W, const StapleLinks& M) {
    sum = sum + product_adjoint(M.first * W.second + W.first * M.second, W.third) +
          product_adjoint(W.first * W.second, M.third);
}
// sum += the lower staple, A^+ B C
MATRIX_FN void add_lower(ColorMatrix& sum, const StapleLinks& W, const StapleLinks& M) {
    sum = sum + (adjoint_product(M.first, W.second) + adjoint_product(W.first, M.second)) * W.third +
          adjoint_product(W.first, W.second) * M.third;
}

// The links from y along nu, from z along mu, and from y + mu along nu
SITE_FN StapleLinks staple_links(const Matrices<N_DIMENSIONS>& W, Site y, Site z, Site beside, int mu, int nu,
                                 ColorMatrix (&room)[3]) {
    return StapleLinks{look(W, y, nu, room[0]), look(W, z, mu, room[1]), look(W, beside, nu, room[2])};
}

SITE_FN void staple_pullback(const Lattice& g, Site x, Matrices<N_DIMENSIONS> dW, Matrices<N_DIMENSIONS> M,
                             Matrices<N_DIMENSIONS> W, const double* kept) {
    ColorMatrix w[3], m[3];
    EACH_DIRECTION {
        ColorMatrix sum = get_kept(dW, x, mu, kept[0]);
        const Site right = up(g, x, mu);
        for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
            if (nu == mu) continue;
            const Site above = up(g, x, nu), below = down(g, x, nu), below_right = shift(g, x, mu, 1, nu, -1);
            add_upper(sum, staple_links(W, x, above, right, mu, nu, w), staple_links(M, x, above, right, mu, nu, m));
            add_lower(sum, staple_links(W, below, below, below_right, mu, nu, w),
                      staple_links(M, below, below, below_right, mu, nu, m));
        }
        set(dW, x, mu, sum);
    }
}

}  // namespace site
