"""The stand-in for CuPy runs kernels as a card does: threads, their meetings, and the bits of the CPU's kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hpcgauge.bench.case import Case
from hpcgauge.errors import DeviceError
from hpcgauge.kernels.cuda_source import PROGRAM, WARP
from hpcgauge.kernels.kernel import SITE_FOLDER
from hpcgauge.kernels.nvrtc import build_cuda
from tests import test_cuda_program, test_sum
from tests.support.emulated import Settings, install
from tests.support.emulated.byhand import EXECUTOR, CardMachine, CardMemory, Hand
from tests.support.emulated.errors import CUDARuntimeError
from tests.support.emulated.settings import ORDERS
from tests.support.gpu import Ranks, difference, launch_text

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("card")]
STRUCT = "struct Call { long long *out; const long long* a; long long n; };\n"
START = 'extern "C" __global__ void launch(const Call call) {\n'
THREAD = "const int thread = blockIdx.x * blockDim.x + threadIdx.x;\n"
EXTENT, GRID = (4, 2, 8, 16), (1, 1, 1, 2)
CASES = [
    Case(name, colors, precision, EXTENT)
    for name in ("staple_sum", "staggered_hop", "plaquette_sum", "inner_each", "random_momenta", "update_links")
    for colors, precision in ((2, "double"), (3, "single"), (3, "double"))
    if Case(name, colors, precision, EXTENT).entry.is_for(colors, precision)
]
HOP = Case("staggered_hop_add", 2, "double", EXTENT)


def one_launch(hand: Hand, body: str, a: np.ndarray, blocks: int = 1, threads: int = 32) -> np.ndarray:
    """What a kernel makes of an array of integers, one for each thread."""
    out, given = hand.put(np.zeros(blocks * threads, np.int64)), hand.put(a)
    function = hand.kernel(STRUCT + START + THREAD + body + "}")
    hand.launch(function, (out, given, len(a)), blocks, threads)
    return hand.get(out, np.zeros(blocks * threads, np.int64))


ORDER = "call.out[atomicAdd((unsigned long long*)call.a, 1ull)] = thread;"


def test_threads_come_in_another_order_each_time(hand: Hand) -> None:
    orders = [one_launch(hand, ORDER, np.zeros(1, np.int64), 5, 96) for _ in range(2)]
    assert all(np.array_equal(np.sort(order), np.arange(5 * 96)) for order in orders)
    assert not np.array_equal(orders[0], orders[1]) and not np.array_equal(orders[0], np.arange(5 * 96))
    blocks, warps = orders[0] // 96, orders[0] % 96 // 32
    # Blocks and warps, one after the other, each in an order of its own
    assert len(blocks[:-1][np.diff(blocks) != 0]) == 4 and len(warps[:-1][np.diff(warps) != 0]) in range(10, 15)
    assert any(not np.array_equal(part % 32, np.arange(32)) for part in orders[0].reshape(-1, 32))


def test_threads_come_in_another_order_after_a_meeting(hand: Hand) -> None:
    count = "atomicAdd((unsigned long long*)call.a, 1ull)"
    body = f"const int before = {count}; __syncwarp(); call.out[{count} - 32] = before;"
    order = one_launch(hand, body, np.zeros(1, np.int64))
    assert np.array_equal(np.sort(order), np.arange(32)) and not np.array_equal(order, np.arange(32))


SHUFFLES = {
    "__shfl_sync(~0u, a, 7)": lambda a, k: a[np.full(32, 7)],
    "__shfl_sync(~0u, a, lane + 3, 8)": lambda a, k: a[k // 8 * 8 + (k + 3) % 8],
    "__shfl_xor_sync(~0u, a, 5)": lambda a, k: a[k ^ 5],
    "__shfl_xor_sync(~0u, a, 16, 16)": lambda a, k: a[np.where((k ^ 16) < k // 16 * 16 + 16, k ^ 16, k)],
    "__shfl_down_sync(~0u, a, 3)": lambda a, k: a[np.where(k + 3 < 32, k + 3, k)],
    "__shfl_up_sync(~0u, a, 3, 16)": lambda a, k: a[np.where(k % 16 >= 3, k - 3, k)],
    "__double_as_longlong(__shfl_xor_sync(~0u, __longlong_as_double(a), 1))": lambda a, k: a[k ^ 1],
    "__shfl_sync(~0u, (int)a, 31)": lambda a, k: np.full(32, a[31]),
    "__ballot_sync(~0u, a > 0)": lambda a, k: np.full(32, (np.int64(1) << k)[a > 0].sum()),
    "__any_sync(~0u, a > 0)": lambda a, k: np.full(32, (a > 0).any()),
    "__all_sync(~0u, a > -1000)": lambda a, k: np.full(32, True),
    "__all_sync(~0u, a > 0)": lambda a, k: np.full(32, False),
    "__reduce_add_sync(~0u, (int)a)": lambda a, k: np.full(32, a.sum()),
    "__reduce_add_sync(~0u, (unsigned)a)": lambda a, k: np.full(32, a.sum() % 2**32),
    "__reduce_or_sync(~0u, (unsigned)a & 0x55)": lambda a, k: np.full(32, np.bitwise_or.reduce(a & 0x55)),
    "__ffs((int)a)": lambda a, k: np.array([(int(x) & -int(x)).bit_length() for x in a]),
    "__popc(a) + 100 * __clz(a) + 10000 * __clzll(a)": lambda a, k: np.array([bits(int(x)) for x in a]),
}


def bits(a: int) -> int:
    low, high = a & 0xFFFFFFFF, a & 0xFFFFFFFFFFFFFFFF
    return low.bit_count() + 100 * (32 - low.bit_length()) + 10000 * (64 - high.bit_length())


@pytest.mark.parametrize("operation", SHUFFLES)
def test_shuffles_and_votes(hand: Hand, operation: str) -> None:
    a = np.random.default_rng(1).integers(-100, 100, 64)
    body = f"const long long a = call.a[thread]; const int lane = threadIdx.x; call.out[thread] = {operation};"
    found = one_launch(hand, body, a, blocks=2)
    expected = [SHUFFLES[operation](part, np.arange(32)) for part in a.reshape(2, 32)]
    assert np.array_equal(found, np.concatenate(expected))


def test_threads_that_have_ended_are_not_waited_for(hand: Hand) -> None:
    body = "if (thread % 3 == 0 || thread >= 40) return; call.out[thread] = __ballot_sync(~0u, 1);"
    found = one_launch(hand, body, np.zeros(1, np.int64), threads=64).reshape(2, 32)
    for warp, votes in enumerate(found):
        here = np.array([k % 3 != 0 and k < 40 for k in 32 * warp + np.arange(32)])
        assert np.array_equal(votes, np.where(here, (np.int64(1) << np.arange(32))[here].sum(), 0))


def test_groups_of_a_warp_meet_among_themselves(hand: Hand) -> None:
    body = "const bool is_low = thread < 16; call.out[thread] = "
    body += "__shfl_sync(is_low ? 0xffffu : ~0xffffu, thread, is_low ? 3 : 20);"
    assert np.array_equal(one_launch(hand, body, np.zeros(1, np.int64)), np.repeat([3, 20], 16))


def test_threads_that_wait_for_others_for_ever_are_an_error(hand: Hand) -> None:
    with pytest.raises(CUDARuntimeError, match="cudaErrorLaunchFailure") as raised:
        one_launch(hand, "if (thread < 5) __syncwarp(); else __any_sync(~0u, 1);", np.zeros(1, np.int64))
    assert raised.value.status == 719 and "wait for others" in raised.value.__notes__[0]


def test_a_grid_that_is_too_large_writes_beyond(hand: Hand) -> None:
    body, a = "call.out[thread] = call.a[thread % call.n];", np.arange(96)
    assert np.array_equal(one_launch(hand, body, a, blocks=3), a)
    out, given = hand.put(np.zeros(1 << 17, np.int64)), hand.put(a)
    hand.launch(hand.kernel(STRUCT + START + THREAD + body + "}"), (out, given, 96), 1 + (1 << 9), 256)
    with pytest.raises(CUDARuntimeError, match="cudaErrorIllegalAddress") as raised:
        hand.runtime.streamSynchronize(hand.stream)
    assert raised.value.status == 700 and "of block (512, 0, 0)" in raised.value.__notes__[0]


def test_a_grid_that_is_too_small_leaves_sites_out(hand: Hand) -> None:
    out, given = hand.put(np.zeros(96, np.int64)), hand.put(np.arange(1, 97))
    body = "if (thread < call.n) call.out[thread] = call.a[thread];"
    hand.launch(hand.kernel(STRUCT + START + THREAD + body + "}"), (out, given, 96), 2)
    assert np.count_nonzero(hand.get(out, np.zeros(96, np.int64))) == 64


@pytest.mark.parametrize(
    "text, message",
    [
        ("__syncthreads();", "__syncthreads"),
        ("__shared__ int a[3];", "__shared__"),
        ("call.out[0] = call.b[0];", "b"),
        ("}\n#include <cmath>\n{", "cmath"),
    ],
)
def test_what_a_unit_may_not_have_does_not_compile(text: str, message: str) -> None:
    with pytest.raises(DeviceError, match=rf"kernel by_hand does not compile for sm_90.*{message}"):
        Hand().kernel(STRUCT + START + text + "}")


def test_multiplications_and_additions_are_joined_unless_forbidden(hand: Hand) -> None:
    from cupy.cuda import nvrtc

    text = 'struct Call { double* a; };\nextern "C" __global__ void f(const Call call) '
    text += "{ call.a[3] = call.a[0] * call.a[1] + call.a[2]; }"
    numbers = np.array([1 + 2.0**-30, 1 + 2.0**-30, -1 - 2.0**-29, 0])
    found = []
    for options in ([], ["--fmad=false"]):
        program = nvrtc.createProgram(text, "f.cu", [], [])
        nvrtc.compileProgram(program, ["--gpu-architecture=sm_90", *options])
        function = hand.driver.moduleGetFunction(hand.driver.moduleLoadData(nvrtc.getCUBIN(program)), "f")
        where = hand.put(numbers)
        hand.launch(function, (where,), 1, 1)
        found.append(hand.get(where, numbers)[3])
    assert found == [2.0**-60, 0]


def test_options_and_architectures_are_looked_at(hand: Hand) -> None:
    from cupy.cuda import nvrtc

    program = nvrtc.createProgram(STRUCT + START + "}", "f.cu", [], [])
    with pytest.raises(RuntimeError, match="NVRTC_ERROR_INVALID_OPTION"):
        nvrtc.compileProgram(program, ["--use_fast_maths"])
    assert "unrecognized option --use_fast_maths" in nvrtc.getProgramLog(program)
    nvrtc.compileProgram(program, ["--gpu-architecture=sm_100"])
    with pytest.raises(RuntimeError, match="CUDA_ERROR_NO_BINARY_FOR_GPU"):
        hand.driver.moduleLoadData(nvrtc.getCUBIN(program))
    with pytest.raises(RuntimeError, match="CUDA_ERROR_INVALID_IMAGE"):
        hand.driver.moduleLoadData(b"no library")


def emulated(case: Case, function: int) -> Ranks:
    """All ranks of a case, their launches on the emulated card."""
    return Ranks(case, GRID, function, EXECUTOR)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-SU({case.colors})-{case.precision}")
def test_a_kernel_of_the_catalogue_gives_the_bits_of_the_cpu(hand: Hand, case: Case) -> None:
    target = case.entry.cuda_target(case.dimensions, case.colors, case.precision)
    built = build_cuda(case.entry.kernel, target, "sm_90")
    assert built.resources["launch"].stack_bytes == 0
    function = hand.driver.moduleGetFunction(hand.driver.moduleLoadData(built.code), "launch")
    wrong = difference(emulated(case, function))
    assert not wrong, wrong


TEXT_FAULTS = {
    "the wrong index of a block": ("blockIdx.x * blockDim", "blockIdx.y * blockDim"),
    "the number of a warp instead of its place": ("call.warps[thread / WARP]", "int(thread / WARP)"),
    "a thread of the next warp": ("thread / WARP >= call.n_warps", "thread / WARP > call.n_warps"),
    "coordinates where neighbours belong": ("lattice_{call.neighbours", "lattice_{call.coordinates"),
    "a field too far": ("call.fields[1]", "call.fields[2]"),
    "every value in the first copy and sum": ("thread / WARP, k, 2)", "thread / WARP, 0, 2)"),
}


@pytest.mark.parametrize("fault", TEXT_FAULTS)
def test_a_fault_in_the_cuda_text_is_caught(hand: Hand, fault: str) -> None:
    text, (right, wrong) = launch_text(HOP), TEXT_FAULTS[fault]
    assert right in text and f"{SITE_FOLDER}" not in text
    assert not difference(emulated(HOP, hand.kernel(text)))
    assert is_caught(emulated(HOP, hand.kernel(text.replace(right, wrong))))


def is_caught(ranks: Ranks) -> bool:
    """True if the card or the comparison finds something."""
    try:
        return bool(difference(ranks))
    except RuntimeError:
        return True


def test_arguments_in_the_wrong_place_and_ghosts_that_are_not_there_are_caught(hand: Hand) -> None:
    function = hand.kernel(launch_text(HOP))
    swapped, beyond = emulated(HOP, function), emulated(HOP, function)
    for launch in swapped.launches:
        launch.call["fields"][[0, 3]] = launch.call["fields"][[3, 0]]
    neighbours = beyond.tables[0].neighbours
    shifted = np.where(neighbours == neighbours.max(), neighbours + WARP, neighbours)
    beyond.launches[0].call["neighbours"] = hand.put(shifted)
    hand.runtime.deviceSynchronize()
    assert is_caught(beyond) and is_caught(swapped)


@pytest.mark.parametrize("order", ORDERS)
def test_a_kernel_that_does_not_wait_for_its_arguments_is_caught(order: str) -> None:
    install(Settings(order=order))
    hand = Hand()
    ranks = emulated(HOP, hand.kernel(launch_text(HOP)))
    for launch in ranks.launches:
        launch.memory.stream = hand.new_stream()
    assert is_caught(ranks)


BETWEEN: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
    (test_cuda_program.test_sums_are_collected_normalised_and_rounded_as_on_the_cpu, ()),
    *((test_cuda_program.test_steps_are_those_of_the_cpu, (seed, last)) for seed in (0, 1) for last in (0.0, 1.0)),
    (test_cuda_program.test_after_a_stop_steps_do_nothing, ()),
    *((test_cuda_program.test_packing_is_that_of_the_cpu, (dtype,)) for dtype in (np.float64, np.float32)),
    *((test_cuda_program.test_conversion, (is_narrowing,)) for is_narrowing in (True, False)),
    *((test_cuda_program.test_a_warp_adds_exactly, (name, "sm_75")) for name in (*test_sum.samples(), "refused")),
    *((test_cuda_program.test_a_warp_adds_exactly, (name, "sm_80")) for name in (*test_sum.samples(), "refused")),
]


@pytest.mark.parametrize(("check", "arguments"), BETWEEN)
def test_what_stands_between_kernels(
    monkeypatch: pytest.MonkeyPatch, check: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    """The tests of the interpreter of PTX, on the emulated card."""
    install(Settings(capability=75 if "sm_75" in arguments else 80))
    hand, names = Hand(), ("collect_sums", "round_sums", "run_steps", "pack", "convert")
    monkeypatch.setattr(test_cuda_program, "Memory", CardMemory)
    monkeypatch.setattr(test_cuda_program, "Machine", CardMachine)
    monkeypatch.setattr(test_cuda_program, "programs", lambda: {name: hand.kernel(PROGRAM, name) for name in names})
    monkeypatch.setattr(test_cuda_program, "program_of", lambda text, name, _: {name: hand.kernel(text, name)})
    check(*arguments)
