"""`hpcgauge bench --halo`: rows for messages and for kernels, a fit, and a sentence on one rank.

No test looks at how long something took. The rows are of the processor alone (`--device cuda` is refused with
`--halo`): tests that make some are marked `host`.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from hpcgauge.__main__ import main
from hpcgauge.bench import halo
from hpcgauge.bench import measure as measuring
from hpcgauge.bench.halo import HALOS, bench_halo, fit, table
from hpcgauge.bench.measure import WrongResult
from hpcgauge.bench.oracle.kernels import ORACLES
from hpcgauge.comm.world import World
from hpcgauge.errors import ConfigError
from hpcgauge.fermion.staggered import hop_kernel
from hpcgauge.fields.lattice import Lattice
from tests.support.ranks import agree

EXTENT = (4, 4, 4, 8)
SIZES = (8, 1000, 100000)
POSITIVE = ("bytes", "messages", "seconds", "seconds_min", "samples", "sendrecv_seconds", "start_seconds")


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "KERNEL_SECONDS", 0.01)
    monkeypatch.setattr(measuring, "SAMPLE_SECONDS", 1e-5)
    monkeypatch.setattr(halo, "SIZES", SIZES)


def problems(row: dict[str, Any]) -> list[str]:
    """What is not right in a row."""
    wrong = [key for key in POSITIVE if not (math.isfinite(row[key]) and row[key] > 0)]
    of_kernel = ("kernel_seconds", "kernel_alone_seconds", "hidden")
    if row["case"] == "message":
        wrong += [key for key in of_kernel if row[key] is not None]
    else:
        expected = 1 - (row["kernel_seconds"] - row["kernel_alone_seconds"]) / row["seconds"]
        wrong += [] if math.isclose(row["hidden"], expected) and row["kernel_seconds"] > 0 else ["hidden"]
    right = row["seconds_min"] <= row["seconds"] and math.isclose(
        row["gbytes_per_s"], row["bytes"] / row["seconds"] / 1e9
    )
    return wrong if right else [*wrong, "seconds"]


@pytest.mark.host
@pytest.mark.ranks
@pytest.mark.parametrize("precision", ["double", "single"])
def test_rows(world: World, precision: str) -> None:
    if world.size == 1:
        return
    seen: list[str] = []
    found = bench_halo(world, EXTENT, 3, precision, seen.append)
    rows = found["rows"]
    agree(world, [row["case"] for row in rows] == ["message"] * len(SIZES) + list(HALOS) and set(HALOS) <= set(seen))
    agree(world, not any(problems(row) for row in rows), str([problems(row) for row in rows]))
    agree(world, [row["bytes"] for row in rows[: len(SIZES)]] == list(SIZES))
    messages = Lattice(EXTENT, 3, world, precision=precision).ghosts(hop_kernel(False).offsets).messages
    odd = sum(message.count - message.n_even for message in messages) * 6 * (8 if precision == "double" else 4)
    hop = rows[len(SIZES)]
    agree(world, (hop["bytes"], hop["messages"]) == (odd, len(messages)), f"{hop}: {odd} bytes")
    agree(world, set(found["model"]) == {"exchange", "sendrecv"} and found["machine"]["ranks"] == world.size)
    agree(world, table(found).row_count == len(rows))


@pytest.mark.host
@pytest.mark.ranks
def test_a_wrong_kernel_is_not_timed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    right = ORACLES["staggered_hop"]
    monkeypatch.setitem(ORACLES, "staggered_hop", lambda **given: {"out": 1.001 * right(**given)["out"]})
    with pytest.raises((WrongResult, ConfigError), match=r"staggered_hop is wrong|--halo"):
        bench_halo(world, EXTENT, 2, "double", lambda name: None)


def test_a_line_is_fitted() -> None:
    rows = [{"bytes": n, "seconds": 2e-6 + n / 5e9} for n in SIZES]
    assert fit(rows, "seconds") == pytest.approx({"latency_seconds": 2e-6, "bytes_per_s": 5e9})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ((), "tools/mpirun -n 2 hpcgauge bench --halo"),
        (("--kernel", "combine"), "leave --kernel combine out"),
        (("--extent", "3,3"), "2 to 4 even numbers"),
    ],
)
def test_refusals_on_one_rank(capsys: pytest.CaptureFixture[str], options: tuple[str, ...], text: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--halo", *options])
    assert ended.value.code == 2
    assert text in capsys.readouterr().err


@pytest.mark.ranks
def test_what_is_not_possible(world: World) -> None:
    for colors, precision, text in ((1, "double", "--colors 1"), (3, "half", "--precision 'half'")):
        with pytest.raises(ConfigError, match=text if world.size > 1 else "--halo"):
            bench_halo(world, EXTENT, colors, precision, lambda name: None)
