"""The numbers of site code: the platform's operations, elementary functions and random draws."""

from __future__ import annotations

import ctypes
import math

import mpmath
import numpy as np
import pytest

from hpcgauge.bench.oracle import philox as oracle
from tests.support.mathharness import Target, aligned, library, pointer, targets

FUNCTIONS = ("exp", "log", "sin", "cos", "tan", "sqrt")
LARGEST_ERROR = {"sqrt": 0.5} | dict.fromkeys(("exp", "log", "sin", "cos", "tan"), 2.0)  # in ulp
ANGLE = {"double": 1e5, "single": 1e4}
PRECISIONS = ("double", "single")
BITS = {"double": 53, "single": 24}
SMALLEST_EXPONENT = {"double": -1074, "single": -149}

SOURCE = """
#include "site/philox.h"
namespace site {
#define EACH for (long i = 0; i < n; i += ON_GPU ? 1 : LANES)
#define FUNCTION(name) extern "C" void apply_##name(scalar* out, const scalar* x, long n) { \\
    EACH store(out + i, name(load(x + i))); }
FUNCTION(exp) FUNCTION(log) FUNCTION(sin) FUNCTION(cos) FUNCTION(tan) FUNCTION(sqrt)
extern "C" void apply_fma(scalar* out, const scalar* a, const scalar* b, const scalar* c, long n) {
    EACH store(out + i, fma(load(a + i), load(b + i), load(c + i)));
}
extern "C" void apply_gather(scalar* out, const scalar* base, const int* index, long n) {
    EACH store(out + i, gather(base, load_index(index + i)));
}
extern "C" void apply_choice(scalar* out, const scalar* a, const scalar* b, long n) {
    EACH {
        real x = load_unaligned(a + i), y = load(b + i), smaller = min(x, flip(y, sign_bit(x)));
        store(out + i, select(abs(x) < y, max(x, y), smaller));
    }
}
extern "C" void apply_masks(int* out, const scalar* a, const scalar* b, long n) {
    EACH out[i] = 2 * any(load(a + i) < load(b + i)) + all(load(a + i) < load(b + i));
}
extern "C" void apply_conversions(scalar* out, const scalar* a, const int* index, long n) {
    EACH {
        wide parts[WIDE_PARTS];
        for (int part = 0; part < WIDE_PARTS; ++part) parts[part] = widen(load(a + i), part) * 2.0;
        integer k = to_integer(load(a + i)) + as_integer(load_index(index + i));
        store(out + i, narrow(parts) + to_real(k));
    }
}
extern "C" void apply_lanes(scalar* out, const scalar* a, long n) {
    EACH store(out + i, broadcast(lane(load(a + i), LANES - 1)) * to_real(lane_number()));
}
#if defined(HPC_DOUBLE)
extern "C" void draw_words(uint64* out, const int64* sites, const unsigned* d, long n) {
    EACH {
        RandomWords r = philox(*(const words*)(sites + i), Draw{d[0], d[1], d[2], d[3], d[4]});
        for (int j = 0; j < 4; ++j) *(words*)(out + j * n + i) = r.w[j];
    }
}
#define DRAW(name) extern "C" void draw_##name(double* out, const int64* sites, const unsigned* d, long n) { EACH { \\
    Pair r = name(*(const words*)(sites + i), Draw{d[0], d[1], d[2], d[3], d[4]}); \\
    store(out + i, r.first); store(out + n + i, r.second); } }
DRAW(uniforms) DRAW(normals)
#endif
}
"""


def apply(name: str, target: Target, *arrays: np.ndarray) -> np.ndarray:
    """One operation on arrays of length 16 n."""
    copies = [aligned(a if a.dtype == np.int32 else a.astype(target.dtype)) for a in arrays]
    out = aligned(np.zeros(copies[-1].size, dtype=target.dtype))
    function = getattr(library(SOURCE, target), "apply_" + name)
    function(pointer(out), *(pointer(c) for c in copies), ctypes.c_long(out.size))
    return out


