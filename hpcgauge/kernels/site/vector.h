// The types and elementary functions of platform.h on a CPU: vectors of LANES numbers. Included by platform.h alone,
// inside its namespace.
#pragma once

typedef scalar real __attribute__((vector_size(VECTOR_BYTES)));
typedef integer_scalar integer __attribute__((vector_size(VECTOR_BYTES)));
typedef int lane_index __attribute__((vector_size(4 * LANES)));
typedef double wide __attribute__((vector_size(VECTOR_BYTES)));
typedef int64 wide_integer __attribute__((vector_size(VECTOR_BYTES)));
typedef integer mask;
typedef wide_integer wide_mask;
typedef uint64 words __attribute__((vector_size(VECTOR_BYTES)));
// The same types for memory: they may lie over plain arrays.
typedef scalar real_memory __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef scalar real_anywhere __attribute__((vector_size(VECTOR_BYTES), may_alias, aligned(SCALAR_BYTES)));
typedef int index_anywhere __attribute__((vector_size(4 * LANES), may_alias, aligned(4)));

// A vector is worked on in pieces of the hardware's width, or lane by lane where there is no fused multiply-add.
#if defined(__AVX512F__) && VECTOR_BYTES >= 64
#define PIECE_BYTES 64
#define X86(operation, kind) _mm512_##operation##_##kind
#define X86_STREAM(p, a) _mm512_stream_si512((__m512i*)(p), (__m512i)(a))
#define ANY_BIT(a) (_mm512_test_epi64_mask(a, a) != 0)
#elif defined(__FMA__) && defined(__AVX2__) && VECTOR_BYTES >= 32
#define PIECE_BYTES 32
#define X86(operation, kind) _mm256_##operation##_##kind
#define X86_STREAM(p, a) _mm256_stream_si256((__m256i*)(p), (__m256i)(a))
#define ANY_BIT(a) (!_mm256_testz_si256(a, a))
#elif defined(__FMA__) && VECTOR_BYTES >= 16
#define PIECE_BYTES 16
#define X86(operation, kind) _mm_##operation##_##kind
#define X86_STREAM(p, a) _mm_stream_si128((__m128i*)(p), (__m128i)(a))
#define ANY_BIT(a) (!_mm_testz_si128(a, a))
#elif defined(__aarch64__) && VECTOR_BYTES >= 16
#define PIECE_BYTES 16
#define NEON 1
#else
#define PIECE_BYTES 8
#endif
typedef scalar piece __attribute__((vector_size(PIECE_BYTES)));
typedef long long integer_piece __attribute__((vector_size(PIECE_BYTES)));

#if defined(X86) && defined(HPC_DOUBLE)
SITE_FN piece piece_fma(piece a, piece b, piece c) { return X86(fmadd, pd)(a, b, c); }
SITE_FN piece piece_fnma(piece a, piece b, piece c) { return X86(fnmadd, pd)(a, b, c); }
SITE_FN piece piece_sqrt(piece a) { return X86(sqrt, pd)(a); }
#elif defined(X86)
SITE_FN piece piece_fma(piece a, piece b, piece c) { return X86(fmadd, ps)(a, b, c); }
SITE_FN piece piece_fnma(piece a, piece b, piece c) { return X86(fnmadd, ps)(a, b, c); }
SITE_FN piece piece_sqrt(piece a) { return X86(sqrt, ps)(a); }
#elif defined(NEON) && defined(HPC_DOUBLE)
SITE_FN piece piece_fma(piece a, piece b, piece c) { return vfmaq_f64(c, a, b); }
SITE_FN piece piece_fnma(piece a, piece b, piece c) { return vfmsq_f64(c, a, b); }
SITE_FN piece piece_sqrt(piece a) { return vsqrtq_f64(a); }
#elif defined(NEON)
SITE_FN piece piece_fma(piece a, piece b, piece c) { return vfmaq_f32(c, a, b); }
SITE_FN piece piece_fnma(piece a, piece b, piece c) { return vfmsq_f32(c, a, b); }
SITE_FN piece piece_sqrt(piece a) { return vsqrtq_f32(a); }
#elif defined(HPC_DOUBLE)
SITE_FN piece piece_fma(piece a, piece b, piece c) { return piece{__builtin_fma(a[0], b[0], c[0])}; }
SITE_FN piece piece_sqrt(piece a) { return piece{__builtin_sqrt(a[0])}; }
#else
SITE_FN piece piece_fma(piece a, piece b, piece c) {
    return piece{__builtin_fmaf(a[0], b[0], c[0]), __builtin_fmaf(a[1], b[1], c[1])};
}
SITE_FN piece piece_sqrt(piece a) { return piece{__builtin_sqrtf(a[0]), __builtin_sqrtf(a[1])}; }
#endif
#if !defined(X86) && !defined(NEON)
SITE_FN piece piece_fnma(piece a, piece b, piece c) { return piece_fma(-a, b, c); }
#endif
#if defined(X86)
SITE_FN integer_piece piece_product(integer_piece a, integer_piece b) { return (integer_piece)X86(mul, epu32)(a, b); }
SITE_FN bool piece_any(integer_piece a) { return ANY_BIT(a); }
#else
SITE_FN integer_piece piece_product(integer_piece a, integer_piece b) { return (a & 0xffffffff) * (b & 0xffffffff); }
SITE_FN bool piece_any(integer_piece a) { return (a[0] | a[PIECE_BYTES / 8 - 1]) != 0; }
#endif

