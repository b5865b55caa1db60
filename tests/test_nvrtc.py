"""Machine code for GPUs without a card: every kernel compiles, what it takes, what is said where NVRTC is missing."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpcgauge.__main__ import main
from hpcgauge.bench import card_limits, cuda
from hpcgauge.errors import ConfigError, DeviceError
from hpcgauge.kernels import nvrtc
from hpcgauge.kernels.cuda_source import LANES, PROGRAM, call_type
from hpcgauge.kernels.kernel import Kernel, Numbers, Sums, reads, writes
from hpcgauge.kernels.source import Target
from tests.support.ranks import ROOT

pytestmark = pytest.mark.host

TARGETS = "sm_80,sm_90"


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return cuda.resources(cuda.chosen(TARGETS, "2,3", "double,single"))


def test_every_kernel_compiles_for_two_targets(rows: list[dict[str, Any]]) -> None:
    found = {(row["kernel"], row["colors"], row["precision"], row["target"]) for row in rows}
    for target in TARGETS.split(","):
        for name in cuda.names():
            assert (name, 3, "double", target) in found
            assert (name, 2, "double", target) in found or "compressed" in name or name == "hop_rows"
    assert all(8 <= row["registers"] <= 255 and 0 < row["occupancy"] <= 1 for row in rows)


def test_kernels_take_little_stack(rows: list[dict[str, Any]]) -> None:
    assert {*cuda.LEAN, *cuda.LARGE} < set(cuda.names())
    assert not cuda.excessive(rows)
    lean = next(row for row in rows if (row["kernel"], row["colors"], row["precision"]) == ("force", 3, "double"))
    assert lean["stack_bytes"] == lean["spill_bytes"] == 0 and cuda.excessive([lean | {"stack_bytes": 8}])
    large = lean | {"kernel": cuda.LARGE[0], "colors": 4, "stack_bytes": 4096}
    for too_much in ({"stack_bytes": 4097}, {"colors": 3}, {"kernel": "force"}, {"precision": "single"}):
        assert not cuda.excessive([large]) and cuda.excessive([large | too_much])


def test_code_between_kernels_has_no_stack() -> None:
    for target in TARGETS.split(","):
        found = nvrtc.machine_code(PROGRAM, "program", target).resources
        assert set(found) == {"collect_sums", "round_sums", "run_steps", "pack", "convert"}
        assert not any(entry.stack_bytes for entry in found.values())


def test_a_triad_moves_pairs_of_numbers() -> None:
    made = nvrtc.machine_code(card_limits.TEXT, "triad", "sm_90")
    assert made.ptx.count("ld.global.v2.f64") == 2 and made.ptx.count("st.global.v2.f64") == 1
    assert made.resources["triad"].stack_bytes == 0


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HPCGAUGE_CACHE", str(tmp_path))
    return tmp_path


SMALL = Target(4, 2, "double", LANES["double"], (4, 4))


def own_kernel(folder: Path, body: str) -> Kernel:
    (folder / "own.h").write_text(
        '#pragma once\n#include "links.h"\nnamespace site {\n'
        "SITE_FN void own(const Lattice& g, Site x, Reals<4> y, Reals<4> z) { " + body + " }\n}\n"
    )
    return Kernel(str(folder / "own.h"), (writes("y", "real"), reads("z", "real")))


def test_code_is_kept_by_its_content(cache: Path) -> None:
    kernel = own_kernel(cache, "set(y, x, 0, get(z, x, 0));")
    first = nvrtc.build_cuda(kernel, SMALL, "sm_90")
    assert first.code[:4] == b"\x7fELF" and ".target sm_90" in first.ptx and first.resources["launch"].registers >= 8
    files = set(cache.glob("*.cubin"))
    assert nvrtc.build_cuda(kernel, SMALL, "sm_90") == first and set(cache.glob("*.cubin")) == files
    nvrtc.build_cuda(kernel, SMALL, "sm_80")
    nvrtc.build_cuda(own_kernel(cache, "set(y, x, 0, -get(z, x, 0));"), SMALL, "sm_90")
    nvrtc.build_cuda(kernel, replace(SMALL, colors=3), "sm_90")
    assert len(set(cache.glob("*.cubin")) - files) == 3


def test_the_layer_of_the_page_compiles(cache: Path) -> None:
    fields = writes("out", "matrix"), reads("given", "matrix"), reads("X", "matrix")
    header = ROOT / "docs" / "examples" / "own_layer.h"
    kernel = Kernel(str(header), (*fields, Numbers("rho", 2), Sums(2)), "weigh")
    assert nvrtc.build_cuda(kernel, replace(SMALL, counts=(4, 4, 4)), "sm_90").resources["launch"].registers <= 255


def test_a_users_header_that_does_not_compile_is_wrong_input(cache: Path) -> None:
    with pytest.raises(ValueError, match=r"kernel own does not compile for sm_90: .*nothing_like_it"):
        nvrtc.build_cuda(own_kernel(cache, "nothing_like_it();"), SMALL, "sm_90")


def test_a_card_that_nvrtc_does_not_know(cache: Path) -> None:
    with pytest.raises(DeviceError, match=r"sm_90.* and not for sm_999; for a newer card install a newer one: pip"):
        nvrtc.build_cuda(own_kernel(cache, "set(y, x, 0, get(z, x, 0));"), SMALL, "sm_999")


def test_the_call_is_what_the_translation_unit_says() -> None:
    assert call_type(3).itemsize == 8 * (8 + 3) and call_type(3).fields["fields"][1] == 64


@pytest.fixture
def forgotten() -> Iterator[None]:
    """Nothing is remembered of NVRTC, before and after."""
    nvrtc.nvrtc.cache_clear()
    yield
    nvrtc.nvrtc.cache_clear()


def test_without_cupy_the_remedy_is_named(forgotten: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setitem(sys.modules, "cupy.cuda", None)
    with pytest.raises(DeviceError, match=r"CuPy cannot be imported .*: pip install 'hpcgauge\[cuda13\]'"):
        nvrtc.nvrtc()


def test_without_nvrtc_the_remedy_is_named(
    forgotten: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent() -> None:
        raise RuntimeError("no libnvrtc.so.13\nand more")

    package = types.ModuleType("cupy.cuda")
    package.nvrtc = types.SimpleNamespace(getVersion=absent)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy.cuda", package)
    with pytest.raises(SystemExit) as end:
        main(["compile", "--target", "sm_90"])
    said = capsys.readouterr().err
    assert end.value.code == 4 and said.count("\n") == 1
    assert "NVRTC, the compiler of CUDA, was not found (no libnvrtc.so.13): pip install 'hpcgauge[cuda13]'" in said


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        (("sm_7", "3", "double"), "--target 'sm_7' is not known"),
        (("sm_90", "three", "double"), "--colors 'three' is not a list"),
        (("sm_90", "9", "double"), "--colors 9 must be 2 to 8"),
        (("sm_90", "3", "half"), "--precision 'half' is not known"),
    ],
)
def test_impossible_lists_are_refused(lists: tuple[str, str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        cuda.chosen(*lists)


def test_occupancy() -> None:
    # Of 64 warps: 16384 registers in each quarter, a warp of 255 takes 256 x 32.
    assert cuda.occupancy(255, "sm_90") == 8 / 64 and cuda.occupancy(32, "sm_90") == 1
    assert cuda.occupancy(65, "sm_80") == 28 / 64 and cuda.occupancy(65, "sm_75") == 28 / 32


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(["compile", *arguments])
    assert end.value.code in (0, None)
    return capsys.readouterr().out


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(printed(capsys, "--list", "--json"))
    assert listed == cuda.names() and printed(capsys, "--list").split("\n")[:-1] == listed
    arguments = ("--target", "sm_90", "--colors", "2", "--precision", "single")
    rows = json.loads(printed(capsys, *arguments, "--json"))
    named = ["kernel", "colors", "precision", "target", "registers", "stack_bytes", "spill_bytes", "occupancy"]
    assert all(list(row) == named for row in rows) and {row["kernel"] for row in rows} < set(listed)
    assert "staggered_hop_add" in printed(capsys, *arguments)
    with pytest.raises(SystemExit) as end:
        main(["compile", "--list", "--target", "sm_90"])
    assert end.value.code == 2
