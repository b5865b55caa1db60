// Stacks between which one thread of the host switches, one for each thread of a warp that waits for others.
#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#include <sys/mman.h>

namespace card {

constexpr unsigned long STACK_BYTES = 1 << 18, PAGE = 4096;

// A stack with a page below that nobody may touch
static char* new_stack() {
    char* const pages = (char*)mmap(nullptr, STACK_BYTES + PAGE, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    mprotect(pages, PAGE, PROT_NONE);
    return pages + PAGE;
}

#if defined(__x86_64__)

struct Context {
    void* stack_pointer;
};

// Keeps what a function must keep on the stack, and goes on where `to` was left.
extern "C" void emulated_switch(Context* from, Context* to);
asm(R"(
.text
.type emulated_switch, @function
emulated_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emulated_switch, .-emulated_switch
)");

static void prepare(Context& context, char* stack, void (*start)()) {
    void** const place = (void**)(stack + STACK_BYTES) - 2;
    for (int k = 1; k <= 6; ++k) place[-k] = nullptr;
    place[0] = (void*)start;
    place[1] = nullptr;
    context.stack_pointer = place - 6;
}

#else

struct Context {
    ucontext_t context;
};

static void emulated_switch(Context* from, Context* to) { swapcontext(&from->context, &to->context); }

static void prepare(Context& context, char* stack, void (*start)()) {
    getcontext(&context.context);
    context.context.uc_stack.ss_sp = stack;
    context.context.uc_stack.ss_size = STACK_BYTES;
    context.context.uc_link = nullptr;
    makecontext(&context.context, start, 0);
}

#endif

}  // namespace card
