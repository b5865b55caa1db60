// Random fields. A number depends on seed, stream, trajectory, global site and component, on nothing else.
//
// draw = (trajectory, stream << 16 | instance, lower and upper 32 bits of the seed). Double precision only.
#pragma once
#include "links.h"
#include "philox.h"

namespace site {

SITE_FN Pair normal_pair(const Lattice& g, Site x, const double* draw, int component) {
    const Draw which{unsigned(component), unsigned(draw[0]), unsigned(draw[1]), unsigned(draw[2]), unsigned(draw[3])};
    return normals((words)global_number(g, x), which);
}

// Group elements of the invariant measure: normal matrices made unitary row by row
template <int COUNT>
SITE_FN void random_group(const Lattice& g, Site x, Matrices<COUNT> U, const double* draw) {
    for (int element = 0; element < COUNT; ++element) {
        ColorMatrix m;
        for (int k = 0; k < MATRIX_REALS; k += 2) {
            const Pair n = normal_pair(g, x, draw, (element * MATRIX_REALS + k) / 2);
            m.a[k] = n.first;
            m.a[k + 1] = n.second;
        }
        const ColorMatrix unitary = unitarised(unitarised(m));  // twice: a random matrix may be nearly singular
        set(U, x, element, select(is_true_site(g, x), unitary, unit_matrix()));
    }
}

// P_mu = i pi_a T_a with normal pi_a, T_a = lambda_a / 2: weight exp(tr P^2)
static constexpr int GENERATORS = COLORS * COLORS - 1;
static constexpr int GENERATOR_PAIRS = (GENERATORS + 1) / 2;

SITE_FN ColorMatrix algebra_element(const real (&pi)[2 * GENERATOR_PAIRS]) {
    const scalar half = scalar(0.5);
#if COLORS == 2
    return ColorMatrix{{broadcast(0), half * pi[0], half * pi[1], half * pi[2]}};
#else
    ColorMatrix m = zero_matrix();
    int a = 0;
    UNROLL for (int row = 0; row < COLORS; ++row) UNROLL for (int column = row + 1; column < COLORS; ++column) {
        m.a[RE(row, column)] = half * pi[a + 1];
        m.a[IM(row, column)] = half * pi[a];
        m.a[RE(column, row)] = -m.a[RE(row, column)];
        m.a[IM(column, row)] = m.a[IM(row, column)];
        a += 2;
    }
    for (int k = 1; k < COLORS; ++k) {  // i diag(1, ..., 1, -k, 0, ...) / sqrt(2 k (k+1))
        const real value = pi[a++] / sqrt(broadcast(scalar(2 * k * (k + 1))));
        for (int row = 0; row < k; ++row) m.a[IM(row, row)] = m.a[IM(row, row)] + value;
        m.a[IM(k, k)] = fma(broadcast(scalar(-k)), value, m.a[IM(k, k)]);
    }
    return m;
#endif
}

SITE_FN void random_momenta(const Lattice& g, Site x, Matrices<N_DIMENSIONS> P, const double* draw) {
    EACH_DIRECTION {
        real pi[2 * GENERATOR_PAIRS];
        for (int k = 0; k < GENERATOR_PAIRS; ++k) {
            const Pair n = normal_pair(g, x, draw, mu * GENERATOR_PAIRS + k);
            pi[2 * k] = n.first;
            pi[2 * k + 1] = n.second;
        }
        set(P, x, mu, select(is_true_site(g, x), algebra_element(pi), zero_matrix()));
    }
}

// Vectors of weight exp(-xi^+ xi): real and imaginary parts of variance 1/2
template <int RHS>
SITE_FN void random_vectors(const Lattice& g, Site x, Vectors<RHS> xi, const double* draw) {
    const scalar width = scalar(0.70710678118654752440);
    for (int k = 0; k < RHS; ++k) {
        ColorVector v;
        UNROLL for (int color = 0; color < COLORS; ++color) {
            const Pair n = normal_pair(g, x, draw, k * COLORS + color);
            v.a[2 * color] = width * n.first;
            v.a[2 * color + 1] = width * n.second;
        }
        const mask inside = is_true_site(g, x);
        UNROLL for (int c = 0; c < VECTOR_REALS; ++c) v.a[c] = select(inside, v.a[c], broadcast(0));
        set(xi, x, k, v);
    }
}

}  // namespace site
