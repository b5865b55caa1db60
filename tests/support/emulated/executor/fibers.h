// Stacks between which one thread of the host switches, one for each thread of a warp that waits for others.
#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#include <sys/mman.h>

namespace card {

constexpr unsigned long STACK_BYTES = 1 << 18, PAGE = 4096;

// A stack with a page below that nobody may touch. Their tops lie apart within a page, for the sake of the cache.
static char* new_stack(int number) {
    char* const pages = (char*)mmap(nullptr, STACK_BYTES + 2 * PAGE, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    mprotect(pages, PAGE, PROT_NONE);
    return pages + PAGE + number * (PAGE / 32);
}

#if defined(__x86_64__)

struct Context {
    void* stack_pointer;
};

// Goes on where `to` was left, on its stack; `from` can then be left for this place. Written into its callers, since the
// processor guesses where a function returns to by who called it.
static inline __attribute__((always_inline)) void switch_context(Context* from, Context* to) {
    asm volatile(R"(
    leaq -128(%%rsp), %%rsp
    pushq %%rbp
    leaq 1f(%%rip), %%rax
    pushq %%rax
    movq %%rsp, (%0)
    movq (%1), %%rsp
    popq %%rax
    jmpq *%%rax
1:  popq %%rbp
    leaq 128(%%rsp), %%rsp
)"
                 : "+D"(from), "+S"(to)
                 :
                 : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc",
                   "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
                   "xmm12", "xmm13", "xmm14", "xmm15");
}

static void prepare(Context& context, char* stack, void (*start)()) {
    void** const place = (void**)(stack + STACK_BYTES) - 2;
    place[0] = (void*)start;
    context.stack_pointer = place;
}

#else

struct Context {
    ucontext_t context;
};

static void switch_context(Context* from, Context* to) { swapcontext(&from->context, &to->context); }

static void prepare(Context& context, char* stack, void (*start)()) {
    getcontext(&context.context);
    context.context.uc_stack.ss_sp = stack;
    context.context.uc_stack.ss_size = STACK_BYTES;
    context.context.uc_link = nullptr;
    makecontext(&context.context, start, 0);
}

#endif

}  // namespace card
