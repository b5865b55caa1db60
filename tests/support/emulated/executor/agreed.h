// What a unit and the card that runs it say to each other. Put in front of both.

struct uint3 {
    unsigned x, y, z;
};
typedef uint3 dim3;

namespace emulated {

// What threads of a warp do together
enum Meeting { SHUFFLE = 1, VOTE, REDUCTION, BARRIER };

struct Executor {
    uint3 threadIdx, blockIdx, blockDim, gridDim;
    // Number of the thread in its warp
    unsigned lane;
    // Of the last meeting: who came and whose value is not 0; the sum of the values and the bits that any of them has;
    // the values, garbage for those who did not come
    unsigned present, votes;
    unsigned long long total, bits, values[32];
    // Returns when all threads of `mask` that have not ended have called it.
    void (*meet)(int meeting, unsigned mask, unsigned long long value);
};

}  // namespace emulated
