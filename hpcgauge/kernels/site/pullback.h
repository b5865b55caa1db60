// The pullback of sums over the paths of CASK.
//
// f = sum_x w_{mu,sigma nu,s}(x) Re tr M_mu(x) P_{sigma nu,s}(W)(x)^+. A path that starts at y = x - j sigma nu passes x
// after j steps of its rails; with A_j(x) = M_mu(y) carried to x along them it is closed there as w A_j P_r^+, r = s - j,
// P_0 = W_mu(x). The step of the left rail that ends at x, changed to V (1 + X), has df = Re tr(C^+ X) with
//   C = sum_{j >= 1, r >= 0} w_{j+r}(x - j sigma nu) A_j P_r^+,
// the right rail's step that ends at x + mu the same with C' = -sum w P_r^+ A_j, and W_mu(x) -> (1 + X) W_mu(x) the terms
// r = 0 of C.
#pragma once
#include "attention_number.h"
#include "slopes.h"

namespace site {

// Products of the links of s steps: from y to y + s nu above, from y - s nu to y below
SITE_FN void rails(const Line& steps, const Matrices<N_DIMENSIONS>& W, int nu, Side (&rail)[2]) {
    if (!KEEPS_MATRICES) return;
    ColorMatrix room;
    EACH_SIDE rail[side].at[1] = &look(W, steps.at[side][1], nu, rail[side].own[1]);
    UNROLL for (int s = 2; s <= REACH; ++s) {
        join(rail[ABOVE].own[s], *rail[ABOVE].at[s - 1], look(W, steps.at[ABOVE][s], nu, room));
        join(rail[BELOW].own[s], look(W, steps.at[BELOW][s], nu, room), *rail[BELOW].at[s - 1]);
        EACH_SIDE rail[side].at[s] = &rail[side].own[s];
    }
}

// Between the rails of a pair mu, nu
struct Rails {
    Side left[2], right[2];
};

// M_mu(x + s nu) or M_mu(x - s nu) carried to x, s = 0 ... last; of W these are the paths P_{nu,s} or P_{-nu,s}.
// ROWS, also below: GROUP_ROWS if M is in the group, else COLORS.
template <int ROWS>
SITE_FN void carry_all(const Line& line, const Matrices<N_DIMENSIONS>& M, int mu, const Rails& rails, int side, int last,
                       Side& carried) {
    if (!KEEPS_MATRICES) return;
    ColorMatrix room;
    carried.at[0] = &look(M, line.at[side][0], mu, carried.own[0]);
    UNROLL for (int s = 1; s <= last; ++s) {
        if (s < last) call_ahead(M, line.at[side][s + 1], mu);
        carry<ROWS>(carried.own[s], side, *rails.left[side].at[s], look(M, line.at[side][s], mu, room),
                    *rails.right[side].at[s]);
        carried.at[s] = &carried.own[s];
    }
}

// What travels along the rails beside mu on one side of nu, to be made step by step where nothing is kept
struct Journey {
    const Line &line, &left, &right;
    int mu, nu, side;
};
// r = the product of the links of `last` steps
SITE_FN void rail_again(const Line& steps, const Matrices<N_DIMENSIONS>& W, const Journey& way, int last, ColorMatrix& r) {
    ColorMatrix before, room;
    fetch(W.reals, steps.at[way.side][1], way.nu * MATRIX_REALS, r.a);
    UNROLL for (int s = 2; s <= last; ++s) {
        before = r;
        const ColorMatrix& link = look(W, steps.at[way.side][s], way.nu, room);
        if (way.side == ABOVE)
            join(r, before, link);
        else
            join(r, link, before);
    }
}
// r = what carry_all keeps after s steps
template <int ROWS>
SITE_FN void carry_again(const Journey& way, const Matrices<N_DIMENSIONS>& M, const Matrices<N_DIMENSIONS>& W, int s,
                         ColorMatrix& r) {
    ColorMatrix left, right, room;
    read_again();
    const ColorMatrix& from = look(M, way.line.at[way.side][s], way.mu, room);
    if (s == 0) {
        r = from;
        return;
    }
    rail_again(way.left, W, way, s, left);
    read_again();
    rail_again(way.right, W, way, s, right);
    carry<ROWS>(r, way.side, left, from, right);
}

// [j][s - 1]: the weight of the path of s steps that starts at x - j sigma nu, j <= s
struct Weights {
    real w[REACH + 1][REACH];
};

// The slopes of the right rail's steps
SITE_FN int right_slopes(int mu, int nu, int side) { return 2 * N_DIMENSIONS + 2 * plane_number(mu, nu) + side; }

// The cotangents of steps that end at x, in the order of Slopes: kept, or else where they are to be written
struct Ending {
    Slopes slopes;
    Site x;
    Traceless kept[KEEPS_MATRICES ? 2 * N_DIMENSIONS : 1];
};
SITE_FN Traceless ending_at(const Ending& ending, int k) {
    return KEEPS_MATRICES ? ending.kept[k] : get(ending.slopes, ending.x, k);
}
SITE_FN void set(Ending& ending, int k, const Traceless& value) {
    if (KEEPS_MATRICES)
        ending.kept[k] = value;
    else
        set(ending.slopes, ending.x, k, value);
}
SITE_FN Ending no_steps(const Slopes& slopes, Site x) {
    Ending ending{slopes, x};
    for (int k = 0; k < 2 * N_DIMENSIONS; ++k) set(ending, k, zero_traceless());
    return ending;
}
SITE_FN void finish(const Ending& ending) {
    if (KEEPS_MATRICES) for (int k = 0; k < 2 * N_DIMENSIONS; ++k) set(ending.slopes, ending.x, k, ending.kept[k]);
}
// Adds what closed_products finds: `first`, and of a side `left` and `right`
SITE_FN void add_first(Ending& ending, int mu, const Traceless& first) { set(ending, mu, ending_at(ending, mu) + first); }
SITE_FN void add_sides(Ending& ending, int mu, int nu, int side, const Traceless& left, const Traceless& right) {
    // V = W_nu(x - nu), or W_nu(x)^+, which turns the sign
    if (side == ABOVE)
        set(ending, N_DIMENSIONS + nu, ending_at(ending, N_DIMENSIONS + nu) + left);
    else
        set(ending, nu, ending_at(ending, nu) - left);
    set(ending.slopes, ending.x, right_slopes(mu, nu, side), right);
}

// Adds the paths along sigma nu beside mu; `moved`: A_j, `paths`: P_r
SITE_FN void pull_back_steps(const Weights& weights, int mu, int nu, int side, const Side& moved, const Side& paths,
                             Ending& ending) {
    ColorMatrix arriving[REACH];  // [r]: sum_j w A_j
    for (int k = 0; k < MATRIX_REALS; ++k) {
        UNROLL for (int r = 0; r < REACH; ++r) {
            real sum = weights.w[1][r] * moved.own[1].a[k];
            UNROLL for (int j = 2; j + r <= REACH; ++j) sum = fma(weights.w[j][j + r - 1], moved.own[j].a[k], sum);
            arriving[r].a[k] = sum;
        }
    }
    Traceless first, left, right;
    closed_products(arriving, paths.at, first, left, right);
    add_first(ending, mu, first);
    add_sides(ending, mu, nu, side, left, right);
}

// pull_back_steps where nothing is kept: A_j and P_r are made, used and forgotten; visit(r, P_r, A_1), r = 0 ... last
template <int ROWS, class Visit>
SITE_FN void pull_back_again(const Weights& weights, const Journey& way, const Matrices<N_DIMENSIONS>& M,
                             const Matrices<N_DIMENSIONS>& W, int last, Ending& ending, Visit visit) {
    const Journey back{way.line, way.left, way.right, way.mu, way.nu, BELOW - way.side};
    ColorMatrix arriving[REACH], moved, path;
    UNROLL for (int j = 1; j <= REACH; ++j) {
        carry_again<ROWS>(back, M, W, j, moved);
        if (j == 1) visit(0, look(W, way.line.at[way.side][0], way.mu, path), moved);
        UNROLL for (int r = 0; j + r <= REACH; ++r) EACH_REAL {
            real& sum = arriving[r].a[k];
            sum = j == 1 ? weights.w[1][r] * moved.a[k] : fma(weights.w[j][j + r - 1], moved.a[k], sum);
        }
    }
    ClosedSum sum = zero_closed_sum();
    UNROLL for (int r = 0; r <= last; ++r) {
        carry_again<GROUP_ROWS>(way, W, W, r, path);
        read_again();
        if (r < REACH) add_closed(sum, arriving[r], path);
        if (r == 0) {
            add_first(ending, way.mu, closed_left(sum));
            continue;
        }
        if (r < REACH) carry_again<ROWS>(back, M, W, 1, moved);
        visit(r, path, moved);
    }
    add_sides(ending, way.mu, way.nu, way.side, closed_left(sum), closed_right(sum));
}

// Calls what the last lines of a pullback write, before the work on the last direction
SITE_FN void call_ending(const Slopes& slopes, Site x, int nu) {
    if (nu < N_DIMENSIONS - 1) return;
    for (int k = 0; k < 2 * N_DIMENSIONS; ++k) call_ahead(slopes, x, k);
}

// Of sum a P(W) with the cotangent M: the slopes of W, and da/dt Re tr M P^+ of the paths that start at x - sigma nu, the
// cotangents of the differences t of traces that a is made of
SITE_FN void path_pullback(const Lattice& g, Site x, Slopes slopes, Reals<PATHS> shifted, Reals<PATHS> a,
                           Matrices<N_DIMENSIONS> M, Matrices<N_DIMENSIONS> W) {
    Ending ending = no_steps(slopes, x);
    Rails both;
    Side moved, paths;
    Weights weights;
    for (int nu = 0; nu < N_DIMENSIONS; ++nu) {
        const Line line = line_of(g, x, nu), left = left_steps(line);
        call_ending(slopes, x, nu);
        rails(left, W, nu, both.left);
        EACH_OTHER(nu, mu) {
            const Line right = right_steps(g, x, mu, nu);
            rails(right, W, nu, both.right);
            EACH_SIDE {
                const int first = path_number(mu, nu, side, 1);
                call_ahead(slopes, x, right_slopes(mu, nu, side));
                call_ahead(shifted, x, first, REACH);
                for (int j = 1; j <= REACH; ++j) call_ahead(a, line.at[BELOW - side][j], first, REACH);
                call_ahead(W, line.at[side][1], mu);
                carry_all<COLORS>(line, M, mu, both, BELOW - side, REACH, moved);
                carry_all<GROUP_ROWS>(line, W, mu, both, side, REACH - 1, paths);
                UNROLL for (int j = 1; j <= REACH; ++j) fetch(a, line.at[BELOW - side][j], first, weights.w[j]);
                if (side == ABOVE) call_ahead(M, line.at[ABOVE][1], mu);
                const auto trace = [&](int r, const ColorMatrix& path, const ColorMatrix& arrived) {
                    set(shifted, x, first + r, attention_slope(weights.w[1][r]) * real_product(arrived, path));
                };
                if (KEEPS_MATRICES) {
                    pull_back_steps(weights, mu, nu, side, moved, paths, ending);
                    UNROLL for (int r = 0; r < REACH; ++r) trace(r, *paths.at[r], moved.own[1]);
                } else {
                    pull_back_again<COLORS>(weights, Journey{line, left, right, mu, nu, side}, M, W, REACH - 1, ending, trace);
                }
            }
        }
    }
    finish(ending);
}

}  // namespace site
