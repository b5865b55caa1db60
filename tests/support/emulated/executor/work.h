// What is waiting to be done: launches, copies, graphs, each after others.
#include <deque>
#include <memory>
#include <vector>

namespace card {

struct Stream;
struct Graph;

// After all work of a stream up to a number
struct After {
    Stream* stream;
    Word number;
};

enum Action { LAUNCH, COPY, SET, GRAPH, NOTHING };

struct Work {
    Action action = NOTHING;
    std::vector<After> after;
    // Numbers of the works of a graph that come before
    std::vector<int> parents;
    const Kernel* kernel = nullptr;
    uint3 grid = {}, block = {};
    // The argument of a kernel, or the source of a copy as it was when the copy was asked for
    std::vector<char> bytes;
    Word to = 0, from = 0, size = 0;
    int value = 0;
    std::shared_ptr<Graph> graph;
};

struct Graph {
    std::vector<Work> works;
};

static long n_done[5];

static void fail(int error, const char* text) {
    snprintf(message, sizeof message, "%s", text);
    siglongjmp(rescue, error);
}

static void run_graph(const Graph& graph);

static void perform(const Work& work) {
    ++n_done[work.action];
    if (work.action == LAUNCH) {
        for (Word k = 0; k + 8 <= work.bytes.size(); k += 8) {
            Word word;
            memcpy(&word, &work.bytes[k], 8);
            if (is_of_host(word)) fail(ILLEGAL_ADDRESS, "an argument of a kernel is an address of the host");
        }
        if (!work.kernel->run) fail(ILLEGAL_ADDRESS, "a kernel of a module that was unloaded");
        if (!run_launch(*work.kernel, work.bytes.data(), work.grid, work.block))
            fail(LAUNCH_FAILURE, "threads of a warp wait for others that never come");
    } else if (work.action == COPY) {
        const Word from = work.bytes.empty() ? work.from : Word(work.bytes.data());
        if (is_device(work.to) && !is_allocated(work.to, work.size))
            fail(ILLEGAL_ADDRESS, "a copy to what is not allocated");
        if (is_device(from) && !is_allocated(from, work.size)) fail(ILLEGAL_ADDRESS, "a copy of what is not allocated");
        memmove((void*)work.to, (const void*)from, work.size);
    } else if (work.action == SET) {
        if (!is_allocated(work.to, work.size)) fail(ILLEGAL_ADDRESS, "a setting of what is not allocated");
        memset((void*)work.to, work.value, work.size);
    } else if (work.action == GRAPH) {
        run_graph(*work.graph);
    }
}

// In an order drawn anew each time, each work after its parents
static void run_graph(const Graph& graph) {
    const int n = int(graph.works.size());
    std::vector<int> ready, missing(n);
    std::vector<std::vector<int>> children(n);
    for (int k = 0; k < n; ++k) {
        missing[k] = int(graph.works[k].parents.size());
        for (const int parent : graph.works[k].parents) children[parent].push_back(k);
        if (!missing[k]) ready.push_back(k);
    }
    while (!ready.empty()) {
        std::swap(ready[random_word() % ready.size()], ready.back());
        const int k = ready.back();
        ready.pop_back();
        perform(graph.works[k]);
        for (const int child : children[k])
            if (!--missing[child]) ready.push_back(child);
    }
}

}  // namespace card
