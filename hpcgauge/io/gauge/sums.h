// The checksums of gauge files over units (sites, or single links), in any order and in parts. Plain C++, for the CPU only.
#pragma once

#include "../checksum.h"

namespace files {

typedef __UINT32_TYPE__ word;

enum Check : long { NERSC = 1, SCIDAC = 2, MILC = 4, MIXED = 8, TRACE = 16, GROUP = 32 };

// NERSC: the sum of all words. SCIDAC: CRC-32 of each unit, rotated by its number mod 29 and 31, XORed. MILC: word k rotated
// by k mod 29 and 31, XORed; `by_29` and `by_31` gather words of equal rotation. MIXED: that of checksum.h. TRACE: the sum of
// Re tr in units of 2^-40, 128 bits. GROUP: the squared distance of the worst link from the group, its unit and its place
// there.
struct Sums {
    wide mixed;
    wide trace_low;
    long trace_high;
    long is_broken;  // a trace was no number, or not that of a matrix near the group
    double far;
    long far_unit, far_link;
    word nersc, suma, sumb;
    word by_29[29], by_31[31];
};

static inline word little(word a) { return IS_BIG_ENDIAN ? __builtin_bswap32(a) : a; }
static inline word rotated(word a, int distance) { return a << distance | a >> ((32 - distance) & 31); }

// CRC-32 of zlib, the reflected polynomial 0xedb88320: table[k][b] is what byte b does k bytes before the end
static constexpr int SLICES = 16;
struct CrcTables {
    word table[SLICES][256];
    CrcTables() {
        for (word b = 0; b < 256; ++b) {
            word crc = b;
            for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
            table[0][b] = crc;
        }
        for (int k = 1; k < SLICES; ++k)
            for (int b = 0; b < 256; ++b) table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 255];
    }
};
static const CrcTables CRC;

// COUNT strings of n bytes, one behind the other: their chains of look-ups are independent
template <int COUNT>
static inline void crc32(const byte* p, long n, word (&crc)[COUNT]) {
    for (int i = 0; i < COUNT; ++i) crc[i] = ~0u;
    long at = 0;
    for (; at + SLICES <= n; at += SLICES) {
        #pragma GCC unroll 4
        for (int i = 0; i < COUNT; ++i) {
            word next = 0;
            #pragma GCC unroll 4
            for (int part = 0; part < SLICES / 4; ++part) {
                const word a = little(load<word>(p + i * n + at + 4 * part)) ^ (part ? 0 : crc[i]);
                const auto* slice = CRC.table + SLICES - 4 - 4 * part;
                next ^= slice[3][a & 255] ^ slice[2][a >> 8 & 255] ^ slice[1][a >> 16 & 255] ^ slice[0][a >> 24];
            }
            crc[i] = next;
        }
    }
    for (int i = 0; i < COUNT; ++i) {
        for (long k = at; k < n; ++k) crc[i] = crc[i] >> 8 ^ CRC.table[0][(crc[i] ^ p[i * n + k]) & 255];
        crc[i] = ~crc[i];
    }
}

template <int COUNT>
static void add_crc(const byte* p, long bytes, long number, Sums& sums) {
    word crc[COUNT];
    crc32<COUNT>(p, bytes, crc);
    for (int i = 0; i < COUNT; ++i) {
        sums.suma ^= rotated(crc[i], (number + i) % 29);
        sums.sumb ^= rotated(crc[i], (number + i) % 31);
    }
}

static void add_scidac(const byte* p, long bytes, long n, long number, Sums& sums) {
    long i = 0;
    for (; i + 4 <= n; i += 4) add_crc<4>(p + i * bytes, bytes, number + i, sums);
    for (; i < n; ++i) add_crc<1>(p + i * bytes, bytes, number + i, sums);
}

static inline word word_at(const byte* p, long k, bool swaps) {
    const word a = load<word>(p + 4 * k);
    return swaps ? __builtin_bswap32(a) : a;
}

template <bool SWAPS>
static void add_nersc(const byte* p, long n_words, Sums& sums) {
    word total = 0;
    #pragma omp simd reduction(+ : total)
    for (long k = 0; k < n_words; ++k) total += word_at(p, k, SWAPS);
    sums.nersc += total;
}

template <int PERIOD, bool SWAPS>
static void add_periodic(const byte* p, long n_words, long first, word* sums) {
    long k = 0;
    for (; k < n_words && (first + k) % PERIOD; ++k) sums[(first + k) % PERIOD] ^= word_at(p, k, SWAPS);
    for (; k + PERIOD <= n_words; k += PERIOD) {
        #pragma omp simd
        for (int j = 0; j < PERIOD; ++j) sums[j] ^= word_at(p, k + j, SWAPS);
    }
    for (; k < n_words; ++k) sums[(first + k) % PERIOD] ^= word_at(p, k, SWAPS);
}

template <bool SWAPS>
static void add_milc(const byte* p, long n_words, long first, Sums& sums) {
    add_periodic<29, SWAPS>(p, n_words, first, sums.by_29);
    add_periodic<31, SWAPS>(p, n_words, first, sums.by_31);
}

// Takes in n units of so many bytes, the first of them number `number` of the file
static void add_bytes(const byte* p, long bytes, long n, long number, bool swaps, long checks, Sums& sums) {
    const long n_words = n * bytes / 4, first = number * (bytes / 4);
    if (checks & NERSC) swaps ? add_nersc<true>(p, n_words, sums) : add_nersc<false>(p, n_words, sums);
    if (checks & SCIDAC) add_scidac(p, bytes, n, number, sums);
    if (checks & MILC) swaps ? add_milc<true>(p, n_words, first, sums) : add_milc<false>(p, n_words, first, sums);
    if (checks & MIXED) sums.mixed += mixed(p, n_words / 2, first / 2);
}

}  // namespace files
