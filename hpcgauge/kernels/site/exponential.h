// exp of traceless antihermitian matrices, and its pullback.
//
// SU(2): exp(i q.sigma) = cos r + i (sin r / r) q.sigma, r = |q|.
// SU(N): with H = -i Q and the characteristic polynomial H^N = sum_k c_k H^k (c_k real), every power is
// H^n = sum_k q^(n)_k H^k, and exp(Q) = sum_k f_k H^k with f_k = sum_n i^n / n! q^(n)_k. The series is taken to
// EXPONENTIAL_TERMS, good to rounding times e^|H| for |H| <= 8.
#pragma once
#include "math.h"
#include "matrix.h"

namespace site {

#if COLORS == 2

struct ExponentialFactors {
    real cosine, sinc, slope;  // cos r, sin r / r, (cos r - sin r / r) / r^2
};

SITE_FN ExponentialFactors exponential_factors(const ColorMatrix& q) {
    const real r2 = fma(q.a[3], q.a[3], fma(q.a[2], q.a[2], q.a[1] * q.a[1]));
    const mask is_small = r2 < broadcast(1);
    const real r = sqrt(select(is_small, broadcast(1), r2));
    ExponentialFactors f;
    real sine;
    sincos(sqrt(r2), sine, f.cosine);
    real sinc = broadcast(1), slope = broadcast(1);
    UNROLL for (int n = 10; n >= 1; --n) {
        sinc = fma(r2 * sinc, scalar(-1.0 / (2 * n * (2 * n + 1))), scalar(1));
        slope = fma(r2 * slope, scalar(-1.0 / (2 * n * (2 * n + 3))), scalar(1));
    }
    f.sinc = select(is_small, sinc, sine / r);
    f.slope = select(is_small, slope * scalar(-1.0 / 3), (f.cosine - f.sinc) / (r * r));
    return f;
}

SITE_FN ColorMatrix exponential(const ColorMatrix& q) {
    const ExponentialFactors f = exponential_factors(q);
    return ColorMatrix{{f.cosine, f.sinc * q.a[1], f.sinc * q.a[2], f.sinc * q.a[3]}};
}

// The C with Re tr(G^+ d exp(Q)) = Re tr(C^+ dQ) for dQ in the algebra
SITE_FN ColorMatrix exponential_pullback(const ColorMatrix& q, const ColorMatrix& cotangent) {
    const ExponentialFactors f = exponential_factors(q);
    const real along = fma(cotangent.a[3], q.a[3], fma(cotangent.a[2], q.a[2], cotangent.a[1] * q.a[1]));
    const real factor = fma(f.slope, along, -(f.sinc * cotangent.a[0]));
    ColorMatrix r = zero_matrix();
    UNROLL for (int k = 1; k < 4; ++k) r.a[k] = fma(f.sinc, cotangent.a[k], factor * q.a[k]);
    return r;
}

#else

#if defined(HPC_DOUBLE)
static constexpr int EXPONENTIAL_TERMS = 40;
#else
static constexpr int EXPONENTIAL_TERMS = 26;
#endif

struct Polynomial {
    real c[COLORS];  // of H^0 ... H^(N-1)
};

// -i a
SITE_FN ColorMatrix over_i(const ColorMatrix& a) {
    ColorMatrix r;
    UNROLL for (int k = 0; k < MATRIX_REALS; k += 2) {
        r.a[k] = a.a[k + 1];
        r.a[k + 1] = -a.a[k];
    }
    return r;
}
SITE_FN ColorMatrix add_to_diagonal(ColorMatrix a, real re, real im) {
    EACH_ROW {
        a.a[RE(row, row)] = a.a[RE(row, row)] + re;
        a.a[IM(row, row)] = a.a[IM(row, row)] + im;
    }
    return a;
}
SITE_FN ColorMatrix complex_multiply_add(real re, real im, const ColorMatrix& a, const ColorMatrix& b) {
    ColorMatrix r;
    UNROLL for (int k = 0; k < MATRIX_REALS; k += 2) {
        r.a[k] = fma(-im, a.a[k + 1], fma(re, a.a[k], b.a[k]));
        r.a[k + 1] = fma(im, a.a[k], fma(re, a.a[k + 1], b.a[k + 1]));
    }
    return r;
}

// H^N = sum_k c_k H^k of a hermitian H without trace (Faddeev and LeVerrier)
SITE_FN Polynomial characteristic(const ColorMatrix& h) {
    Polynomial p;
    p.c[COLORS - 1] = broadcast(0);
    ColorMatrix m = h;
    UNROLL for (int k = 2; k <= COLORS; ++k) {
        const real c = scalar(1.0 / k) * real_product(h, m);  // m is hermitian: tr(h m) = Re tr(h m^+)
        p.c[COLORS - k] = c;
        if (k < COLORS) m = add_to_diagonal(h * m, -c, broadcast(0));
    }
    return p;
}

// The coefficients of H^(n+1) from those of H^n
SITE_FN void next_power(real (&q)[COLORS], const Polynomial& p) {
    const real top = q[COLORS - 1];
    UNROLL for (int k = COLORS - 1; k >= 1; --k) q[k] = fma(p.c[k], top, q[k - 1]);
    q[0] = p.c[0] * top;
}

SITE_FN ColorMatrix exponential(const ColorMatrix& antihermitian) {
    const ColorMatrix h = over_i(antihermitian);
    const Polynomial p = characteristic(h);
    real q[COLORS], f[2][COLORS];
    UNROLL for (int k = 0; k < COLORS; ++k) {
        q[k] = broadcast(k == 0 ? 1 : 0);
        f[0][k] = q[k];
        f[1][k] = broadcast(0);
    }
    scalar factor = 1;
    for (int n = 1; n <= EXPONENTIAL_TERMS; ++n) {
        next_power(q, p);
        factor = factor / n;
        const scalar signed_factor = (n & 2) ? -factor : factor;
        real(&part)[COLORS] = f[n & 1];
        UNROLL for (int k = 0; k < COLORS; ++k) part[k] = fma(broadcast(signed_factor), q[k], part[k]);
    }
    ColorMatrix r = complex_multiply_add(f[0][COLORS - 1], f[1][COLORS - 1], h, zero_matrix());
    r = add_to_diagonal(r, f[0][COLORS - 2], f[1][COLORS - 2]);
    UNROLL for (int k = COLORS - 3; k >= 0; --k) r = add_to_diagonal(h * r, f[0][k], f[1][k]);
    return r;
}

// The C with Re tr(G^+ d exp(Q)) = Re tr(C^+ dQ) for dQ in the algebra:
// d exp(Q) = sum_ij w_ij H^i dQ H^j, w_ij = sum_n i^(n-1) / n! s^(n)_ij, s^(n) the coefficients of sum_(a+b=n-1) H^a x H^b,
// s^(n+1) = H s^(n) + 1 x H^n, so C = sum_i H^i G sum_j conj(w_ij) H^j.
SITE_FN ColorMatrix exponential_pullback(const ColorMatrix& antihermitian, const ColorMatrix& cotangent) {
    const ColorMatrix h = over_i(antihermitian);
    const Polynomial p = characteristic(h);
    real q[COLORS], s[COLORS][COLORS], w[2][COLORS][COLORS];
    UNROLL for (int i = 0; i < COLORS; ++i) {
        q[i] = broadcast(i == 0 ? 1 : 0);
        UNROLL for (int j = 0; j < COLORS; ++j) {
            s[i][j] = broadcast(i == 0 && j == 0 ? 1 : 0);
            w[0][i][j] = s[i][j];
            w[1][i][j] = broadcast(0);
        }
    }
    scalar factor = 1;
    for (int n = 2; n <= EXPONENTIAL_TERMS; ++n) {
        next_power(q, p);
        UNROLL for (int j = 0; j < COLORS; ++j) {
            const real top = s[COLORS - 1][j];
            UNROLL for (int i = COLORS - 1; i >= 1; --i) s[i][j] = fma(p.c[i], top, s[i - 1][j]);
            s[0][j] = fma(p.c[0], top, q[j]);
        }
        factor = factor / n;
        const scalar signed_factor = ((n - 1) & 2) ? -factor : factor;
        real(&part)[COLORS][COLORS] = w[(n - 1) & 1];
        UNROLL for (int i = 0; i < COLORS; ++i)
            UNROLL for (int j = 0; j < COLORS; ++j) part[i][j] = fma(broadcast(signed_factor), s[i][j], part[i][j]);
    }
    ColorMatrix power[COLORS];
    power[1] = h;
    UNROLL for (int k = 2; k < COLORS; ++k) power[k] = h * power[k - 1];
    ColorMatrix r = zero_matrix();
    UNROLL for (int i = COLORS - 1; i >= 0; --i) {
        ColorMatrix right = add_to_diagonal(zero_matrix(), w[0][i][0], -w[1][i][0]);
        UNROLL for (int j = 1; j < COLORS; ++j) right = complex_multiply_add(w[0][i][j], -w[1][i][j], power[j], right);
        const ColorMatrix term = cotangent * right;
        r = i == COLORS - 1 ? term : h * r + term;
    }
    return r;
}

#endif

}  // namespace site
