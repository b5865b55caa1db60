// The card's functions for Python. They return 0 or more, or minus an error of CUDA; handles are numbers.
#include <unordered_map>

namespace card {

constexpr int INVALID_VALUE = 1, OUT_OF_MEMORY = 2, SHUTTING_DOWN = 4, INVALID_HANDLE = 400;
constexpr long FIRST_HANDLE = 0x1000;
enum CopyKind { HOST_TO_HOST, HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE, BY_ADDRESS };

static long last_handle = FIRST_HANDLE;
static int device;
static Word memory_bytes;
static std::unordered_map<long, std::unique_ptr<Stream>> stream_of;
static std::unordered_map<long, Event> event_of;
static std::unordered_map<long, std::unique_ptr<Kernel>> kernel_of;
// Work and events may still name what is destroyed.
static std::vector<std::unique_ptr<Stream>> destroyed;
static std::vector<std::unique_ptr<Kernel>> unloaded;
// Graphs, and graphs that can be launched
static std::unordered_map<long, std::shared_ptr<Graph>> graph_of, instance_of;

static Stream* find_stream(long handle) {
    if (handle == 0 || handle == 1) return &legacy;
    const auto found = stream_of.find(handle);
    return found == stream_of.end() ? nullptr : found->second.get();
}
template <class Value>
static Value* find(std::unordered_map<long, Value>& values, long handle) {
    const auto found = values.find(handle);
    return found == values.end() ? nullptr : &found->second;
}

// What synchronises may not be called on a stream that is captured, and breaks the capture.
static int refused(Stream& stream) { return stream.capture ? broken(*stream.capture, UNSUPPORTED) : 0; }

}  // namespace card

using namespace card;
#define FACE extern "C" __attribute__((visibility("default")))
#define STREAM(handle)                                       \
    if (failed) return -failed;                              \
    Stream* const found_ = find_stream(handle);              \
    if (!found_) return -INVALID_HANDLE;                     \
    Stream& stream = *found_;

FACE void card_start(Word seed, int order, Word bytes) {
    random_state = 2 * seed + 1;
    for (int k = 0; k < 8; ++k) random_word();
    chosen_order = order;
    memory_bytes = bytes;
    streams = {&legacy};
    start_memory();
    warp::renew();
    watch_faults();
}
// Its memory is gone, and it answers nothing else; pinned memory is the host's and stays.
FACE void card_end() {
    failed = SHUTTING_DOWN;
    unwatch_faults();
    end_memory();
}
FACE const char* card_message() { return message; }
FACE void* card_executor() { return &here; }
FACE long card_done(int action) { return n_done[action]; }
FACE void card_set_device(int number) { device = number; }
FACE long card_free_bytes() { return long(memory_bytes - used[device]); }
FACE long card_failed() { return failed; }

FACE long card_malloc(Word size) {
    if (failed) return -failed;
    if (!size) return 0;
    if (used[device] + size > memory_bytes) return -OUT_OF_MEMORY;
    Word address;
    const int error = allocate(size, device, address);
    if (error == ILLEGAL_ADDRESS) failed = error;
    return error ? -error : long(address);
}
// Waits for all that was asked for, as the card does.
FACE long card_free(Word address) {
    if (demand_all()) return -failed;
    const int error = address ? release(address) : 0;
    if (error == ILLEGAL_ADDRESS) failed = error;
    return -error;
}
// Until `take_back` the host may touch memory of the card. What streams were asked for is not done by that.
FACE void card_lend() { open_region(); }
FACE void card_take_back() { close_region(); }
FACE long card_is_allocated(Word address, Word size) { return is_allocated(address, size); }

FACE long card_host_alloc(Word size) {
    const Word address = failed ? 0 : allocate_pinned(size);
    return address ? long(address) : failed ? -failed : -OUT_OF_MEMORY;
}
FACE long card_free_host(Word address) { return demand_all() ? -failed : -release_pinned(address); }

FACE long card_stream(int is_blocking) {
    if (failed) return -failed;
    auto& made = stream_of[++last_handle] = std::make_unique<Stream>();
    made->is_blocking = is_blocking;
    made->device = device;
    streams.push_back(made.get());
    return last_handle;
}
// Its work is still done.
FACE long card_stream_destroy(long handle) {
    STREAM(handle)
    if (&stream == &legacy) return -INVALID_HANDLE;
    if (stream.queue.empty()) streams.erase(std::find(streams.begin(), streams.end(), &stream));
    destroyed.push_back(std::move(stream_of[handle]));
    return stream_of.erase(handle), 0;
}
FACE long card_stream_synchronize(long handle) {
    STREAM(handle)
    if (const int error = refused(stream)) return -error;
    return -demand(stream, stream.asked);
}
FACE long card_synchronize() {
    if (failed) return -failed;
    if (is_capturing()) return -UNSUPPORTED;
    if (!demand_all()) failed = all_are_sound();
    return -failed;
}

