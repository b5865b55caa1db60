// Kernels with their sums, and straight lists of them with arithmetic in between. Plain C++, for the CPU only.
#pragma once
#include "call.h"
#include "sum_runtime.h"

enum Kind : long { LAUNCH, COPY, RATIO, ABOVE, STOP };

// LAUNCH: `call`. Else for each k < count
// COPY:  out[k] = a[k]
// RATIO: out[k] = a[k] / b[k] where flag[k] is not 0, else 0
// ABOVE: out[k] = 1 where a[k] > b[k], else 0
// STOP:  the program ends if no a[k] is other than 0
struct Step {
    long kind;
    const Call* call;
    double* out;
    const double *a, *b, *flag;
    long count;
};

// One message of an exchange: `count` sites of data[block][component][lane], packed as whole blocks
struct Packet {
    void* out;
    const void* data;
    const long* sites;
    long count, components, lanes, bytes;
};

namespace {

template <class Number>
void pack_sites(const Packet& p) {
    const Number* const data = (const Number*)p.data;
    Number* out = (Number*)p.out;
    for (long block = 0; block < p.count; block += p.lanes) {
        for (long lane = 0; lane < p.lanes; ++lane) {
            const long site = p.sites[block + lane];
            const Number* const from = data + (site / p.lanes) * p.components * p.lanes + site % p.lanes;
            for (long k = 0; k < p.components; ++k) out[k * p.lanes + lane] = from[k * p.lanes];
        }
        out += p.components * p.lanes;
    }
}

}  // namespace

extern "C" {

// The interior; the bins begin at 0
void start_launch(const Call* call) {
    for (long k = 0; k < 16 * call->n_sums; ++k) call->bins[k] = 0;
    call->function(call, 0);
}

// The boundary, when the ghosts are there; then the bins are normalised
void finish_launch(const Call* call) {
    if (call->parts[1].n_blocks) call->function(call, 1);
    for (long k = 0; k < call->n_sums; ++k) normalise(call->bins + 16 * k);
}

void round_sums(const Call* call) {
    for (long k = 0; k < call->n_sums; ++k) call->sums[k] = round_bins(call->bins + 16 * k);
}

void whole_launch(const Call* call) {
    start_launch(call);
    finish_launch(call);
    round_sums(call);
}

// 0 if the program ends here, else 1
long one_step(const Step* step) {
    const long n = step->count;
    long is_set = 0;
    switch (step->kind) {
        case LAUNCH: whole_launch(step->call); break;
        case COPY: for (long k = 0; k < n; ++k) step->out[k] = step->a[k]; break;
        case RATIO: for (long k = 0; k < n; ++k) step->out[k] = step->flag[k] ? step->a[k] / step->b[k] : 0; break;
        case ABOVE: for (long k = 0; k < n; ++k) step->out[k] = step->a[k] > step->b[k] ? 1 : 0; break;
        case STOP: for (long k = 0; k < n; ++k) is_set += step->a[k] != 0; return is_set > 0;
    }
    return 1;
}

// How often the list was done to its end, at most `rounds` times
long run_program(const Step* steps, long n_steps, long rounds) {
    for (long round = 0; round < rounds; ++round)
        for (long k = 0; k < n_steps; ++k)
            if (!one_step(steps + k)) return round;
    return rounds;
}

void pack(const Packet* packets, long count) {
    for (long k = 0; k < count; ++k)
        if (packets[k].bytes == 8) pack_sites<double>(packets[k]);
        else pack_sites<float>(packets[k]);
}
}
