// The checksum of numbers in 64-bit words that knows their places, not who holds them: the sum mod 2^64 of
// mix64(word ^ mix64(k)) over little-endian words, k the number of the word in the whole. Plain C++, for the CPU only.
#pragma once

namespace files {

typedef unsigned char byte;
typedef __UINT64_TYPE__ wide;
static constexpr bool IS_BIG_ENDIAN = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;

template <class T>
static inline T load(const byte* p) {
    T value;
    __builtin_memcpy(&value, p, sizeof value);
    return value;
}

// splitmix64's finaliser (Steele, Lea, Flood 2014)
static inline wide mix64(wide a) {
    a = (a ^ a >> 30) * 0xbf58476d1ce4e5b9u;
    a = (a ^ a >> 27) * 0x94d049bb133111ebu;
    return a ^ a >> 31;
}

// The sum over words that follow each other, the first of them number `first` of the whole
static inline wide mixed(const byte* p, long n_words, wide first) {
    wide total = 0;
    #pragma omp simd reduction(+ : total)
    for (long k = 0; k < n_words; ++k) {
        const wide a = load<wide>(p + 8 * k);
        total += mix64((IS_BIG_ENDIAN ? __builtin_bswap64(a) : a) ^ mix64(first + (wide)k));
    }
    return total;
}

// A block of a row-major array: its extent and place on each axis, and the words of what the last axis counts
struct Block {
    const long *whole, *origin, *local;
    long n_axes, words;
};

// The sum over what `p` passes: the block's rows of an axis, in the row `above` of the axis before
static wide mixed_rows(const Block& block, long axis, wide above, const byte*& p) {
    const wide first = above * block.whole[axis] + block.origin[axis];
    if (axis == block.n_axes - 1) {
        const byte* start = p;
        p += 8 * block.local[axis] * block.words;
        return mixed(start, block.local[axis] * block.words, first * block.words);
    }
    wide total = 0;
    for (long i = 0; i < block.local[axis]; ++i) total += mixed_rows(block, axis + 1, first + i, p);
    return total;
}

}  // namespace files

// The checksum of the words of a block, which lie one behind the other
extern "C" files::wide checksum_of_block(const files::Block* block, const files::byte* words) {
    return files::mixed_rows(*block, 0, 0, words);
}
