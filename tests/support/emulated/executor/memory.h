// Memory of the card: one stretch of addresses that nobody may touch but while the card works, and pinned memory.
//
// Between allocations lies a file of no bytes, mapped: touching it is a fault (SIGBUS) whatever the protection, so that
// one mprotect opens all allocations and nothing else. An allocation ends where its last page ends.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <map>

namespace card {

constexpr Word REGION_BYTES = Word(1) << 36, HUGE_PAGE = Word(1) << 21, LARGE = Word(1) << 20, ALIGNMENT = 256;
constexpr int GARBAGE = 0xff;
constexpr int MAX_DEVICES = 16;

struct Block {
    // From `address`, of the asked size; the pages it lies in
    Word address, size, pages, n_bytes;
    int device;
};

static char message[512];
static Word region, opened_bytes, cursor, used[MAX_DEVICES];
static int nothing_file;
// By their last byte
static std::map<Word, Block> blocks;
// Start -> size
static std::map<Word, Word> gaps, pinned;

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
    gaps = {{region, REGION_BYTES}};
    cursor = region;
}

static void end_memory() {
    munmap((void*)region, REGION_BYTES);
    close(nothing_file);
}

// The start of `size` free bytes, as long after the last ones as possible; 0 if there are none
static Word take(Word size, Word alignment) {
    for (int round = 0; round < 2; ++round, cursor = region) {
        for (auto gap = gaps.begin(); gap != gaps.end(); ++gap) {
            const Word end = gap->first + gap->second;
            const Word start = rounded(gap->first > cursor ? gap->first : cursor, alignment);
            if (start + size > end) continue;
            const Word before = start - gap->first;
            if (before) gap->second = before;
            else gaps.erase(gap);
            if (start + size < end) gaps[start + size] = end - start - size;
            cursor = start + size;
            return start;
        }
    }
    return 0;
}

static void give_back(Word start, Word size) {
    auto next = gaps.lower_bound(start);
    if (next != gaps.end() && next->first == start + size) {
        size += next->second;
        next = gaps.erase(next);
    }
    if (next != gaps.begin()) {
        const auto last = std::prev(next);
        if (last->first + last->second == start) {
            last->second += size;
            return;
        }
    }
    gaps[start] = size;
}

// The address of new memory full of garbage; 0 if it is not there
static Word allocate(Word size, int device) {
    const Word asked = rounded(size, ALIGNMENT), page = asked < LARGE ? PAGE : HUGE_PAGE;
    const Word n_bytes = rounded(asked, page), start = take(n_bytes + PAGE, page);
    if (!start) return 0;
    void* const pages = (void*)start;
    if (mmap(pages, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) !=
        pages)
        return 0;
    if (page == HUGE_PAGE) madvise(pages, n_bytes, MADV_HUGEPAGE);
    memset(pages, GARBAGE, n_bytes);
    mprotect(pages, n_bytes, PROT_NONE);
    const Word address = start + n_bytes - asked;
    blocks[address + size - 1] = {address, size, start, n_bytes, device};
    used[device] += size;
    if (start + n_bytes - region > opened_bytes) opened_bytes = start + n_bytes - region;
    return address;
}

// False if someone wrote beside the allocation, within its pages
static bool is_sound(const Block& block) {
    const char *const start = (const char*)block.pages, *const first = (const char*)block.address;
    const char* const end = start + block.n_bytes;
    mprotect((void*)block.pages, block.n_bytes, PROT_READ);
    bool is_whole = true;
    for (const char* p = first - start > long(PAGE) ? first - PAGE : start; p < end; ++p)
        if (p < first || p >= first + block.size) is_whole &= *p == char(GARBAGE);
    return is_whole;
}

// 0, or an error: not an address of `allocate`, or what lies beside it was written to
static int release(Word address) {
    const Block* const found = block_of(address);
    if (!found || found->address != address) return 1;
    const Block block = *found;
    const bool is_whole = is_sound(block);
    close_off(block.pages, block.n_bytes);
    give_back(block.pages, block.n_bytes + PAGE);
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
