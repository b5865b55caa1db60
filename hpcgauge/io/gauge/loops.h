// Plaquettes of links in an array [mu][t][z][y][x][row][column][re, im], for files that no field holds. Plain C++, for the CPU
// only.
#pragma once
#include "link.h"

namespace files {

// Numbers of links, and what lies between neighbours in them: extents x, y, z, the slices of t that have one above them
struct Box {
    const void* data;
    long real_bytes, colors, link_distance, extent[4];
};

// Re tr[U_mu(x) U_nu(x+mu) U_mu(x+nu)^+ U_nu(x)^+]
template <class Real, int COLORS>
static double plaquette(const Real* a, const Real* b, const Real* c, const Real* d, int colors) {
    const int n = COLORS ? COLORS : colors;
    double sum = 0;
    for (int i = 0; i < n; ++i) {
        for (int j = 0; j < n; ++j) {
            double re = 0, im = 0, other_re = 0, other_im = 0;
            for (int k = 0; k < n; ++k) {
                const Real *p = a + 2 * (i * n + k), *q = b + 2 * (k * n + j), *r = d + 2 * (i * n + k), *s = c + 2 * (k * n + j);
                re += double(p[0]) * q[0] - double(p[1]) * q[1], im += double(p[0]) * q[1] + double(p[1]) * q[0];
                other_re += double(r[0]) * s[0] - double(r[1]) * s[1], other_im += double(r[0]) * s[1] + double(r[1]) * s[0];
            }
            sum += re * other_re + im * other_im;
        }
    }
    return sum;
}

template <class Real, int COLORS>
static void add_plaquettes(const Box& box, Sums& sums) {
    const long matrix = 2 * box.colors * box.colors, *extent = box.extent;
    const long stride[4] = {1, extent[0], extent[0] * extent[1], extent[0] * extent[1] * extent[2]};
    const Real* data = (const Real*)box.data;
    Totals totals{};
    for (long site = 0; site < stride[3] * extent[3]; ++site) {
        const Real* next[4][4];
        for (int mu = 0; mu < 4; ++mu) {
            const long x = site / stride[mu] % extent[mu];
            const long up = site + (mu < 3 && x == extent[mu] - 1 ? -x * stride[mu] : stride[mu]);
            for (int nu = 0; nu < 4; ++nu) next[mu][nu] = data + nu * box.link_distance + up * matrix;
        }
        double sum = 0;
        for (int mu = 0; mu < 4; ++mu) {
            const Real* a = data + mu * box.link_distance + site * matrix;
            for (int nu = mu + 1; nu < 4; ++nu) {
                const Real* d = data + nu * box.link_distance + site * matrix;
                sum += plaquette<Real, COLORS>(a, next[mu][nu], next[nu][mu], d, box.colors);
            }
        }
        add_number(sum / 6, int(site % WIDTH), totals, sums);
    }
    merge(totals, sums);
}

template <class Real>
static void add_plaquettes(const Box& box, Sums& sums) {
    if (box.colors == 3) return add_plaquettes<Real, 3>(box, sums);
    if (box.colors == 2) return add_plaquettes<Real, 2>(box, sums);
    add_plaquettes<Real, 0>(box, sums);
}

}  // namespace files

// The mean over planes of Re tr P of each site is added to the traces
extern "C" void plaquettes(const files::Box* box, files::Sums* sums) {
    box->real_bytes == 8 ? files::add_plaquettes<double>(*box, *sums) : files::add_plaquettes<float>(*box, *sums);
}
