// Streams and events: work waits until a synchronisation demands it, and is done then in an order that hurts.

namespace card {

struct Capture {
    std::shared_ptr<Graph> graph = std::make_shared<Graph>();
    Stream* origin;
    std::vector<Stream*> members;
    bool is_broken = false, is_over = false;
};

struct Stream {
    bool is_blocking;
    int device;
    // Numbers of the last work asked for and of the last one done
    Word asked = 0, done = 0;
    std::deque<Work> queue;
    // While it is captured: in what, and the works that the next one comes after
    std::shared_ptr<Capture> capture;
    std::vector<int> ends;
};

struct Event {
    Stream* stream = nullptr;
    Word number = 0;
    std::shared_ptr<Capture> capture;
    std::vector<int> ends;
};

// LATE: only what is demanded. OTHERS: first what the other streams can do. MIXED: any stream's next. DRAWN: one of them.
enum Order { LATE, OTHERS, MIXED, DRAWN };
static int chosen_order;

static Stream legacy;
// All that have work waiting, and those that are not destroyed
static std::vector<Stream*> streams;

static bool is_ready(const Stream& stream) {
    if (stream.queue.empty()) return false;
    for (const After& after : stream.queue.front().after)
        if (after.stream->done < after.number) return false;
    return true;
}

// The works are finished before they leave the queue, so that what they hold lives on.
static void run_next(Stream& stream) {
    perform(stream.queue.front());
    stream.queue.pop_front();
    ++stream.done;
}

// The stream whose next work must be done for this stream to go on
static Stream& towards(Stream& stream) {
    for (const After& after : stream.queue.front().after)
        if (after.stream->done < after.number) return towards(*after.stream);
    return stream;
}

static void run_others(const Stream& stream) {
    for (bool goes_on = true; goes_on;) {
        goes_on = false;
        const Word first = random_word();
        for (Word k = 0; k < streams.size(); ++k) {
            Stream& other = *streams[(first + k) % streams.size()];
            for (; &other != &stream && is_ready(other); goes_on = true) run_next(other);
        }
    }
}

static void run_any() {
    const Word first = random_word();
    for (Word k = 0; k < streams.size(); ++k) {
        Stream& stream = *streams[(first + k) % streams.size()];
        if (is_ready(stream)) return run_next(stream);
    }
}

static void run_until(Stream& stream, Word number) {
    const int order = chosen_order == DRAWN ? int(random_word() % 3) : chosen_order;
    while (stream.done < number) {
        if (order == OTHERS) run_others(stream);
        if (order == MIXED) run_any();
        else run_next(towards(stream));
    }
}

// Does the work of a stream up to a number. 0, or the error of the card.
static int demand(Stream& stream, Word number) {
    if (failed || stream.done >= number) return failed;
    watch_faults();
    open_region();
    if (const int error = sigsetjmp(rescue, 0)) {
        failed = error;
        for (Stream* each : streams) each->queue.clear(), each->done = each->asked;
        warp::renew();
    } else {
        is_working = true;
        run_until(stream, number);
    }
    is_working = false;
    close_region();
    return failed;
}

static int demand_all() {
    const Word first = random_word();
    for (Word k = 0; k < streams.size(); ++k) {
        Stream& stream = *streams[(first + k) % streams.size()];
        if (demand(stream, stream.asked)) return failed;
    }
    return failed;
}

static bool is_capturing() {
    for (const Stream* stream : streams)
        if (stream->capture) return true;
    return false;
}

// The legacy stream and the blocking ones wait for each other.
static void add_after_legacy(const Stream& stream, Work& work) {
    if (&stream != &legacy) {
        if (stream.is_blocking && legacy.done < legacy.asked) work.after.push_back({&legacy, legacy.asked});
        return;
    }
    for (Stream* other : streams)
        if (other->is_blocking && other->done < other->asked) work.after.push_back({other, other->asked});
}

static int ask(Stream& stream, Work&& work) {
    if (stream.capture) {
        std::vector<Work>& works = stream.capture->graph->works;
        work.parents = stream.ends;
        stream.ends = {int(works.size())};
        works.push_back(std::move(work));
        return 0;
    }
    add_after_legacy(stream, work);
    stream.queue.push_back(std::move(work));
    ++stream.asked;
    return 0;
}

}  // namespace card