def draw(name: str, target: Target, sites: np.ndarray, counter: tuple[int, int, int], seed: int) -> np.ndarray:
    """Two numbers, or four words, for every site."""
    dtype, rows = (np.uint64, 4) if name == "words" else (np.float64, 2)
    out, lanes = aligned(np.zeros((rows, sites.size), dtype)), aligned(sites.astype(np.int64))
    words = np.array([*counter, seed & 0xFFFFFFFF, seed >> 32], dtype=np.uint32)
    function = getattr(library(SOURCE, target), "draw_" + name)
    function(pointer(out), pointer(lanes), pointer(words), ctypes.c_long(sites.size))
    return out


def arguments(name: str, precision: str, count: int = 512) -> np.ndarray:
    """Arguments over the whole domain, with the difficult places dense."""
    g = np.random.default_rng(7)
    lowest, smallest = SMALLEST_EXPONENT[precision], SMALLEST_EXPONENT[precision] + BITS[precision] - 1
    if name == "exp":
        parts = [g.uniform(lowest * math.log(2), -lowest * math.log(2), count), g.normal(0, 1, count)]
        parts += [g.uniform((lowest - 1) * math.log(2), smallest * math.log(2), count), g.normal(0, 1e-5, count)]
    elif name in ("log", "sqrt"):
        parts = [np.ldexp(g.uniform(1, 2, count), g.integers(smallest, -smallest, count)), 1 + g.normal(0, 1e-3, count)]
        parts += [g.uniform(0.5, 2, count), np.ldexp(g.uniform(1, 2, count), g.integers(lowest, smallest, count))]
    else:
        multiples = np.round(g.uniform(-1, 1, count) * ANGLE[precision] * 2 / np.pi) * np.pi / 2
        parts = [g.uniform(-ANGLE[precision], ANGLE[precision], count), multiples, g.uniform(-4, 4, count)]
        parts += [np.exp(g.uniform(-40, 1, count))]
    return np.concatenate(parts).astype(Target(precision, 2).dtype)


def spacing(value: mpmath.mpf, precision: str) -> mpmath.mpf:
    """The distance of neighbouring numbers at a value."""
    exponent = int(mpmath.floor(mpmath.log(abs(value), 2))) if value else SMALLEST_EXPONENT[precision]
    return mpmath.mpf(2) ** max(exponent - BITS[precision] + 1, SMALLEST_EXPONENT[precision])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_within_two_ulp(name: str, precision: str) -> None:
    x = arguments(name, precision)
    values = apply(name, targets(precision)[0], x)
    largest = float(np.finfo(x.dtype).max)
    with mpmath.workprec(250):
        exact = [getattr(mpmath, name)(mpmath.mpf(float(argument))) for argument in x]
        for argument, value, truth in zip(x, values, exact, strict=True):
            if math.isinf(value):
                assert truth > largest, argument
            else:
                error = abs(mpmath.mpf(float(value)) - truth) / spacing(truth, precision)
                assert error <= LARGEST_ERROR[name], (argument, value, float(error))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_special_values(precision: str) -> None:
    target = targets(precision)[0]
    x = np.resize(np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 1e30]), 16)
    nan, inf = np.nan, np.inf
    expected = {
        "exp": [1, 1, inf, 0, nan, None, None, inf],
        "log": [-inf, -inf, inf, nan, nan, 0, nan, None],
        "sin": [0, 0, nan, nan, nan, None, None, nan],
        "cos": [1, 1, nan, nan, nan, None, None, nan],
        "tan": [0, 0, nan, nan, nan, None, None, nan],
        "sqrt": [0, 0, inf, nan, nan, 1, nan, None],
    }
    for name, values in expected.items():
        for value, wanted in zip(apply(name, target, x)[:8], values, strict=True):
            assert wanted is None or value == wanted or (math.isnan(wanted) and math.isnan(value)), (name, values)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_fma_rounds_once(precision: str) -> None:
    g = np.random.default_rng(3)
    target = targets(precision)[0]
    a, b = (g.normal(size=256).astype(target.dtype) for _ in range(2))
    c = np.concatenate([-(a * b)[:128], g.normal(size=128).astype(target.dtype)])
    values = apply("fma", target, a, b, c)
    with mpmath.workprec(250):
        for x, y, z, value in zip(a, b, c, values, strict=True):
            truth = mpmath.mpf(float(x)) * float(y) + float(z)
            with mpmath.workprec(BITS[precision]):
                assert value == +truth


