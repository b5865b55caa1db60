"""`hpcgauge bench --device cuda` on the stand-in for CuPy: rows are complete and checked; figures mean nothing."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from hpcgauge.__main__ import main
from hpcgauge.bench import card as measuring
from hpcgauge.bench import card_limits
from hpcgauge.bench.case import entries
from hpcgauge.bench.count import count
from hpcgauge.bench.measure import WrongResult
from hpcgauge.bench.oracle.kernels import ORACLES
from hpcgauge.bench.rows import bench
from hpcgauge.comm.world import World
from hpcgauge.errors import ConfigError, DeviceError
from hpcgauge.fields.choice import SHARING
from hpcgauge.fields.device import Device
from hpcgauge.fields.lattice import Lattice
from tests.support.emulated import Settings, install
from tests.support.ranks import agree

pytestmark = pytest.mark.host
NAME = "Emulated card (no GPU)"
KEYS = {
    *("kernel", "device", "card", "architecture", "extent", "colors", "precision", "parity", "ranks", "sets"),
    *("footprint", "seconds", "seconds_min", "samples", "flops", "bytes", "gflops", "gbytes_per_s"),
    *("copy_gbytes_per_s", "triad_gbytes_per_s", "limited_by", "fraction_of_limit", "checked"),
}
POSITIVE = ("seconds", "seconds_min", "samples", "bytes", "gbytes_per_s", "fraction_of_limit")
LIMITS = {"copy": "copy_gbytes_per_s", "triad": "triad_gbytes_per_s"}
SMALL = (4, 4, 4, 4)


@pytest.fixture(autouse=True)
def hurry(card: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in ((measuring, "CALLS", 4), (measuring, "SAMPLES", 2), (card_limits, "CACHES", 1 / 8)):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(card_limits, "SAMPLE_SECONDS", 1e-6)


def check_row(row: dict[str, Any]) -> None:
    assert set(row) == KEYS and row["checked"] is True
    assert (row["device"], row["card"], row["architecture"]) == ("cuda", NAME, "sm_90")
    assert all(math.isfinite(row[key]) and row[key] > 0 for key in (*POSITIVE, *LIMITS.values()))
    assert row["seconds_min"] <= row["seconds"]
    assert row["gbytes_per_s"] == pytest.approx(row["bytes"] / row["seconds"] / 1e9)
    assert row["fraction_of_limit"] == pytest.approx(row["gbytes_per_s"] / row[LIMITS[row["limited_by"]]])


def rows(*arguments: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = bench(World.alone(), *arguments, lambda name: None, "cuda")["rows"]
    return found


@pytest.mark.parametrize(("name", "precision"), [("staggered_hop", "double"), ("plaquette_sum", "single")])
def test_a_row_of_a_kernel(name: str, precision: str) -> None:
    (row,) = rows(name, SMALL, 2, precision)
    check_row(row)
    counts = count(name, 4, 2, precision, row["parity"])
    assert (row["flops"], row["bytes"]) == (256 * counts.flops, 256 * counts.moved)
    assert (row["sets"], row["footprint"]) == (1, 256 * counts.touched)


# Bytes of a site: what is read, and what is written.
MOVED = {
    ("staggered_hop", "both"): 8 * 144 + 48 + 48,
    ("staggered_hop_add", "both"): 8 * 144 + 2 * 48 + 48,
    ("plaquette_sum", "both"): 4 * 144,
    ("kick", "both"): 4 * 4 * 144,
    ("combine on vectors", "both"): 3 * 48,
}


@pytest.mark.parametrize(("name", "parity"), MOVED)
def test_bytes_that_a_card_moves(name: str, parity: str) -> None:
    assert count(name, 4, 3, "double", parity).moved == MOVED[name, parity]


@pytest.mark.parametrize("cache", [4, 4 << 20])
def test_fields_beyond_the_cache_come_in_turns(cache: int) -> None:
    lattice = Lattice(SMALL, 2, device="cuda")
    limits = card_limits.Limits(lattice.device)
    measuring.card_of(lattice.device).properties["l2CacheSize"] = cache
    assert measuring.measure("combine", lattice, limits)["sets"] == (3 if cache == 4 else 1)


def test_copies_and_triads_do_what_they_say() -> None:
    """Each moves all of its arrays. What reads as much as it writes is compared with copies."""
    limits = card_limits.Limits(Device("cuda"))
    x, y = (np.random.default_rng(seed).normal(size=limits.x.shape) for seed in (1, 2))
    limits.x[:], limits.y[:] = x, y
    for kind, expected in (("copy", x), ("triad", x + 3 * y)):
        limits.graphs[kind].seconds()
        assert np.abs(np.asarray(limits.out) - expected).max() < 1e-14
    assert x.size % 2 == 0 and limits.bytes == {"copy": 16 * x.size, "triad": 24 * x.size}
    found = {name: rows(name, SMALL, 2, "double")[0]["limited_by"] for name in ("shifted", "combine", "kinetic")}
    assert found == {"shifted": "copy", "combine": "triad", "kinetic": "triad"}


def test_output_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--device", "cuda", "--kernel", "combine", "--extent", "4,4,4", "--colors", "2")
    with pytest.raises(SystemExit) as ended:
        main(["bench", *options, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert ended.value.code in (0, None)
    check_row(found["rows"][0])
    machine = found["machine"]
    assert (machine["card"], machine["driver"], machine["ranks"]) == (NAME, 13000, 1) and machine["nvrtc"]
    with pytest.raises(SystemExit):
        main(["bench", *options])
    shown = capsys.readouterr().out
    assert "combine" in shown and NAME in shown and "fma" not in shown


@pytest.mark.ranks
def test_a_row_of_several_ranks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ghosts move in every call; bytes are of all ranks."""
    monkeypatch.setenv(SHARING, "1")
    found = bench(world, "staggered_hop", (4, 4, 4, 8), 2, "double", lambda name: None, "cuda")["rows"][0]
    check_row(found)
    counts = count("staggered_hop", 4, 2, "double", "even")
    agree(world, found["ranks"] == world.size and found["bytes"] == 512 * counts.moved)


def test_a_wrong_kernel_has_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ORACLES["combine"]

    def wrong(**arguments: Any) -> dict[str, Any]:
        result = right(**arguments)
        result["out"].flat[17] += 1e-9
        return result

    monkeypatch.setitem(ORACLES, "combine", wrong)
    with pytest.raises(WrongResult, match="kernel combine is wrong: out is off by"):
        rows("combine", SMALL, 2, "double")


def test_kernels_of_every_sort() -> None:
    """A kernel with sums, one with numbers for a draw, and one that updates."""
    for name in ("kinetic", "random_momenta", "kick"):
        assert name in entries(4, 1)
        check_row(rows(name, SMALL, 2, "double")[0])


def test_what_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="--device 'gpu' is not known; cpu and cuda are possible"):
        bench(World.alone(), "combine", SMALL, 2, "double", lambda name: None, "gpu")
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--halo", "--device", "cuda"])
    assert ended.value.code == 2 and "leave --device cuda out" in capsys.readouterr().err
    install(Settings(driver=0))
    with pytest.raises(DeviceError, match="no card can be reached"):
        rows("combine", SMALL, 2, "double")