FACE long card_event() {
    if (failed) return -failed;
    event_of[++last_handle];
    return last_handle;
}
FACE long card_event_destroy(long handle) { return failed ? -failed : event_of.erase(handle) ? 0 : -INVALID_HANDLE; }
FACE long card_event_record(long event, long handle) {
    STREAM(handle)
    Event* const found = find(event_of, event);
    return found ? -record_event(*found, stream) : -INVALID_HANDLE;
}
FACE long card_event_synchronize(long event) {
    Event* const found = find(event_of, event);
    if (failed || !found) return failed ? -failed : -INVALID_HANDLE;
    if (found->capture) return found->capture->is_broken = true, -CAPTURED_EVENT;
    return found->stream ? -demand(*found->stream, found->number) : 0;
}
FACE long card_wait_event(long handle, long event) {
    STREAM(handle)
    Event* const found = find(event_of, event);
    return found ? -wait_for(stream, *found) : -INVALID_HANDLE;
}

FACE long card_copy(Word to, Word from, Word size, int kind, long handle) {
    STREAM(handle)
    const int by_address = (is_device(from) ? 2 : 0) + (is_device(to) ? 1 : 0);
    if (kind != BY_ADDRESS && kind != by_address) return -INVALID_VALUE;
    Work work;
    work.action = COPY;
    work.to = to;
    work.from = from;
    work.size = size;
    // A graph reads the host's memory when it runs.
    const bool is_pageable = !is_device(from) && !is_pinned(from) && !stream.capture;
    if (is_pageable && random_word() % 2) work.bytes.assign((char*)from, (char*)from + size);
    return size ? -ask(stream, std::move(work)) : 0;
}
FACE long card_set(Word to, int value, Word size, long handle) {
    STREAM(handle)
    if (!is_device(to) && !is_pinned(to)) return -INVALID_VALUE;
    Work work;
    work.action = SET;
    work.to = to;
    work.value = value;
    work.size = size;
    return size ? -ask(stream, std::move(work)) : 0;
}
FACE long card_kernel(void (*run)(const void*), Word size, unsigned max_threads) {
    kernel_of[++last_handle] = std::make_unique<Kernel>(Kernel{run, size, max_threads});
    return last_handle;
}
FACE long card_kernel_destroy(long kernel) {
    auto* const found = find(kernel_of, kernel);
    if (!found || demand_all()) return failed ? -failed : -INVALID_HANDLE;
    (*found)->run = nullptr;
    unloaded.push_back(std::move(*found));
    return kernel_of.erase(kernel), 0;
}
FACE long card_launch(long kernel, const unsigned* shape, long handle, void** arguments) {
    STREAM(handle)
    const auto* const found = find(kernel_of, kernel);
    if (!found || (stream.device != device && &stream != &legacy)) return -INVALID_HANDLE;
    const uint3 grid = {shape[0], shape[1], shape[2]}, block = {shape[3], shape[4], shape[5]};
    const Word n_threads = Word(block.x) * block.y * block.z, n_blocks = Word(grid.x) * grid.y * grid.z;
    if (!n_blocks || !n_threads || grid.x > 0x7fffffff || grid.y > 0xffff || grid.z > 0xffff) return -INVALID_VALUE;
    if (block.z > 64 || n_threads > (*found)->max_threads) return -INVALID_VALUE;
    Work work;
    work.action = LAUNCH;
    work.kernel = found->get();
    work.grid = grid;
    work.block = block;
    work.bytes.assign((char*)arguments[0], (char*)arguments[0] + (*found)->size);
    return -ask(stream, std::move(work));
}

FACE long card_begin_capture(long handle) {
    STREAM(handle)
    return -begin_capture(stream);
}
FACE long card_end_capture(long handle) {
    STREAM(handle)
    std::shared_ptr<Graph> graph;
    if (const int error = end_capture(stream, graph)) return -error;
    graph_of[++last_handle] = graph;
    return last_handle;
}
FACE long card_instantiate(long graph) {
    const auto* const found = find(graph_of, graph);
    if (!found) return -INVALID_HANDLE;
    instance_of[++last_handle] = std::make_shared<Graph>(**found);
    return last_handle;
}
FACE long card_graph_launch(long instance, long handle) {
    STREAM(handle)
    const auto* const found = find(instance_of, instance);
    if (!found) return -INVALID_HANDLE;
    Work work;
    work.action = GRAPH;
    work.graph = *found;
    return -ask(stream, std::move(work));
}
FACE long card_graph_destroy(long graph) { return graph_of.erase(graph) ? 0 : -INVALID_HANDLE; }
FACE long card_instance_destroy(long instance) { return instance_of.erase(instance) ? 0 : -INVALID_HANDLE; }
