// exp of traceless antihermitian matrices, and its pullback.
//
// SU(2): exp(i q.sigma) = cos r + i (sin r / r) q.sigma, r = |q|.
// SU(N): with H = -i Q and the characteristic polynomial H^N = sum_k c_k H^k (c_k real), every power is
// H^n = sum_k q^(n)_k H^k, and exp(Q) = sum_k f_k H^k with f_k = sum_n i^n / n! q^(n)_k. The series is taken to
// EXPONENTIAL_TERMS, good to rounding times e^|H| for |H| <= 8, on sites of smaller |H| to the terms that count there.
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

SITE_FN ColorMatrix exponential(const ColorMatrix& q, const ExponentialFactors& f) {
    return ColorMatrix{{f.cosine, f.sinc * q.a[1], f.sinc * q.a[2], f.sinc * q.a[3]}};
}
SITE_FN ColorMatrix exponential(const ColorMatrix& q) { return exponential(q, exponential_factors(q)); }

// The C with Re tr(G^+ d exp(Q)) = Re tr(C^+ dQ) for dQ in the algebra, and exp(Q)
SITE_FN ColorMatrix exponential_pullback(const ColorMatrix& q, const ColorMatrix& cotangent, ColorMatrix& value) {
    const ExponentialFactors f = exponential_factors(q);
    value = exponential(q, f);
    const real along = fma(cotangent.a[3], q.a[3], fma(cotangent.a[2], q.a[2], cotangent.a[1] * q.a[1]));
    const real factor = fma(f.slope, along, -(f.sinc * cotangent.a[0]));
    ColorMatrix r = zero_matrix();
    UNROLL for (int k = 1; k < 4; ++k) r.a[k] = fma(f.sinc, cotangent.a[k], factor * q.a[k]);
    return r;
}

#else

#if defined(HPC_DOUBLE)
static constexpr int EXPONENTIAL_TERMS = 40, FEW_TERMS = 18, SOME_TERMS = 26;
#else
static constexpr int EXPONENTIAL_TERMS = 26, FEW_TERMS = 12, SOME_TERMS = 18;
#endif

// 1 / n!
struct Factorials {
    scalar inverse[EXPONENTIAL_TERMS + 2];
};
constexpr Factorials factorials() {
    Factorials f{};
    double inverse = 1;
    for (int n = 0; n <= EXPONENTIAL_TERMS + 1; ++n) {
        inverse = n ? inverse / n : 1;
        f.inverse[n] = scalar(inverse);
    }
    return f;
}
static constexpr Factorials FACTORIALS = factorials();
// The real or imaginary part of i^power / n!, whichever is not zero
SITE_FN scalar over_factorial(int power, int n) { return power & 2 ? -FACTORIALS.inverse[n] : FACTORIALS.inverse[n]; }

struct Polynomial {
    real c[COLORS - 1];  // of H^0 ... H^(N-2)
};

// The sites whose series ends before term n: where |H|^2 <= tr H^2 (N - 1) / N is at most 1/2 after FEW_TERMS, at most 4
// after SOME_TERMS; what follows is less than rounding. A site's numbers do not depend on the others of its block.
SITE_FN mask has_ended(const Polynomial& p, int n) {
    const real size = scalar(2.0 * (COLORS - 1) / COLORS) * p.c[COLORS - 2];
    return size <= broadcast(scalar(n <= FEW_TERMS ? -1 : n <= SOME_TERMS ? 0.5 : 4));
}

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
        r.a[k] = fnma(im, a.a[k + 1], fma(re, a.a[k], b.a[k]));
        r.a[k + 1] = fma(im, a.a[k], fma(re, a.a[k + 1], b.a[k + 1]));
    }
    return r;
}

// H^N = sum_k c_k H^k of a hermitian H without trace (Faddeev and LeVerrier)
SITE_FN Polynomial characteristic(const ColorMatrix& h) {
    Polynomial p;
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
    q[COLORS - 1] = q[COLORS - 2];
    UNROLL for (int k = COLORS - 2; k >= 1; --k) q[k] = fma(p.c[k], top, q[k - 1]);
    q[0] = p.c[0] * top;
}

// sum_k (f[0][k] + i f[1][k]) H^k
SITE_FN ColorMatrix polynomial(const real (&f)[2][COLORS], const ColorMatrix& h) {
    ColorMatrix r = complex_multiply_add(f[0][COLORS - 1], f[1][COLORS - 1], h, zero_matrix());
    r = add_to_diagonal(r, f[0][COLORS - 2], f[1][COLORS - 2]);
    UNROLL for (int k = COLORS - 3; k >= 0; --k) r = add_to_diagonal(h * r, f[0][k], f[1][k]);
    return r;
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
    for (int first = 1; first <= EXPONENTIAL_TERMS; first += 2) {
        const mask ended = has_ended(p, first);
        if (all(ended)) break;
        UNROLL for (int n = first; n <= first + 1; ++n) {
            next_power(q, p);
            const real factor = select(ended, broadcast(0), broadcast(over_factorial(n, n)));
            real(&part)[COLORS] = f[n == first];
            UNROLL for (int k = 0; k < COLORS; ++k) part[k] = fma(factor, q[k], part[k]);
        }
    }
    return polynomial(f, h);
}

