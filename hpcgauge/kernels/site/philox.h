// Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC11, doi:10.1145/2063384.2063405): random words by counter and key.
//
// key = (lower, upper) 32 bits of the seed; counter = (global site, component, trajectory, stream << 16 | instance).
// The site differs from lane to lane; every other word is the same for all sites.
#pragma once
#include "math.h"

namespace site {

static constexpr uint64 WORD_BITS = 0xffffffff;

// Four random 32-bit words for each lane, each in its own 64 bits
struct RandomWords {
    words w[4];
};
// What is common to all sites of a draw
struct Draw {
    unsigned component, trajectory, stream, key_low, key_high;
};

// One round: (c0, c1, c2, c3) -> (high(M1 c2) ^ c1 ^ k0, low(M1 c2), high(M0 c0) ^ c3 ^ k1, low(M0 c0))
SITE_FN RandomWords philox_round(const RandomWords& c, unsigned key_low, unsigned key_high) {
    words first = product(broadcast_words(0xd2511f53), c.w[0]), second = product(broadcast_words(0xcd9e8d57), c.w[2]);
    return {{(second >> 32) ^ c.w[1] ^ uint64(key_low), second & WORD_BITS,
        (first >> 32) ^ c.w[3] ^ uint64(key_high), first & WORD_BITS}};
}

SITE_FN RandomWords philox(words site, const Draw& draw) {
    RandomWords c = {{site & WORD_BITS, broadcast_words(draw.component), broadcast_words(draw.trajectory),
        broadcast_words(draw.stream)}};
    UNROLL for (unsigned round = 0; round < 10; ++round)
        c = philox_round(c, draw.key_low + round * 0x9e3779b9u, draw.key_high + round * 0xbb67ae85u);
    return c;
}

#if defined(HPC_DOUBLE)
struct Pair {
    real first, second;
};

// (n + 1/2) / 2^52 with the 52 bits n = 2^20 a + floor(b / 2^12): evenly spaced, never 0 or 1, no rounding
SITE_FN real uniform(words a, words b) {
    words n = (a << 20) | (b >> 12);
    return from_bits((integer)(n | uint64(0x3ff0000000000000))) - (1 - 0x1p-53);
}

// Two uniform numbers in (0, 1)
SITE_FN Pair uniforms(words site, const Draw& draw) {
    RandomWords r = philox(site, draw);
    return {uniform(r.w[0], r.w[1]), uniform(r.w[2], r.w[3])};
}

// Two normal numbers, sqrt(-2 log u) (cos 2 pi v, sin 2 pi v) (Box and Muller, doi:10.1214/aoms/1177706645)
SITE_FN Pair normals(words site, const Draw& draw) {
    Pair u = uniforms(site, draw);
    real radius = sqrt(scalar(-2) * log(u.first)), sine, cosine;
    sincos_turn(u.second, sine, cosine);
    return {radius * cosine, radius * sine};
}
#endif

}  // namespace site
