// What becomes of a touch of memory that is not there: an error of the card while it works, else the end of the process.
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>

namespace card {

constexpr int ILLEGAL_ADDRESS = 700, LAUNCH_FAILURE = 719;

// The first error of the card; then it answers everything with it.
static volatile int failed;
static volatile bool is_working;
static sigjmp_buf rescue;
static struct sigaction former[2];
static const int SIGNALS[2] = {SIGSEGV, SIGBUS};
static bool is_watching;

static void describe(Word address, bool is_host) {
    const uint3 b = here.blockIdx, t = here.threadIdx;
    const char* const where = is_device(address) ? "of the card, where nothing is allocated" : "not of the card";
    if (is_host)
        snprintf(message, sizeof message, "emulated card: the host touched memory of the card at %#llx\n", address);
    else
        snprintf(message, sizeof message, "address %#llx, %s, in thread (%u, %u, %u) of block (%u, %u, %u)", address,
                 where, t.x, t.y, t.z, b.x, b.y, b.z);
}

static void on_fault(int signal, siginfo_t* info, void*) {
    const Word address = Word(info->si_addr);
    describe(address, !is_working);
    if (is_working) siglongjmp(rescue, ILLEGAL_ADDRESS);
    if (is_device(address)) (void)!write(2, message, strlen(message));
    // Whoever was there before, faulthandler for one, says the rest and ends the process.
    sigaction(signal, &former[signal == SIGBUS], nullptr);
}

// A stack for the handler, since that of a thread may be the trouble
static void watch_faults() {
    stack_t stack;
    sigaltstack(nullptr, &stack);
    if (stack.ss_flags & SS_DISABLE) {
        stack = {};
        stack.ss_sp = new_stack(0);
        stack.ss_size = STACK_BYTES;
        sigaltstack(&stack, nullptr);
    }
    struct sigaction action = {}, present;
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    for (int k = 0; k < 2; ++k) {
        sigaction(SIGNALS[k], nullptr, &present);
        if (present.sa_sigaction == on_fault) continue;
        // What was there at first: later ones may come back to this one.
        if (!is_watching) former[k] = present;
        sigaction(SIGNALS[k], &action, nullptr);
    }
    is_watching = true;
}

static void unwatch_faults() {
    struct sigaction present;
    for (int k = 0; k < 2; ++k) {
        sigaction(SIGNALS[k], nullptr, &present);
        if (present.sa_sigaction == on_fault) sigaction(SIGNALS[k], &former[k], nullptr);
    }
}

// True if a word of an argument is the address of memory that only the host may touch
static bool is_of_host(Word a) {
    if (a < (Word(1) << 32) || a >= (Word(1) << 47) || is_device(a) || is_pinned(a)) return false;
    unsigned char page;
    return syscall(SYS_mincore, a & ~(PAGE - 1), 1, &page) == 0;
}

}  // namespace card
