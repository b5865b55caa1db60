"""What the verbs print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hpcgauge.report.summary import table

WIDTH = 110


def print_results(results: dict[str, Any], folder: Path, as_json: bool) -> None:
    """Prints the results of a run folder."""
    if as_json:
        print(json.dumps(results, indent=2))
        return
    Console().print(table(results))
    page = folder / "report" / "index.html"
    if page.is_file():
        print(f"report: {page}")


def print_findings(found: Any, as_json: bool) -> None:
    """Prints a text, a table, or what is JSON already."""
    if as_json or isinstance(found, str):
        print(found if isinstance(found, str) else json.dumps(found, indent=None if isinstance(found, dict) else 1))
    else:
        Console(width=max(Console().width, WIDTH)).print(found)


def print_pairs(pairs: dict[str, Any]) -> None:
    """Prints names and values, two columns."""
    grid = Table.grid(padding=(0, 2))
    for name, value in pairs.items():
        grid.add_row(Text(_harmless(name), style="bold"), Text(_harmless(_in_words(value)), overflow="fold"))
    Console().print(grid)


def _harmless(text: str) -> str:
    """The text without control characters: a file of elsewhere shall not govern a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _in_words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
