// One link of several sites at once: its numbers in registers, [component][lane], from the bytes of a file and into memory.
#pragma once
#define HPC_DOUBLE 1
#define LANES 8
#include "sums.h"
#include "platform.h"

namespace files {

static constexpr int WIDTH = LANES;
typedef site::real Lanes;
typedef long LongLanes __attribute__((vector_size(8 * WIDTH)));
typedef float FloatLanes __attribute__((vector_size(4 * WIDTH), may_alias));

typedef wide Wides __attribute__((may_alias));
typedef word Words __attribute__((may_alias));
typedef wide WideLanes __attribute__((vector_size(8 * WIDTH), may_alias));
typedef word WordLanes __attribute__((vector_size(4 * WIDTH), may_alias));
static inline wide swapped(wide a) { return __builtin_bswap64(a); }
static inline word swapped(word a) { return __builtin_bswap32(a); }

// Lane j of the first or second of two rows, D apart in a square of 8, after their blocks of D by D were exchanged
template <int D>
static inline void exchange(Lanes& a, Lanes& b) {
    site::pick_index first, second;
    for (int j = 0; j < WIDTH; ++j) {
        first[j] = j & D ? WIDTH + j - D : j;
        second[j] = j & D ? WIDTH + j : j + D;
    }
    const Lanes x = a, y = b;
    a = site::pick(x, y, first), b = site::pick(x, y, second);
}

// Words of 64 bits of WIDTH units, each `count` words after another, as [component][lane]
static void transpose(const byte* const* at, long offset, long count, Lanes* out) {
    long k = 0;
    for (; k + WIDTH <= count; k += WIDTH) {
        Lanes row[WIDTH];
        for (int lane = 0; lane < WIDTH; ++lane) row[lane] = load<Lanes>(at[lane] + offset + 8 * k);
        exchange<1>(row[0], row[1]), exchange<1>(row[2], row[3]), exchange<1>(row[4], row[5]), exchange<1>(row[6], row[7]);
        exchange<2>(row[0], row[2]), exchange<2>(row[1], row[3]), exchange<2>(row[4], row[6]), exchange<2>(row[5], row[7]);
        exchange<4>(row[0], row[4]), exchange<4>(row[1], row[5]), exchange<4>(row[2], row[6]), exchange<4>(row[3], row[7]);
        for (int lane = 0; lane < WIDTH; ++lane) out[k + lane] = row[lane];
    }
    for (; k < count; ++k)
        for (int lane = 0; lane < WIDTH; ++lane) ((Wides*)(out + k))[lane] = load<wide>(at[lane] + offset + 8 * k);
}

template <class Word>
static void swap_bytes(Word* a, long count) {
    #pragma omp simd
    for (long i = 0; i < count; ++i) a[i] = swapped(a[i]);
}

static void load_link(long real_bytes, bool swaps, const byte* const* at, long offset, long count, Lanes* out) {
    if (real_bytes == 8) {
        transpose(at, offset, count, out);
        if (swaps) swap_bytes((Wides*)out, count * WIDTH);
        return;
    }
    // Two floats are a word; they lie in the upper half until they are widened, from below
    const long n_words = count / 2;
    Lanes* upper = out + n_words;
    transpose(at, offset, n_words, upper);
    if (swaps) swap_bytes((Words*)upper, 2 * n_words * WIDTH);
    for (long k = 0; k < n_words; ++k) {
        const WideLanes both = ((const WideLanes*)upper)[k];
        const WordLanes low = __builtin_convertvector(both & 0xffffffffu, WordLanes);
        const WordLanes high = __builtin_convertvector(both >> 32, WordLanes);
        out[2 * k + IS_BIG_ENDIAN] = __builtin_convertvector((FloatLanes)low, Lanes);
        out[2 * k + !IS_BIG_ENDIAN] = __builtin_convertvector((FloatLanes)high, Lanes);
    }
}

// Numbers of WIDTH sites that are neighbours in memory, or of twice as many, the second half from `more`
static void store_lanes(long real_bytes, void* data, long first, long stride, long count, const Lanes* x, const Lanes* more) {
    if (real_bytes == 8) {
        double* p = (double*)data + first;
        if (((wide)p | (wide)(stride * 8)) % sizeof(Lanes) == 0)
            for (long k = 0; k < count; ++k) site::stream(p + k * stride, x[k]);
        else
            for (long k = 0; k < count; ++k) __builtin_memcpy(p + k * stride, x + k, sizeof(Lanes));
        if (more) store_lanes(real_bytes, data, first + WIDTH, stride, count, more, nullptr);
        return;
    }
    float* p = (float*)data + first;
    const bool streams = more && ((wide)p | (wide)(stride * 4)) % sizeof(Lanes) == 0;
    for (long k = 0; k < count; ++k) {
        struct {
            FloatLanes x, more;
        } narrow = {__builtin_convertvector(x[k], FloatLanes), __builtin_convertvector(more ? more[k] : x[k], FloatLanes)};
        site::real both;
        __builtin_memcpy(&both, &narrow, sizeof both);
        if (streams)
            site::stream((site::scalar*)(p + k * stride), both);
        else
            __builtin_memcpy(p + k * stride, &narrow, more ? sizeof narrow : sizeof narrow.x);
    }
}

static void store_one(long real_bytes, void* data, long first, long stride, long count, const Lanes* x, int lane) {
    const double* q = (const double*)x + lane;
    if (real_bytes == 8) {
        double* p = (double*)data + first;
        for (long k = 0; k < count; ++k) p[k * stride] = q[k * WIDTH];
        return;
    }
    float* p = (float*)data + first;
    for (long k = 0; k < count; ++k) p[k * stride] = float(q[k * WIDTH]);
}

static inline double number_at(long real_bytes, const void* data, long at) {
    return real_bytes == 8 ? ((const double*)data)[at] : double(((const float*)data)[at]);
}

static inline void put_number(long real_bytes, bool swaps, byte* out, double value) {
    if (real_bytes == 8) {
        const wide a = load<wide>((const byte*)&value), b = swaps ? __builtin_bswap64(a) : a;
        __builtin_memcpy(out, &b, 8);
        return;
    }
    const float narrow = float(value);
    const word a = load<word>((const byte*)&narrow), b = swaps ? __builtin_bswap32(a) : a;
    __builtin_memcpy(out, &b, 4);
}

// Quaternions a0 + i a.sigma; HiRep's have another sign of a2
static constexpr double HIREP_SIGN = -1;

template <class Real>
static const Real* matrix_of(const Real* a, double sign, Real* m) {
    m[0] = a[0], m[1] = a[3], m[2] = sign * a[2], m[3] = a[1];
    m[4] = -sign * a[2], m[5] = a[1], m[6] = a[0], m[7] = -a[3];
    return m;
}

static const Lanes* quaternion_of(const Lanes* m, Lanes* a) {
    a[0] = 0.5 * (m[0] + m[6]), a[1] = 0.5 * (m[3] + m[5]), a[2] = 0.5 * (m[2] - m[4]), a[3] = 0.5 * (m[1] - m[7]);
    return a;
}

struct Complex {
    Lanes re, im;
};
static inline Complex entry(const Lanes* m, int k) { return {m[2 * k], m[2 * k + 1]}; }
static inline Complex operator*(Complex a, Complex b) { return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }
static inline Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
static inline Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
static inline Complex adjoint(Complex a) { return {a.re, -a.im}; }
static inline Lanes square(Complex a) { return a.re * a.re + a.im * a.im; }
static inline Lanes larger(Lanes a, Lanes b) { return a > b ? a : b; }

// Entry k of the cross product of the first two rows
static inline Complex cross(const Lanes* m, int k) {
    const int i = (k + 1) % 3, j = (k + 2) % 3;
    return entry(m, i) * entry(m, 3 + j) - entry(m, j) * entry(m, 3 + i);
}

// The third row of SU(3), (row 0 x row 1)^*
static void complete_three(Lanes* m) {
    for (int k = 0; k < 3; ++k) {
        const Complex a = cross(m, k);
        m[2 * (6 + k)] = a.re, m[2 * (6 + k) + 1] = -a.im;
    }
}

// Traces in units of 2^-40, the sum of which does not depend on their order
static constexpr double TRACE_UNIT = 1099511627776.0, LARGEST_TRACE = 128;
struct Totals {
    LongLanes trace;
};

static void add_trace(const Lanes* m, int colors, int n, Totals& totals, Sums& sums) {
    Lanes trace = m[0];
    for (int a = 1; a < colors; ++a) trace += m[2 * a * (colors + 1)];
    for (int lane = 0; lane < WIDTH; ++lane) {
        if (lane >= n) trace[lane] = 0;
        if (!(trace[lane] < LARGEST_TRACE && trace[lane] > -LARGEST_TRACE)) sums.is_broken = 1, trace[lane] = 0;
    }
    const Lanes scaled = trace * TRACE_UNIT;
    totals.trace += __builtin_convertvector(scaled + (scaled < 0 ? Lanes{} - 0.5 : Lanes{} + 0.5), LongLanes);
}

// One number for one lane
static inline void add_number(double a, int lane, Totals& totals, Sums& sums) {
    if (!(a < LARGEST_TRACE && a > -LARGEST_TRACE)) sums.is_broken = 1, a = 0;
    totals.trace[lane] += long(a * TRACE_UNIT + (a < 0 ? -0.5 : 0.5));
}

static void merge(const Totals& totals, Sums& sums) {
    __int128 sum = (__int128)sums.trace_high << 64 | sums.trace_low;
    for (int lane = 0; lane < WIDTH; ++lane) sum += totals.trace[lane];
    sums.trace_low = (wide)sum, sums.trace_high = (long)(sum >> 64);
}

// The determinant of a larger matrix, one lane: Gauss elimination with pivots
static void determinant(const Lanes* m, int colors, int lane, double* a, double& re, double& im) {
    const int n = colors;
    for (int k = 0; k < 2 * n * n; ++k) a[k] = m[k][lane];
    re = 1, im = 0;
    for (int c = 0; c < n; ++c) {
        int pivot = c;
        auto size = [&](int r) { return a[2 * (r * n + c)] * a[2 * (r * n + c)] + a[2 * (r * n + c) + 1] * a[2 * (r * n + c) + 1]; };
        for (int r = c + 1; r < n; ++r)
            if (size(r) > size(pivot)) pivot = r;
        if (pivot != c) {
            for (int k = 2 * c; k < 2 * n; ++k) {
                const double t = a[2 * pivot * n + k];
                a[2 * pivot * n + k] = a[2 * c * n + k], a[2 * c * n + k] = t;
            }
            re = -re, im = -im;
        }
        const double x = a[2 * (c * n + c)], y = a[2 * (c * n + c) + 1], t = re * x - im * y;
        im = re * y + im * x, re = t;
        const double scale = 1 / (x * x + y * y);
        for (int r = c + 1; r < n; ++r) {
            const double u = a[2 * (r * n + c)], v = a[2 * (r * n + c) + 1];
            const double f = (u * x + v * y) * scale, g = (v * x - u * y) * scale;
            for (int k = c; k < n; ++k) {
                const double p = a[2 * (c * n + k)], q = a[2 * (c * n + k) + 1];
                a[2 * (r * n + k)] -= f * p - g * q, a[2 * (r * n + k) + 1] -= f * q + g * p;
            }
        }
    }
}

static inline Complex determinant(const Lanes* m, int colors) {
    if (colors == 2) return entry(m, 0) * entry(m, 3) - entry(m, 1) * entry(m, 2);
    if (colors == 3) return cross(m, 0) * entry(m, 6) + cross(m, 1) * entry(m, 7) + cross(m, 2) * entry(m, 8);
    Complex det{};
    double* room = new double[2 * colors * colors];
    for (int lane = 0; lane < WIDTH; ++lane) {
        double re, im;
        determinant(m, colors, lane, room, re, im);
        det.re[lane] = re, det.im[lane] = im;
    }
    delete[] room;
    return det;
}

// The largest of |U U^+ - 1|^2, entry by entry, and |det U - 1|^2
template <int COLORS>
static inline Lanes distance(const Lanes* m, int colors) {
    const int n = COLORS ? COLORS : colors;
    const Complex off = determinant(m, n);
    Lanes far = square({off.re - 1, off.im});
    for (int i = 0; i < n; ++i) {
        for (int j = i; j < n; ++j) {
            Complex sum{};
            for (int k = 0; k < n; ++k) sum = sum + entry(m, i * n + k) * adjoint(entry(m, j * n + k));
            if (i == j) sum.re -= 1;
            const Lanes d = square(sum);
            far = larger(d == d ? d : Lanes{} + __builtin_inf(), far);
        }
    }
    return far == far ? far : Lanes{} + __builtin_inf();
}

// The lane of the link that is further from the group than `far`, which becomes its distance; -1 if there is none
static int far_lane(const Lanes* m, int colors, int n, double& far) {
    const Lanes d = colors == 3 ? distance<3>(m, 3) : colors == 2 ? distance<2>(m, 2) : distance<0>(m, colors);
    const LongLanes above = d > far;
    long any = 0;
    for (int lane = 0; lane < WIDTH; ++lane) any |= above[lane];
    int worst = -1;
    for (int lane = 0; any && lane < n; ++lane)
        if (d[lane] > far) far = d[lane], worst = lane;
    return worst;
}

}  // namespace files
