// Sites, neighbours and the fields on them: data[block][component][lane], ghosts behind the own sites.
//
// A translation unit defines N_DIMENSIONS, COLORS and the table PLACE of its offset set before it includes this file.
#pragma once
#include "matrix.h"
#include "platform.h"

namespace site {

#if ON_GPU
// One site: its number in memory.
struct Site {
    int index;
};
#else
// LANES sites: a block in order (kind = ONE_BLOCK); or sites of two blocks (TWO_BLOCKS), `lanes` saying how far the second
// is from the first and the place of each site in the two; or any sites (ANY_SITES), `lanes` being their numbers in memory.
enum SiteKind : int { ONE_BLOCK, TWO_BLOCKS, ANY_SITES };
static constexpr int SITE_KINDS = 4;
struct Site {
    int block;
    SiteKind kind;
    const int* lanes;
};
static constexpr int LANE_BITS = LANES == 16 ? 4 : LANES == 8 ? 3 : LANES == 4 ? 2 : 1;
#endif

struct Lattice {
    const int* neighbours;   // GPU: [warp][offset][thread], numbers of sites; CPU: what `lanes` of struct Site points to
    const int* blocks;       // [block][offset][2]: the (first) block, and SITE_KINDS times the place in `neighbours` + kind
    const int* coordinates;  // [block or warp][N_DIMENSIONS + 1][lane]: global coordinates, global number (-1: padding)
    const int* extent;       // global
    bool is_large;  // the fields exceed a core's own caches: what is streamed through is fetched ahead, and stored past them
    bool is_huge;   // the last cache too: so are vectors, which otherwise are soon read again
};

#if ON_GPU
SITE_FN int table_entry(const int* table, Site x, int columns, int column) {
    return table[((long)((unsigned)x.index / WARP) * columns + column) * WARP + (unsigned)x.index % WARP];
}
#else
SITE_FN lane_index table_entry(const int* table, Site x, int columns, int column) {
    return load_index(table + ((long)x.block * columns + column) * LANES);
}
#endif

// The site x + i mu + j nu; x is the site that the kernel writes.
SITE_FN Site shift(const Lattice& g, Site x, int mu, int i, int nu, int j) {
    const int place = PLACE[mu][nu][i + OFFSET_REACH][j + OFFSET_REACH];
    if (place < 0) return x;
#if ON_GPU
    return Site{table_entry(g.neighbours, x, N_OFFSETS, place)};
#else
    const int* entry = g.blocks + ((long)x.block * N_OFFSETS + place) * 2;
    return Site{entry[0], SiteKind((unsigned)entry[1] % SITE_KINDS), g.neighbours + (unsigned)entry[1] / SITE_KINDS};
#endif
}

// x + i mu
SITE_FN Site shift(const Lattice& g, Site x, int mu, int i) { return shift(g, x, mu, i, mu == 0 ? 1 : 0, 0); }
SITE_FN Site up(const Lattice& g, Site x, int mu) { return shift(g, x, mu, 1); }
SITE_FN Site down(const Lattice& g, Site x, int mu) { return shift(g, x, mu, -1); }

SITE_FN integer coordinate(const Lattice& g, Site x, int mu) {
    return as_integer(table_entry(g.coordinates, x, N_DIMENSIONS + 1, mu));
}
// The global lexicographic number, -1 in padding
SITE_FN integer global_number(const Lattice& g, Site x) { return coordinate(g, x, N_DIMENSIONS); }
SITE_FN mask is_true_site(const Lattice& g, Site x) { return global_number(g, x) >= 0; }

// COMPONENTS real numbers on each site.
template <int COMPONENTS>
struct Reals {
    scalar* data;
};

template <int COMPONENTS, int COUNT>
SITE_FN void fetch(const Reals<COMPONENTS>& field, Site x, int first, real (&values)[COUNT]) {
#if ON_GPU
    const scalar* p = field.data + ((long)((unsigned)x.index / LANES) * COMPONENTS + first) * LANES + (unsigned)x.index % LANES;
    UNROLL for (int k = 0; k < COUNT; ++k) values[k] = p[k * LANES];
#else
    const scalar* p = field.data + ((long)x.block * COMPONENTS + first) * LANES;
    if (x.kind == ONE_BLOCK) {
        UNROLL for (int k = 0; k < COUNT; ++k) values[k] = load(p + k * LANES);
    } else if (x.kind == TWO_BLOCKS) {
        const scalar* q = p + (long)x.lanes[0] * (COMPONENTS * LANES);
        const pick_index from = picks(load_index(x.lanes + 1));
        UNROLL for (int k = 0; k < COUNT; ++k) values[k] = pick(load(p + k * LANES), load(q + k * LANES), from);
    } else {
        const lane_index at = load_index(x.lanes);
        const lane_index index = (at >> LANE_BITS) * (COMPONENTS * LANES) + (at & (LANES - 1));
        UNROLL for (int k = 0; k < COUNT; ++k) values[k] = gather(field.data + (first + k) * LANES, index);
    }
#endif
}

// A large field that is streamed through block by block: `count` numbers of those to come, some vectors from here for the
// first cache, a page of 4 KiB from here for the second, as the hardware's own prefetch ends at pages.
static constexpr int SOON = 12, LATER = 4096 / VECTOR_BYTES;

template <int COMPONENTS>
SITE_FN void fetch_ahead(const Lattice& g, const Reals<COMPONENTS>& field, Site x, int first, int count) {
#if !ON_GPU
    if (!g.is_large) return;
    const scalar* p = field.data + ((long)x.block * COMPONENTS + first) * LANES;
    UNROLL for (int k = 0; k < count; ++k) prefetch(p + (k + SOON) * LANES, p + (k + LATER) * LANES);
#endif
}

// Calls `count` numbers of a site into the first cache, to be read or written; where its lanes lie apart, only those of its
// first block.
template <int COMPONENTS>
SITE_FN void call_ahead(const Reals<COMPONENTS>& field, Site x, int first, int count) {
#if !ON_GPU
    const scalar* p = field.data + ((long)x.block * COMPONENTS + first) * LANES;
    UNROLL for (int k = 0; k < count; ++k) prefetch(p + k * LANES);
#endif
}

// Writes to the site that the kernel owns.
template <int COMPONENTS, int COUNT>
SITE_FN void put(const Reals<COMPONENTS>& field, Site x, int first, const real (&values)[COUNT]) {
#if ON_GPU
    scalar* p = field.data + ((long)((unsigned)x.index / LANES) * COMPONENTS + first) * LANES + (unsigned)x.index % LANES;
    UNROLL for (int k = 0; k < COUNT; ++k) p[k * LANES] = values[k];
#else
    scalar* p = field.data + ((long)x.block * COMPONENTS + first) * LANES;
    UNROLL for (int k = 0; k < COUNT; ++k) store(p + k * LANES, values[k]);
#endif
}

// The same, past the caches.
template <int COMPONENTS, int COUNT>
SITE_FN void put_past(bool is_past, const Reals<COMPONENTS>& field, Site x, int first, const real (&values)[COUNT]) {
#if !ON_GPU
    if (is_past) {
        scalar* p = field.data + ((long)x.block * COMPONENTS + first) * LANES;
        UNROLL for (int k = 0; k < COUNT; ++k) stream(p + k * LANES, values[k]);
        return;
    }
#endif
    put(field, x, first, values);
}

template <int COMPONENTS>
SITE_FN real get(const Reals<COMPONENTS>& field, Site x, int component) {
    real value[1];
    fetch(field, x, component, value);
    return value[0];
}

template <int COMPONENTS>
SITE_FN void set(const Reals<COMPONENTS>& field, Site x, int component, real value) {
    const real values[1] = {value};
    put(field, x, component, values);
}

// COUNT color matrices on each site; links are N_DIMENSIONS of them.
template <int COUNT>
struct Matrices {
    Reals<COUNT * MATRIX_REALS> reals;
};

template <int COUNT>
SITE_FN ColorMatrix get(const Matrices<COUNT>& field, Site x, int element) {
    ColorMatrix m;
    fetch(field.reals, x, element * MATRIX_REALS, m.a);
    return m;
}

template <int COUNT>
SITE_FN void set(const Matrices<COUNT>& field, Site x, int element, const ColorMatrix& m) {
    put(field.reals, x, element * MATRIX_REALS, m.a);
}
template <int COUNT>
SITE_FN void set_past(const Lattice& g, const Matrices<COUNT>& field, Site x, int element, const ColorMatrix& m) {
    put_past(g.is_large, field.reals, x, element * MATRIX_REALS, m.a);
}
template <int COUNT>
SITE_FN void call_ahead(const Matrices<COUNT>& field, Site x, int element) {
    call_ahead(field.reals, x, element * MATRIX_REALS, MATRIX_REALS);
}

// A matrix of the site that the kernel writes, left where it lies: its numbers are loaded as they are used.
struct MatrixInPlace {
    const scalar* first;
};
template <int COUNT>
SITE_FN MatrixInPlace in_place(const Matrices<COUNT>& field, Site x, int element) {
#if ON_GPU
    const long block = (unsigned)x.index / LANES, lane = (unsigned)x.index % LANES;
#else
    const long block = x.block, lane = 0;
#endif
    return MatrixInPlace{field.reals.data + (block * COUNT + element) * (MATRIX_REALS * LANES) + lane};
}
SITE_FN real entry(const MatrixInPlace& a, int k) { return load(a.first + k * LANES); }

// A matrix where it lies, if its lanes lie in order there; else its numbers, put into `room`.
template <int COUNT>
MATRIX_FN const ColorMatrix& look(const Matrices<COUNT>& field, Site x, int element, ColorMatrix& room) {
#if !ON_GPU
    const scalar* p = field.reals.data + ((long)x.block * COUNT + element) * (MATRIX_REALS * LANES);
    if (x.kind == ONE_BLOCK) return *(const ColorMatrix*)in_order(p, MATRIX_REALS);
#endif
    fetch(field.reals, x, element * MATRIX_REALS, room.a);
    return room;
}

// COUNT color vectors on each site, one for each right-hand side.
template <int COUNT>
struct Vectors {
    Reals<COUNT * VECTOR_REALS> reals;
};

template <int COUNT>
SITE_FN ColorVector get(const Vectors<COUNT>& field, Site x, int element) {
    ColorVector v;
    fetch(field.reals, x, element * VECTOR_REALS, v.a);
    return v;
}

template <int COUNT>
SITE_FN void set(const Vectors<COUNT>& field, Site x, int element, const ColorVector& v) {
    put(field.reals, x, element * VECTOR_REALS, v.a);
}
template <int COUNT>
SITE_FN void set_past(const Lattice& g, const Vectors<COUNT>& field, Site x, int element, const ColorVector& v) {
    put_past(g.is_huge, field.reals, x, element * VECTOR_REALS, v.a);
}

}  // namespace site
