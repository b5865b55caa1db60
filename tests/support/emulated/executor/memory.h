// Memory of the card: one stretch of addresses that nobody may touch but while the card works, and pinned memory.
//
// It is opened and closed by one mprotect each, which takes longer the more pieces and pages there are. So small
// allocations share slabs of huge pages, with bytes between them that are looked at when memory is freed and when the card
// is waited for. A large one ends where its last page ends. Between slabs and large ones lies a file of no bytes, mapped:
// touching it is a fault (SIGBUS) whatever the protection.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <map>

namespace card {

constexpr Word REGION_BYTES = Word(1) << 36, HUGE_PAGE = Word(1) << 21, LARGE = Word(1) << 20, SLAB = Word(1) << 23;
constexpr Word ALIGNMENT = 256;
constexpr int GARBAGE = 0xff;
constexpr int MAX_DEVICES = 16;

struct Block {
    // From `address`, of the asked size; what it lies in alone
    Word address, size, start, n_bytes;
    int device;
    bool is_large() const { return n_bytes >= LARGE; }
};

// Free addresses, start -> size. They are given out in turn, so that what was freed comes late again.
struct Gaps {
    std::map<Word, Word> sizes;
    Word cursor = 0;
    Word take(Word size, Word alignment);
    void give(Word start, Word size);
};

static char message[512];
static Word region, opened_bytes, used[MAX_DEVICES];
static int nothing_file;
// By their last byte
static std::map<Word, Block> blocks;
static Gaps gaps, holes;
static std::map<Word, Word> pinned;

static Word rounded(Word a, Word unit) { return (a + unit - 1) / unit * unit; }

static void close_off(Word start, Word size) {
    mmap((void*)start, size, PROT_NONE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, nothing_file, long(start - region));
}

static void open_region() { mprotect((void*)region, opened_bytes, PROT_READ | PROT_WRITE); }
static void close_region() { mprotect((void*)region, opened_bytes, PROT_NONE); }

static bool is_device(Word a) { return a - region < REGION_BYTES; }

static const Block* block_of(Word a) {
    const auto found = blocks.lower_bound(a);
    return found != blocks.end() && found->second.address <= a ? &found->second : nullptr;
}
static bool is_allocated(Word a, Word size) {
    const Block* const block = block_of(a);
    return block && a + size <= block->address + block->size;
}
static bool is_pinned(Word a) {
    auto after = pinned.upper_bound(a);
    return after != pinned.begin() && (--after)->first + after->second > a;
}

static void start_memory() {
    nothing_file = memfd_create("nothing", 0);
    region = (Word)mmap(nullptr, REGION_BYTES, PROT_NONE, MAP_SHARED | MAP_NORESERVE, nothing_file, 0);
    gaps.give(region, REGION_BYTES);
}

static void end_memory() {
    munmap((void*)region, REGION_BYTES);
    close(nothing_file);
}

// The start of `size` free bytes; 0 if there are none
Word Gaps::take(Word size, Word alignment) {
    for (int round = 0; round < 2; ++round, cursor = 0) {
        for (auto gap = sizes.begin(); gap != sizes.end(); ++gap) {
            const Word end = gap->first + gap->second;
            const Word start = rounded(gap->first > cursor ? gap->first : cursor, alignment);
            if (start + size > end) continue;
            const Word before = start - gap->first;
            if (before) gap->second = before;
            else sizes.erase(gap);
            if (start + size < end) sizes[start + size] = end - start - size;
            cursor = start + size;
            return start;
        }
    }
    return 0;
}

void Gaps::give(Word start, Word size) {
    auto next = sizes.lower_bound(start);
    if (next != sizes.end() && next->first == start + size) {
        size += next->second;
        next = sizes.erase(next);
    }
    if (next != sizes.begin()) {
        const auto last = std::prev(next);
        if (last->first + last->second == start) {
            last->second += size;
            return;
        }
    }
    sizes[start] = size;
}

// Pages of their own, full of garbage, and open; 0 if they are not there
static Word new_pages(Word size, Word page) {
    const Word start = gaps.take(size + PAGE, page);
    void* const pages = (void*)start;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
    if (!start || mmap(pages, size, PROT_READ | PROT_WRITE, flags, -1, 0) != pages) return 0;
    if (page == HUGE_PAGE) madvise(pages, size, MADV_HUGEPAGE);
    memset(pages, GARBAGE, size);
    if (start + size - region > opened_bytes) opened_bytes = start + size - region;
    return start;
}

static bool is_garbage(Word first, Word last) {
    bool is_whole = true;
    for (const char* p = (const char*)first; p < (const char*)last; ++p) is_whole &= *p == char(GARBAGE);
    return is_whole;
}

// False if someone wrote beside the allocation. The region is open.
static bool is_sound(const Block& block) {
    const Word margin = block.start + PAGE < block.address ? block.address - PAGE : block.start;
    return is_garbage(margin, block.address) && is_garbage(block.address + block.size, block.start + block.n_bytes);
}
static int all_are_sound() {
    open_region();
    bool is_whole = true;
    for (const auto& block : blocks) is_whole &= is_sound(block.second);
    close_region();
    if (!is_whole) snprintf(message, sizeof message, "bytes beside an allocation were written to");
    return is_whole ? 0 : 700;
}

static Block large_block(Word size, Word asked) {
    const Word n_bytes = rounded(asked, HUGE_PAGE), start = new_pages(n_bytes, HUGE_PAGE);
    return {start ? start + n_bytes - asked : 0, size, start, n_bytes, 0};
}

static Block small_block(Word size, Word asked) {
    const Word n_bytes = asked + ALIGNMENT;
    Word start = holes.take(n_bytes, ALIGNMENT);
    if (!start) {
        const Word slab = new_pages(SLAB, HUGE_PAGE);
        if (!slab) return {};
        holes.give(slab, SLAB);
        start = holes.take(n_bytes, ALIGNMENT);
    }
    return {start, size, start, n_bytes, 0};
}

// 0, or an error: no memory, or memory that nobody had was written to
static int allocate(Word size, int device, Word& address) {
    const Word asked = rounded(size, ALIGNMENT);
    open_region();
    Block block = asked + ALIGNMENT < LARGE ? small_block(size, asked) : large_block(size, asked);
    address = block.address;
    const bool is_whole = !address || is_garbage(block.start, block.start + block.n_bytes);
    close_region();
    if (!address) return 2;
    block.device = device;
    blocks[address + size - 1] = block;
    used[device] += size;
    if (!is_whole) snprintf(message, sizeof message, "memory was written to after it was freed");
    return is_whole ? 0 : 700;
}

// 0, or an error: not an address of `allocate`, or what lies beside it was written to
static int release(Word address) {
    const Block* const found = block_of(address);
    if (!found || found->address != address) return 1;
    const Block block = *found;
    open_region();
    const bool is_whole = is_sound(block);
    if (!block.is_large()) memset((void*)block.start, GARBAGE, block.n_bytes);
    close_region();
    if (block.is_large()) close_off(block.start, block.n_bytes);
    (block.is_large() ? gaps : holes).give(block.start, block.n_bytes + (block.is_large() ? PAGE : 0));
    blocks.erase(block.address + block.size - 1);
    used[block.device] -= block.size;
    if (is_whole) return 0;
    snprintf(message, sizeof message, "bytes beside an allocation of %llu bytes were written to", block.size);
    return 700;
}

static Word allocate_pinned(Word size) {
    void* const memory = aligned_alloc(PAGE, rounded(size, PAGE));
    if (!memory) return 0;
    memset(memory, GARBAGE, size);
    pinned[Word(memory)] = size;
    return Word(memory);
}

static int release_pinned(Word address) {
    if (!pinned.erase(address)) return 1;
    free((void*)address);
    return 0;
}

}  // namespace card
