// Lines of links along one direction, one matrix on each site, and the loops made of them.
#pragma once
#include "links.h"

namespace site {

// L_{s+1}(x) = U_mu(x) L_s(x+mu)
SITE_FN void extend_line(const Lattice& g, Site x, Matrices<1> longer, Matrices<N_DIMENSIONS> U, Matrices<1> line,
                         const double* direction) {
    const int mu = int(direction[0]);
    set(longer, x, 0, get(U, x, mu) * get(line, up(g, x, mu), 0));
}

// Im tr a; a quaternion has none
#if COLORS == 2
SITE_FN real imaginary_trace(const ColorMatrix&) { return broadcast(0); }
#else
SITE_FN real imaginary_trace(const ColorMatrix& a) {
    real r = a.a[IM(0, 0)];
    UNROLL for (int row = 1; row < COLORS; ++row) r = r + a.a[IM(row, row)];
    return r;
}
#endif

// Re tr L, Im tr L
SITE_FN void line_trace(const Lattice&, Site x, Matrices<1> line, real (&totals)[2]) {
    const ColorMatrix product = get(line, x, 0);
    totals[0] = real_trace(product);
    totals[1] = imaginary_trace(product);
}

// Re tr S(x) T(x + r mu) S(x + t nu)^+ T(x)^+, with far = T(x + r mu) and top = S(x + t nu)
SITE_FN void rectangle_trace(const Lattice&, Site x, Matrices<1> S, Matrices<1> far, Matrices<1> top, Matrices<1> T,
                             real (&totals)[1]) {
    totals[0] = real_product(get(S, x, 0) * get(far, x, 0), get(T, x, 0) * get(top, x, 0));
}

}  // namespace site
