// The local steps of a network layer: V_mu = exp(rho TA(X_mu Y_mu^+)) U_mu, alone or for three rho at once.
#pragma once
#include "links.h"

namespace site {

SITE_FN void exponential_layer(const Lattice&, Site x, Matrices<N_DIMENSIONS> V, Matrices<N_DIMENSIONS> X,
                               Matrices<N_DIMENSIONS> Y, Matrices<N_DIMENSIONS> U, const double* rho) {
    EACH_DIRECTION {
        const ColorMatrix q = traceless_antihermitian(product_adjoint(get(X, x, mu), get(Y, x, mu)));
        set(V, x, mu, exponential(number(rho) * q) * get(U, x, mu));
    }
}

// m, or read again where it is not kept
SITE_FN ColorMatrix kept_or(const ColorMatrix& m, const Matrices<N_DIMENSIONS>& field, Site x, int mu) {
    return KEEPS_MATRICES ? m : get(field, x, mu);
}

// From the cotangent dV of V = E U, E = exp(rho q): rho dq, the cotangent of q, with d/d rho added to `total` and
// dU = E^+ dV to `sum`, which is kept, or else the field dU.
SITE_FN ColorMatrix pull_back_exponential(real rho, const ColorMatrix& q, const ColorMatrix& link, Site x, int mu,
                                          const Matrices<N_DIMENSIONS>& dV, const Matrices<N_DIMENSIONS>& dU,
                                          ColorMatrix& sum, real& total) {
    ColorMatrix E;
    const ColorMatrix from = get(dV, x, mu);
    const ColorMatrix dq = traceless_antihermitian(exponential_pullback(rho * q, product_adjoint(from, link), E));
    read_again();
    sum = kept_or(sum, dU, x, mu) + adjoint_product(E, kept_or(from, dV, x, mu));
    if (!KEEPS_MATRICES) set(dU, x, mu, sum);
    total = total + real_product(dq, q);
    return rho * dq;
}

// From the cotangent dV: dX (written), dY and dU (added to `kept` times what stood there; they may be one field, which dU
// is added to first), and the total d/d rho. With q = TA(X Y^+) and its cotangent dq: dX = dq Y, dY += dq^+ X.
SITE_FN void exponential_layer_pullback(const Lattice&, Site x, Matrices<N_DIMENSIONS> dX, Matrices<N_DIMENSIONS> dY,
                                        Matrices<N_DIMENSIONS> dU, Matrices<N_DIMENSIONS> dV, Matrices<N_DIMENSIONS> X,
                                        Matrices<N_DIMENSIONS> Y, Matrices<N_DIMENSIONS> U, const double* rho,
                                        const double* kept, real (&totals)[1]) {
    EACH_DIRECTION {
        const ColorMatrix from = get(X, x, mu), closing = get(Y, x, mu);
        const ColorMatrix q = traceless_antihermitian(product_adjoint(from, closing));
        ColorMatrix sum = get_kept(dU, x, mu, kept[1]);
        if (!KEEPS_MATRICES) set(dU, x, mu, sum);
        const ColorMatrix dq = pull_back_exponential(number(rho), q, get(U, x, mu), x, mu, dV, dU, sum, totals[0]);
        if (KEEPS_MATRICES) set(dU, x, mu, sum);
        read_again();
        set(dX, x, mu, dq * kept_or(closing, Y, x, mu));
        set(dY, x, mu, get_kept(dY, x, mu, kept[0]) + adjoint_product(dq, kept_or(from, X, x, mu)));
    }
}

// V_i = exp(rho_i TA(X U^+)) U
SITE_FN void three_layers(const Lattice&, Site x, Matrices<N_DIMENSIONS> V0, Matrices<N_DIMENSIONS> V1,
                          Matrices<N_DIMENSIONS> V2, Matrices<N_DIMENSIONS> X, Matrices<N_DIMENSIONS> U, const double* rho) {
    const Matrices<N_DIMENSIONS> V[3] = {V0, V1, V2};
    EACH_DIRECTION {
        const ColorMatrix link = get(U, x, mu), q = traceless_antihermitian(product_adjoint(get(X, x, mu), link));
        for (int i = 0; i < 3; ++i) set(V[i], x, mu, exponential(number(rho, i) * q) * link);
    }
}

// dX (written), dU (added to), and the totals d/d rho_i
SITE_FN void three_layers_pullback(const Lattice&, Site x, Matrices<N_DIMENSIONS> dX, Matrices<N_DIMENSIONS> dU,
                                   Matrices<N_DIMENSIONS> dV0, Matrices<N_DIMENSIONS> dV1, Matrices<N_DIMENSIONS> dV2,
                                   Matrices<N_DIMENSIONS> X, Matrices<N_DIMENSIONS> U, const double* rho, real (&totals)[3]) {
    const Matrices<N_DIMENSIONS> dV[3] = {dV0, dV1, dV2};
    EACH_DIRECTION {
        const ColorMatrix link = get(U, x, mu), from = get(X, x, mu);
        const ColorMatrix q = traceless_antihermitian(product_adjoint(from, link));
        ColorMatrix sum = get(dU, x, mu), dq = zero_matrix();
        for (int i = 0; i < 3; ++i) {
            read_again();
            dq = dq + pull_back_exponential(number(rho, i), q, kept_or(link, U, x, mu), x, mu, dV[i], dU, sum, totals[i]);
        }
        read_again();
        set(dU, x, mu, kept_or(sum, dU, x, mu) + adjoint_product(dq, kept_or(from, X, x, mu)));
        set(dX, x, mu, dq * kept_or(link, U, x, mu));
    }
}

}  // namespace site
