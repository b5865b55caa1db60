// What a site function is written in: the types `real`, `integer`, `mask` and their elementary functions.
//
// CPU: `real` is a vector of LANES numbers, one lane per site of a block. GPU: `real` is one number.
// Everything lives in `namespace site`, so that sqrt, exp, sin, ... are ours and never libm's or CUDA's;
// a kernel header opens with `namespace site {`. All #ifdef and intrinsics of the project are in this file.
//
// Flags: HPC_DOUBLE or HPC_SINGLE; LANES = 2, 4, 8, 16 (GPU: the width of a block in memory, 16 or 32).
// Compile with -ffp-contract=off -fno-math-errno -Wno-psabi (NVRTC: --fmad=false), without -ffast-math. Then every
// function here gives the same bits in each lane for each LANES, instruction set and compiler.
//
// Write constants as scalar(2) or broadcast(2): a bare 2.0 beside a vector of floats does not compile.
#pragma once

#if defined(__CUDACC__)
#define ON_GPU 1
#define SITE_METHOD __device__ __forceinline__
#define SITE_CALL static __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define UNROLL_ON_GPU UNROLL
// Where registers are full of a few matrices, what is unrolled is put onto the stack.
#if COLORS > 3
#define UNROLL_IF_SMALL _Pragma("unroll 1")
#else
#define UNROLL_IF_SMALL UNROLL
#endif
#define WARP 32
#else
#define ON_GPU 0
#define SITE_METHOD inline __attribute__((always_inline))
#define SITE_CALL static __attribute__((noinline))
#define UNROLL _Pragma("GCC unroll 64")
#define UNROLL_ON_GPU
#define UNROLL_IF_SMALL UNROLL
#if defined(__x86_64__)
#pragma GCC diagnostic push
#if !defined(__clang__)
_Pragma("GCC diagnostic ignored \"-Wuninitialized\"") _Pragma("GCC diagnostic ignored \"-Wmaybe-uninitialized\"")
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif
#endif
#define SITE_FN static SITE_METHOD

#if defined(HPC_DOUBLE) && defined(LANES)
#define SCALAR_BYTES 8
#elif defined(HPC_SINGLE) && defined(LANES)
#define SCALAR_BYTES 4
#else
#error "define LANES and one of HPC_DOUBLE, HPC_SINGLE"
#endif

// Sums and random words are 64 bits wide: a vector of floats is then WIDE_PARTS = 2 vectors of WIDE lanes.
#define VECTOR_BYTES (LANES * SCALAR_BYTES)
#define WIDE (ON_GPU ? 1 : VECTOR_BYTES / 8)
#define WIDE_PARTS (ON_GPU ? 1 : 8 / SCALAR_BYTES)

