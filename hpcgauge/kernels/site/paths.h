// The paths of CASK (arXiv:2501.16955): P_{sigma nu,s}(x) goes s steps along sigma nu, one step along mu, s steps back.
//
// Numbers on paths are Reals<PATHS>: [plane][sigma = +, -][s - 1], the planes being the pairs mu, nu != mu.
#pragma once
#include "group.h"
#include "links.h"

namespace site {

static constexpr int PLANES = N_DIMENSIONS * (N_DIMENSIONS - 1), PATHS = PLANES * 2 * REACH;

// Paths along nu, and along -nu
enum PathSide : int { ABOVE, BELOW };
#define EACH_SIDE UNROLL for (int side = ABOVE; side <= BELOW; ++side)

// The number of the ordered pair mu, nu
SITE_FN int plane_number(int mu, int nu) { return mu * (N_DIMENSIONS - 1) + nu - (nu > mu); }
SITE_FN int path_number(int mu, int nu, int side, int s) { return (plane_number(mu, nu) * 2 + side) * REACH + s - 1; }

#define EACH_OTHER(mu, nu) for (int nu = 0; nu < N_DIMENSIONS; ++nu) if (nu != mu)

// r = a b in the group, r none of the factors, nor below
MATRIX_FN void join(ColorMatrix& __restrict__ r, const ColorMatrix& a, const ColorMatrix& b) {
    r = product<GROUP_ROWS>(a, b);
    complete(r);
}
// r = left m right^+; ROWS: those to be multiplied out, GROUP_ROWS if m is in the group
template <int ROWS>
MATRIX_FN void carry_down(ColorMatrix& __restrict__ r, const ColorMatrix& left, const ColorMatrix& m, const ColorMatrix& right) {
    r = product_adjoint<ROWS>(product<ROWS>(left, m), right);
    if (ROWS < COLORS) complete(r);
}
// r = left^+ m right
template <int ROWS>
MATRIX_FN void carry_up(ColorMatrix& __restrict__ r, const ColorMatrix& left, const ColorMatrix& m, const ColorMatrix& right) {
    r = product<ROWS>(adjoint_product<ROWS>(left, m), right);
    if (ROWS < COLORS) complete(r);
}

// r = m from the far end of the steps `left` and `right` of a path, carried to the near one
template <int ROWS>
SITE_FN void carry(ColorMatrix& r, int side, const ColorMatrix& left, const ColorMatrix& m, const ColorMatrix& right) {
    if (side == ABOVE)
        carry_down<ROWS>(r, left, m, right);
    else
        carry_up<ROWS>(r, left, m, right);
}

// [side][s]: x + s nu and x - s nu, s = 0 ... REACH
struct Line {
    Site at[2][REACH + 1];
};
SITE_FN Line line_of(const Lattice& g, Site x, int nu) {
    Line line;
    UNROLL for (int s = 0; s <= REACH; ++s) {
        line.at[ABOVE][s] = shift(g, x, nu, s);
        line.at[BELOW][s] = shift(g, x, nu, -s);
    }
    return line;
}

// Matrices after s = 0 ... REACH steps, where they lie or in `own`
struct Side {
    const ColorMatrix* at[REACH + 1];
    ColorMatrix own[REACH + 1];
};

// [side][s], s >= 1: where the link of step s of a rail stands, on the left from x, on the right from x + mu
SITE_FN Line left_steps(const Line& line) {
    Line steps;
    UNROLL for (int s = 1; s <= REACH; ++s) {
        steps.at[ABOVE][s] = line.at[ABOVE][s - 1];
        steps.at[BELOW][s] = line.at[BELOW][s];
    }
    return steps;
}
SITE_FN Line right_steps(const Lattice& g, Site x, int mu, int nu) {
    Line steps;
    UNROLL for (int s = 1; s <= REACH; ++s) {
        steps.at[ABOVE][s] = shift(g, x, mu, 1, nu, s - 1);
        steps.at[BELOW][s] = shift(g, x, mu, 1, nu, -s);
    }
    return steps;
}
SITE_FN void step_links(const Line& steps, const Matrices<N_DIMENSIONS>& W, int nu, Side (&links)[2]) {
    if (KEEPS_MATRICES)
        EACH_SIDE UNROLL for (int s = 1; s <= REACH; ++s) links[side].at[s] = &look(W, steps.at[side][s], nu, links[side].own[s]);
}
// That of step s of a left rail, from where it is kept, or looked at again
SITE_FN const ColorMatrix& left_link(const Side (&left)[2], const Line& line, const Matrices<N_DIMENSIONS>& W, int nu, int side,
                                     int s, ColorMatrix& room) {
    if (KEEPS_MATRICES) return *left[side].at[s];
    return look(W, line.at[side][side == ABOVE ? s - 1 : s], nu, room);
}

// Matrices of the own site that grow term by term, one for each direction: kept, or else where they are to be written
struct Growing {
    Matrices<N_DIMENSIONS> field;
    Site x;
    ColorMatrix kept[KEEPS_MATRICES ? N_DIMENSIONS : 1];
};
// To be changed and given to `grown`
SITE_FN ColorMatrix& growing(Growing& sums, int mu) {
    if (KEEPS_MATRICES) return sums.kept[mu];
    sums.kept[0] = get(sums.field, sums.x, mu);
    return sums.kept[0];
}
SITE_FN void grown(const Growing& sums, int mu) {
    if (!KEEPS_MATRICES) set(sums.field, sums.x, mu, sums.kept[0]);
}
SITE_FN void start(Growing& sums, int mu, const ColorMatrix& value) {
    sums.kept[KEEPS_MATRICES ? mu : 0] = value;
    grown(sums, mu);
}
SITE_FN void finish(const Growing& sums) {
    if (KEEPS_MATRICES) EACH_DIRECTION set(sums.field, sums.x, mu, sums.kept[mu]);
}

// sum_{sigma nu s} w P_{sigma nu,s}(W), from the far end: V(x) [w_1 W(x+nu) + V(x+nu) [w_2 W(x+2nu) + ...] V^+] V(x+mu)^+
SITE_FN void path_sum(const Lattice& g, Site x, Matrices<N_DIMENSIONS> sum, Reals<PATHS> weights, Matrices<N_DIMENSIONS> W) {
    ColorMatrix inner, room, step;
    Growing sums{sum, x};
    EACH_DIRECTION start(sums, mu, zero_matrix());
    Side left[2];
    for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
        const Line line = line_of(g, x, nu);
        step_links(left_steps(line), W, nu, left);
        EACH_OTHER(nu, mu) {
            const Line right = right_steps(g, x, mu, nu);
            ColorMatrix carried[2] = {zero_matrix(), zero_matrix()};
            real w[2][REACH];
            EACH_SIDE fetch(weights, x, path_number(mu, nu, side, 1), w[side]);
            UNROLL for (int s = REACH; s >= 1; --s) {
                EACH_SIDE {
                    const ColorMatrix& far = look(W, line.at[side][s], mu, room);
                    EACH_REAL inner.a[k] = fma(w[side][s - 1], far.a[k], carried[side].a[k]);
                    carry<COLORS>(carried[side], side, left_link(left, line, W, nu, side, s, step), inner,
                                  look(W, right.at[side][s], nu, room));
                }
            }
            ColorMatrix& total = growing(sums, mu);
            EACH_REAL total.a[k] = total.a[k] + carried[ABOVE].a[k] + carried[BELOW].a[k];
            grown(sums, mu);
        }
    }
    finish(sums);
}

