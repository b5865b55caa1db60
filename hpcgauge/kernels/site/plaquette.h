// Plaquettes and staples.
#pragma once
#include "links.h"

namespace site {

// P_{+nu,1}(x) = U_nu(x) U_mu(x+nu) U_nu(x+mu)^+
template <int COUNT>
SITE_FN ColorMatrix upper_staple(const Lattice& g, const Matrices<COUNT>& U, Site x, int mu, int nu) {
    return get(U, x, nu) * get(U, up(g, x, nu), mu) * adjoint(get(U, up(g, x, mu), nu));
}

// P_{-nu,1}(x) = U_nu(x-nu)^+ U_mu(x-nu) U_nu(x-nu+mu)
template <int COUNT>
SITE_FN ColorMatrix lower_staple(const Lattice& g, const Matrices<COUNT>& U, Site x, int mu, int nu) {
    const Site below = down(g, x, nu);
    return adjoint(get(U, below, nu)) * get(U, below, mu) * get(U, shift(g, x, mu, 1, nu, -1), nu);
}

template <int COUNT>
SITE_FN ColorMatrix staples(const Lattice& g, const Matrices<COUNT>& U, Site x, int mu) {
    ColorMatrix sum = zero_matrix();
    for (int nu = 0; nu < N_DIMENSIONS; ++nu)
        if (nu != mu) sum = sum + upper_staple(g, U, x, mu, nu) + lower_staple(g, U, x, mu, nu);
    return sum;
}

// factor sum_{sigma nu} P_{sigma nu,1}(x)
SITE_FN void staple_sum(const Lattice& g, Site x, Matrices<N_DIMENSIONS> sum, Matrices<N_DIMENSIONS> U, const double* factor) {
    EACH_DIRECTION set(sum, x, mu, number(factor) * staples(g, U, x, mu));
}

// sum_{mu < nu} Re tr P_{mu nu}(x)
SITE_FN void plaquette_sum(const Lattice& g, Site x, Matrices<N_DIMENSIONS> U, real (&totals)[1]) {
    EACH_DIRECTION for (int nu = mu + 1; nu < N_DIMENSIONS; ++nu)
        totals[0] = totals[0] + real_product(upper_staple(g, U, x, nu, mu), get(U, x, nu));
}

}  // namespace site
