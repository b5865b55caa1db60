// Captures: what streams are asked for becomes a graph; events carry a capture from stream to stream.
#include <algorithm>

namespace card {

enum CaptureError {
    UNSUPPORTED = 900,
    INVALIDATED = 901,
    MERGE = 902,
    UNMATCHED = 903,
    UNJOINED = 904,
    ISOLATION = 905,
    IMPLICIT = 906,
    CAPTURED_EVENT = 907,
    ILLEGAL_STATE = 401,
};

static int broken(Capture& capture, int error) {
    capture.is_broken = true;
    return error;
}

static int begin_capture(Stream& stream) {
    if (&stream == &legacy) return UNSUPPORTED;
    if (stream.capture) return ILLEGAL_STATE;
    stream.capture = std::make_shared<Capture>();
    stream.capture->origin = &stream;
    stream.capture->members = {&stream};
    stream.ends.clear();
    return 0;
}

// True if every work of the graph comes before the ends of the stream that began
static bool is_joined(const Graph& graph, const std::vector<int>& ends) {
    std::vector<char> is_before(graph.works.size(), 0);
    for (const int end : ends) is_before[end] = 1;
    for (int k = int(graph.works.size()) - 1; k >= 0; --k)
        if (is_before[k])
            for (const int parent : graph.works[k].parents) is_before[parent] = 1;
    return std::find(is_before.begin(), is_before.end(), 0) == is_before.end();
}

// 0 and the graph, or an error
static int end_capture(Stream& stream, std::shared_ptr<Graph>& graph) {
    const std::shared_ptr<Capture> capture = stream.capture;
    if (!capture) return ILLEGAL_STATE;
    if (capture->origin != &stream) return broken(*capture, UNMATCHED);
    const bool is_whole = is_joined(*capture->graph, stream.ends);
    for (Stream* member : capture->members) member->capture = nullptr;
    capture->is_over = true;
    if (capture->is_broken) return INVALIDATED;
    if (!is_whole) return UNJOINED;
    graph = capture->graph;
    return 0;
}

static int record_event(Event& event, Stream& stream) {
    event.capture = stream.capture;
    event.ends = stream.ends;
    event.stream = &stream;
    event.number = stream.asked;
    return 0;
}

static int wait_for_captured(Stream& stream, const Event& event) {
    if (event.capture->is_over) return CAPTURED_EVENT;
    if (stream.capture && stream.capture != event.capture) return broken(*stream.capture, MERGE);
    if (&stream == &legacy) return broken(*event.capture, IMPLICIT);
    if (!stream.capture) {
        stream.capture = event.capture;
        stream.capture->members.push_back(&stream);
        stream.ends.clear();
    }
    for (const int end : event.ends)
        if (std::find(stream.ends.begin(), stream.ends.end(), end) == stream.ends.end()) stream.ends.push_back(end);
    return 0;
}

static int wait_for(Stream& stream, const Event& event) {
    if (!event.stream) return 0;
    if (event.capture) return wait_for_captured(stream, event);
    if (stream.capture) return broken(*stream.capture, ISOLATION);
    Work nothing;
    nothing.after.push_back({event.stream, event.number});
    return ask(stream, std::move(nothing));
}

}  // namespace card
