// From the bytes of a gauge file into the memory of a field or an array, with checks on the way, and back. Plain C++, for the
// CPU only. A unit is what the file keeps together: a site with its links, or one link.
#pragma once
#include "link.h"

#include <errno.h>
#include <unistd.h>

namespace files {

// The numbers of a unit in the file
struct Form {
    long real_bytes, swaps, colors, rows, links, is_quaternion;
};

// Where they belong: component k of link i of a unit is number base[unit] + i * link_distance + k * stride; a unit with a
// negative base belongs nowhere. `pairs`: which units follow each other along x, parities in turns: NONE that are known,
// neighbours in a row, or neighbouring ROWS. No data: nothing is stored.
enum Pairs : long { NONE, NEIGHBOURS, ROWS };
struct Memory {
    void* data;
    const long* base;
    long real_bytes, stride, link_distance, is_quaternion, pairs;
};

// Rows of units that lie together, at these bytes of the file, the first unit of each with this number. A buffer holds some
// rows; without a file (-1) it holds all.
struct Reading {
    long file;
    const long *offsets, *numbers;
    long n_rows, row_units;
    byte* buffer;
    long buffer_rows;
};

static constexpr long SHORT = -1;

// 0, an error of the system, or SHORT where the file ends
static long read_fully(int file, byte* p, long n, long offset) {
    while (n > 0) {
        const long got = pread(file, p, n, offset);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return got < 0 ? errno : SHORT;
        p += got, n -= got, offset += got;
    }
    return 0;
}

// The rows from `first` on, neighbours in one piece
static long read_rows(const Reading& rows, long first, long n, long row_bytes) {
    for (long i = 0; i < n;) {
        long end = i + 1;
        while (end < n && rows.offsets[first + end] == rows.offsets[first + end - 1] + row_bytes) ++end;
        const long problem = read_fully(rows.file, rows.buffer + i * row_bytes, (end - i) * row_bytes, rows.offsets[first + i]);
        if (problem) return problem;
        i = end;
    }
    return 0;
}

static inline long unit_reals(const Form& form) {
    return form.links * (form.is_quaternion ? 4 : 2 * form.rows * form.colors);
}

// Some rows in memory, where their units belong, and the number of the first unit in the call
struct Chunk {
    const byte* bytes;
    const long* base;
    long first, n_rows, row_units;
};

// The units of one chunk that belong somewhere
struct Order {
    long* units;
    long n;
    void add(const long* base, long unit) {
        if (base[unit] >= 0) units[n++] = unit;
    }
};

// Of all pairs of units, `apart` from each other, at first those that lie lower in memory
static void arrange_pairs(const long* base, long first, long apart, long n_pairs, Order& order) {
    for (int pass = 0; pass < 2; ++pass) {
        for (long i = 0; i < n_pairs; ++i) {
            const long a = first + 2 * i * apart, b = a + apart;
            order.add(base, (base[a] < base[b]) == (pass == 0) ? a : b);
        }
    }
}

static void arrange(const Memory& memory, const Chunk& chunk, Order& order) {
    const long n = chunk.n_rows * chunk.row_units;
    if (!memory.data) {
        for (long i = 0; i < n; ++i) order.units[order.n++] = i;
    } else if (memory.pairs == NEIGHBOURS && n % 2 == 0) {
        arrange_pairs(chunk.base, 0, 1, n / 2, order);
    } else if (memory.pairs == ROWS && chunk.n_rows % 2 == 0) {
        for (long i = 0; i < chunk.row_units; ++i) arrange_pairs(chunk.base, i, chunk.row_units, chunk.n_rows / 2, order);
    } else {
        for (long i = 0; i < n; ++i) order.add(chunk.base, i);
    }
}

// Room of a call: the numbers of a link of two groups of sites, [component][lane], as stored, as matrix, as quaternion
static constexpr int GROUPS = 2;
struct Room {
    Lanes *stored[GROUPS], *matrix[GROUPS], *quaternion[GROUPS];
    long* order;
};

// One link of WIDTH units, n of them counted: checked, and as memory wants it
static const Lanes* take_link(const Form& form, const Memory& memory, const byte* const* at, long offset, int n, long checks,
                              const Room& room, int group, Sums& sums, Totals& totals, int& worst) {
    const long count = unit_reals(form) / form.links;
    Lanes* stored = room.stored[group];
    load_link(form.real_bytes, form.swaps, at, offset, count, stored);
    const Lanes* matrix = form.is_quaternion ? matrix_of(stored, HIREP_SIGN, room.matrix[group]) : stored;
    if (form.rows < form.colors) complete_three(stored);
    if (checks & TRACE) add_trace(matrix, form.colors, n, totals, sums);
    worst = checks & GROUP ? far_lane(matrix, form.colors, n, sums.far) : -1;
    return memory.is_quaternion ? quaternion_of(matrix, room.quaternion[group]) : matrix;
}

// Up to GROUPS * WIDTH units
static void take_units(const Form& form, const Memory& memory, const Chunk& chunk, const long* units, int n, long checks,
                       const Room& room, Sums& sums, Totals& totals) {
    const long unit_bytes = unit_reals(form) * form.real_bytes, link_bytes = unit_bytes / form.links;
    const long n_out = memory.is_quaternion ? 4 : 2 * form.colors * form.colors;
    const int n_groups = (n + WIDTH - 1) / WIDTH;
    const byte* at[GROUPS * WIDTH];
    for (int i = 0; i < n_groups * WIDTH; ++i) at[i] = chunk.bytes + units[i < n ? i : n - 1] * unit_bytes;
    int in_order = 0;
    if (memory.data)
        for (in_order = 1; in_order < n && chunk.base[units[in_order]] == chunk.base[units[0]] + in_order;) ++in_order;
    for (long link = 0; link < form.links; ++link) {
        const Lanes* out[GROUPS];
        for (int group = 0; group < n_groups; ++group) {
            const int left = n - group * WIDTH, first = group * WIDTH;
            int worst;
            out[group] = take_link(form, memory, at + first, link * link_bytes, left < WIDTH ? left : WIDTH, checks, room, group,
                                   sums, totals, worst);
            if (worst >= 0) sums.far_unit = chunk.first + units[first + worst], sums.far_link = link;
        }
        if (!memory.data) continue;
        const long offset = link * memory.link_distance, begin = chunk.base[units[0]] + offset;
        const int whole = in_order / WIDTH * WIDTH;
        if (whole)
            store_lanes(memory.real_bytes, memory.data, begin, memory.stride, n_out, out[0], whole > WIDTH ? out[1] : nullptr);
        for (int i = whole; i < n; ++i)
            store_one(memory.real_bytes, memory.data, chunk.base[units[i]] + offset, memory.stride, n_out, out[i / WIDTH],
                      i % WIDTH);
    }
}

static void take_chunk(const Form& form, const Memory& memory, const Chunk& chunk, long checks, const Room& room, Sums& sums) {
    if (!memory.data && !(checks & (TRACE | GROUP))) return;
    Order order{room.order, 0};
    arrange(memory, chunk, order);
    Totals totals{};
    for (long i = 0; i < order.n; i += GROUPS * WIDTH) {
        const int n_units = order.n - i < GROUPS * WIDTH ? int(order.n - i) : GROUPS * WIDTH;
        take_units(form, memory, chunk, order.units + i, n_units, checks, room, sums, totals);
    }
    merge(totals, sums);
}

// The numbers in the file of a link of SU(2), where file or memory hold quaternions: its matrix, or HiRep's quaternion of
// the first row
static void small_numbers(const Form& form, const Memory& memory, long at, double* out) {
    double a[4], room[8], *m = form.is_quaternion ? room : out;
    double* loaded = memory.is_quaternion ? a : m;
    for (long k = 0; k < (memory.is_quaternion ? 4 : 8); ++k)
        loaded[k] = number_at(memory.real_bytes, memory.data, at + k * memory.stride);
    if (memory.is_quaternion) matrix_of(a, 1.0, m);
    if (form.is_quaternion) out[0] = m[0], out[1] = m[3], out[2] = HIREP_SIGN * m[2], out[3] = m[1];
}

// One unit from memory into its bytes
static void give_unit(const Form& form, const Memory& memory, long base, byte* out) {
    const long count = unit_reals(form) / form.links;
    const bool is_small = form.is_quaternion || memory.is_quaternion;
    for (long link = 0; link < form.links; ++link) {
        const long at = base + link * memory.link_distance;
        double numbers[8];
        if (is_small) small_numbers(form, memory, at, numbers);
        for (long k = 0; k < count; ++k, out += form.real_bytes) {
            const double x = is_small ? numbers[k] : number_at(memory.real_bytes, memory.data, at + k * memory.stride);
            put_number(form.real_bytes, form.swaps, out, x);
        }
    }
}

}  // namespace files

