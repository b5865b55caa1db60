// From the bytes of a gauge file into the memory of a field or an array, with checks on the way, and back. Plain C++, for the
// CPU only. A unit is what the file keeps together: a site with its links, or one link.
#pragma once
#include "gauge_link.h"

#include <errno.h>
#include <unistd.h>

namespace files {

// The numbers of a unit in the file
struct Form {
    long real_bytes, swaps, colors, rows, links, is_quaternion;
};

// Where they belong: component k of link i of a unit is number base[unit] + i * link_distance + k * stride; a unit with a
// negative base belongs nowhere. `is_paired`: units follow x, so that two neighbours have different parities. No data: nothing
// is stored.
struct Memory {
    void* data;
    const long* base;
    long real_bytes, stride, link_distance, is_quaternion, is_paired;
};

// Rows of units that lie together, at these bytes of the file, the first unit of each with this number. A buffer holds some
// rows; without a file (-1) it holds all.
struct Rows {
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
static long read_rows(const Rows& rows, long first, long n, long row_bytes) {
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

// The units of one chunk that belong somewhere, those first that lie first in memory if they are paired
struct Order {
    long* units;
    long n;
};

static void arrange(const Memory& memory, const long* base, long n, Order& order) {
    order.n = 0;
    if (!memory.data || !memory.is_paired) {
        for (long i = 0; i < n; ++i)
            if (!memory.data || base[i] >= 0) order.units[order.n++] = i;
        return;
    }
    for (long i = 0; i + 1 < n; i += 2) order.units[order.n++] = base[i] < base[i + 1] ? i : i + 1;
    for (long i = 0; i + 1 < n; i += 2) order.units[order.n++] = base[i] < base[i + 1] ? i + 1 : i;
}

struct Chunk {
    const byte* bytes;
    const long* base;
    long first;
};

// Room of a call: the numbers of a group of links, [component][lane]
struct Room {
    Lanes *stored, *matrix, *quaternion;
    long* order;
};

static void take_group(const Form& form, const Memory& memory, const Chunk& chunk, const long* units, int n, long checks,
                       const Room& room, Sums& sums, Totals& totals) {
    const long unit_bytes = unit_reals(form) * form.real_bytes, link_bytes = unit_bytes / form.links;
    const long count = unit_reals(form) / form.links, whole = 2 * form.colors * form.colors;
    const byte* at[WIDTH];
    for (int lane = 0; lane < WIDTH; ++lane) at[lane] = chunk.bytes + units[lane < n ? lane : 0] * unit_bytes;
    bool in_order = n == WIDTH && memory.data;
    for (int lane = 1; in_order && lane < WIDTH; ++lane) in_order = chunk.base[units[lane]] == chunk.base[units[0]] + lane;
    for (long link = 0; link < form.links; ++link) {
        load_link(form.real_bytes, form.swaps, at, link * link_bytes, count, room.stored);
        const bool is_same = form.is_quaternion && memory.is_quaternion && !(checks & (TRACE | GROUP));
        const Lanes* matrix = room.stored;
        if (form.is_quaternion && !is_same) matrix = matrix_of(room.stored, HIREP_SIGN, room.matrix);
        if (form.rows < form.colors) complete_three(room.stored);
        if (checks & TRACE) add_trace(matrix, form.colors, n, totals, sums);
        if (checks & GROUP) {
            const int worst = far_lane(matrix, form.colors, n, sums.far);
            if (worst >= 0) sums.far_unit = chunk.first + units[worst], sums.far_link = link;
        }
        if (!memory.data) continue;
        const Lanes* out = matrix;
        if (memory.is_quaternion) out = is_same ? turned(room.stored) : quaternion_of(matrix, room.quaternion);
        const long offset = link * memory.link_distance, n_out = memory.is_quaternion ? 4 : whole;
        if (in_order)
            store_lanes(memory.real_bytes, memory.data, chunk.base[units[0]] + offset, memory.stride, n_out, out);
        else
            for (int lane = 0; lane < n; ++lane)
                store_one(memory.real_bytes, memory.data, chunk.base[units[lane]] + offset, memory.stride, n_out, out, lane);
    }
}

static void take_chunk(const Form& form, const Memory& memory, const Chunk& chunk, long n, long checks, const Room& room,
                       Sums& sums) {
    if (!memory.data && !(checks & (TRACE | GROUP))) return;
    Order order{room.order, 0};
    arrange(memory, chunk.base, n, order);
    Totals totals{};
    for (long i = 0; i < order.n; i += WIDTH) {
        const int width = order.n - i < WIDTH ? int(order.n - i) : WIDTH;
        take_group(form, memory, chunk, order.units + i, width, checks, room, sums, totals);
    }
    merge(totals, sums);
}

// One unit from memory into its bytes
static void give_unit(const Form& form, const Memory& memory, long base, byte* out) {
    const long count = unit_reals(form) / form.links;
    for (long link = 0; link < form.links; ++link, out += count * form.real_bytes) {
        const long at = base + link * memory.link_distance;
        double quaternion[4], matrix[8];
        if (memory.is_quaternion) {
            for (int k = 0; k < 4; ++k) quaternion[k] = number_at(memory.real_bytes, memory.data, at + k * memory.stride);
            matrix_of(quaternion, 1.0, matrix);
        }
        for (long k = 0; k < count; ++k)
            put_number(form.real_bytes, form.swaps, out + k * form.real_bytes,
                       memory.is_quaternion ? matrix[k] : number_at(memory.real_bytes, memory.data, at + k * memory.stride));
    }
}

}  // namespace files

using namespace files;

// The rows are read, their checks added to `sums`, their numbers stored; 0, an error of the system, or SHORT. `lanes` is room
// for 3 matrices of WIDTH lanes, `order` for the units of a buffer.
extern "C" long take_rows(const Form* form, const Memory* memory, const Rows* rows, long checks, double* lanes, long* order,
                          Sums* sums) {
    const long unit_bytes = unit_reals(*form) * form->real_bytes, row_bytes = unit_bytes * rows->row_units;
    const long whole = 2 * form->colors * form->colors;
    const Room room{(Lanes*)lanes, (Lanes*)lanes + whole, (Lanes*)lanes + 2 * whole, order};
    for (long first = 0; first < rows->n_rows; first += rows->buffer_rows) {
        const long left = rows->n_rows - first, n = left < rows->buffer_rows ? left : rows->buffer_rows;
        const long problem = rows->file < 0 ? 0 : read_rows(*rows, first, n, row_bytes);
        if (problem) return problem;
        const byte* bytes = rows->buffer + (rows->file < 0 ? first * row_bytes : 0);
        for (long i = 0; i < n; ++i)
            add_bytes(bytes + i * row_bytes, unit_bytes, rows->row_units, rows->numbers[first + i], form->swaps, checks, *sums);
        const long unit = first * rows->row_units;
        const Chunk chunk{bytes, memory->data ? memory->base + unit : nullptr, unit};
        take_chunk(*form, *memory, chunk, n * rows->row_units, checks, room, *sums);
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