SITE_FN integer bits(real a) { return (integer)a; }
SITE_FN real from_bits(integer a) { return (real)a; }

template <class Whole, class Piece>
union Pieces {
    Whole whole;
    Piece part[VECTOR_BYTES / PIECE_BYTES];
};
#define EACH_PIECE UNROLL for (unsigned i = 0; i < VECTOR_BYTES / PIECE_BYTES; ++i)

// a b + c, rounded once
SITE_FN real fma(real a, real b, real c) {
    Pieces<real, piece> x = {a}, y = {b}, z = {c};
    EACH_PIECE x.part[i] = piece_fma(x.part[i], y.part[i], z.part[i]);
    return x.whole;
}
// c - a b, rounded once: one instruction, where fma(-a, b, c) is two and one register more if -a is used again
SITE_FN real fnma(real a, real b, real c) {
    Pieces<real, piece> x = {a}, y = {b}, z = {c};
    EACH_PIECE x.part[i] = piece_fnma(x.part[i], y.part[i], z.part[i]);
    return x.whole;
}
SITE_FN real sqrt(real a) {
    Pieces<real, piece> x = {a};
    EACH_PIECE x.part[i] = piece_sqrt(x.part[i]);
    return x.whole;
}
// The 64-bit products of the lower 32 bits of each lane
SITE_FN words product(words a, words b) {
    Pieces<words, integer_piece> x = {a}, y = {b};
    EACH_PIECE x.part[i] = piece_product(x.part[i], y.part[i]);
    return x.whole;
}
template <class Mask>
SITE_FN bool any(Mask m) {
    Pieces<words, integer_piece> x = {(words)m};
    bool found = false;
    EACH_PIECE found |= piece_any(x.part[i]);
    return found;
}
template <class Mask>
SITE_FN bool all(Mask m) { return !any(~m); }

SITE_FN real broadcast(scalar a) { return a - real{}; }
SITE_FN integer broadcast_integer(integer_scalar a) { return a + integer{}; }
SITE_FN words broadcast_words(uint64 a) { return a + words{}; }
SITE_FN wide broadcast_wide(double a) { return a - wide{}; }
SITE_FN real fma(scalar a, real b, real c) { return fma(broadcast(a), b, c); }
SITE_FN real fma(real a, scalar b, real c) { return fma(a, broadcast(b), c); }
SITE_FN real fma(real a, real b, scalar c) { return fma(a, b, broadcast(c)); }
SITE_FN real fma(real a, scalar b, scalar c) { return fma(a, broadcast(b), broadcast(c)); }