// d exp(Q) = sum_ij w_ij H^i dQ H^j, w_ij = sum_n i^(n-1) / n! s^(n)_ij, s^(n) the coefficients of sum_(a+b=n-1) H^a x H^b,
// s^(n+1) = H s^(n) + 1 x H^n, symmetric.
struct ExponentialSlope {
    real w[2][COLORS][COLORS];  // real and imaginary parts, i <= j
};
SITE_FN ExponentialSlope exponential_slope(const Polynomial& p) {
    real q[COLORS], s[COLORS][COLORS];
    ExponentialSlope slope;
    UNROLL for (int j = 0; j < COLORS; ++j) {
        q[j] = broadcast(j == 0 ? 1 : 0);
        UNROLL for (int i = 0; i <= j; ++i) {
            s[i][j] = broadcast(j == 0 ? 1 : 0);
            slope.w[0][i][j] = s[i][j];
            slope.w[1][i][j] = broadcast(0);
        }
    }
    for (int first = 2; first <= EXPONENTIAL_TERMS; first += 2) {
        const mask ended = has_ended(p, first + 1);
        if (all(ended)) break;
        UNROLL for (int n = first; n <= first + 1; ++n) {
            next_power(q, p);
            real top[COLORS];
            UNROLL for (int j = 0; j < COLORS; ++j) top[j] = s[j][COLORS - 1];
            UNROLL for (int j = COLORS - 1; j >= 0; --j) {
                if (j == COLORS - 1) s[j][j] = s[j - 1][j];
                UNROLL for (int i = j < COLORS - 1 ? j : j - 1; i >= 1; --i) s[i][j] = fma(p.c[i], top[j], s[i - 1][j]);
                s[0][j] = fma(p.c[0], top[j], q[j]);
            }
            const real factor = select(ended, broadcast(0), broadcast(over_factorial(n - 1, n)));
            real(&part)[COLORS][COLORS] = slope.w[n == first];
            UNROLL for (int i = 0; i < COLORS; ++i)
                UNROLL for (int j = i; j < COLORS; ++j) part[i][j] = fma(factor, s[i][j], part[i][j]);
        }
    }
    return slope;
}

// exp(Q) = sum_ij w_ij H^(i+j), the derivative along the unit matrix
SITE_FN ColorMatrix exponential(const ExponentialSlope& slope, const Polynomial& p, const ColorMatrix& h) {
    real e[2][2 * COLORS - 1], f[2][COLORS];
    UNROLL for (int part = 0; part < 2; ++part) {
        UNROLL for (int n = 0; n < 2 * COLORS - 1; ++n) e[part][n] = broadcast(0);
        UNROLL for (int i = 0; i < COLORS; ++i)
            UNROLL for (int j = i; j < COLORS; ++j) e[part][i + j] = fma(scalar(i == j ? 1 : 2), slope.w[part][i][j], e[part][i + j]);
        UNROLL for (int n = 2 * COLORS - 2; n >= COLORS; --n)
            UNROLL for (int k = 0; k < COLORS - 1; ++k)
                e[part][n - COLORS + k] = fma(p.c[k], e[part][n], e[part][n - COLORS + k]);
        UNROLL for (int k = 0; k < COLORS; ++k) f[part][k] = e[part][k];
    }
    return polynomial(f, h);
}

// Whether powers of H are kept; those of larger matrices do not fit into the registers of a GPU and are made again.
static constexpr bool KEEPS_POWERS = KEEPS_MATRICES || COLORS < 4;

// The C with Re tr(G^+ d exp(Q)) = Re tr(C^+ dQ) for dQ in the algebra, C = sum_i H^i G sum_j conj(w_ij) H^j, and exp(Q)
SITE_FN ColorMatrix exponential_pullback(const ColorMatrix& antihermitian, const ColorMatrix& cotangent, ColorMatrix& value) {
    const ColorMatrix h = over_i(antihermitian);
    const Polynomial p = characteristic(h);
    const ExponentialSlope slope = exponential_slope(p);
    if (KEEPS_POWERS) value = exponential(slope, p, h);
    ColorMatrix kept[KEEPS_POWERS ? COLORS : 2];
    kept[1] = h;
    if (KEEPS_POWERS) UNROLL for (int k = 2; k < COLORS; ++k) kept[k] = h * kept[k - 1];
    ColorMatrix r = zero_matrix();
    UNROLL_IF_SMALL for (int i = COLORS - 1; i >= 0; --i) {
        if (!KEEPS_POWERS) read_again();
        ColorMatrix right = add_to_diagonal(zero_matrix(), slope.w[0][0][i], -slope.w[1][0][i]), power = h;
        UNROLL_IF_SMALL for (int j = 1; j < COLORS; ++j) {
            const int low = i < j ? i : j, high = i < j ? j : i;
            if (!KEEPS_POWERS && j > 1) power = h * power;
            const ColorMatrix& factor = KEEPS_POWERS ? kept[j] : power;
            right = complex_multiply_add(slope.w[0][low][high], -slope.w[1][low][high], factor, right);
        }
        const ColorMatrix term = cotangent * right;
        r = i == COLORS - 1 ? term : h * r + term;
    }
    if (!KEEPS_POWERS) {
        read_again();
        value = exponential(slope, p, h);
    }
    return r;
}

#endif

}  // namespace site
