"""tools/fuzz: damaged files of every kind are read; each must be refused in words, or read as valid data."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from tests.support.fuzz.cases import case
from tests.support.fuzz.corpus import corpus
from tests.support.fuzz.pool import Worker
from tests.support.fuzz.results import Results, fuzzed

MOST_SHOWN = 40


def main() -> int:
    """0 if nothing crashed, hung, took too much memory or ended with another error than a refusal; else 1."""
    options = _options()
    if options.case is not None:
        return _one(options.seed, options.case, options.keep)
    began = time.monotonic()
    results = fuzzed(0, options.cases, options.seed, options.workers)
    _show(results, time.monotonic() - began, options.json)
    return 1 if results.wrong else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=20000, metavar="N", help="damaged files (20000)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="what is drawn (1)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes side by side (1)")
    parser.add_argument("--case", type=int, metavar="N", help="this case alone, in words")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="with --case: write the damaged file there")
    parser.add_argument("--json", action="store_true", help="one JSON object for machines")
    return parser.parse_args()


def _one(seed: int, number: int, keep: Path | None) -> int:
    """One case again."""
    if keep is not None:
        keep.write_bytes(case(corpus(), seed, number).content)
    worker = Worker(seed)
    try:
        found = worker.read(number)
    finally:
        worker.close()
    print(json.dumps(found, indent=1))
    return 1 if found["wrong"] else 0


def _show(results: Results, seconds: float, as_json: bool) -> None:
    faults = results.faults()
    if as_json:
        counts = {kind: dict(counter) for kind, counter in results.counts.items()}
        found = {"good": not faults, "cases": results.n_cases, "seconds": seconds, "seed": results.seed}
        print(json.dumps(found | {"counts": counts, "faults": faults}, indent=1))
        return
    print(results.table())
    print(f"{results.n_cases} damaged files, {len(results.wrong)} with a fault, {seconds:.0f} s")
    if faults:
        print(*faults[:MOST_SHOWN], sep="\n", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
