// Runs the threads of a launch: blocks, warps, and threads between their meetings in an order drawn anew each time.

namespace card {

typedef unsigned long long Word;

struct Kernel {
    void (*run)(const void* argument);
    unsigned long size;
    unsigned max_threads;
};

static Word random_state = 1;

static Word random_word() {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * 0x2545f4914f6cdd1dull >> 16;
}

// 0 ... n-1, each once: the k-th is (first + k * step) mod n.
struct Permutation {
    Word n, first, step;
    explicit Permutation(Word n_) : n(n_), first(random_word() % n_), step(1 + random_word() % n_) {
        while (greatest_divisor(step, n) != 1) step = step % n + 1;
    }
    Word operator()(Word k) const { return Word((first + (unsigned __int128)k * step) % n); }
    static Word greatest_divisor(Word a, Word b) { return b ? greatest_divisor(b, a % b) : a; }
};

static emulated::Executor here;

namespace warp {

struct Arrival {
    int meeting;
    unsigned mask;
    Word value;
};

static const Kernel* kernel;
static const void* argument;
// Masks of threads: all of the warp, those that wait, those that have ended; the number of those that have begun
static unsigned all, waiting, ended, n_begun, n_threads, number;
static Arrival arrivals[32];
// Who is to begin and who is to go on, in this order
static unsigned char beginners[32], resumed[32];
static unsigned n_resumed, next_resumed;
// Fibers, who has them, and those that nobody has
static Context contexts[32], scheduler;
static char* stacks[32];
static int fiber_of[32], idle[32], n_idle;

static inline __attribute__((always_inline)) void place(unsigned lane) {
    const unsigned linear = 32 * number + lane, across = here.blockDim.x, down = here.blockDim.y;
    here.lane = lane;
    if (linear < across) here.threadIdx = {linear, 0, 0};
    else here.threadIdx = {linear % across, linear / across % down, linear / across / down};
}

// True if threads of one mask, all that have not ended, have come to the same meeting; they are to go on then.
static bool complete(unsigned lane) {
    const Arrival& one = arrivals[lane];
    const unsigned members = one.mask & all & ~ended;
    if (!(members >> lane & 1) || (members & ~waiting)) return false;
    unsigned votes = 0;
    Word total = 0, bits = 0;
    for (unsigned k = 0; k < 32; ++k) {
        const bool is_member = members >> k & 1;
        if (is_member && (arrivals[k].meeting != one.meeting || arrivals[k].mask != one.mask)) return false;
        const Word value = is_member ? arrivals[k].value : 0;
        votes |= unsigned(value != 0) << k;
        total += value;
        bits |= value;
    }
    const unsigned first = random_word(), step = random_word() | 1;
    n_resumed = next_resumed = 0;
    for (unsigned k = 0; k < 32; ++k) {
        here.values[k] = members >> k & 1 ? arrivals[k].value : ~Word(0) / 3;
        const unsigned next = (first + k * step) % 32;
        if (members >> next & 1) resumed[n_resumed++] = (unsigned char)next;
    }
    here.present = members;
    here.votes = votes;
    here.total = total;
    here.bits = bits;
    waiting &= ~members;
    return true;
}

static inline __attribute__((always_inline)) Context* resume() {
    const unsigned lane = resumed[next_resumed++];
    place(lane);
    return &contexts[fiber_of[lane]];
}

// Where to go when a thread waits or has ended
static Context* next_context() {
    if (next_resumed < n_resumed) return resume();
    if (n_begun < n_threads) return &contexts[idle[--n_idle]];
    for (unsigned lane = 0; lane < 32; ++lane)
        if ((waiting >> lane & 1) && complete(lane)) return next_context();
    return &scheduler;
}

static void meet(int meeting, unsigned mask, Word value) {
    const unsigned lane = here.lane;
    arrivals[lane] = {meeting, mask, value};
    waiting |= 1u << lane;
    Context* const mine = &contexts[fiber_of[lane]];
    Context* const next = next_resumed < n_resumed ? resume() : next_context();
    if (next != mine) switch_context(mine, next);
}

// What a fiber does: threads that have not begun, one after the other, as long as none of them waits
static void work() {
    const int self = idle[n_idle];
    for (;;) {
        while (n_begun < n_threads) {
            const unsigned lane = beginners[n_begun++];
            fiber_of[lane] = self;
            place(lane);
            kernel->run(argument);
            ended |= 1u << here.lane;
        }
        idle[n_idle++] = self;
        switch_context(&contexts[self], next_context());
    }
}

// All fibers nobody's, also those left in the middle of a thread
static void renew() {
    for (int k = 0; k < 32; ++k) {
        if (!stacks[k]) stacks[k] = new_stack(k);
        prepare(contexts[k], stacks[k], work);
        idle[k] = 31 - k;
    }
    n_idle = 32;
    here.meet = meet;
}

// False if threads wait for others that never come
static bool run(unsigned number_, unsigned n_threads_) {
    number = number_;
    n_threads = n_threads_;
    all = n_threads < 32 ? (1u << n_threads) - 1 : ~0u;
    waiting = ended = n_begun = n_resumed = next_resumed = 0;
    const unsigned first = random_word(), step = random_word() | 1;
    for (unsigned k = 0, n = 0; k < 32; ++k)
        if (const unsigned lane = (first + k * step) % 32; lane < n_threads) beginners[n++] = (unsigned char)lane;
    switch_context(&scheduler, &contexts[idle[--n_idle]]);
    return ended == all;
}

}  // namespace warp

// False if threads of a warp wait for others that never come
static bool run_launch(const Kernel& kernel, const void* argument, uint3 grid, uint3 block) {
    const unsigned n_threads = block.x * block.y * block.z, n_warps = (n_threads + 31) / 32;
    const Word n_blocks = Word(grid.x) * grid.y * grid.z;
    const Permutation blocks(n_blocks);
    here.gridDim = grid;
    here.blockDim = block;
    warp::kernel = &kernel;
    warp::argument = argument;
    for (Word k = 0; k < n_blocks; ++k) {
        const Word b = blocks(k);
        here.blockIdx = {unsigned(b % grid.x), unsigned(b / grid.x % grid.y), unsigned(b / grid.x / grid.y)};
        const unsigned first = unsigned(random_word());
        for (unsigned i = 0; i < n_warps; ++i) {
            const unsigned number = (first + i) % n_warps, left = n_threads - 32 * number;
            if (!warp::run(number, left < 32 ? left : 32)) return false;
        }
    }
    return true;
}

}  // namespace card
