// The types of platform.h for counting: `real` is a vector that counts what is done to it, once for all lanes, and notes
// which numbers of the watched fields are read and written. Included by platform.h alone, inside its namespace.
//
// + - * / sqrt count 1, fma 2; negation, comparison, selection, moves and the exact sums (type `wide`) count 0.
#pragma once

namespace vectors {
#include "vector.h"
}
using vectors::all;
using vectors::any;
using vectors::as_integer;
using vectors::broadcast_integer;
using vectors::broadcast_words;
using vectors::deposit;
using vectors::integer;
using vectors::lane_index;
using vectors::lane_number;
using vectors::lane_sum;
using vectors::load_index;
using vectors::mask;
using vectors::pick_index;
using vectors::picks;
using vectors::prefetch;
using vectors::product;
using vectors::streams_end;
using vectors::wide_integer;
using vectors::wide_mask;
using vectors::words;

static int64 flops = 0;

struct real {
    vectors::real v;
    real() = default;
    SITE_METHOD explicit real(vectors::real value) : v(value) {}
    SITE_METHOD real(scalar value) : v(vectors::broadcast(value)) {}
};
SITE_FN real counted(vectors::real value, int n) {
    flops += n;
    return real(value);
}

SITE_FN real operator-(real a) { return real(-a.v); }
SITE_FN real operator+(real a, real b) { return counted(a.v + b.v, 1); }
SITE_FN real operator-(real a, real b) { return counted(a.v - b.v, 1); }
SITE_FN real operator*(real a, real b) { return counted(a.v * b.v, 1); }
SITE_FN real operator/(real a, real b) { return counted(a.v / b.v, 1); }
SITE_FN real fma(real a, real b, real c) { return counted(vectors::fma(a.v, b.v, c.v), 2); }
SITE_FN real fnma(real a, real b, real c) { return counted(vectors::fnma(a.v, b.v, c.v), 2); }
SITE_FN scalar fma(scalar a, scalar b, scalar c) { return vectors::fma(a, b, c); }
SITE_FN real sqrt(real a) { return counted(vectors::sqrt(a.v), 1); }
SITE_FN mask operator<(real a, real b) { return a.v < b.v; }
SITE_FN mask operator>(real a, real b) { return a.v > b.v; }
SITE_FN mask operator<=(real a, real b) { return a.v <= b.v; }
SITE_FN mask operator>=(real a, real b) { return a.v >= b.v; }
SITE_FN mask operator==(real a, real b) { return a.v == b.v; }
SITE_FN mask operator!=(real a, real b) { return a.v != b.v; }
SITE_FN real select(mask m, real a, real b) { return real(m ? a.v : b.v); }
SITE_FN real broadcast(scalar a) { return real(a); }
SITE_FN scalar lane(real a, int i) { return a.v[i]; }
SITE_FN integer_scalar lane(integer a, int i) { return a[i]; }
SITE_FN integer bits(real a) { return vectors::bits(a.v); }
SITE_FN real from_bits(integer a) { return real(vectors::from_bits(a)); }
SITE_FN real pick(real a, real b, pick_index from) { return real(vectors::pick(a.v, b.v, from)); }

// A number of an exact sum
struct wide {
    vectors::wide v;
    wide() = default;
    SITE_METHOD explicit wide(vectors::wide value) : v(value) {}
#if defined(HPC_DOUBLE)
    SITE_METHOD wide(real value) : v(value.v) {}
#endif
};
SITE_FN wide operator+(wide a, wide b) { return wide(a.v + b.v); }
SITE_FN wide operator-(wide a, wide b) { return wide(a.v - b.v); }
SITE_FN wide_mask operator!=(wide a, double b) { return a.v != b; }
SITE_FN wide select(wide_mask m, wide a, wide b) { return wide(m ? a.v : b.v); }
SITE_FN wide_integer bits(wide a) { return (wide_integer)a.v; }
SITE_FN wide widen(real a, int part) { return wide(vectors::widen(a.v, part)); }
#if !defined(HPC_DOUBLE)
SITE_FN wide from_bits(wide_integer a) { return wide(vectors::from_bits(a)); }
#endif

// Fields whose numbers are watched: where each begins, how many numbers it has, and a byte for each number
struct Watched {
    const scalar* data;
    long count;
    unsigned char* marks;
};
enum Mark : unsigned char { READ = 1, WRITTEN = 2, PAST = 4 };
static const Watched* watched = nullptr;
static long n_watched = 0;

SITE_CALL void note(const scalar* p, Mark mark) {
    for (long k = 0; k < n_watched; ++k)
        if (p >= watched[k].data && p < watched[k].data + watched[k].count) watched[k].marks[p - watched[k].data] |= mark;
}
SITE_CALL void note_vector(const scalar* p, Mark mark) {
    for (int i = 0; i < LANES; ++i) note(p + i, mark);
}

SITE_FN real load(const scalar* p) {
    note_vector(p, READ);
    return real(vectors::load(p));
}
SITE_FN real load_unaligned(const scalar* p) {
    note_vector(p, READ);
    return real(vectors::load_unaligned(p));
}
SITE_FN const real* in_order(const scalar* p, int count) {
    for (int k = 0; k < count; ++k) note_vector(p + k * LANES, READ);
    return (const real*)p;
}
SITE_FN real gather(const scalar* base, lane_index index) {
    for (int i = 0; i < LANES; ++i) note(base + index[i], READ);
    return real(vectors::gather(base, index));
}
SITE_FN void store(scalar* p, real a) {
    note_vector(p, WRITTEN);
    vectors::store(p, a.v);
}
SITE_FN void stream(scalar* p, real a) {
    note_vector(p, PAST);
    vectors::store(p, a.v);
}

extern "C" {
__attribute__((visibility("default"))) void watch(const Watched* fields, long count) {
    watched = fields;
    n_watched = count;
    flops = 0;
}
__attribute__((visibility("default"))) int64 counted_flops() { return flops; }
}
