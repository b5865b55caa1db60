// A field of any kind moved by one site.
#pragma once
#include "links.h"

namespace site {

// out(x) = source(x + mu)
template <int COMPONENTS>
SITE_FN void shifted(const Lattice& g, Site x, Reals<COMPONENTS> out, Reals<COMPONENTS> source, const double* direction) {
    const Site next = up(g, x, int(direction[0]));
    for (int k = 0; k < COMPONENTS; ++k) set(out, x, k, get(source, next, k));
}

}  // namespace site
