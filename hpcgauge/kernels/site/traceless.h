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
SITE_FN void set(const TracelessMatrices<COUNT>& field, Site x, int element, const Traceless& value) {
    put(field.reals, x, element * TRACELESS_REALS, value.a);
}

#if COLORS == 2

SITE_FN ColorMatrix matrix(const Traceless& q) { return ColorMatrix{{broadcast(0), q.a[0], q.a[1], q.a[2]}}; }

// left = TA(sum_k a_k b_k^+), first = its k = 0, right = TA(sum_k b_k^+ a_k)
template <int COUNT>
SITE_FN void closed_products(const ColorMatrix (&a)[COUNT], const ColorMatrix* b, Traceless& first, Traceless& left,
                             Traceless& right) {
    Traceless even = zero_traceless(), odd = zero_traceless();
    UNROLL for (int k = 0; k < COUNT; ++k) {
        UNROLL for (int i = 0; i < 3; ++i) {
            const int j = 1 + (i + 1) % 3, l = 1 + (i + 2) % 3;
            even.a[i] = fma(-a[k].a[0], b[k].a[i + 1], fma(a[k].a[i + 1], b[k].a[0], even.a[i]));
            odd.a[i] = fma(-a[k].a[l], b[k].a[j], fma(a[k].a[j], b[k].a[l], odd.a[i]));
        }
        if (k == 0) first = even + odd;
    }
    left = even + odd;
    right = even - odd;
}

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

// X - X^+ of a sum X of products, twice its antihermitian part: [row][column >= row], on the diagonal Im X
struct Antihermitian {
    real re[COLORS][COLORS], im[COLORS][COLORS];
};
// X += a b^+ of columns (a_row), (b_row): entry by entry
SITE_FN void add_outer(Antihermitian& x, const real (&ar)[COLORS], const real (&ai)[COLORS], const real (&br)[COLORS],
                       const real (&bi)[COLORS]) {
    EACH_ROW {
        x.im[row][row] = fma(-ar[row], bi[row], fma(ai[row], br[row], x.im[row][row]));
        UNROLL for (int column = row + 1; column < COLORS; ++column) {
            // a_row b_column^* - (a_column b_row^*)^*
            real& re = x.re[row][column];
            real& im = x.im[row][column];
            re = fma(ai[row], bi[column], fma(ar[row], br[column], re));
            im = fma(-ar[row], bi[column], fma(ai[row], br[column], im));
            re = fma(-ai[column], bi[row], fma(-ar[column], br[row], re));
            im = fma(-ar[column], bi[row], fma(ai[column], br[row], im));
        }
    }
}
SITE_FN Traceless traceless(const Antihermitian& x) {
    const scalar half = scalar(0.5);
    Traceless r;
    int k = 0;
    EACH_ROW {
        if (row < COLORS - 1) r.a[k++] = x.im[row][row] - x.im[COLORS - 1][COLORS - 1];
        UNROLL for (int column = row + 1; column < COLORS; ++column) {
            r.a[k++] = half * x.re[row][column];
            r.a[k++] = half * x.im[row][column];
        }
    }
    return r;
}
SITE_FN Antihermitian zero_antihermitian() {
    Antihermitian x;
    EACH_ROW EACH_COLUMN x.re[row][column] = x.im[row][column] = broadcast(0);
    return x;
}
// Column k of m, and row k of m^* as the column of m^+
SITE_FN void column_of(const ColorMatrix& m, int k, real (&re)[COLORS], real (&im)[COLORS]) {
    EACH_ROW {
        re[row] = m.a[RE(row, k)];
        im[row] = m.a[IM(row, k)];
    }
}
SITE_FN void adjoint_column_of(const ColorMatrix& m, int k, real (&re)[COLORS], real (&im)[COLORS]) {
    EACH_ROW {
        re[row] = m.a[RE(k, row)];
        im[row] = -m.a[IM(k, row)];
    }
}

// left = TA(sum_k a_k b_k^+), first = its k = 0, right = TA(sum_k b_k^+ a_k)
template <int COUNT>
SITE_CALL void closed_products(const ColorMatrix (&a)[COUNT], const ColorMatrix* b, Traceless& first, Traceless& left,
                               Traceless& right) {
    real ar[COLORS], ai[COLORS], br[COLORS], bi[COLORS];
    Antihermitian x = zero_antihermitian();
    for (int k = 0; k < COUNT; ++k) {
        UNROLL for (int i = 0; i < COLORS; ++i) {
            column_of(a[k], i, ar, ai);
            column_of(b[k], i, br, bi);
            add_outer(x, ar, ai, br, bi);
        }
        if (k == 0) first = traceless(x);
    }
    left = traceless(x);
    x = zero_antihermitian();
    for (int k = 0; k < COUNT; ++k)
        UNROLL for (int i = 0; i < COLORS; ++i) {
            adjoint_column_of(b[k], i, br, bi);
            adjoint_column_of(a[k], i, ar, ai);
            add_outer(x, br, bi, ar, ai);
        }
    right = traceless(x);
}

#endif

}  // namespace site
