"""How figures look, and figures as text for a page. The only module that starts matplotlib."""

from __future__ import annotations

import io
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, RULE, SHADE = "#1c2430", "#5d6878", "#d9dee5", "#f1f4f8"
GUIDE, REFERENCE = "#0b63a5", "#c2570c"
CONTROL = {"nothing": "#7a7f87", "weight": "#00805e", "stout": "#a64d8c", "network_alone": "#96760b"}
NAMES = {"nothing": "nothing", "weight": "one weight", "stout": "one stout ρ", "network_alone": "network alone"}
OTHER = ("#7b3fa0", "#b0413e", "#2f7f8f", "#5f6b1f", "#8a5a2b", "#4a4e9e")  # chains with other networks


def name_of(chain: str) -> str:
    """The name of a chain beside the main one, in words."""
    return NAMES.get(chain, chain.replace("_", " "))


def color_of(chain: str) -> str:
    """Its colour."""
    return CONTROL.get(chain, OTHER[sum(chain.encode()) % len(OTHER)])


SIZE = (4.8, 3.3)  # inches: one column of the page, still readable when a phone shrinks it
RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.fonttype": "none",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@final
@dataclass(frozen=True)
class Panel:
    """A figure with its title and what is seen on it."""

    name: str
    title: str
    caption: str
    figure: Figure


def styled() -> AbstractContextManager[None]:
    """A block in which figures are drawn in the style of the page."""
    import matplotlib

    return matplotlib.rc_context(RC)


def new_axes(xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    """An empty figure with its axes; to be called and filled inside styled()."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid(axis="y")
    return figure, axes


def svg(panel: Panel) -> str:
    """The figure as an SVG element, the same text for the same numbers."""
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({**RC, "svg.hashsalt": panel.name}):
        panel.figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    element = text.getvalue()
    element = element[element.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r"(font(?:-family)?: [^;\"]*?)'?DejaVu Sans'?[^;\"]*", rf"\g<1>{FONT}", element)
    element = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", element, count=1)
    element = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", element, count=1)
    label = panel.title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    element = _own_names(element, panel.name)
    return element.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def _own_names(element: str, prefix: str) -> str:
    """The element with its names made different from those of the other figures on the page."""
    element = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', element)
    element = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", element)
    return re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', element)
