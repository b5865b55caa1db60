// What stands between the kernels of a program on a GPU: sums are collected and rounded, numbers computed, ghosts packed,
// fields converted. Each does what its namesake of program.h and sum_runtime.h does, with the same bits.
//
// A kernel takes one struct of members of 8 bytes. `stopped`: where it is not 0, nothing is done.
#pragma once
#include "gpu_sum.h"

namespace site {

// Of all threads of a warp: the number that thread k holds
SITE_FN int64 held_by(int k, int64 a) { return __shfl_sync(~0u, a, k); }

// Thread k < 15 holds digit k: digits in [-2^39, 2^39), but for the last
SITE_FN int64 normalised(int64 digit, int thread) {
    UNROLL for (int k = 0; k < DIGITS - 1; ++k) {
        const int64 up = (held_by(k, digit) + (int64(1) << (DIGIT_BITS - 1))) >> DIGIT_BITS;
        digit += thread == k ? -(up << DIGIT_BITS) : thread == k + 1 ? up : 0;
    }
    return digit;
}

// The double nearest to the sum of normalised digits, ties to even; thread 15 holds the number of refused values.
// The first digit that is not 0 and two more, or one where it is large, are more than 64 bits; of the rest the sign.
SITE_FN double rounded(int64 digit, int thread) {
    typedef unsigned __int128 uint128;
    if (held_by(DIGITS, digit) != 0) return from_bits(int64(0x7ff8000000000000));
    const unsigned found = __ballot_sync(~0u, digit != 0) & ((1u << DIGITS) - 1);
    if (!found) return 0.0;
    const int top = 31 - __clz(found);
    const int64 first = held_by(top, digit), sign = first < 0 ? -1 : 1;
    const int last = top - ((sign * first >> DIGIT_BITS) ? 1 : 2);
    uint128 size = uint128(sign * first);
    for (int k = top - 1; k >= last; --k) size = (size << DIGIT_BITS) + uint128(__int128(k >= 0 ? sign * held_by(k, digit) : 0));
    const unsigned below = last > 0 ? found & ((1u << last) - 1) : 0;
    const int64 rest = below ? sign * held_by(31 - __clz(below), digit) : 0;
    size = 2 * size + uint128(__int128(rest > 0 ? 1 : rest < 0 ? -1 : 0));
    const uint64 upper = uint64(size >> 64);
    const int zeros = upper ? __clzll(upper) : 64 + __clzll(uint64(size));
    size = size << zeros;
    const uint64 leading = uint64(size >> 64) | (uint64(size) != 0);
    const int64 exponent = DIGIT_BITS * last + LOWEST_EXPONENT - 1 + 64 - zeros;
    return double(sign) * (__ull2double_rn(leading) * from_bits((exponent + 1023) << 52));
}

struct SumCall {
    long long *copies, *bins;
    double* sums;
    const long long* stopped;
};
struct Step {
    long long kind;
    double* out;
    const double *a, *b, *flag;
    long long count;
    double* state;
};
struct StepsCall {
    const Step* steps;
    long long n_steps;
    long long *stopped, *rounds;
};
struct Packet {
    void* out;
    const void* data;
    const long long* sites;
    long long count, components, lanes, bytes;
};
struct Conversion {
    void* out;
    const void* x;
    const int* warps;
    long long n_warps, components, is_narrowing;
};
enum Kind { LAUNCH, COPY, RATIO, ABOVE, STOP, SHIFT, LOOP, PRODUCT };

SITE_FN void shift_numbers(const Step& s) {
    const double alpha = s.a[0], beta = s.a[2], sigma = s.state[0], before = s.state[3];
    const double rho = 1 / (1 + sigma * alpha + alpha * before * (1 - s.state[1]));
    s.state[1] = rho;
    s.out[0] = rho * alpha;
    s.out[1] *= rho;
    s.out[2] = rho * rho * beta;
    s.state[2] = s.out[1] * s.out[1] * s.b[0];
    s.state[3] = beta / alpha;
}

SITE_FN void step_numbers(const Step& s, int thread) {
    if (s.kind == SHIFT) {
        if (thread == 0 && *s.flag != 0) shift_numbers(s);
        return;
    }
    for (long long k = thread; k < s.count; k += WARP) {
        if (s.kind == PRODUCT) s.out[k] = s.a[k] * s.b[k];
        else if (s.kind == ABOVE) s.out[k] = s.a[k] > s.b[k] ? 1 : 0;
        else if (!s.flag || s.flag[k] != 0) s.out[k] = s.kind == COPY ? s.a[k] : s.a[k] / s.b[k];
    }
}

// True if the program ends here
SITE_FN bool is_stop(const Step& s, int thread) {
    if (s.kind != STOP) return false;
    bool goes_on = false;
    for (long long k = thread; k < s.count; k += WARP) goes_on |= s.a[k] != 0;
    return !__any_sync(~0u, goes_on);
}

template <class Number>
SITE_FN void pack_number(const Packet& p, long long i, long long k) {
    const long long lanes = p.lanes, site = p.sites[i];
    const Number* const data = (const Number*)p.data;
    ((Number*)p.out)[(i / lanes * p.components + k) * lanes + i % lanes] =
        data[(site / lanes * p.components + k) * lanes + site % lanes];
}

}  // namespace site

