"""A table of docs/performance.md: what `hpcgauge bench --json` prints, in Markdown.

tools/hpcgauge bench --extent 8,8,8,8 --json | .venv/bin/python tools/roofline.py
"""

from __future__ import annotations

import json
import sys

HEAD = """| kernel | us | GFLOP/s | GB/s | stream, GB/s | limited by | fraction |
|---|---|---|---|---|---|---|"""


def line(row: dict) -> str:
    """A row in Markdown."""
    rates = [f"{row[key]:.1f}" for key in ("gflops", "gbytes_per_s", "stream_gbytes_per_s")]
    cells = row["kernel"], f"{row['seconds'] * 1e6:.4g}", *rates, row["limited_by"], f"{row['fraction_of_limit']:.2f}"
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(HEAD)
    for found in json.load(sys.stdin)["rows"]:
        print(line(found))
