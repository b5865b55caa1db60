// Plaquettes and staples. What a pair of directions reads for the first time is called into the caches one pair ahead.
#pragma once
#include "links.h"
#include "rows.h"

namespace site {

SITE_FN void call_corners(const Lattice& g, const Matrices<N_DIMENSIONS>& U, Site x, int mu, int nu) {
    if (COLORS == 2) return;  // quaternions are soon loaded
    call_ahead(U, up(g, x, mu), nu);
    call_ahead(U, up(g, x, nu), mu);
}

// sum_{mu < nu} Re tr P_{mu nu}(x), P_{mu nu}(x) = U_mu(x) U_nu(x+mu) [U_nu(x) U_mu(x+nu)]^+
SITE_FN void plaquette_sum(const Lattice& g, Site x, Matrices<N_DIMENSIONS> U, real (&totals)[1]) {
    ColorMatrix corner;
    EACH_DIRECTION for (int nu = mu + 1; nu < N_DIMENSIONS; ++nu) {
        if (nu + 1 < N_DIMENSIONS) call_corners(g, U, x, mu, nu + 1);
        else if (mu + 2 < N_DIMENSIONS) call_corners(g, U, x, mu + 1, mu + 2);
        set_product(corner, in_place(U, x, mu), get(U, up(g, x, mu), nu));
        totals[0] = add_real_product(totals[0], in_place(U, x, nu), get(U, up(g, x, nu), mu), corner);
    }
}

// link[mu] = U_mu(x-mu), kept where there is room
struct LastLinks {
    ColorMatrix link[KEEPS_MATRICES ? N_DIMENSIONS : 1];
};
SITE_FN void fetch(const Lattice& g, Site x, const Matrices<N_DIMENSIONS>& U, LastLinks& last) {
    if (KEEPS_MATRICES) EACH_DIRECTION last.link[mu] = get(U, down(g, x, mu), mu);
}
SITE_FN const ColorMatrix& last_link(const Lattice& g, Site x, const Matrices<N_DIMENSIONS>& U, LastLinks& last, int mu) {
    if (KEEPS_MATRICES) return last.link[mu];
    last.link[0] = get(U, down(g, x, mu), mu);
    return last.link[0];
}
SITE_FN void call_staples(const Lattice& g, const Matrices<N_DIMENSIONS>& U, Site x, int mu, int nu) {
    if (COLORS == 2) return;
    if (mu < nu) call_corners(g, U, x, mu, nu);
    call_ahead(U, shift(g, x, mu, 1, nu, -1), nu);
}

// sum = sum_{sigma nu} P_{sigma nu,1}(x), P_{+nu,1}(x) = U_nu(x) U_mu(x+nu) U_nu(x+mu)^+,
// P_{-nu,1}(x) = U_nu(x-nu)^+ U_mu(x-nu) U_nu(x-nu+mu)
SITE_FN void staples(const Lattice& g, Site x, const Matrices<N_DIMENSIONS>& U, LastLinks& last, int mu,
                     ColorMatrix& sum) {
    ColorMatrix half;
    sum = zero_matrix();
    for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
        if (nu == mu) continue;
        const int next = nu + 1 == mu ? nu + 2 : nu + 1;
        if (next < N_DIMENSIONS) call_staples(g, U, x, mu, next);
        else if (mu + 1 < N_DIMENSIONS) call_staples(g, U, x, mu + 1, 0);
        set_product(half, in_place(U, x, nu), get(U, up(g, x, nu), mu));
        add_product_adjoint(sum, half, get(U, up(g, x, mu), nu));
        set_adjoint_product(half, last_link(g, x, U, last, nu), get(U, down(g, x, nu), mu));
        add_product(sum, half, get(U, shift(g, x, mu, 1, nu, -1), nu));
    }
}

// factor sum_{sigma nu} P_{sigma nu,1}(x)
SITE_FN void staple_sum(const Lattice& g, Site x, Matrices<N_DIMENSIONS> sum, Matrices<N_DIMENSIONS> U, const double* factor) {
    LastLinks last;
    fetch(g, x, U, last);
    EACH_DIRECTION {
        ColorMatrix total;
        staples(g, x, U, last, mu, total);
        set_past(g, sum, x, mu, number(factor) * total);
    }
}

// The same, and sum_{mu < nu} Re tr P_{mu nu}(x): over all sites a quarter of sum_mu Re tr U_mu(x) [sum_{sigma nu} P]^+
SITE_FN void staple_and_plaquette_sum(const Lattice& g, Site x, Matrices<N_DIMENSIONS> sum, Matrices<N_DIMENSIONS> U,
                                      const double* factor, real (&totals)[1]) {
    LastLinks last;
    fetch(g, x, U, last);
    EACH_DIRECTION {
        ColorMatrix total;
        staples(g, x, U, last, mu, total);
        totals[0] = fma(scalar(0.25), real_product(get(U, x, mu), total), totals[0]);
        set_past(g, sum, x, mu, number(factor) * total);
    }
}

}  // namespace site
