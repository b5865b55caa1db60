// The paths of CASK (arXiv:2501.16955): P_{sigma nu,s}(x) goes s steps along sigma nu, one step along mu, s steps back.
//
// Numbers on paths are Reals<N_DIMENSIONS (N_DIMENSIONS - 1) 2 REACH>: [mu][nu != mu][sigma = +, -][s - 1].
#pragma once
#include "links.h"

namespace site {

static constexpr int PATHS = N_DIMENSIONS * (N_DIMENSIONS - 1) * 2 * REACH;

SITE_FN int path_number(int mu, int nu, int sigma, int s) {
    return (((mu * (N_DIMENSIONS - 1) + nu - (nu > mu)) * 2 + (sigma < 0)) * REACH) + s - 1;
}

// One step from x + i mu + j nu along sigma nu
SITE_FN ColorMatrix step(const Lattice& g, const Matrices<N_DIMENSIONS>& W, Site x, int mu, int i, int nu, int j, int sigma) {
    if (sigma > 0) return get(W, shift(g, x, mu, i, nu, j), nu);
    return adjoint(get(W, shift(g, x, mu, i, nu, j - 1), nu));
}

// The two rails of a path: products of steps from x + i mu + j nu, and one mu further.
struct Rails {
    ColorMatrix left, right;
};

SITE_FN Rails first_rails(const Lattice& g, const Matrices<N_DIMENSIONS>& W, Site x, int mu, int i, int nu, int j, int sigma) {
    return Rails{step(g, W, x, mu, i, nu, j, sigma), step(g, W, x, mu, i + 1, nu, j, sigma)};
}

// sum_{sigma nu s} w P_{sigma nu,s}(W)
SITE_FN void path_sum(const Lattice& g, Site x, Matrices<N_DIMENSIONS> sum, Reals<PATHS> weights, Matrices<N_DIMENSIONS> W) {
    EACH_DIRECTION {
        ColorMatrix total = zero_matrix();
        for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
            if (nu == mu) continue;
            for (int sigma = 1; sigma >= -1; sigma -= 2) {
                Rails rails = first_rails(g, W, x, mu, 0, nu, 0, sigma);
                for (int s = 1; s <= REACH; ++s) {
                    const ColorMatrix path = rails.left * get(W, shift(g, x, nu, sigma * s), mu) * adjoint(rails.right);
                    total = multiply_add(get(weights, x, path_number(mu, nu, sigma, s)), path, total);
                    if (s == REACH) break;
                    const Rails more = first_rails(g, W, x, mu, 0, nu, sigma * s, sigma);
                    rails = Rails{rails.left * more.left, rails.right * more.right};
                }
            }
        }
        set(sum, x, mu, total);
    }
}

// Re tr M_mu P_{sigma nu,s}(W)^+
SITE_FN void path_traces(const Lattice& g, Site x, Reals<PATHS> traces, Matrices<N_DIMENSIONS> M, Matrices<N_DIMENSIONS> W) {
    EACH_DIRECTION {
        const ColorMatrix m = get(M, x, mu);
        for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
            if (nu == mu) continue;
            for (int sigma = 1; sigma >= -1; sigma -= 2) {
                Rails rails = first_rails(g, W, x, mu, 0, nu, 0, sigma);
                for (int s = 1; s <= REACH; ++s) {
                    const ColorMatrix opened = rails.left * get(W, shift(g, x, nu, sigma * s), mu);
                    set(traces, x, path_number(mu, nu, sigma, s), real_product(m * rails.right, opened));
                    if (s == REACH) break;
                    const Rails more = first_rails(g, W, x, mu, 0, nu, sigma * s, sigma);
                    rails = Rails{rails.left * more.left, rails.right * more.right};
                }
            }
        }
    }
}

// Weights that are all one: the staple sum as a sum over paths
struct Ones {};
SITE_FN real get(const Ones&, Site, int) { return broadcast(1); }

