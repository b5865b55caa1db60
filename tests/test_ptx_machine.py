"""The interpreter of PTX: divergence, memory that checks, instructions it does not know."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tests.support.ptx.machine import Counts, Machine
from tests.support.ptx.memory import Memory
from tests.support.ptx.text import PtxError, parse

pytestmark = pytest.mark.host

HEAD = """
.version 9.0
.target sm_80
.address_size 64
.global .align 4 .b8 odd[8] = {1, 0, 0, 0, 255, 255, 255, 255};
.visible .entry test(.param .u64 p0, .param .u64 p1)
{
    .local .align 8 .b8 depot[16];
    .reg .pred %p<4>; .reg .b32 %r<10>; .reg .b64 %rd<10>; .reg .f64 %fd<6>; .reg .f32 %f<4>;
    ld.param.u64 %rd0, [p0];
    ld.param.u64 %rd1, [p1];
    mov.u32 %r0, %tid.x;
    mul.wide.u32 %rd2, %r0, 8;
    add.s64 %rd3, %rd0, %rd2;
    add.s64 %rd4, %rd1, %rd2;
"""


def run(body: str, given: np.ndarray, written: np.ndarray) -> tuple[np.ndarray, Counts]:
    """What one block leaves in `written`, its second buffer; the first is not to be written."""
    memory = Memory()
    addresses = [memory.add(given, False), memory.add(written, True)]
    counts = Machine(parse(HEAD + body + "ret; }")["test"], memory, (1, 1), 32).run(np.array(addresses).tobytes())
    return memory.read(addresses[1], written), counts


NUMBERS, NOTHING = np.arange(32, dtype=np.uint64), np.zeros(32, np.uint64)


def test_threads_part_and_meet_again() -> None:
    body = """
        mov.u64 %rd5, 0;
        setp.lt.u32 %p0, %r0, 3;
        @%p0 bra $small;
        ld.global.u64 %rd5, [%rd3];
    $again:
        add.s64 %rd5, %rd5, -7;
        setp.gt.s64 %p1, %rd5, 0;
        @%p1 bra $again;
    $small:
        shfl.sync.bfly.b32 %r3|%p2, %r0, 1, 31, -1;
        cvt.u64.u32 %rd6, %r3;
        @!%p0 add.s64 %rd5, %rd5, %rd6;
        st.global.u64 [%rd4], %rd5;
    """
    got, counts = run(body, NUMBERS, NOTHING)
    wanted = [0 if k < 3 else -(-k // 7) * -7 + k + (k ^ 1) for k in range(32)]
    assert got.view(np.int64).tolist() == wanted
    assert counts.threads == 32 and counts.loaded == 29 * 8 and counts.stored == 32 * 8


def test_who_is_at_an_end_cannot_be_waited_for() -> None:
    body = """
        setp.lt.u32 %p0, %r0, 3;
        @%p0 bra $end;
        vote.sync.any.pred %p1, %p0, -1;
    $end:
    """
    with pytest.raises(PtxError, match="wait for others that do not come"):
        run(body, NUMBERS, NOTHING)


def test_multiply_adds_are_rounded_once() -> None:
    rng = np.random.default_rng(1)
    a, b = np.ldexp(rng.uniform(-1, 1, (2, 32)), rng.integers(-20, 20, (2, 32)))
    c = -a * b + np.ldexp(rng.uniform(-1, 1, 32), -60)
    body = """
        ld.global.f64 %fd0, [%rd3];
        ld.global.f64 %fd1, [%rd3+256];
        ld.global.f64 %fd2, [%rd3+512];
        fma.rn.f64 %fd3, %fd0, %fd1, %fd2;
        st.global.f64 [%rd4], %fd3;
    """
    got, counts = run(body, np.concatenate([a, b, c]), np.zeros(32))
    wanted = [float(Fraction(x) * Fraction(y) + Fraction(z)) for x, y, z in zip(a, b, c, strict=True)]
    assert got.tolist() == wanted and counts.flops == 64


def test_local_memory_and_constants() -> None:
    body = """
        mov.u64 %rd5, depot;
        cvta.local.u64 %rd6, %rd5;
        st.local.u64 [%rd5+8], %rd2;
        mov.u64 %rd7, odd;
        ld.global.nc.s32 %rd8, [%rd7+4];
        ld.u64 %rd9, [%rd6+8];
        add.s64 %rd9, %rd9, %rd8;
        st.global.u64 [%rd4], %rd9;
    """
    got, counts = run(body, NUMBERS, NOTHING)
    assert got.view(np.int64).tolist() == [8 * k - 1 for k in range(32)]
    assert counts.local == 2 * 32 * 8


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("st.global.u64 [%rd3], %rd2;", "a store of 8 bytes outside of the buffers"),
        ("ld.global.u64 %rd5, [%rd3+8];", "a load of 8 bytes outside of the buffers"),
        ("ld.global.u64 %rd5, [%rd3+-8];", "a load of 8 bytes outside of the buffers"),
        ("ld.global.u64 %rd5, [%rd3+4];", "not a multiple of 8"),
        ("ld.global.u64 %rd5, [%rd2];", "is no global memory"),
        ("ld.local.u64 %rd5, [%rd2];", "outside of 16 bytes of local memory"),
        ("atom.global.add.u64 %rd5, [%rd3], %rd2;", "a store of 8 bytes outside of the buffers"),
        ("sin.approx.f32 %f0, %f1;", r"unknown instruction: sin\.approx\.f32"),
        ("fma.rz.f64 %fd0, %fd1, %fd2, %fd3;", r"unknown instruction: fma\.rz\.f64"),
        ("add.ftz.f32 %f0, %f1, %f2;", r"unknown instruction: add\.ftz\.f32"),
        ("bar.sync 0;", r"unknown instruction: bar\.sync"),
        ("cvt.rni.s32.f64 %r1, %fd0;", r"unknown conversion: cvt\.rni\.s32\.f64"),
        ("add.s32 %r1, %rd0, %r2;", "has 8 bytes, 4 are asked for"),
        ("call (%r1), nothing;", "unknown instruction: call"),
    ],
)
def test_what_must_not_be_is_named(line: str, said: str) -> None:
    with pytest.raises(PtxError, match=said):
        run(line, NUMBERS, NOTHING)