using namespace files;

// The rows are read, their checks added to `sums`, their numbers stored; 0, an error of the system, or SHORT. `lanes` is room
// for 6 matrices of WIDTH lanes, `order` for the units of a buffer.
extern "C" long take_rows(const Form* form, const Memory* memory, const Reading* rows, long checks, double* lanes, long* order,
                          Sums* sums) {
    const long unit_bytes = unit_reals(*form) * form->real_bytes, row_bytes = unit_bytes * rows->row_units;
    const long whole = 2 * form->colors * form->colors;
    Lanes* free = (Lanes*)lanes;
    Room room{{free, free + whole}, {free + 2 * whole, free + 3 * whole}, {free + 4 * whole, free + 5 * whole}, order};
    for (long first = 0; first < rows->n_rows; first += rows->buffer_rows) {
        const long left = rows->n_rows - first, n = left < rows->buffer_rows ? left : rows->buffer_rows;
        const long problem = rows->file < 0 ? 0 : read_rows(*rows, first, n, row_bytes);
        if (problem) return problem;
        const byte* bytes = rows->buffer + (rows->file < 0 ? first * row_bytes : 0);
        for (long i = 0; i < n; ++i)
            add_bytes(bytes + i * row_bytes, unit_bytes, rows->row_units, rows->numbers[first + i], form->swaps, checks, *sums);
        const long unit = first * rows->row_units;
        const Chunk chunk{bytes, memory->data ? memory->base + unit : nullptr, unit, n, rows->row_units};
        take_chunk(*form, *memory, chunk, checks, room, *sums);
    }
    site::streams_end();
    return 0;
}

// Units from memory into their bytes, one behind the other
extern "C" void give_units(const Form* form, const Memory* memory, long n, byte* out) {
    const long unit_bytes = unit_reals(*form) * form->real_bytes;
    for (long i = 0; i < n; ++i)
        if (memory->base[i] >= 0) give_unit(*form, *memory, memory->base[i], out + i * unit_bytes);
}

// Both sums of MILC from words gathered by rotation
extern "C" void rotate_words(const Sums* sums, word* out) {
    out[0] = out[1] = 0;
    for (int k = 0; k < 29; ++k) out[0] ^= rotated(sums->by_29[k], k);
    for (int k = 0; k < 31; ++k) out[1] ^= rotated(sums->by_31[k], k);
}