// [s - 1]: Re tr M_mu P_{sigma nu,s}(W)^+, M, in the group, carried along the paths
SITE_FN void traces(const Line& line, const Side (&left)[2], const Line& right, const ColorMatrix& M,
                    const Matrices<N_DIMENSIONS>& W, int mu, int nu, int side, real (&found)[REACH]) {
    ColorMatrix moved[2], room, step;
    const ColorMatrix* from = &M;
    UNROLL for (int s = 1; s <= REACH; ++s) {
        carry<GROUP_ROWS>(moved[s % 2], BELOW - side, left_link(left, line, W, nu, side, s, step), *from,
                          look(W, right.at[side][s], nu, room));
        from = &moved[s % 2];
        found[s - 1] = real_product(*from, look(W, line.at[side][s], mu, room));
    }
}

// Re tr W_mu P_{+nu,s}(W)^+, the loops of s steps along nu and one along mu; what stands at sigma = - is left alone
SITE_FN void loop_traces(const Lattice& g, Site x, Reals<PATHS> loops, Matrices<N_DIMENSIONS> W) {
    Side left[2];
    ColorMatrix room;
    for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
        const Line line = line_of(g, x, nu);
        step_links(left_steps(line), W, nu, left);
        EACH_OTHER(nu, mu) {
            const Line right = right_steps(g, x, mu, nu);
            call_ahead(loops, x, path_number(mu, nu, ABOVE, 1), REACH);
            real found[REACH];
            traces(line, left, right, look(W, x, mu, room), W, mu, nu, ABOVE, found);
            put(loops, x, path_number(mu, nu, ABOVE, 1), found);
        }
    }
}

}  // namespace site
