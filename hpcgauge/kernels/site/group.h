// Elements of SU(3) by two of their rows.
#pragma once
#include "matrix.h"

namespace site {

// As many rows of a product in the group are multiplied out, `complete` finds the others.
static constexpr int GROUP_ROWS = COLORS == 3 ? 2 : COLORS;

// Sets the third row of an element of SU(3), (row 0 x row 1)^*; of other groups nothing
SITE_FN void complete(ColorMatrix& m) {
#if COLORS == 3
    EACH_COLUMN {
        const int i = (column + 1) % 3, j = (column + 2) % 3;
        const real ar = m.a[RE(0, i)], ai = m.a[IM(0, i)], br = m.a[RE(1, j)], bi = m.a[IM(1, j)];
        const real cr = m.a[RE(0, j)], ci = m.a[IM(0, j)], dr = m.a[RE(1, i)], di = m.a[IM(1, i)];
        m.a[RE(2, column)] = fma(ar, br, fnma(ai, bi, fnma(cr, dr, ci * di)));
        m.a[IM(2, column)] = fnma(ar, bi, fnma(ai, br, fma(cr, di, ci * dr)));
    }
#endif
}

}  // namespace site
