// Links U, momenta P = i pi_a T_a (tr T_a T_b = delta_ab / 2), and the moves between them.
#pragma once
#include "exponential.h"
#include "lattice.h"

namespace site {

#define EACH_DIRECTION for (int mu = 0; mu < N_DIMENSIONS; ++mu)

SITE_FN real number(const double* n, int k = 0) { return broadcast(scalar(n[k])); }

// What stands on the own site, `kept` times; where that is 0, it is not read
template <int COUNT>
SITE_FN ColorMatrix get_kept(const Matrices<COUNT>& field, Site x, int element, double kept) {
    return kept == 0 ? zero_matrix() : broadcast(scalar(kept)) * get(field, x, element);
}

// C = A B
template <int COUNT>
SITE_FN void multiply(const Lattice& g, Site x, Matrices<COUNT> C, Matrices<COUNT> A, Matrices<COUNT> B) {
    for (int k = 0; k < COUNT; ++k) {
        fetch_ahead(g, A.reals, x, k * MATRIX_REALS, MATRIX_REALS);
        fetch_ahead(g, B.reals, x, k * MATRIX_REALS, MATRIX_REALS);
        set_past(g, C, x, k, get(A, x, k) * get(B, x, k));
    }
}

// U <- exp(step P) U
SITE_FN void update_links(const Lattice&, Site x, Matrices<N_DIMENSIONS> U, Matrices<N_DIMENSIONS> P, const double* step) {
    EACH_DIRECTION set(U, x, mu, exponential(number(step) * get(P, x, mu)) * get(U, x, mu));
}

// P <- P + step F, F = -1/2 TA(C U^+), for dS = Re sum tr(C^+ dU)
SITE_FN void kick(const Lattice&, Site x, Matrices<N_DIMENSIONS> P, Matrices<N_DIMENSIONS> C, Matrices<N_DIMENSIONS> U,
                  const double* step) {
    const real factor = scalar(-0.5) * number(step);
    EACH_DIRECTION set(P, x, mu,
                       multiply_add(factor, traceless_antihermitian(get(C, x, mu) * adjoint(get(U, x, mu))), get(P, x, mu)));
}

// F = -1/2 TA(C U^+)
SITE_FN void force(const Lattice&, Site x, Matrices<N_DIMENSIONS> F, Matrices<N_DIMENSIONS> C, Matrices<N_DIMENSIONS> U) {
    EACH_DIRECTION set(F, x, mu,
                       broadcast(scalar(-0.5)) * traceless_antihermitian(get(C, x, mu) * adjoint(get(U, x, mu))));
}

// -sum tr P^2 = sum pi_a^2 / 2
SITE_FN void kinetic(const Lattice&, Site x, Matrices<N_DIMENSIONS> P, real (&totals)[1]) {
    EACH_DIRECTION {
        const ColorMatrix p = get(P, x, mu);
        totals[0] = totals[0] + real_product(p, p);
    }
}

// G(x) U_mu(x) G(x+mu)^+
SITE_FN void gauge_rotate(const Lattice& g, Site x, Matrices<N_DIMENSIONS> rotated, Matrices<N_DIMENSIONS> U, Matrices<1> G) {
    EACH_DIRECTION set(rotated, x, mu, get(G, x, 0) * get(U, x, mu) * adjoint(get(G, up(g, x, mu), 0)));
}

// The group element nearest along rows: Gram-Schmidt, then the last row from the determinant.
#if COLORS == 2
SITE_FN ColorMatrix unitarised(const ColorMatrix& m) {
    const real size = sqrt(fma(m.a[3], m.a[3], fma(m.a[2], m.a[2], fma(m.a[1], m.a[1], m.a[0] * m.a[0]))));
    return (scalar(1) / size) * m;
}
#else
// Determinant by elimination without pivoting: fit for nearly unitary or random matrices
SITE_FN void determinant(ColorMatrix m, real& re, real& im) {
    re = broadcast(1);
    im = broadcast(0);
    for (int k = 0; k < COLORS; ++k) {
        const real pr = m.a[RE(k, k)], pi = m.a[IM(k, k)];
        const real old = re;
        re = fma(-im, pi, re * pr);
        im = fma(im, pr, old * pi);
        const real size = fma(pi, pi, pr * pr);
        for (int row = k + 1; row < COLORS; ++row) {
            const real ar = m.a[RE(row, k)], ai = m.a[IM(row, k)];
            const real fr = fma(ai, pi, ar * pr) / size, fi = fma(ai, pr, -(ar * pi)) / size;
            for (int column = k + 1; column < COLORS; ++column) {
                const real br = m.a[RE(k, column)], bi = m.a[IM(k, column)];
                m.a[RE(row, column)] = fma(fi, bi, fma(-fr, br, m.a[RE(row, column)]));
                m.a[IM(row, column)] = fma(-fi, br, fma(-fr, bi, m.a[IM(row, column)]));
            }
        }
    }
}
SITE_FN ColorMatrix unitarised(const ColorMatrix& given) {
    ColorMatrix m = given;
    for (int row = 0; row < COLORS; ++row) {
        for (int done = 0; done < row; ++done) {
            real re = broadcast(0), im = broadcast(0);  // <row done, row row>
            EACH_COLUMN {
                const real dr = m.a[RE(done, column)], di = m.a[IM(done, column)];
                re = fma(di, m.a[IM(row, column)], fma(dr, m.a[RE(row, column)], re));
                im = fma(-di, m.a[RE(row, column)], fma(dr, m.a[IM(row, column)], im));
            }
            EACH_COLUMN {
                const real dr = m.a[RE(done, column)], di = m.a[IM(done, column)];
                m.a[RE(row, column)] = fma(im, di, fma(-re, dr, m.a[RE(row, column)]));
                m.a[IM(row, column)] = fma(-im, dr, fma(-re, di, m.a[IM(row, column)]));
            }
        }
        real size = broadcast(0);
        EACH_COLUMN size = fma(m.a[IM(row, column)], m.a[IM(row, column)],
                               fma(m.a[RE(row, column)], m.a[RE(row, column)], size));
        const real inverse = scalar(1) / sqrt(size);
        EACH_COLUMN {
            m.a[RE(row, column)] = inverse * m.a[RE(row, column)];
            m.a[IM(row, column)] = inverse * m.a[IM(row, column)];
        }
    }
    real re, im;
    determinant(m, re, im);  // of size 1: the last row takes its conjugate
    const real size = sqrt(fma(im, im, re * re));
    re = re / size;
    im = im / size;
    EACH_COLUMN {
        const real old = m.a[RE(COLORS - 1, column)];
        m.a[RE(COLORS - 1, column)] = fma(im, m.a[IM(COLORS - 1, column)], re * old);
        m.a[IM(COLORS - 1, column)] = fma(-im, old, re * m.a[IM(COLORS - 1, column)]);
    }
    return m;
}
#endif

SITE_FN void reunitarise(const Lattice&, Site x, Matrices<N_DIMENSIONS> U) {
    EACH_DIRECTION set(U, x, mu, unitarised(get(U, x, mu)));
}

}  // namespace site
