"""`hpcgauge bench`: rows, operations and bytes counted by hand, and no figure for a kernel that is wrong.

No test looks at how long something took.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from hpcgauge.__main__ import main
from hpcgauge.bench import measure as measuring
from hpcgauge.bench.case import Case, entries
from hpcgauge.bench.count import count
from hpcgauge.bench.formulas import SUMS
from hpcgauge.bench.limits import UNROLLED, VARIANTS, Stream, stream_memory
from hpcgauge.bench.measure import WrongResult, measure
from hpcgauge.bench.oracle.kernels import ORACLES
from hpcgauge.bench.periodic import Periodic, drawn_extent, tile_extent
from hpcgauge.bench.rows import bench, parse_extent
from hpcgauge.comm.world import World
from hpcgauge.errors import ConfigError, exit_code
from hpcgauge.fields.device import Device
from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.loop import run
from tests.support.ranks import agree

pytestmark = pytest.mark.host

KEYS = {
    *("kernel", "extent", "colors", "precision", "parity", "ranks", "threads", "seconds", "seconds_min", "samples"),
    *("flops", "bytes", "footprint", "sets", "gflops", "gbytes_per_s", "fma_gflops", "limited_by", "checked", "device"),
    *("stream_gbytes_per_s", "copy_gbytes_per_s", "triad_gbytes_per_s", "fraction_of_limit"),
}
POSITIVE = ("seconds", "seconds_min", "bytes", "gbytes_per_s", "stream_gbytes_per_s", "fma_gflops")
KERNELS = ("staggered_hop", "combine on vectors", "plaquette_sum", "random_momenta")
SMALL = (4, 4, 4, 4)
# A tile that is repeated in every direction, and cut by ranks.
REPEATED = (32, 8, 8, 8)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "KERNEL_SECONDS", 0.01)
    monkeypatch.setattr(measuring, "SAMPLE_SECONDS", 1e-5)


def check_row(row: dict[str, Any]) -> None:
    assert set(row) == KEYS and row["checked"] is True
    assert all(math.isfinite(row[key]) and row[key] > 0 for key in POSITIVE)
    assert row["seconds_min"] <= row["seconds"] and row["samples"] >= measuring.LEAST_SAMPLES
    assert row["gflops"] == pytest.approx(row["flops"] / row["seconds"] / 1e9)
    assert row["gbytes_per_s"] == pytest.approx(row["bytes"] / row["seconds"] / 1e9)
    needed = {kind: row["gbytes_per_s"] / row[f"{kind}_gbytes_per_s"] for kind in ("stream", "copy", "triad")}
    needed["fma"] = row["gflops"] / row["fma_gflops"]
    assert row["fraction_of_limit"] == pytest.approx(needed[row["limited_by"]])
    assert row["fraction_of_limit"] >= needed["fma"] * (1 - 1e-12)


@pytest.mark.parametrize("colors", [2, 3])
@pytest.mark.parametrize("name", KERNELS)
def test_a_row_for_a_kernel(name: str, colors: int) -> None:
    row = measure(name, Lattice(SMALL, colors))
    check_row(row)
    counts = count(name, 4, colors, "double", row["parity"])
    assert (row["kernel"], row["colors"], row["ranks"], row["sets"]) == (name, colors, 1, 1)
    assert (row["flops"], row["bytes"]) == (256 * counts.flops, 256 * counts.bytes)


def test_every_kernel_can_be_measured() -> None:
    """With one right-hand side it agrees with its tile, and its numbers leave it something to do."""
    for name, entry in entries(4, 1).items():
        lattice = Lattice(SMALL, 2 if entry.is_for(2, "double") else 3)
        periodic = Periodic(name, lattice, "both")
        fields = periodic.fields()
        sums = run(periodic.case.entry.kernel, **fields, **periodic.case.numbers)
        assert periodic.disagreement(fields, sums) == "", name
        written = [field.name for field in entry.kernel.fields if field.access != "read"]
        assert not written or periodic.disagreement(periodic.fields(), sums) != "", f"{name} has nothing to do"


@pytest.mark.ranks
def test_a_row_of_several_ranks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fields beyond the last cache rotate; the ranks' parts of the tiles are right; flops are of all ranks."""
    monkeypatch.setattr(measuring, "cache_size", lambda level: 0)
    row = measure("staggered_hop", Lattice(REPEATED, 3, world, precision="single"))
    check_row(row)
    counts = count("staggered_hop", 4, 3, "single", "even")
    agree(world, row["ranks"] == world.size and row["flops"] == math.prod(REPEATED) * counts.flops)
    agree(world, row["sets"] == 3)


