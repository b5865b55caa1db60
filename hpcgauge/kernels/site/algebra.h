// Vector algebra on fields of any kind, and on color vectors with one number for each right-hand side.
#pragma once
#include "links.h"

namespace site {

// out = a x + b y
template <int COMPONENTS>
SITE_FN void combine(const Lattice&, Site s, Reals<COMPONENTS> out, Reals<COMPONENTS> x, Reals<COMPONENTS> y,
                     const double* a, const double* b) {
    for (int k = 0; k < COMPONENTS; ++k) set(out, s, k, fma(number(a), get(x, s, k), number(b) * get(y, s, k)));
}

// Re <x, y>
template <int COMPONENTS>
SITE_FN void inner(const Lattice&, Site s, Reals<COMPONENTS> x, Reals<COMPONENTS> y, real (&totals)[1]) {
    for (int k = 0; k < COMPONENTS; ++k) totals[0] = fma(get(x, s, k), get(y, s, k), totals[0]);
}

// Re <x, y> for each right-hand side
template <int RHS>
SITE_FN void inner_each(const Lattice&, Site s, Vectors<RHS> x, Vectors<RHS> y, real (&totals)[RHS]) {
    UNROLL for (int k = 0; k < RHS; ++k) totals[k] = real_product(get(x, s, k), get(y, s, k));
}

// p <- r + beta p
template <int RHS>
SITE_FN void next_direction(const Lattice&, Site s, Vectors<RHS> p, Vectors<RHS> r, const double* beta) {
    UNROLL for (int k = 0; k < RHS; ++k) set(p, s, k, multiply_add(number(beta, k), get(p, s, k), get(r, s, k)));
}

// x <- x + alpha p, r <- r - alpha q, and |r|^2
template <int RHS>
SITE_FN void descend(const Lattice&, Site s, Vectors<RHS> x, Vectors<RHS> r, Vectors<RHS> p, Vectors<RHS> q,
                     const double* alpha, real (&totals)[RHS]) {
    UNROLL for (int k = 0; k < RHS; ++k) {
        set(x, s, k, multiply_add(number(alpha, k), get(p, s, k), get(x, s, k)));
        const ColorVector left = multiply_add(-number(alpha, k), get(q, s, k), get(r, s, k));
        set(r, s, k, left);
        totals[k] = real_product(left, left);
    }
}

}  // namespace site
