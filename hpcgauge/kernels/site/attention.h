// Attention of CASK: a = tan(pi / (4 (N + 0.01)) (t_qk - t_uu)) on every path, from the traces of `paths.h`.
//
// PAPER = 1: paths with sigma = - take the number of their sigma = + partner.
#pragma once
#include "paths.h"

namespace site {

static constexpr scalar ATTENTION_SCALE = scalar(0.78539816339744830962 / (COLORS + 0.01));

SITE_FN int partner(int path) { return (path / REACH) % 2 ? path - REACH : path + REACH; }
SITE_FN bool is_forward(int path) { return (path / REACH) % 2 == 0; }

SITE_FN void attention(const Lattice&, Site x, Reals<PATHS> a, Reals<PATHS> query_key, Reals<PATHS> plain) {
    for (int path = 0; path < PATHS; ++path) {
        const int from = PAPER && !is_forward(path) ? partner(path) : path;
        set(a, x, path, tan(ATTENTION_SCALE * (get(query_key, x, from) - get(plain, x, from))));
    }
}

// From da: the cotangents of query_key (da becomes them) and their negatives, the cotangents of plain.
SITE_FN void attention_pullback(const Lattice&, Site x, Reals<PATHS> da, Reals<PATHS> negative, Reals<PATHS> a) {
    for (int path = 0; path < PATHS; ++path) {
        if (PAPER && !is_forward(path)) continue;
        real cotangent = get(da, x, path);
        if (PAPER) {
            cotangent = cotangent + get(da, x, partner(path));
            set(da, x, partner(path), broadcast(0));
            set(negative, x, partner(path), broadcast(0));
        }
        const real value = get(a, x, path);
        cotangent = ATTENTION_SCALE * (fma(value, value, scalar(1)) * cotangent);
        set(da, x, path, cotangent);
        set(negative, x, path, -cotangent);
    }
}

}  // namespace site