SITE_FN real load(const scalar* p) { return *(const real_memory*)p; }
SITE_FN real load_unaligned(const scalar* p) { return *(const real_anywhere*)p; }
// `count` vectors one after another, left where they lie
SITE_FN const real* in_order(const scalar* p, int) { return (const real*)p; }
SITE_FN lane_index load_index(const int* p) { return *(const index_anywhere*)p; }
SITE_FN void store(scalar* p, real a) { *(real_memory*)p = a; }
// Calls a vector into the first cache, and another into the second
SITE_FN void prefetch(const scalar* p) { __builtin_prefetch(p, 0, 3); }
SITE_FN void prefetch(const scalar* soon, const scalar* later) {
    __builtin_prefetch(soon, 0, 3);
    __builtin_prefetch(later, 0, 2);
}
// A store that passes by the caches, where the hardware has one; streams_end() before others read what was stored
SITE_FN void stream(scalar* p, real a) {
#if defined(X86_STREAM)
    Pieces<real, integer_piece> x = {a};
    EACH_PIECE X86_STREAM((integer_piece*)p + i, x.part[i]);
#else
    store(p, a);
#endif
}
SITE_FN void streams_end() {
#if defined(X86_STREAM)
    _mm_sfence();
#endif
}
// base[index] for each lane; index counts numbers, not bytes, and may be negative
SITE_FN real gather(const scalar* base, lane_index index) {
#if defined(__AVX512F__) && defined(HPC_DOUBLE) && LANES == 8
    return (real)_mm512_i32gather_pd((__m256i)index, base, 8);
#elif defined(__AVX512F__) && defined(HPC_SINGLE) && LANES == 16
    return (real)_mm512_i32gather_ps((__m512i)index, base, 4);
#elif defined(__AVX2__) && defined(HPC_DOUBLE) && LANES == 4
    return (real)_mm256_i32gather_pd(base, (__m128i)index, 8);
#elif defined(__AVX2__) && defined(HPC_SINGLE) && LANES == 8
    return (real)_mm256_i32gather_ps(base, (__m256i)index, 4);
#else
    real r{};
    UNROLL for (int i = 0; i < LANES; ++i) r[i] = base[index[i]];
    return r;
#endif
}
SITE_FN integer as_integer(lane_index a) { return __builtin_convertvector(a, integer); }
// For each lane k, lane from[k] of a and b one after another
typedef integer pick_index;
SITE_FN pick_index picks(lane_index from) { return as_integer(from); }
SITE_FN real pick(real a, real b, pick_index from) {
#if defined(__AVX512F__) && defined(HPC_DOUBLE) && LANES == 8
    return (real)_mm512_permutex2var_pd(a, (__m512i)from, b);
#elif defined(__AVX512F__) && defined(HPC_SINGLE) && LANES == 16
    return (real)_mm512_permutex2var_ps(a, (__m512i)from, b);
#else
    const scalar* const both[] = {(const scalar*)&a, (const scalar*)&b};
    real r{};
    UNROLL for (int i = 0; i < LANES; ++i) r[i] = both[from[i] / LANES][from[i] % LANES];
    return r;
#endif
}
SITE_FN scalar lane(real a, int i) { return a[i]; }
SITE_FN scalar fma(scalar a, scalar b, scalar c) { return lane(fma(broadcast(a), broadcast(b), broadcast(c)), 0); }
SITE_FN integer_scalar lane(integer a, int i) { return a[i]; }
SITE_FN integer lane_number() {
    integer r{};
    UNROLL for (int i = 0; i < LANES; ++i) r[i] = i;
    return r;
}
SITE_FN int64 lane_sum(wide_integer a) {
    int64 sum = 0;
    UNROLL for (int i = 0; i < WIDE; ++i) sum += a[i];
    return sum;
}
// Adds to a sum in memory: threads of the GPU at once, CPU threads each to their own
SITE_FN void deposit(int64* p, int64 a) { *p += a; }
#if defined(HPC_DOUBLE)
SITE_FN wide widen(real a, int) { return a; }
SITE_FN real narrow(const wide* parts) { return parts[0]; }
#else
SITE_FN wide_integer bits(wide a) { return (wide_integer)a; }
SITE_FN wide from_bits(wide_integer a) { return (wide)a; }
// Part 0 or 1 of a vector of floats as doubles, and back
typedef float half_real __attribute__((vector_size(VECTOR_BYTES / 2)));
union RealHalves {
    half_real part[2];
    real whole;
};
SITE_FN wide widen(real a, int part) {
    RealHalves halves;
    halves.whole = a;
    return __builtin_convertvector(halves.part[part], wide);
}
SITE_FN real narrow(const wide* parts) {
    RealHalves halves = {{__builtin_convertvector(parts[0], half_real), __builtin_convertvector(parts[1], half_real)}};
    return halves.whole;
}
#endif
