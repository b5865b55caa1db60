// Kernels with their sums, and straight lists of them with arithmetic in between. Plain C++, for the CPU only.
#pragma once
#include "call.h"
#include "sum_runtime.h"

enum Kind : long { LAUNCH, COPY, RATIO, ABOVE, STOP, SHIFT, LOOP, PRODUCT };

// LAUNCH: `call`, a struct Call. LOOP: the steps at `call`, `count` of them, at most a[0] times, until one of them stops;
//         out[0] = how often they were done to their end. Else for each k < count
// COPY:  out[k] = a[k] where flag[k] is not 0; no flag: everywhere
// RATIO: out[k] = a[k] / b[k] where flag[k] is not 0
// PRODUCT: out[k] = a[k] b[k]
// ABOVE: out[k] = 1 where a[k] > b[k], else 0
// STOP:  the program ends if no a[k] is other than 0
// SHIFT: conjugate gradients of A + sigma from those of A (hep-lat/9612014), where the flag is not 0; its residual is zeta r.
//        out: alpha', zeta, beta'; a: alpha, gamma, beta of A; b: |r|^2;
//        state: sigma, rho = zeta / zeta before, |zeta r|^2, beta / alpha before
//        rho <- 1 / (1 + sigma alpha + alpha (beta / alpha before) (1 - rho)),
//        zeta <- rho zeta,  alpha' = rho alpha,  beta' = rho^2 beta
struct Step {
    long kind;
    const void* call;
    double* out;
    const double *a, *b, *flag;
    long count;
    double* state;
};

// One message of an exchange: `count` sites of data[block][component][lane], packed as whole blocks
struct Packet {
    void* out;
    const void* data;
    const long* sites;
    long count, components, lanes, bytes;
};

// A field of one precision from one of the other; `blocks` and `lanes` are those of the floats
struct Conversion {
    void* out;
    const void* x;
    const int* blocks;
    long n_blocks, components, lanes, is_narrowing, n_threads;
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

typedef double Doubles2 __attribute__((vector_size(16)));
typedef double Doubles4 __attribute__((vector_size(32)));
typedef double Doubles8 __attribute__((vector_size(64)));
typedef float Floats2 __attribute__((vector_size(8)));
typedef float Floats4 __attribute__((vector_size(16)));
typedef float Floats8 __attribute__((vector_size(32)));

// One block of floats is two blocks of doubles.
template <class Doubles, class Floats>
void convert_blocks(const Conversion& c) {
    #pragma omp parallel for schedule(static) num_threads(c.n_threads) if (c.n_threads > 1)
    for (long i = 0; i < c.n_blocks; ++i) {
        const long first = c.blocks[i] * c.components * 2;
        Floats* const floats = (Floats*)(c.is_narrowing ? c.out : (void*)c.x) + first;
        Doubles* const doubles = (Doubles*)(c.is_narrowing ? (void*)c.x : c.out) + first;
        for (long half = 0; half < 2; ++half)
            for (long k = 0; k < c.components; ++k) {
                Floats* const narrow = floats + 2 * k + half;
                Doubles* const wide = doubles + half * c.components + k;
                if (c.is_narrowing) *narrow = __builtin_convertvector(*wide, Floats);
                else *wide = __builtin_convertvector(*narrow, Doubles);
            }
    }
}

void shift_numbers(const Step& s) {
    const double alpha = s.a[0], beta = s.a[2];
    double &sigma = s.state[0], &rho = s.state[1], &square = s.state[2], &before = s.state[3];
    if (*s.flag) {
        rho = 1 / (1 + sigma * alpha + alpha * before * (1 - rho));
        s.out[0] = rho * alpha;
        s.out[1] *= rho;
        s.out[2] = rho * rho * beta;
        square = s.out[1] * s.out[1] * s.b[0];
        before = beta / alpha;
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

long run_program(const Step* steps, long n_steps, long rounds);

// 0 if the program ends here, else 1
long one_step(const Step* step) {
    const long n = step->count;
    long is_set = 0;
    switch (step->kind) {
        case LAUNCH: whole_launch((const Call*)step->call); break;
        case COPY:
            for (long k = 0; k < n; ++k)
                if (!step->flag || step->flag[k]) step->out[k] = step->a[k];
            break;
        case RATIO:
            for (long k = 0; k < n; ++k)
                if (step->flag[k]) step->out[k] = step->a[k] / step->b[k];
            break;
        case ABOVE: for (long k = 0; k < n; ++k) step->out[k] = step->a[k] > step->b[k] ? 1 : 0; break;
        case PRODUCT: for (long k = 0; k < n; ++k) step->out[k] = step->a[k] * step->b[k]; break;
        case SHIFT: shift_numbers(*step); break;
        case LOOP: step->out[0] = run_program((const Step*)step->call, n, (long)step->a[0]); break;
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

void convert(const Conversion* c) {
    switch (c->lanes) {
        case 16: convert_blocks<Doubles8, Floats8>(*c); break;
        case 8: convert_blocks<Doubles4, Floats4>(*c); break;
        default: convert_blocks<Doubles2, Floats2>(*c);
    }
}
}
