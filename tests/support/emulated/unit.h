// What the C++ compiler needs to know of CUDA's language: put in front of the text that NVRTC would receive.
//
// Only what the units use: any other name of CUDA is an error of the compiler that names it. No block barriers and no
// shared memory, which the units must not have. A thread is one call of a kernel; `emulated_card` says where it is and
// lets the threads of a warp meet. executor/agreed.h stands before this text.
#define __CUDACC__ 1
#define __CUDACC_RTC__ 1
#define __device__
#define __global__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

static emulated::Executor* emulated_card;
#define threadIdx (emulated_card->threadIdx)
#define blockIdx (emulated_card->blockIdx)
#define blockDim (emulated_card->blockDim)
#define gridDim (emulated_card->gridDim)
static const int warpSize = 32;

namespace emulated {

template <class To, class From>
__forceinline__ To same_bits(From a) {
    static_assert(sizeof(To) == sizeof(From), "of one size");
    To b;
    __builtin_memcpy(&b, &a, sizeof b);
    return b;
}

// The value that another thread of the warp brought
template <class Value>
__forceinline__ Value shuffle(unsigned mask, Value value, int from) {
    static_assert(sizeof(Value) == 4 || sizeof(Value) == 8, "shuffles move 4 or 8 bytes");
    unsigned long long word = 0;
    __builtin_memcpy(&word, &value, sizeof value);
    emulated_card->meet(SHUFFLE, mask, word);
    __builtin_memcpy(&value, &emulated_card->values[from], sizeof value);
    return value;
}
__forceinline__ unsigned vote(unsigned mask, bool predicate) {
    emulated_card->meet(VOTE, mask, predicate);
    return emulated_card->votes;
}

}  // namespace emulated

template <class Value>
__forceinline__ Value __shfl_sync(unsigned mask, Value value, int from, int width = 32) {
    const int lane = emulated_card->lane;
    return emulated::shuffle(mask, value, (lane & ~(width - 1)) | (from & (width - 1)));
}
template <class Value>
__forceinline__ Value __shfl_xor_sync(unsigned mask, Value value, int bits, int width = 32) {
    const int lane = emulated_card->lane, from = lane ^ bits;
    return emulated::shuffle(mask, value, from < (lane & ~(width - 1)) + width ? from : lane);
}
template <class Value>
__forceinline__ Value __shfl_down_sync(unsigned mask, Value value, unsigned distance, int width = 32) {
    const unsigned lane = emulated_card->lane, from = lane + distance;
    return emulated::shuffle(mask, value, from < (lane & ~(width - 1)) + width ? from : lane);
}
template <class Value>
__forceinline__ Value __shfl_up_sync(unsigned mask, Value value, unsigned distance, int width = 32) {
    const unsigned lane = emulated_card->lane;
    return emulated::shuffle(mask, value, lane >= (lane & ~(width - 1)) + distance ? lane - distance : lane);
}
__forceinline__ unsigned __ballot_sync(unsigned mask, int predicate) { return emulated::vote(mask, predicate); }
__forceinline__ int __any_sync(unsigned mask, int predicate) { return emulated::vote(mask, predicate) != 0; }
__forceinline__ int __all_sync(unsigned mask, int predicate) { return emulated::vote(mask, !predicate) == 0; }
__forceinline__ void __syncwarp(unsigned mask = ~0u) { emulated_card->meet(emulated::BARRIER, mask, 0); }
__forceinline__ void __threadfence() {}
// As on a card, from the architecture 8.0 on
#if __CUDA_ARCH__ >= 800
__forceinline__ unsigned __reduce_add_sync(unsigned mask, unsigned value) {
    emulated_card->meet(emulated::REDUCTION, mask, value);
    return emulated_card->total;
}
__forceinline__ int __reduce_add_sync(unsigned mask, int value) { return __reduce_add_sync(mask, unsigned(value)); }
__forceinline__ unsigned __reduce_or_sync(unsigned mask, unsigned value) {
    emulated_card->meet(emulated::REDUCTION, mask, value);
    return emulated_card->bits;
}
#endif

// One thread of the host runs all threads of the card, so that nothing comes between.
template <class Value>
__forceinline__ Value atomicAdd(Value* place, Value value) {
    const Value before = *place;
    *place = before + value;
    return before;
}

__forceinline__ double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }
__forceinline__ float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
__forceinline__ double __dsqrt_rn(double a) { return __builtin_sqrt(a); }
__forceinline__ float __fsqrt_rn(float a) { return __builtin_sqrtf(a); }
__forceinline__ float __double2float_rn(double a) { return float(a); }
__forceinline__ double __ull2double_rn(unsigned long long a) { return double(a); }
__forceinline__ long long __double_as_longlong(double a) { return emulated::same_bits<long long>(a); }
__forceinline__ double __longlong_as_double(long long a) { return emulated::same_bits<double>(a); }
__forceinline__ int __float_as_int(float a) { return emulated::same_bits<int>(a); }
__forceinline__ float __int_as_float(int a) { return emulated::same_bits<float>(a); }
__forceinline__ int __clz(int a) { return a ? __builtin_clz(a) : 32; }
__forceinline__ int __clzll(long long a) { return a ? __builtin_clzll(a) : 64; }
__forceinline__ int __ffs(int a) { return __builtin_ffs(a); }
__forceinline__ int __popc(unsigned a) { return __builtin_popcount(a); }
__forceinline__ int __popcll(unsigned long long a) { return __builtin_popcountll(a); }

// What the executor asks a kernel for, printed for each kernel behind the unit
namespace emulated {
template <class Argument>
struct Of {
    typedef Argument type;
};
template <class Argument>
Of<Argument> argument_of(void (*)(Argument));
}  // namespace emulated

#define EMULATED_KERNEL(name)                                                                           \
    extern "C" __attribute__((visibility("default"))) void emulated_run_##name(const void* argument) { \
        name(*(const decltype(emulated::argument_of(name))::type*)argument);                            \
    }                                                                                                   \
    extern "C" __attribute__((visibility("default"))) unsigned long emulated_size_##name() {           \
        return sizeof(decltype(emulated::argument_of(name))::type);                                     \
    }
extern "C" __attribute__((visibility("default"))) void emulated_attach(emulated::Executor* card) { emulated_card = card; }
