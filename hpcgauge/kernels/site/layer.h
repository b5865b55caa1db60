// The local steps of a network layer: V_mu = exp(rho TA(X_mu Y_mu^+)) U_mu, and attention numbers.
#pragma once
#include "links.h"

namespace site {

SITE_FN void exponential_layer(const Lattice&, Site x, Matrices<N_DIMENSIONS> V, Matrices<N_DIMENSIONS> X,
                               Matrices<N_DIMENSIONS> Y, Matrices<N_DIMENSIONS> U, const double* rho) {
    EACH_DIRECTION {
        const ColorMatrix q = traceless_antihermitian(get(X, x, mu) * adjoint(get(Y, x, mu)));
        set(V, x, mu, exponential(number(rho) * q) * get(U, x, mu));
    }
}

// From the cotangent dV: dX (written), dY and dU (added to; they may be one field), and the total d/d rho.
// With E = exp(rho Q), Q = TA(X Y^+): dU += E^+ dV, dQ = pullback of exp with dV U^+, dX = rho dQ Y, dY += rho dQ^+ X.
SITE_FN void exponential_layer_pullback(const Lattice&, Site x, Matrices<N_DIMENSIONS> dX, Matrices<N_DIMENSIONS> dY,
                                        Matrices<N_DIMENSIONS> dU, Matrices<N_DIMENSIONS> dV, Matrices<N_DIMENSIONS> X,
                                        Matrices<N_DIMENSIONS> Y, Matrices<N_DIMENSIONS> U, const double* rho,
                                        real (&totals)[1]) {
    EACH_DIRECTION {
        const ColorMatrix from = get(X, x, mu), closing = get(Y, x, mu), cotangent = get(dV, x, mu);
        const ColorMatrix q = traceless_antihermitian(from * adjoint(closing)), scaled = number(rho) * q;
        set(dU, x, mu, get(dU, x, mu) + adjoint(exponential(scaled)) * cotangent);
        const ColorMatrix dq = traceless_antihermitian(
            exponential_pullback(scaled, cotangent * adjoint(get(U, x, mu))));
        totals[0] = totals[0] + real_product(dq, q);
        const ColorMatrix dz = number(rho) * dq;
        set(dX, x, mu, dz * closing);
        set(dY, x, mu, get(dY, x, mu) + adjoint(dz) * from);
    }
}

}  // namespace site
