"""The section "Predicted times" of docs/gpu.md: prints it, or with --write puts it in its place there.

.venv/bin/python tools/gpu_roofline.py [--write]
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from hpcgauge.bench.count import count

PAGE = Path(__file__).resolve().parents[1] / "docs" / "gpu.md"
TITLE = "## Predicted times"
LENGTHS = (8, 16, 32, 48)
# A launch inside a graph; a guess, to be measured.
LAUNCH = 2e-6


@dataclass(frozen=True)
class Card:
    """A card as its vendor describes it: bytes per second from memory, operations per second in double precision,
    without tensor cores."""

    name: str
    bandwidth: float
    flops: float


CARDS = (Card("A100", 2.039e12, 9.7e12), Card("H100", 3.35e12, 34e12), Card("H200", 4.8e12, 34e12))
# What is listed: names of the catalogue's kernels, one launch each.
CASK = (
    *("staple_sum", "three_layers", "loop_traces", "attention", "path_sum", "exponential_layer"),
    *("staple_sum", "exponential_layer"),
)
LISTED = {
    "D": ("staggered_hop_add",),
    "D, links compressed": ("staggered_hop_add (compressed)",),
    "plaquette": ("plaquette_sum",),
    "staples": ("staple_sum",),
    "force": ("force",),
    "update": ("update_links",),
    "axpy": ("combine on vectors",),
    "CASK layer": CASK,
}
# SIMULATeQCD's HISQ operator and Julia's LatticeMatrices, double precision, one H100 NVL: microseconds by length.
PUBLISHED = {
    "SIMULATeQCD": {8: 14, 16: 50, 24: 240, 32: 710},
    "LatticeMatrices": {8: 111, 16: 185, 24: 640, 32: 2600},
}
OWN = CARDS[1]

HEAD = f"""{TITLE}

Predictions, all of them: no time in this section is measured. They are what is left when nothing but memory,
arithmetic and launches counts, so a card will be slower:

    time = n launches x {LAUNCH * 1e6:.0f} us + sum over kernels of max(bytes / bandwidth, flops / peak)

Bytes are what a card must move at least: each number of a field once if it is read and once more if it is written, as
the counting type of `hpcgauge bench` finds them (neighbours come from caches, stores fetch nothing, tables of
neighbours and stacks of threads do not count). Bandwidth and peak of double precision are the vendor's:
@CARDS@.
{LAUNCH * 1e6:.0f} us for a launch in a graph is a guess. At 8^4 all fits in the card's cache, which is faster.
A CASK layer is the eight launches of `Cask._layer` with reach 3; its pullback is bound by its stacks, and not listed.
Registers and occupancy stand above. `tools/gpu_roofline.py --write` makes this section, and `tools/gpu_check` measures
the same kernels on a card.
"""


def numbers(names: tuple[str, ...], colors: int) -> list[tuple[float, float]]:
    """Bytes and operations on a site for each launch."""
    found = [count(name, 4, colors, "double", "both") for name in names]
    return [(counts.moved, counts.flops) for counts in found]


def predicted(launches: list[tuple[float, float]], card: Card, n_sites: int) -> float:
    """Seconds."""
    work = sum(max(moved / card.bandwidth, flops / card.flops) for moved, flops in launches)
    return len(launches) * LAUNCH + n_sites * work


def in_words(seconds: float) -> str:
    """Microseconds with two digits, or all before the point."""
    return f"{seconds * 1e6:.2g}" if seconds < 1e-5 else f"{seconds * 1e6:.0f}"


def table(colors: int) -> list[str]:
    """Predicted times of all that is listed."""
    columns = [f"{card.name}, {length}^4" for card in CARDS for length in LENGTHS]
    lines = [
        f"### SU({colors}), double precision: predicted microseconds\n",
        f"| | bytes | flops | {' | '.join(columns)} |",
        "|---" * (len(columns) + 3) + "|",
    ]
    for label, names in LISTED.items():
        if colors != 3 and "compressed" in label:
            continue
        launches = numbers(names, colors)
        sizes = [f"{sum(column):.0f}" for column in zip(*launches, strict=True)]
        times = [in_words(predicted(launches, card, length**4)) for card in CARDS for length in LENGTHS]
        lines.append(f"| {label} | {' | '.join([*sizes, *times])} |")
    return lines


def published() -> list[str]:
    """Predicted times beside published ones."""
    lengths = list(PUBLISHED["SIMULATeQCD"])
    lines = [
        "### Beside what is published\n",
        "Measured by others on one H100 NVL in double precision: SIMULATeQCD's HISQ operator and Julia's",
        "LatticeMatrices. HISQ multiplies with 16 matrices on a site where D has 8, and what else differs is not known",
        f"here: the rows are no race. Ours are predictions for the {OWN.name} above.\n",
        f"| microseconds | {' | '.join(f'{length}^4' for length in lengths)} |",
        "|---" * (len(lengths) + 1) + "|",
    ]
    for label, times in PUBLISHED.items():
        lines.append(f"| {label}, measured | {' | '.join(str(times[length]) for length in lengths)} |")
    for label in ("D", "D, links compressed"):
        launches = numbers(LISTED[label], 3)
        cells = [in_words(predicted(launches, OWN, length**4)) for length in lengths]
        lines.append(f"| {label}, SU(3), predicted | {' | '.join(cells)} |")
    return lines


def section() -> str:
    """The section."""
    rates = ((card.name, card.bandwidth / 1e12, card.flops / 1e12) for card in CARDS)
    cards = ", ".join(f"{name} {bandwidth:.4g} TB/s and {flops:.4g} TFLOP/s" for name, bandwidth, flops in rates)
    parts = (HEAD.replace("@CARDS@", cards).rstrip().splitlines(), table(3), table(2), published())
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def main(given: list[str]) -> None:
    """Prints the section or puts it into the page, at its end."""
    if given != ["--write"]:
        print(section(), end="")
        return
    before = PAGE.read_text().split(TITLE)[0].rstrip()
    PAGE.write_text(f"{before}\n\n{section()}")


if __name__ == "__main__":
    main(sys.argv[1:])
