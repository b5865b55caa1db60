// Traceless antihermitian matrices as N^2 - 1 real numbers.
#pragma once
#include "lattice.h"

namespace site {

static constexpr int TRACELESS_REALS = COLORS * COLORS - 1;

// SU(2): the quaternion's last three numbers. Otherwise, row by row, the entries right of the diagonal, and the imaginary
// parts on the diagonal less the last one.
struct Traceless {
    real a[TRACELESS_REALS];
};

SITE_FN Traceless zero_traceless() {
    Traceless r;
    UNROLL for (int k = 0; k < TRACELESS_REALS; ++k) r.a[k] = broadcast(0);
    return r;
}
SITE_FN Traceless operator+(const Traceless& a, const Traceless& b) {
    Traceless r;
    UNROLL for (int k = 0; k < TRACELESS_REALS; ++k) r.a[k] = a.a[k] + b.a[k];
    return r;
}
SITE_FN Traceless operator-(const Traceless& a, const Traceless& b) {
    Traceless r;
    UNROLL for (int k = 0; k < TRACELESS_REALS; ++k) r.a[k] = a.a[k] - b.a[k];
    return r;
}

// COUNT of them on each site.
template <int COUNT>
struct TracelessMatrices {
    Reals<COUNT * TRACELESS_REALS> reals;
};
template <int COUNT>
SITE_FN Traceless get(const TracelessMatrices<COUNT>& field, Site x, int element) {
    Traceless r;
    fetch(field.reals, x, element * TRACELESS_REALS, r.a);
    return r;
}
template <int COUNT>
SITE_FN void call_ahead(const TracelessMatrices<COUNT>& field, Site x, int element) {
    call_ahead(field.reals, x, element * TRACELESS_REALS, TRACELESS_REALS);
}
template <int COUNT>
SITE_FN void set(const TracelessMatrices<COUNT>& field, Site x, int element, const Traceless& value) {
    put(field.reals, x, element * TRACELESS_REALS, value.a);
}

#if COLORS == 2

SITE_FN ColorMatrix matrix(const Traceless& q) { return ColorMatrix{{broadcast(0), q.a[0], q.a[1], q.a[2]}}; }

// left = TA(sum_k a_k b_k^+), first = its k = 0, right = TA(sum_k b_k^+ a_k)
template <int COUNT>
SITE_FN void closed_products(const ColorMatrix (&a)[COUNT], const ColorMatrix* const* b, Traceless& first, Traceless& left,
                             Traceless& right) {
    Traceless even = zero_traceless(), odd = zero_traceless();
    UNROLL for (int k = 0; k < COUNT; ++k) {
        UNROLL for (int i = 0; i < 3; ++i) {
            const int j = 1 + (i + 1) % 3, l = 1 + (i + 2) % 3;
            even.a[i] = fnma(a[k].a[0], b[k]->a[i + 1], fma(a[k].a[i + 1], b[k]->a[0], even.a[i]));
            odd.a[i] = fnma(a[k].a[l], b[k]->a[j], fma(a[k].a[j], b[k]->a[l], odd.a[i]));
        }
        if (k == 0) first = even + odd;
    }
    left = even + odd;
    right = even - odd;
}

// The same for one pair after another
struct ClosedSum {
    Traceless even, odd;
};
SITE_FN ClosedSum zero_closed_sum() { return ClosedSum{zero_traceless(), zero_traceless()}; }
SITE_FN void add_closed(ClosedSum& sum, const ColorMatrix& a, const ColorMatrix& b) {
    UNROLL for (int i = 0; i < 3; ++i) {
        const int j = 1 + (i + 1) % 3, l = 1 + (i + 2) % 3;
        sum.even.a[i] = fnma(a.a[0], b.a[i + 1], fma(a.a[i + 1], b.a[0], sum.even.a[i]));
        sum.odd.a[i] = fnma(a.a[l], b.a[j], fma(a.a[j], b.a[l], sum.odd.a[i]));
    }
}
SITE_FN Traceless closed_left(const ClosedSum& sum) { return sum.even + sum.odd; }
SITE_FN Traceless closed_right(const ClosedSum& sum) { return sum.even - sum.odd; }

#else

SITE_FN ColorMatrix matrix(const Traceless& q) {
    ColorMatrix r;
    const scalar share = scalar(1.0 / COLORS);
    int k = 0;
    real trace = broadcast(0);
    EACH_ROW {
        if (row < COLORS - 1) {
            r.a[IM(row, row)] = q.a[k++];
            trace = trace + r.a[IM(row, row)];
        }
        r.a[RE(row, row)] = broadcast(0);
        UNROLL for (int column = row + 1; column < COLORS; ++column) {
            r.a[RE(row, column)] = q.a[k++];
            r.a[IM(row, column)] = q.a[k++];
            r.a[RE(column, row)] = -r.a[RE(row, column)];
            r.a[IM(column, row)] = r.a[IM(row, column)];
        }
    }
    r.a[IM(COLORS - 1, COLORS - 1)] = broadcast(0);
    EACH_ROW r.a[IM(row, row)] = r.a[IM(row, row)] - share * trace;
    return r;
}

// X - X^+ of a sum X of products: [row][column >= row], each as what is added less what is subtracted, on the diagonal the
// imaginary part of X alone
struct Antihermitian {
    real plus_re[COLORS][COLORS], minus_re[COLORS][COLORS], plus_im[COLORS][COLORS], minus_im[COLORS][COLORS];
};
SITE_FN Antihermitian zero_antihermitian() {
    Antihermitian x;
    EACH_ROW UNROLL for (int column = row; column < COLORS; ++column) {
        x.plus_re[row][column] = x.minus_re[row][column] = broadcast(0);
        x.plus_im[row][column] = x.minus_im[row][column] = broadcast(0);
    }
    return x;
}

struct Column {
    real re[COLORS], im[COLORS];
};
SITE_FN Column column_of(const ColorMatrix& m, int k) {
    Column c;
    EACH_ROW {
        c.re[row] = m.a[RE(row, k)];
        c.im[row] = m.a[IM(row, k)];
    }
    return c;
}
// Column k of the transposed
SITE_FN Column row_of(const ColorMatrix& m, int k) {
    Column c;
    EACH_ROW {
        c.re[row] = m.a[RE(k, row)];
        c.im[row] = m.a[IM(k, row)];
    }
    return c;
}
// X += a b^+
SITE_FN void add_outer(Antihermitian& x, const Column& a, const Column& b) {
    EACH_ROW UNROLL for (int column = row; column < COLORS; ++column) {
        real &plus = x.plus_im[row][column], &minus = x.minus_im[row][column];
        plus = fma(a.im[row], b.re[column], plus);
        minus = fma(a.re[row], b.im[column], minus);
        if (column == row) continue;
        plus = fma(a.im[column], b.re[row], plus);
        minus = fma(a.re[column], b.im[row], minus);
        x.plus_re[row][column] = fma(a.im[row], b.im[column], fma(a.re[row], b.re[column], x.plus_re[row][column]));
        x.minus_re[row][column] = fma(a.im[column], b.im[row], fma(a.re[column], b.re[row], x.minus_re[row][column]));
    }
}
// TA(X); `sign` -1: of the conjugate of X
SITE_FN Traceless traceless(const Antihermitian& x, int sign) {
    const scalar half = scalar(0.5);
    real im[COLORS][COLORS];
    EACH_ROW UNROLL for (int column = row; column < COLORS; ++column) {
        const real difference = sign > 0 ? x.plus_im[row][column] - x.minus_im[row][column]
                                         : x.minus_im[row][column] - x.plus_im[row][column];
        im[row][column] = column == row ? difference : half * difference;
    }
    Traceless r;
    int k = 0;
    EACH_ROW {
        if (row < COLORS - 1) r.a[k++] = im[row][row] - im[COLORS - 1][COLORS - 1];
        UNROLL for (int column = row + 1; column < COLORS; ++column) {
            r.a[k++] = half * (x.plus_re[row][column] - x.minus_re[row][column]);
            r.a[k++] = im[row][column];
        }
    }
    return r;
}

// left = TA(sum_k a_k b_k^+), first = its k = 0, right = TA(sum_k b_k^+ a_k)
template <int COUNT>
SITE_CALL void closed_products(const ColorMatrix (&a)[COUNT], const ColorMatrix* const* b, Traceless& first, Traceless& left,
                               Traceless& right) {
    Antihermitian x = zero_antihermitian();
    for (int k = 0; k < COUNT; ++k) {
        UNROLL for (int i = 0; i < COLORS; ++i) add_outer(x, column_of(a[k], i), column_of(*b[k], i));
        if (k == 0) first = traceless(x, 1);
    }
    left = traceless(x, 1);
    x = zero_antihermitian();  // of the conjugate, so that the rows need no change of sign
    for (int k = 0; k < COUNT; ++k)
        UNROLL for (int i = 0; i < COLORS; ++i) add_outer(x, row_of(*b[k], i), row_of(a[k], i));
    right = traceless(x, -1);
}

// The same for one pair after another
struct ClosedSum {
    Antihermitian left, right;
};
SITE_FN ClosedSum zero_closed_sum() { return ClosedSum{zero_antihermitian(), zero_antihermitian()}; }
SITE_FN void add_closed(ClosedSum& sum, const ColorMatrix& a, const ColorMatrix& b) {
    UNROLL for (int i = 0; i < COLORS; ++i) add_outer(sum.left, column_of(a, i), column_of(b, i));
    UNROLL for (int i = 0; i < COLORS; ++i) add_outer(sum.right, row_of(b, i), row_of(a, i));
}
SITE_FN Traceless closed_left(const ClosedSum& sum) { return traceless(sum.left, 1); }
SITE_FN Traceless closed_right(const ClosedSum& sum) { return traceless(sum.right, -1); }

#endif

}  // namespace site
