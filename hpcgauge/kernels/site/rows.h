// Products of matrices by rows: the right factor stays in registers while the rows of the left one pass by. What is read
// at neighbours belongs on the right, so that it is loaded, and its lanes are put in order, once.
#pragma once
#include "lattice.h"

namespace site {

SITE_FN real entry(const ColorMatrix& a, int k) { return a.a[k]; }

// Left factors are a ColorMatrix or a MatrixInPlace.
#if COLORS == 2

template <class Left>
SITE_FN ColorMatrix whole(const Left& a) {
    ColorMatrix r;
    EACH_REAL r.a[k] = entry(a, k);
    return r;
}

template <class Left>
SITE_FN void set_product(ColorMatrix& r, const Left& a, const ColorMatrix& b) {
    r = whole(a) * b;
}
SITE_FN void set_adjoint_product(ColorMatrix& r, const ColorMatrix& a, const ColorMatrix& b) { r = adjoint(a) * b; }
SITE_FN void add_product(ColorMatrix& r, const ColorMatrix& a, const ColorMatrix& b) { r = r + a * b; }
SITE_FN void add_product_adjoint(ColorMatrix& r, const ColorMatrix& a, const ColorMatrix& b) { r = r + a * adjoint(b); }
template <class Left>
SITE_FN real add_real_product(real sum, const Left& a, const ColorMatrix& b, const ColorMatrix& c) {
    return sum + real_product(whole(a) * b, c);
}

#else

struct Row {
    real a[2 * COLORS];
};
#define EACH_NUMBER UNROLL for (int k = 0; k < 2 * COLORS; ++k)
// The rows are a true loop: unrolled, what stays in registers would be spilled.
#define ROW_LOOP for (int row = 0; row < COLORS; ++row)

SITE_FN Row row_of(const ColorMatrix& a, int row) {
    Row r;
    EACH_NUMBER r.a[k] = a.a[2 * COLORS * row + k];
    return r;
}
SITE_FN void set_row(ColorMatrix& a, int row, const Row& r) { EACH_NUMBER a.a[2 * COLORS * row + k] = r.a[k]; }

// r + (re + i im) row k of b
SITE_FN Row add_row(Row r, real re, real im, const ColorMatrix& b, int k) {
    EACH_COLUMN {
        const real br = b.a[RE(k, column)], bi = b.a[IM(k, column)];
        r.a[2 * column] = fnma(im, bi, fma(re, br, r.a[2 * column]));
        r.a[2 * column + 1] = fma(im, br, fma(re, bi, r.a[2 * column + 1]));
    }
    return r;
}
// The same where r is 0
SITE_FN Row first_row(real re, real im, const ColorMatrix& b) {
    Row r;
    EACH_COLUMN {
        const real br = b.a[RE(0, column)], bi = b.a[IM(0, column)];
        r.a[2 * column] = fnma(im, bi, re * br);
        r.a[2 * column + 1] = fma(im, br, re * bi);
    }
    return r;
}
template <class Left>
SITE_FN Row product_row(const Left& a, int row, const ColorMatrix& b) {
    Row r = first_row(entry(a, RE(row, 0)), entry(a, IM(row, 0)), b);
    UNROLL for (int k = 1; k < COLORS; ++k) r = add_row(r, entry(a, RE(row, k)), entry(a, IM(row, k)), b, k);
    return r;
}

// r = a b
template <class Left>
SITE_FN void set_product(ColorMatrix& r, const Left& a, const ColorMatrix& b) {
    ROW_LOOP set_row(r, row, product_row(a, row, b));
}
// r = a^+ b
SITE_FN void set_adjoint_product(ColorMatrix& r, const ColorMatrix& a, const ColorMatrix& b) {
    ROW_LOOP {
        Row sum = first_row(a.a[RE(0, row)], -a.a[IM(0, row)], b);
        UNROLL for (int k = 1; k < COLORS; ++k) sum = add_row(sum, a.a[RE(k, row)], -a.a[IM(k, row)], b, k);
        set_row(r, row, sum);
    }
}
// r += a b
SITE_FN void add_product(ColorMatrix& r, const ColorMatrix& a, const ColorMatrix& b) {
    ROW_LOOP {
        Row sum = row_of(r, row);
        UNROLL for (int k = 0; k < COLORS; ++k) sum = add_row(sum, a.a[RE(row, k)], a.a[IM(row, k)], b, k);
        set_row(r, row, sum);
    }
}
// r += a b^+
SITE_FN void add_product_adjoint(ColorMatrix& r, const ColorMatrix& a, const ColorMatrix& b) {
    ROW_LOOP {
        Row sum = row_of(r, row);
        UNROLL for (int k = 0; k < COLORS; ++k) EACH_COLUMN {
            const real re = a.a[RE(row, k)], im = a.a[IM(row, k)], br = b.a[RE(column, k)], bi = b.a[IM(column, k)];
            sum.a[2 * column] = fma(im, bi, fma(re, br, sum.a[2 * column]));
            sum.a[2 * column + 1] = fnma(re, bi, fma(im, br, sum.a[2 * column + 1]));
        }
        set_row(r, row, sum);
    }
}
// sum + Re tr a b c^+
template <class Left>
SITE_FN real add_real_product(real sum, const Left& a, const ColorMatrix& b, const ColorMatrix& c) {
    ROW_LOOP {
        const Row product = product_row(a, row, b);
        EACH_NUMBER sum = fma(product.a[k], c.a[2 * COLORS * row + k], sum);
    }
    return sum;
}

#endif

}  // namespace site
