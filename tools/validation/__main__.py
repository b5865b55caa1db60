"""tools/validate: known numbers measured anew, two chains side by side, as a table; exit code 1 on a miss."""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict

from machine_code import interpreted, machine_code
from measure import Row, free_quarks, measure
from points import POINTS, Point
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from hpcgauge.observables.statistics import in_brackets

FREE, CARDS, FOUR = "free quarks", "kernels for GPUs", "kernels of SU(4)"
WIDTH = 150


def main() -> int:
    """0 if every number is right, 1 if not."""
    options = _options()
    points = [point.quick() if options.quick else point for point in POINTS if options.only in point.name]
    began = time.perf_counter()
    all_others = {FREE: free_quarks, CARDS: machine_code, FOUR: interpreted}
    others = {name: job for name, job in all_others.items() if options.only in name}
    rows = _measured(points, others, options.workers)
    seconds = time.perf_counter() - began
    if options.json:
        verdict = {"good": all(row.is_good for row in rows), "seconds": seconds}
        print(json.dumps(verdict | {"rows": _plain(rows)}, indent=1))
    else:
        Console(width=max(Console().width, WIDTH)).print(_table(rows))
        missed = [f"{row.point}: {row.quantity}" for row in rows if not row.is_good]
        print(f"{len(rows)} numbers, {len(missed)} missed, {seconds:.0f} s" + "".join(f"\nmissed: {m}" for m in missed))
    return 0 if rows and all(row.is_good for row in rows) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/validate", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer trajectories and larger errors: minutes")
    parser.add_argument("--only", default="", metavar="TEXT", help="only points whose name holds this text")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="chains side by side (2)")
    parser.add_argument("--json", action="store_true", help="one JSON object for machines")
    return parser.parse_args()


def _measured(points: list[Point], others: dict[str, Callable[[], list[Row]]], workers: int) -> list[Row]:
    """The rows of all points in their order, and the others; one line on stderr for each that is done."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        # The longest first, so that no worker is left with one at the end.
        jobs: dict[str, Future[list[Row]]] = {p.name: pool.submit(measure, p) for p in sorted(points, key=_cost)}
        jobs |= {name: pool.submit(job) for name, job in others.items()}
        for done in as_completed(jobs.values()):
            for row in done.result():
                print(f"{row.point}: {row.quantity} {in_brackets(row.value, row.error)}", file=sys.stderr, flush=True)
        names = [*(point.name for point in points), *others]
        return [row for name in names for row in jobs[name].result()]


def _cost(point: Point) -> float:
    """The negative time of a point, roughly: fermions are ten times a gauge force, small lattices are overhead."""
    work = (2 + point.colors**2 * math.prod(point.extent) / 1000) * (10 if point.tastes else 1)
    return -work * point.steps * (point.trajectories + point.thermalise)


def _table(rows: list[Row]) -> Table:
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("point", "quantity"):
        drawn.add_column(heading, no_wrap=True)
    for heading in ("found", "known", "sigmas", "error ≤", "tau_int", "accepted", "n", "s", ""):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        drawn.add_row(
            row.point,
            row.quantity,
            in_brackets(row.value, row.error),
            in_brackets(row.known.value, row.known.error if row.error else 0),
            f"{row.sigmas:.2f}",
            f"{row.known.largest_error:g}" if row.error else "exact",
            "" if math.isnan(row.tau_int) else f"{row.tau_int:.1f}",
            "" if math.isnan(row.acceptance) else f"{row.acceptance:.2f}",
            str(row.trajectories or ""),
            f"{row.seconds:.0f}",
            "good" if row.is_good else "[bold red]MISS[/]",
        )
    return drawn


def _plain(rows: list[Row]) -> list[dict[str, object]]:
    """The rows as JSON can hold them; NaN becomes null."""
    plain = [asdict(row) | {"sigmas": row.sigmas, "is_good": row.is_good} for row in rows]
    return [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in plain]


if __name__ == "__main__":
    sys.exit(main())