def test_output_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--kernel", "combine", "--extent", "4,4,4", "--colors", "2", "--precision", "single")
    with pytest.raises(SystemExit) as ended:
        main(["bench", *options, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert ended.value.code in (0, None) and found["machine"]["ranks"] == 1
    (row,) = found["rows"]
    check_row(row)
    assert (row["extent"], row["precision"]) == ([4, 4, 4], "single")
    with pytest.raises(SystemExit):
        main(["bench", *options])
    assert "combine" in capsys.readouterr().out


MISTAKES = {
    "kernel": (("staggerd_hop", SMALL, 3, "double"), "near it are staggered_hop"),
    "colors": (("combine", SMALL, 1, "double"), "--colors 1"),
    "precision": (("combine", SMALL, 3, "half"), "--precision 'half'"),
    "draws": (("random_group", SMALL, 3, "single"), "--colors 3 --precision double will do"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_not_possible(mistake: str) -> None:
    arguments, text = MISTAKES[mistake]
    with pytest.raises(ConfigError, match=text):
        bench(World.alone(), *arguments, report=lambda name: None)


@pytest.mark.parametrize("text", ["4", "4,4,5,4", "4,four", "2,2,2,2,2", "0,4,4,4", ""])
def test_wrong_extents(text: str) -> None:
    with pytest.raises(ConfigError, match="2 to 4 even numbers"):
        parse_extent(text)


def test_a_wrong_kernel_has_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """One number of one site, or a sum, beside the formula."""
    right = ORACLES["combine"], ORACLES["kinetic"]

    def output(**arguments: Any) -> dict[str, Any]:
        result = right[0](**arguments)
        result["out"].flat[17] += 1e-9
        return result

    def total(**arguments: Any) -> dict[str, Any]:
        return {SUMS: right[1](**arguments)[SUMS] * (1 + 1e-10)}

    for name, formula in (("combine", output), ("kinetic", total)):
        monkeypatch.setitem(ORACLES, name, formula)
        with pytest.raises(WrongResult, match=f"kernel {name} is wrong: .* is off by") as refused:
            measure(name, Lattice(SMALL, 2))
        assert exit_code(refused.value) == 1


def test_sites_of_the_other_parity_are_compared() -> None:
    """A run on both parities, or on none, is not what is expected of a run on even sites."""
    periodic = Periodic("staggered_hop", Lattice(SMALL, 2), "even")
    case, fields = periodic.case, periodic.fields()
    assert "out is off by" in periodic.disagreement(fields, ())
    run(case.entry.kernel, "even", **fields, **case.numbers)
    assert periodic.disagreement(fields, ()) == ""
    run(case.entry.kernel, "odd", **fields, **case.numbers)
    assert "out is off by" in periodic.disagreement(fields, ())


def test_tiles() -> None:
    assert tile_extent((16, 16, 16, 16)) == (16, 4, 4, 4) and tile_extent((32, 6, 2, 10)) == (16, 6, 2, 10)
    assert tile_extent((24, 24)) == (24, 4)
    assert drawn_extent((16, 16, 16, 16)) == (16, 16, 16, 16) and drawn_extent((32, 32, 32, 32)) == (32, 32, 32, 2)


# Operations of a site counted by hand: a complex product is 6, a sum 2, and the first term of a row is not added to 0.
MATRIX_PRODUCT = 3 * 3 * (3 * 6 + 2 * 2)
MATRIX_VECTOR = 3 * (3 * 6 + 2 * 2)
SMALLEST_HOP = 8 * MATRIX_VECTOR + 7 * 6
QUATERNION_PRODUCT = 4 * (1 + 3 * 2)
FLOPS = {
    ("extend_line", 3): MATRIX_PRODUCT,
    ("extend_line", 2): QUATERNION_PRODUCT,
    ("gauge_rotate", 3): 4 * 2 * MATRIX_PRODUCT,
    ("rectangle_trace", 3): 2 * MATRIX_PRODUCT + 18 + 17,
    ("combine", 3): 4 * 18 * 3,
    ("shifted", 3): 0,
    ("inner on vectors", 3): 6 * 2,
}


@pytest.mark.parametrize(("name", "colors"), FLOPS)
def test_operations(name: str, colors: int) -> None:
    assert (MATRIX_PRODUCT, MATRIX_VECTOR, SMALLEST_HOP) == (198, 66, 570)
    assert count(name, 4, colors, "double", "both").flops == FLOPS[name, colors]


def test_operations_of_a_hop() -> None:
    """8 products and 7 sums, then the factor; sums forth and back may begin with 0."""
    found = 2 * count("staggered_hop", 4, 3, "double", "even").flops
    assert SMALLEST_HOP <= found <= SMALLEST_HOP + 2 * 6 + 6 + 1


# Bytes of a site: what is read once, what is written twice.
BYTES = {
    ("extend_line", 3, "both"): 144 + 144 + 2 * 144,
    ("plaquette_sum", 3, "both"): 4 * 144,
    ("plaquette_sum", 2, "both"): 4 * 32,
    ("staple_sum", 3, "both"): 4 * 144 + 2 * 4 * 144,
    ("kick", 3, "both"): 2 * 4 * 144 + 2 * 4 * 144,
    ("combine on vectors", 3, "both"): 48 + 48 + 2 * 48,
    ("staggered_hop", 3, "both"): 8 * 144 + 48 + 2 * 48,
    ("staggered_hop (compressed)", 3, "even"): (8 * 96 + 8 + 48 + 2 * 48) / 2,
    ("staggered_hop", 3, "even"): (8 * 144 + 48 + 2 * 48) / 2,
    ("staggered_hop", 2, "even"): (8 * 32 + 32 + 2 * 32) / 2,
    ("staggered_hop_add", 3, "odd"): (8 * 144 + 2 * 48 + 2 * 48) / 2,
}


@pytest.mark.parametrize(("name", "colors", "parity"), BYTES)
def test_bytes(name: str, colors: int, parity: str) -> None:
    double, single = (count(name, 4, colors, precision, parity) for precision in ("double", "single"))
    assert double.bytes == BYTES[name, colors, parity] and single.bytes == double.bytes / 2


def test_stores_past_the_caches_count_once() -> None:
    counts = [count("staggered_hop", 4, 3, "double", "even", is_large) for is_large in (0, 1, 2)]
    assert counts[0] == counts[1] and counts[1].bytes - counts[2].bytes == 48 / 2
    assert counts[1].touched == counts[2].touched


@pytest.mark.parametrize("name", ["plaquette_sum", "extend_line", "staggered_hop", "kinetic", "kick", "path_pullback"])
def test_bytes_are_within_the_lists(name: str) -> None:
    """No kernel touches more than its access list says, and nearly all touch all of it."""
    case = Case(name, 2, "double", SMALL, n_rhs=1)
    accesses = {field.name: field.access for field in case.entry.kernel.fields}
    weights = {"read": 1, "write": 2, "update": 2}
    listed = sum(weights[accesses[key]] * kind.components(4, 2) * 8 for key, kind in case.kinds.items())
    found = count(name, 4, 2, "double", "both").bytes
    assert found == listed if name != "extend_line" else found < listed


def test_streams_write_what_they_say() -> None:
    """Every variant leaves the sum of what it read, over all of its memory, and counts the bytes that move."""
    device = Device("cpu", threads=2)
    n_bytes = 1 << 17
    for variant in VARIANTS:
        (memory,) = stream_memory(device, "double", n_bytes, 1)
        memory[:] = np.arange(memory.size) % 3
        stream = Stream(variant, [memory], n_bytes, device, device.lanes)
        n = int(stream.bytes / 8 / (variant.reads + (1 if variant.past else 2)))
        read, out = memory[: variant.reads * n], memory[variant.reads * n : (variant.reads + 1) * n]
        parts = read.reshape(-1, variant.reads, device.lanes).swapaxes(0, 1) if variant.together else read
        parts = parts.reshape(variant.reads, n)
        expected = parts[0] + 0.5 * parts[1] if variant.reads == 2 else parts.sum(axis=0)
        stream.seconds(1)
        assert n % (UNROLLED * device.lanes) == 0 and 0 <= n_bytes - 8 * n * (variant.reads + 1) < n_bytes / 10
        assert np.array_equal(out, expected)