// The cotangents D_r at y = x + i mu + j nu of the paths of length r that start there, r = LOWEST..REACH:
// D_r(y) = sum_t w_{r+t}(y - t sigma nu) A_t^+ M_mu(y - t sigma nu) B_t, A_t and B_t the rails from y - t sigma nu to y.
template <int LOWEST, class Weights>
SITE_FN void path_cotangents(const Lattice& g, Site x, const Weights& weights, const Matrices<N_DIMENSIONS>& M,
                             const Matrices<N_DIMENSIONS>& W, int mu, int i, int nu, int j, int sigma,
                             ColorMatrix (&D)[REACH + 1 - LOWEST]) {
    Rails rails;
    for (int r = LOWEST; r <= REACH; ++r) D[r - LOWEST] = zero_matrix();
    for (int t = 0; t <= REACH - LOWEST; ++t) {
        const Site start = shift(g, x, mu, i, nu, j - sigma * t);
        ColorMatrix moved = get(M, start, mu);
        if (t > 0) {
            const Rails more = first_rails(g, W, x, mu, i, nu, j - sigma * t, sigma);
            rails = t == 1 ? more : Rails{more.left * rails.left, more.right * rails.right};
            moved = adjoint(rails.left) * moved * rails.right;
        }
        for (int r = LOWEST; r + t <= REACH; ++r)
            if (r + t > 0)
                D[r - LOWEST] = multiply_add(get(weights, start, path_number(mu, nu, sigma, r + t)), moved, D[r - LOWEST]);
    }
}

// The cotangent of the step from y = x + i mu + j nu along sigma nu as left rail (to_right = false) or of the step from
// y + mu as right rail, of all paths through it: P_r(y) = V(y) P_{r-1}(y + sigma nu) V(y + mu)^+, so
// dV(y) = sum_r D_r (P_{r-1} V(y+mu)^+)^+, dV(y + mu) = sum_r D_r^+ V(y) P_{r-1}.
template <class Weights>
SITE_CALL ColorMatrix rail_cotangent(const Lattice& g, Site x, const Weights& weights, const Matrices<N_DIMENSIONS>& M,
                                   const Matrices<N_DIMENSIONS>& W, int mu, int i, int nu, int j, int sigma, bool to_right) {
    ColorMatrix D[REACH];
    path_cotangents<1>(g, x, weights, M, W, mu, i, nu, j, sigma, D);
    const Rails ends = first_rails(g, W, x, mu, i, nu, j, sigma);
    ColorMatrix sum = zero_matrix();
    Rails rails;
    for (int r = 1; r <= REACH; ++r) {
        const int far = j + sigma * r;
        ColorMatrix inner = get(W, shift(g, x, mu, i, nu, far), mu);
        if (r > 1) {
            const Rails more = first_rails(g, W, x, mu, i, nu, far - sigma, sigma);
            rails = r == 2 ? more : Rails{rails.left * more.left, rails.right * more.right};
            inner = rails.left * inner * adjoint(rails.right);
        }
        sum = sum + (to_right ? adjoint(D[r - 1]) * (ends.left * inner) : D[r - 1] * (ends.right * adjoint(inner)));
    }
    return sum;
}

// dW += the pullback of sum_{sigma nu s} w P_{sigma nu,s}(W) with cotangents M_mu
template <class Weights>
SITE_FN void pull_back_paths(const Lattice& g, Site x, const Matrices<N_DIMENSIONS>& dW, const Weights& weights,
                             const Matrices<N_DIMENSIONS>& M, const Matrices<N_DIMENSIONS>& W) {
    for (int along = 0; along < N_DIMENSIONS; ++along) {
        ColorMatrix total = get(dW, x, along);
        for (int other = 0; other < N_DIMENSIONS; ++other) {
            if (other == along) continue;
            for (int sigma = 1; sigma >= -1; sigma -= 2) {
                ColorMatrix D[REACH + 1];
                path_cotangents<0>(g, x, weights, M, W, along, 0, other, 0, sigma, D);
                total = total + D[0];
                // `along` as a rail of paths along mu = other; the link at x is the step back from x + along if sigma < 0.
                const int j = sigma > 0 ? 0 : 1;
                const ColorMatrix left = rail_cotangent(g, x, weights, M, W, other, 0, along, j, sigma, false);
                const ColorMatrix right = rail_cotangent(g, x, weights, M, W, other, -1, along, j, sigma, true);
                total = total + (sigma > 0 ? left + right : adjoint(left + right));
            }
        }
        set(dW, x, along, total);
    }
}

SITE_FN void path_pullback(const Lattice& g, Site x, Matrices<N_DIMENSIONS> dW, Reals<PATHS> weights,
                           Matrices<N_DIMENSIONS> M, Matrices<N_DIMENSIONS> W) {
    pull_back_paths(g, x, dW, weights, M, W);
}

SITE_FN void staple_pullback(const Lattice& g, Site x, Matrices<N_DIMENSIONS> dW, Matrices<N_DIMENSIONS> M,
                             Matrices<N_DIMENSIONS> W) {
    pull_back_paths(g, x, dW, Ones{}, M, W);
}

}  // namespace site
