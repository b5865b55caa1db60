"""One file with everything that a card shows: the tests on it, rows of `hpcgauge bench`, solves.

tools/gpu_check [--out FILE] [--extents 8,16,32] [--colors 2,3] [--precisions double,single] [--kernels NAME;...]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import suite

import hpcgauge as hg
from hpcgauge.bench.case import entries
from hpcgauge.bench.rows import bench
from hpcgauge.comm.world import World
from hpcgauge.errors import DeviceError, exit_code
from hpcgauge.fermion.solvers import solve_normal
from hpcgauge.fields.device import Device
from hpcgauge.kernels.draws import Draw, Stream, random_vectors

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "gpu"
# The hop, plaquette, staples, force and update, and what solvers and networks do most.
KERNELS = (
    *("staggered_hop", "staggered_hop (compressed)", "staggered_hop_add", "staggered_hop_add (compressed)"),
    *("plaquette_sum", "staple_sum", "force", "kick", "update_links", "exponential_layer", "combine on vectors"),
    *("inner on vectors", "staggered_gradient", "path_sum", "attention"),
)
MASS, TOLERANCE, REPETITIONS = 0.5, {"double": 1e-10, "single": 1e-5}, 3
# Kernels are compiled at their first use, and ranks share the card.
SUITE = {"HPCGAUGE_REQUIRE_GPU": "1", "HPCGAUGE_DEVICE": "cuda", "HPCGAUGE_SHARE_CARDS": "1"}


def arguments(given: list[str]) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(prog="gpu_check", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="default docs/gpu/CARD-DATE.json")
    parser.add_argument("--extents", default="8,16,32", help="of lattices of four equal sides")
    parser.add_argument("--colors", default="2,3")
    parser.add_argument("--precisions", default="double,single")
    parser.add_argument("--kernels", default=";".join(KERNELS), help="separated by semicolons")
    parser.add_argument("--no-tests", action="store_true", help="leave the tests out")
    return parser.parse_args(given)


def tests() -> dict[str, Any]:
    """Counts of tests on 1, 2 and 4 ranks of the card, and the texts of those that failed."""
    os.environ.update(SUITE)
    found: dict[str, Any] = {}
    for size in suite.SIZES:
        print(f"== tests on {size} rank(s)", flush=True)
        run = suite.run_size(size, [], suite.SECONDS_PER_TEST, dict(os.environ))
        counts = {outcome: run.count(outcome) for outcome in ("passed", "failed", "skipped", "not run")}
        bad = {name: item for name, item in run.outcomes.items() if item["outcome"] in ("failed", "not run")}
        texts = {name: item.get("text", item["outcome"])[-2000:] for name, item in bad.items()}
        found[f"{size} ranks"] = {"good": suite.is_good(run), "seconds": run.seconds, **counts, "failures": texts}
    return found


def solve(lattice: hg.Lattice) -> dict[str, Any]:
    """The time of a conjugate gradient on hot links, the shortest of a few."""
    D = hg.Staggered(hg.Links.hot(lattice, 1), MASS, compressed=True)
    b = D.adjoint_even(random_vectors(lattice, Draw(Stream.NOISE, 1)))
    best = float("inf")
    for _ in range(REPETITIONS):
        began = time.perf_counter()
        solution = solve_normal(D, b, TOLERANCE[lattice.precision], parity="even")
        best = min(best, time.perf_counter() - began)
    row = {"extent": list(lattice.extent), "colors": lattice.colors, "precision": lattice.precision, "mass": MASS}
    found = {"steps": solution.steps, "residual": solution.residual, "converged": solution.converged}
    return row | {"seconds": best, "seconds_per_step": best / max(1, solution.steps)} | found


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """The card, rows of all kernels that are asked for, and solves; the largest lattices last."""
    found: dict[str, Any] = {"machine": {}, "rows": [], "solves": []}
    numbers = ([int(word) for word in text.split(",")] for text in (asked.extents, asked.colors))
    for length, colors, precision in product(*numbers, asked.precisions.split(",")):
        extent = (length,) * 4
        for name in asked.kernels.split(";"):
            if entries(4, 1)[name].is_for(colors, precision):
                print(f"{name}, SU({colors}), {length}^4, {precision}", flush=True)
                one = bench(World.alone(), name, extent, colors, precision, lambda text: None, "cuda")
                found["machine"] = one["machine"]
                found["rows"] += one["rows"]
        found["solves"].append(solve(hg.Lattice(extent, colors, device="cuda", precision=precision)))
    return found


def main(given: list[str]) -> int:
    """0 when all tests passed, 1 when not, 4 without a card."""
    asked = arguments(given)
    try:
        Device("cuda")
    except DeviceError as error:
        print(f"gpu_check: {error}", file=sys.stderr)
        return exit_code(error)
    # Measured first: ranks of the tests share the card afterwards.
    found: dict[str, Any] = {"date": date.today().isoformat(), "seconds": time.time(), **measure(asked)}
    found["tests"] = {} if asked.no_tests else tests()
    found["seconds"] = time.time() - found["seconds"]
    name = re.sub(r"[^A-Za-z0-9]+", "-", found["machine"]["card"]).strip("-")
    path = asked.out or FOLDER / f"{name}-{found['date']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"written: {path}")
    return 0 if all(run["good"] for run in found["tests"].values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