@pytest.mark.parametrize("precision", PRECISIONS)
def test_operations_equal_numpy(precision: str) -> None:
    g = np.random.default_rng(4)
    for target in targets(precision):
        lanes = target.lanes
        a, b = (g.normal(size=256).astype(target.dtype) for _ in range(2))
        index = g.integers(0, 256, 256, dtype=np.int32)
        assert np.array_equal(apply("gather", target, a, index), a[index])
        chosen = np.where(np.abs(a) < b, np.maximum(a, b), np.minimum(a, b * np.sign(a)))
        assert np.array_equal(apply("choice", target, a, b), chosen)
        a[:128] = np.minimum(a[:128], b[:128] - 1)
        masks = np.zeros(256, dtype=np.int32)
        x, y = aligned(a), aligned(b)
        library(SOURCE, target).apply_masks(pointer(masks), pointer(x), pointer(y), ctypes.c_long(256))
        smaller = (a < b).reshape(-1, lanes)
        assert np.array_equal(masks[::lanes], 2 * smaller.any(1) + smaller.all(1))
        a *= 100
        last = a.reshape(-1, lanes)[:, -1:]
        assert np.array_equal(apply("lanes", target, a), (last * np.arange(lanes, dtype=a.dtype)).ravel())
        assert np.array_equal(apply("conversions", target, a, index), 2 * a + (np.rint(a) + index).astype(a.dtype))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_bits_are_the_same_for_every_width_and_instruction_set(precision: str) -> None:
    first, *others = targets(precision)
    g = np.random.default_rng(5)
    numbers = [g.normal(size=1024) for _ in range(3)]
    cases = {name: [arguments(name, precision)] for name in FUNCTIONS} | {"fma": numbers}
    for name, arrays in cases.items():
        values = apply(name, first, *arrays)
        for target in others:
            assert np.array_equal(apply(name, target, *arrays), values, equal_nan=True), (name, target)


def test_philox_known_answers() -> None:
    # Random123, kat_vectors, philox4x32 with 10 rounds: counter, key, words
    vectors = """
    00000000 00000000 00000000 00000000 00000000 00000000 6627e8d5 e169c58d bc57ac4c 9b00dbd8
    ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 408f276d 41c83b0e a20bc7c6 6d5451fd
    243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 d16cfe09 94fdcceb 5001e420 24126ea1
    """
    for line in vectors.strip().splitlines():
        n = [int(word, 16) for word in line.split()]
        seed = n[4] | n[5] << 32
        assert oracle.philox((n[0], n[1], n[2], n[3]), (n[4], n[5])).tolist() == n[6:]
        for target in targets("double"):
            words = draw("words", target, np.full(16, n[0]), (n[1], n[2], n[3]), seed)
            assert (words == np.array(n[6:])[:, None]).all()


def test_draws_equal_the_definition() -> None:
    sites, counter, seed = np.arange(2**31 - 2048, 2**31 + 2048), (5, 17, 3 << 16 | 2), 0xFEDCBA9876543210
    wide = 8 * np.finfo(np.float64).eps  # rounding of log, sqrt, 2 pi v and cos, each up to 1 ulp, radius up to 8.6
    expected = oracle.normals(sites, *counter, seed)
    first = draw("normals", targets("double")[0], sites, counter, seed)
    assert np.abs(first - expected).max() < 8.6 * wide
    for target in targets("double"):
        assert np.array_equal(draw("words", target, sites, counter, seed), oracle.words(sites, *counter, seed))
        assert np.array_equal(draw("uniforms", target, sites, counter, seed), oracle.uniforms(sites, *counter, seed))
        assert np.array_equal(draw("normals", target, sites, counter, seed), first)


def test_normals_are_normal() -> None:
    n = 2**19
    x = draw("normals", targets("double")[0], np.arange(n), (0, 1, 2 << 16), 12345)
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((x**power).mean() - mean) < 4.5 * math.sqrt(variance / x.size)
    assert abs((x[0] * x[1]).mean()) < 4.5 / math.sqrt(n)
    assert abs((x[0, 1:] * x[0, :-1]).mean()) < 4.5 / math.sqrt(n)
    u = np.sort(draw("uniforms", targets("double")[0], np.arange(n), (0, 1, 2 << 16), 12345).ravel())
    assert 0 < u[0] < u[-1] < 1
    assert np.abs(u - (np.arange(u.size) + 0.5) / u.size).max() * math.sqrt(u.size) < 2.2  # Kolmogorov: 1e-4
