// How far links are off the group.
#pragma once
#include "lattice.h"

namespace site {

// sum_mu |U U^+ - 1|^2
SITE_FN void drift(const Lattice&, Site x, Matrices<N_DIMENSIONS> U, real (&totals)[1]) {
    for (int mu = 0; mu < N_DIMENSIONS; ++mu) {
        const ColorMatrix u = get(U, x, mu);
        const ColorMatrix off = u * adjoint(u) - unit_matrix();
        totals[0] = totals[0] + real_product(off, off);
    }
}

}  // namespace site