namespace site {

#if ON_GPU
typedef long long int64;
typedef unsigned long long uint64;
#else
typedef __INT64_TYPE__ int64;
typedef __UINT64_TYPE__ uint64;
#endif
#if defined(HPC_DOUBLE)
typedef double scalar;
typedef int64 integer_scalar;
static constexpr integer_scalar MAGNITUDE_BITS = 0x7fffffffffffffffll;
#else
typedef float scalar;
typedef int integer_scalar;
static constexpr integer_scalar MAGNITUDE_BITS = 0x7fffffff;
#endif
static constexpr integer_scalar SIGN_BIT = -MAGNITUDE_BITS - 1;
// Whether matrices that are used again are kept; on a GPU an array of them lies in memory, and may as well be read again.
static constexpr bool KEEPS_MATRICES = !ON_GPU;

#if ON_GPU

typedef scalar real;
typedef integer_scalar integer;
typedef bool mask, wide_mask;
typedef int lane_index;
typedef double wide;
typedef int64 wide_integer;
typedef uint64 words;

#if defined(HPC_DOUBLE)
SITE_FN real fma(real a, real b, real c) { return __fma_rn(a, b, c); }
SITE_FN real fnma(real a, real b, real c) { return __fma_rn(-a, b, c); }
SITE_FN real sqrt(real a) { return __dsqrt_rn(a); }
SITE_FN integer bits(real a) { return __double_as_longlong(a); }
SITE_FN real from_bits(integer a) { return __longlong_as_double(a); }
#else
SITE_FN real fma(real a, real b, real c) { return __fmaf_rn(a, b, c); }
SITE_FN real fnma(real a, real b, real c) { return __fmaf_rn(-a, b, c); }
SITE_FN real sqrt(real a) { return __fsqrt_rn(a); }
SITE_FN integer bits(real a) { return __float_as_int(a); }
SITE_FN real from_bits(integer a) { return __int_as_float(a); }
SITE_FN wide_integer bits(wide a) { return __double_as_longlong(a); }
SITE_FN wide from_bits(wide_integer a) { return __longlong_as_double(a); }
#endif
// What is loaded after this is not loaded before it, nor taken from what was
SITE_FN void read_again() { __syncwarp(); }
SITE_FN bool any(bool m) { return m; }
SITE_FN bool all(bool m) { return m; }
SITE_FN real broadcast(scalar a) { return a; }
SITE_FN integer broadcast_integer(integer_scalar a) { return a; }
SITE_FN words broadcast_words(uint64 a) { return a; }
SITE_FN wide broadcast_wide(double a) { return a; }
SITE_FN real load(const scalar* p) { return *p; }
SITE_FN real load_unaligned(const scalar* p) { return *p; }
SITE_FN lane_index load_index(const int* p) { return *p; }
SITE_FN void store(scalar* p, real a) { *p = a; }
SITE_FN real gather(const scalar* base, lane_index index) { return base[index]; }
SITE_FN scalar lane(real a, int) { return a; }
SITE_FN integer_scalar lane(integer a, int) { return a; }
SITE_FN integer as_integer(lane_index a) { return a; }
SITE_FN integer lane_number() { return 0; }
SITE_FN int64 lane_sum(wide_integer a) { return a; }
SITE_FN void deposit(int64* p, int64 a) { atomicAdd((uint64*)p, (uint64)a); }
SITE_FN words product(words a, words b) { return (uint64)(unsigned)a * (unsigned)b; }
SITE_FN wide widen(real a, int) { return a; }
SITE_FN real narrow(const wide* parts) { return (real)parts[0]; }

// Of all threads of a warp: the sum of numbers of at most 2^41 in size, and the bits that any of them has
#if __CUDA_ARCH__ >= 800
SITE_FN int64 warp_sum(int64 a) {
    const int64 upper = __reduce_add_sync(~0u, int(a >> 20));
    return (upper << 20) + __reduce_add_sync(~0u, unsigned(a) & 0xfffff);
}
SITE_FN unsigned warp_or(unsigned a) { return __reduce_or_sync(~0u, a); }
#else
SITE_FN int64 warp_sum(int64 a) {
    UNROLL for (int distance = WARP / 2; distance > 0; distance /= 2) a += __shfl_xor_sync(~0u, a, distance);
    return a;
}
SITE_FN unsigned warp_or(unsigned a) {
    UNROLL for (int distance = WARP / 2; distance > 0; distance /= 2) a |= __shfl_xor_sync(~0u, a, distance);
    return a;
}
#endif

#elif defined(COUNTING)
#include "counting.h"
#else
#include "vector.h"
#endif
#if !ON_GPU
SITE_FN void read_again() {}
#endif

// For each lane a where m, else b
template <class Mask, class Value>
SITE_FN Value select(Mask m, Value a, Value b) { return m ? a : b; }

SITE_FN real abs(real a) { return from_bits(bits(a) & MAGNITUDE_BITS); }
// a with its sign changed where the sign bit of `sign` is set; the other bits of `sign` must be zero
SITE_FN real flip(real a, integer sign) { return from_bits(bits(a) ^ sign); }
SITE_FN integer sign_bit(real a) { return bits(a) & SIGN_BIT; }
SITE_FN real min(real a, real b) { return select(a < b, a, b); }
SITE_FN real max(real a, real b) { return select(a > b, a, b); }
SITE_FN mask is_nan(real a) { return a != a; }

}  // namespace site