using namespace site;

// One warp for each sum: its copies added up and set to 0, normalised in `bins`, rounded in `sums`
extern "C" __global__ void collect_sums(const SumCall call) {
    if (*call.stopped) return;
    const int thread = threadIdx.x, bin = thread % SUM_BINS;
    // In two parts, as all copies together may pass 2^63 in a digit that is not the last
    int64 lower = 0, upper = 0;
    UNROLL for (int copy = thread / SUM_BINS; copy < COPIES; copy += WARP / SUM_BINS) {
        int64* const place = call.copies + ((long long)copy * gridDim.x + blockIdx.x) * SUM_BINS + bin;
        const int64 up = bin < DIGITS - 1 ? *place >> DIGIT_BITS : 0;
        upper += up;
        lower += *place - (up << DIGIT_BITS);
        *place = 0;
    }
    lower += __shfl_xor_sync(~0u, lower, SUM_BINS);
    upper += __shfl_xor_sync(~0u, upper, SUM_BINS);
    const int64 carried = held_by((thread + WARP - 1) % WARP, upper);
    const int64 total = normalised(lower + (bin > 0 ? carried : 0), thread);
    if (thread < SUM_BINS) call.bins[blockIdx.x * SUM_BINS + thread] = total;
    const double sum = rounded(total, thread);
    if (thread == 0) call.sums[blockIdx.x] = sum;
}

// One warp for each sum: rounded from `bins`, which hold the sums of several ranks
extern "C" __global__ void round_sums(const SumCall call) {
    if (*call.stopped) return;
    const int thread = threadIdx.x;
    const double sum = rounded(normalised(call.bins[blockIdx.x * SUM_BINS + thread % SUM_BINS], thread), thread);
    if (thread == 0) call.sums[blockIdx.x] = sum;
}

// One warp: a stretch of steps on numbers; at its end a round is counted where `rounds` is given
extern "C" __global__ void run_steps(const StepsCall call) {
    if (*call.stopped) return;
    const int thread = threadIdx.x;
    for (long long i = 0; i < call.n_steps; ++i) {
        const Step& step = call.steps[i];
        if (is_stop(step, thread)) {
            if (thread == 0) *call.stopped = 1;
            return;
        }
        if (step.kind != STOP) step_numbers(step, thread);
        __syncwarp();
    }
    if (thread == 0 && call.rounds) ++*call.rounds;
}

// A thread for each site and, as the grid's second direction, component
extern "C" __global__ void pack(const Packet packet) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= packet.count) return;
    if (packet.bytes == 8) pack_number<long long>(packet, i, blockIdx.y);
    else pack_number<int>(packet, i, blockIdx.y);
}

// The same over warps of sites: one block of floats is two of doubles
extern "C" __global__ void convert(const Conversion c) {
    const unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
    if (thread / WARP >= c.n_warps) return;
    const unsigned lane = thread % WARP, half = WARP / 2;
    const long long warp = c.warps[thread / WARP];
    const long long narrow = (warp * c.components + blockIdx.y) * WARP + lane;
    const long long wide = ((2 * warp + lane / half) * c.components + blockIdx.y) * half + lane % half;
    if (c.is_narrowing) ((float*)c.out)[narrow] = __double2float_rn(((const double*)c.x)[wide]);
    else ((double*)c.out)[wide] = ((const float*)c.x)[narrow];
}
