// Color matrices and vectors. SU(2): quaternions a0 + i a.sigma; otherwise complex N x N, (row, column, re/im).
#pragma once
#include "platform.h"

namespace site {

#if COLORS == 2
static constexpr int MATRIX_REALS = 4;
#else
static constexpr int MATRIX_REALS = 2 * COLORS * COLORS;
#endif
static constexpr int VECTOR_REALS = 2 * COLORS;

struct ColorMatrix {
    real a[MATRIX_REALS];
};
struct ColorVector {
    real a[VECTOR_REALS];
};

// What works on whole matrices, many times over in one kernel: called, where a matrix does not stay in registers.
#if COLORS == 2
#define MATRIX_FN SITE_FN
#else
#define MATRIX_FN SITE_CALL
#endif

#define EACH_REAL UNROLL for (int k = 0; k < MATRIX_REALS; ++k)
// A function of ROWS sets so many rows of its result, that of quaternions all.
#define EACH_OF(rows) UNROLL for (int row = 0; row < rows; ++row)
#define EACH_ROW EACH_OF(COLORS)
#define EACH_COLUMN UNROLL for (int column = 0; column < COLORS; ++column)
#define RE(row, column) (2 * ((row) * COLORS + (column)))
#define IM(row, column) (2 * ((row) * COLORS + (column)) + 1)

SITE_FN ColorMatrix zero_matrix() {
    ColorMatrix r;
    EACH_REAL r.a[k] = broadcast(0);
    return r;
}
SITE_FN ColorMatrix operator+(const ColorMatrix& a, const ColorMatrix& b) {
    ColorMatrix r;
    EACH_REAL r.a[k] = a.a[k] + b.a[k];
    return r;
}
SITE_FN ColorMatrix operator-(const ColorMatrix& a, const ColorMatrix& b) {
    ColorMatrix r;
    EACH_REAL r.a[k] = a.a[k] - b.a[k];
    return r;
}
SITE_FN ColorMatrix operator*(real s, const ColorMatrix& a) {
    ColorMatrix r;
    EACH_REAL r.a[k] = s * a.a[k];
    return r;
}
// s a + b
SITE_FN ColorMatrix multiply_add(real s, const ColorMatrix& a, const ColorMatrix& b) {
    ColorMatrix r;
    EACH_REAL r.a[k] = fma(s, a.a[k], b.a[k]);
    return r;
}
// a with its signs changed as `flip` of numbers does
SITE_FN ColorMatrix flip(const ColorMatrix& a, integer sign) {
    ColorMatrix r;
    EACH_REAL r.a[k] = flip(a.a[k], sign);
    return r;
}
SITE_FN ColorMatrix select(mask m, const ColorMatrix& a, const ColorMatrix& b) {
    ColorMatrix r;
    EACH_REAL r.a[k] = select(m, a.a[k], b.a[k]);
    return r;
}

#if COLORS == 2

SITE_FN ColorMatrix unit_matrix() {
    ColorMatrix r = zero_matrix();
    r.a[0] = broadcast(1);
    return r;
}
SITE_FN ColorMatrix adjoint(const ColorMatrix& a) { return ColorMatrix{{a.a[0], -a.a[1], -a.a[2], -a.a[3]}}; }
// (a0 + i a.sigma)(b0 + i b.sigma) = a0 b0 - a.b + i (a0 b + b0 a - a x b).sigma
template <int ROWS = COLORS>
SITE_FN ColorMatrix product(const ColorMatrix& a, const ColorMatrix& b) {
    ColorMatrix r;
    r.a[0] = fnma(a.a[3], b.a[3], fnma(a.a[2], b.a[2], fnma(a.a[1], b.a[1], a.a[0] * b.a[0])));
    r.a[1] = fma(a.a[3], b.a[2], fnma(a.a[2], b.a[3], fma(a.a[1], b.a[0], a.a[0] * b.a[1])));
    r.a[2] = fma(a.a[1], b.a[3], fnma(a.a[3], b.a[1], fma(a.a[2], b.a[0], a.a[0] * b.a[2])));
    r.a[3] = fma(a.a[2], b.a[1], fnma(a.a[1], b.a[2], fma(a.a[3], b.a[0], a.a[0] * b.a[3])));
    return r;
}
// a b^+
template <int ROWS = COLORS>
SITE_FN ColorMatrix product_adjoint(const ColorMatrix& a, const ColorMatrix& b) {
    ColorMatrix r;
    r.a[0] = fma(a.a[3], b.a[3], fma(a.a[2], b.a[2], fma(a.a[1], b.a[1], a.a[0] * b.a[0])));
    r.a[1] = fnma(a.a[3], b.a[2], fma(a.a[2], b.a[3], fnma(a.a[0], b.a[1], a.a[1] * b.a[0])));
    r.a[2] = fnma(a.a[1], b.a[3], fma(a.a[3], b.a[1], fnma(a.a[0], b.a[2], a.a[2] * b.a[0])));
    r.a[3] = fnma(a.a[2], b.a[1], fma(a.a[1], b.a[2], fnma(a.a[0], b.a[3], a.a[3] * b.a[0])));
    return r;
}
// a^+ b
template <int ROWS = COLORS>
SITE_FN ColorMatrix adjoint_product(const ColorMatrix& a, const ColorMatrix& b) {
    ColorMatrix r;
    r.a[0] = fma(a.a[3], b.a[3], fma(a.a[2], b.a[2], fma(a.a[1], b.a[1], a.a[0] * b.a[0])));
    r.a[1] = fnma(a.a[3], b.a[2], fma(a.a[2], b.a[3], fnma(a.a[1], b.a[0], a.a[0] * b.a[1])));
    r.a[2] = fnma(a.a[1], b.a[3], fma(a.a[3], b.a[1], fnma(a.a[2], b.a[0], a.a[0] * b.a[2])));
    r.a[3] = fnma(a.a[2], b.a[1], fma(a.a[1], b.a[2], fnma(a.a[3], b.a[0], a.a[0] * b.a[3])));
    return r;
}
SITE_FN real real_trace(const ColorMatrix& a) { return a.a[0] + a.a[0]; }
// Re tr a b^+
SITE_FN real real_product(const ColorMatrix& a, const ColorMatrix& b) {
    const real half = fma(a.a[3], b.a[3], fma(a.a[2], b.a[2], fma(a.a[1], b.a[1], a.a[0] * b.a[0])));
    return half + half;
}
// TA(a) = (a - a^+)/2 - tr(a - a^+)/(2N)
SITE_FN ColorMatrix traceless_antihermitian(const ColorMatrix& a) {
    return ColorMatrix{{broadcast(0), a.a[1], a.a[2], a.a[3]}};
}
// m v: (a0 + i a3, a2 + i a1; -a2 + i a1, a0 - i a3) v
// m v + w
SITE_FN ColorVector multiply_add(const ColorMatrix& m, const ColorVector& v, ColorVector w) {
    w.a[0] = fnma(m.a[1], v.a[3], fma(m.a[2], v.a[2], fnma(m.a[3], v.a[1], fma(m.a[0], v.a[0], w.a[0]))));
    w.a[1] = fma(m.a[1], v.a[2], fma(m.a[2], v.a[3], fma(m.a[3], v.a[0], fma(m.a[0], v.a[1], w.a[1]))));
    w.a[2] = fma(m.a[3], v.a[3], fnma(m.a[1], v.a[1], fnma(m.a[2], v.a[0], fma(m.a[0], v.a[2], w.a[2]))));
    w.a[3] = fnma(m.a[3], v.a[2], fma(m.a[1], v.a[0], fnma(m.a[2], v.a[1], fma(m.a[0], v.a[3], w.a[3]))));
    return w;
}
// The projection on quaternions of v w^+
SITE_FN ColorMatrix outer(const ColorVector& v, const ColorVector& w) {
    const scalar half = scalar(0.5);
    ColorMatrix r;
    r.a[0] = half * fma(v.a[3], w.a[3], fma(v.a[2], w.a[2], fma(v.a[1], w.a[1], v.a[0] * w.a[0])));
    r.a[1] = half * fnma(v.a[2], w.a[1], fma(v.a[3], w.a[0], fnma(v.a[0], w.a[3], v.a[1] * w.a[2])));
    r.a[2] = half * fnma(v.a[3], w.a[1], fnma(v.a[2], w.a[0], fma(v.a[1], w.a[3], v.a[0] * w.a[2])));
    r.a[3] = half * fma(v.a[2], w.a[3], fnma(v.a[3], w.a[2], fnma(v.a[0], w.a[1], v.a[1] * w.a[0])));
    return r;
}

#else

SITE_FN ColorMatrix unit_matrix() {
    ColorMatrix r = zero_matrix();
    EACH_ROW r.a[RE(row, row)] = broadcast(1);
    return r;
}
SITE_FN ColorMatrix adjoint(const ColorMatrix& a) {
    ColorMatrix r;
    EACH_ROW EACH_COLUMN {
        r.a[RE(row, column)] = a.a[RE(column, row)];
        r.a[IM(row, column)] = -a.a[IM(column, row)];
    }
    return r;
}
// a b
template <int ROWS = COLORS>
SITE_FN ColorMatrix product(const ColorMatrix& a, const ColorMatrix& b) {
    ColorMatrix r;
    EACH_OF(ROWS) EACH_COLUMN {
        real re = a.a[RE(row, 0)] * b.a[RE(0, column)], im = a.a[RE(row, 0)] * b.a[IM(0, column)];
        re = fnma(a.a[IM(row, 0)], b.a[IM(0, column)], re);
        im = fma(a.a[IM(row, 0)], b.a[RE(0, column)], im);
        UNROLL for (int k = 1; k < COLORS; ++k) {
            re = fnma(a.a[IM(row, k)], b.a[IM(k, column)], fma(a.a[RE(row, k)], b.a[RE(k, column)], re));
            im = fma(a.a[IM(row, k)], b.a[RE(k, column)], fma(a.a[RE(row, k)], b.a[IM(k, column)], im));
        }
        r.a[RE(row, column)] = re;
        r.a[IM(row, column)] = im;
    }
    return r;
}
// a b^+
template <int ROWS = COLORS>
SITE_FN ColorMatrix product_adjoint(const ColorMatrix& a, const ColorMatrix& b) {
    ColorMatrix r;
    EACH_OF(ROWS) EACH_COLUMN {
        real re = a.a[RE(row, 0)] * b.a[RE(column, 0)], im = a.a[IM(row, 0)] * b.a[RE(column, 0)];
        re = fma(a.a[IM(row, 0)], b.a[IM(column, 0)], re);
        im = fnma(a.a[RE(row, 0)], b.a[IM(column, 0)], im);
        UNROLL for (int k = 1; k < COLORS; ++k) {
            re = fma(a.a[IM(row, k)], b.a[IM(column, k)], fma(a.a[RE(row, k)], b.a[RE(column, k)], re));
            im = fnma(a.a[RE(row, k)], b.a[IM(column, k)], fma(a.a[IM(row, k)], b.a[RE(column, k)], im));
        }
        r.a[RE(row, column)] = re;
        r.a[IM(row, column)] = im;
    }
    return r;
}
// a^+ b
template <int ROWS = COLORS>
SITE_FN ColorMatrix adjoint_product(const ColorMatrix& a, const ColorMatrix& b) {
    ColorMatrix r;
    EACH_OF(ROWS) EACH_COLUMN {
        real re = a.a[RE(0, row)] * b.a[RE(0, column)], im = a.a[RE(0, row)] * b.a[IM(0, column)];
        re = fma(a.a[IM(0, row)], b.a[IM(0, column)], re);
        im = fnma(a.a[IM(0, row)], b.a[RE(0, column)], im);
        UNROLL for (int k = 1; k < COLORS; ++k) {
            re = fma(a.a[IM(k, row)], b.a[IM(k, column)], fma(a.a[RE(k, row)], b.a[RE(k, column)], re));
            im = fnma(a.a[IM(k, row)], b.a[RE(k, column)], fma(a.a[RE(k, row)], b.a[IM(k, column)], im));
        }
        r.a[RE(row, column)] = re;
        r.a[IM(row, column)] = im;
    }
    return r;
}
SITE_FN real real_trace(const ColorMatrix& a) {
    real r = a.a[0];
    UNROLL for (int row = 1; row < COLORS; ++row) r = r + a.a[RE(row, row)];
    return r;
}
// Re tr a b^+
SITE_FN real real_product(const ColorMatrix& a, const ColorMatrix& b) {
    real r = a.a[0] * b.a[0];
    UNROLL for (int k = 1; k < MATRIX_REALS; ++k) r = fma(a.a[k], b.a[k], r);
    return r;
}
// TA(a) = (a - a^+)/2 - tr(a - a^+)/(2N)
SITE_FN ColorMatrix traceless_antihermitian(const ColorMatrix& a) {
    const scalar half = scalar(0.5), share = scalar(1.0 / COLORS);
    ColorMatrix r;
    real trace = a.a[IM(0, 0)];
    UNROLL for (int row = 1; row < COLORS; ++row) trace = trace + a.a[IM(row, row)];
    trace = share * trace;
    EACH_ROW {
        r.a[RE(row, row)] = broadcast(0);
        r.a[IM(row, row)] = a.a[IM(row, row)] - trace;
        UNROLL for (int column = row + 1; column < COLORS; ++column) {
            r.a[RE(row, column)] = half * (a.a[RE(row, column)] - a.a[RE(column, row)]);
            r.a[IM(row, column)] = half * (a.a[IM(row, column)] + a.a[IM(column, row)]);
            r.a[RE(column, row)] = -r.a[RE(row, column)];
            r.a[IM(column, row)] = r.a[IM(row, column)];
        }
    }
    return r;
}
// m v + w
SITE_FN ColorVector multiply_add(const ColorMatrix& m, const ColorVector& v, ColorVector w) {
    UNROLL for (int k = 0; k < COLORS; ++k) EACH_ROW {
        real &re = w.a[2 * row], &im = w.a[2 * row + 1];
        re = fnma(m.a[IM(row, k)], v.a[2 * k + 1], fma(m.a[RE(row, k)], v.a[2 * k], re));
        im = fma(m.a[IM(row, k)], v.a[2 * k], fma(m.a[RE(row, k)], v.a[2 * k + 1], im));
    }
    return w;
}
// v w^+
SITE_FN ColorMatrix outer(const ColorVector& v, const ColorVector& w) {
    ColorMatrix r;
    EACH_ROW EACH_COLUMN {
        r.a[RE(row, column)] = fma(v.a[2 * row + 1], w.a[2 * column + 1], v.a[2 * row] * w.a[2 * column]);
        r.a[IM(row, column)] = fma(v.a[2 * row + 1], w.a[2 * column], -(v.a[2 * row] * w.a[2 * column + 1]));
    }
    return r;
}

#endif

SITE_FN ColorMatrix operator*(const ColorMatrix& a, const ColorMatrix& b) { return product(a, b); }

SITE_FN ColorVector zero_vector() {
    ColorVector r;
    UNROLL for (int k = 0; k < VECTOR_REALS; ++k) r.a[k] = broadcast(0);
    return r;
}
// s v + w
SITE_FN ColorVector multiply_add(real s, const ColorVector& v, const ColorVector& w) {
    ColorVector r;
    UNROLL for (int k = 0; k < VECTOR_REALS; ++k) r.a[k] = fma(s, v.a[k], w.a[k]);
    return r;
}
SITE_FN ColorVector flip(const ColorVector& v, integer sign) {
    ColorVector r;
    UNROLL for (int k = 0; k < VECTOR_REALS; ++k) r.a[k] = flip(v.a[k], sign);
    return r;
}
SITE_FN ColorVector operator+(const ColorVector& v, const ColorVector& w) {
    ColorVector r;
    UNROLL for (int k = 0; k < VECTOR_REALS; ++k) r.a[k] = v.a[k] + w.a[k];
    return r;
}
SITE_FN ColorVector operator*(real s, const ColorVector& v) {
    ColorVector r;
    UNROLL for (int k = 0; k < VECTOR_REALS; ++k) r.a[k] = s * v.a[k];
    return r;
}
// Re v^+ w
SITE_FN real real_product(const ColorVector& v, const ColorVector& w) {
    real r = v.a[0] * w.a[0];
    UNROLL for (int k = 1; k < VECTOR_REALS; ++k) r = fma(v.a[k], w.a[k], r);
    return r;
}

}  // namespace site
