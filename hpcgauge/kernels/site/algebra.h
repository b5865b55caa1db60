// Vector algebra on fields of any kind, and on color vectors with one number for each right-hand side.
#pragma once
#include "links.h"

namespace site {

// out = 0
template <int COMPONENTS>
SITE_FN void zero(const Lattice&, Site s, Reals<COMPONENTS> out) {
    for (int k = 0; k < COMPONENTS; ++k) set(out, s, k, broadcast(0));
}

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

// Re <x_k, y> for each right-hand side
template <int RHS>
SITE_FN void inner_all(const Lattice&, Site s, Vectors<RHS> x, Vectors<1> y, real (&totals)[RHS]) {
    const ColorVector other = get(y, s, 0);
    UNROLL for (int k = 0; k < RHS; ++k) totals[k] = real_product(get(x, s, k), other);
}

// x <- x + alpha p, then p <- gamma r + beta p, where the flag is not 0
template <int RHS>
SITE_FN void advance(const Lattice&, Site s, Vectors<RHS> x, Vectors<RHS> p, Vectors<RHS> r, const double* alpha,
                     const double* gamma, const double* beta, const double* flag) {
    UNROLL for (int k = 0; k < RHS; ++k) {
        if (flag[k] == 0) continue;
        const ColorVector old = get(p, s, k);
        set(x, s, k, multiply_add(number(alpha, k), old, get(x, s, k)));
        set(p, s, k, multiply_add(number(beta, k), old, number(gamma, k) * get(r, s, k)));
    }
}

// r <- r - alpha q, and |r|^2, where the flag is not 0
template <int RHS>
SITE_FN void reduce(const Lattice&, Site s, Vectors<RHS> r, Vectors<RHS> q, const double* alpha, const double* flag,
                    real (&totals)[RHS]) {
    UNROLL for (int k = 0; k < RHS; ++k) {
        if (flag[k] == 0) continue;
        const ColorVector left = multiply_add(-number(alpha, k), get(q, s, k), get(r, s, k));
        set(r, s, k, left);
        totals[k] = real_product(left, left);
    }
}

// r = b - q, and |r|^2
template <int RHS>
SITE_FN void difference(const Lattice&, Site s, Vectors<RHS> r, Vectors<RHS> b, Vectors<RHS> q, real (&totals)[RHS]) {
    UNROLL for (int k = 0; k < RHS; ++k) {
        const ColorVector left = multiply_add(broadcast(-1), get(q, s, k), get(b, s, k));
        set(r, s, k, left);
        totals[k] = real_product(left, left);
    }
}

// r_k = b - q_k - sigma_k x_k, and |r_k|^2
template <int RHS>
SITE_FN void shifted_difference(const Lattice&, Site s, Vectors<RHS> r, Vectors<1> b, Vectors<RHS> q, Vectors<RHS> x,
                                const double* sigma, real (&totals)[RHS]) {
    const ColorVector source = get(b, s, 0);
    UNROLL for (int k = 0; k < RHS; ++k) {
        const ColorVector rest = multiply_add(broadcast(-1), get(q, s, k), source);
        const ColorVector left = multiply_add(-number(sigma, k), get(x, s, k), rest);
        set(r, s, k, left);
        totals[k] = real_product(left, left);
    }
}

// Right-hand side number `place` of out is x
template <int RHS>
SITE_FN void placed(const Lattice&, Site s, Vectors<RHS> out, Vectors<1> x, const double* place) {
    UNROLL for (int k = 0; k < RHS; ++k)
        if (place[0] == k) set(out, s, k, get(x, s, 0));
}

// Re <v_i, w_j>, row by row, then Re <v_i, b>
template <int RHS>
SITE_FN void overlaps(const Lattice&, Site s, Vectors<RHS> v, Vectors<RHS> w, Vectors<1> b,
                      real (&totals)[RHS * RHS + RHS]) {
    UNROLL for (int i = 0; i < RHS; ++i) {
        const ColorVector here = get(v, s, i);
        UNROLL for (int j = 0; j < RHS; ++j) totals[i * RHS + j] = real_product(here, get(w, s, j));
        totals[RHS * RHS + i] = real_product(here, get(b, s, 0));
    }
}

// out = sum_k a_k v_k
template <int RHS>
SITE_FN void superposed(const Lattice&, Site s, Vectors<1> out, Vectors<RHS> v, const double* a) {
    ColorVector sum = zero_vector();
    UNROLL for (int k = 0; k < RHS; ++k) sum = multiply_add(number(a, k), get(v, s, k), sum);
    set(out, s, 0, sum);
}

}  // namespace site
