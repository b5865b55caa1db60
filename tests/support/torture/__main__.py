"""tools/torture: a short real run is killed and hindered in many ways and restarted; its history must not change."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.support.torture.rounds import Results, Torture


def main() -> int:
    """0 if every state left behind was whole and every history that of the undisturbed run, else 1."""
    options = _options()
    folder, began = Path(tempfile.mkdtemp(prefix="hpcgauge-torture-")), time.monotonic()
    results = Torture(folder, options.ranks, options.seed).run(
        options.rounds, say=lambda text: print(text, file=sys.stderr, flush=True)
    )
    seconds = time.monotonic() - began
    if options.json:
        print(json.dumps(results.plain() | {"seconds": seconds}, indent=1))
    else:
        print(_table(results))
        print(f"{len(results.rounds)} rounds, {results.chains} chains, {seconds:.0f} s, {len(results.faults)} faults")
    if results.faults:
        print(*results.faults, f"the folders are in {folder}", sep="\n", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    return 1 if results.faults else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/torture", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, metavar="N", help="disturbances that strike (100)")
    parser.add_argument("--ranks", type=int, default=2, metavar="N", help="ranks of the job (2)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="what is drawn (1)")
    parser.add_argument("--json", action="store_true", help="one JSON object for machines")
    return parser.parse_args()


def _table(results: Results) -> str:
    """The counts: kind of disturbance, what happened."""
    rows = [
        (kind if not k else "", what, n)
        for kind, counter in sorted(results.counts().items())
        for k, (what, n) in enumerate(counter.most_common())
    ]
    lines = [f"{kind:32}{what:36}{n:5d}" for kind, what, n in rows]
    return "\n".join([*lines, f"restarted after the trajectories {', '.join(map(str, results.restarted_from()))}"])


if __name__ == "__main__":
    sys.exit(main())
