"""Draws README.md's pictures and writes its results from a run folder: python docs/pictures/draw.py runs/quickstart"""

import re
import sys
import textwrap
from html import escape
from pathlib import Path
from typing import Any

from hpcgauge.report.figures import panels
from hpcgauge.report.history import read_folder
from hpcgauge.report.page import verdict
from hpcgauge.report.summary import LABELS, results_of, shown

PICTURES = Path(__file__).parent
README = PICTURES.parents[1] / "README.md"
DRAWN = ("acceptance", "acceptances", "dH", "histogram")


def worth(results: dict[str, Any]) -> str:
    """What network and weight together add to one weight, in a sentence."""
    guide, weight = results["acceptance"], results["acceptance_weight"]
    more = (guide["value"] - weight["value"]) / (guide["error"] ** 2 + weight["error"] ** 2) ** 0.5
    return f"The guide's acceptance minus that of one weight is {more:.1f} combined standard errors."


def main(folder: Path) -> None:
    """Returns when the pictures are drawn and the part of README.md between its marks is written anew."""
    run = read_folder(folder)
    for panel in panels(run):
        if panel.name in DRAWN:
            path = PICTURES / f"{panel.name}.png"
            panel.figure.savefig(path, dpi=130, facecolor="white", metadata={"Software": None})
    results = results_of(run)
    rows = [
        f"| {escape(name)} | {shown(results[key])} |" for key, name in LABELS.items() if results.get(key) is not None
    ]
    sentences = textwrap.fill(f"{verdict(results)} {worth(results)}", 120)
    text = "\n".join([sentences, "", "| | value(error) |", "|---|---|", *rows])
    marked = re.sub(
        r"(<!-- results -->\n).*?(<!-- end of results -->)",
        lambda found: f"{found[1]}{text}\n{found[2]}",
        README.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    README.write_text(marked, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
