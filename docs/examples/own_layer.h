// out_mu = rho_mu given_mu, and Re sum tr(given_mu^+ X_mu) over space and over the last direction. Linear in `given`, so
// that it is its own pullback: with given = dZ it makes dX, and the sums are d rho.
#include "links.h"

namespace site {

SITE_FN void weigh(const Lattice&, Site x, Matrices<N_DIMENSIONS> out, Matrices<N_DIMENSIONS> given,
                   Matrices<N_DIMENSIONS> X, const double* rho, real (&totals)[2]) {
    EACH_DIRECTION {
        const int which = mu == N_DIMENSIONS - 1;
        set(out, x, mu, number(rho, which) * get(given, x, mu));
        totals[which] = totals[which] + real_product(get(given, x, mu), get(X, x, mu));
    }
}

}  // namespace site
