"""The figures of a run, and those of its history: acceptance, loss, plaquette."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy
from numpy.typing import NDArray

from hpcgauge.observables.statistics import gamma
from hpcgauge.report.distributions import acceptances, autocorrelation_functions, dH_histogram, plaquette_histogram
from hpcgauge.report.history import CONTROLS, PHASES, History, RunFolder
from hpcgauge.report.style import GUIDE, MUTED, REFERENCE, SHADE, Panel, color_of, name_of, new_axes, styled
from hpcgauge.report.summary import accepted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Numbers = NDArray[numpy.float64]
FIRST = 8  # places of a running mean that have too few values behind them


def panels(run: RunFolder) -> list[Panel]:
    """All figures that the run has numbers for."""
    draw = (
        acceptance_history,
        loss_history,
        plaquette_history,
        plaquette_histogram,
        dH_histogram,
        acceptances,
        autocorrelation_functions,
        network_acceptances,
        network_losses,
    )
    with styled():
        drawn = [panel(run) for panel in draw]
    return [panel for panel in drawn if panel is not None]


def acceptance_history(run: RunFolder) -> Panel | None:
    """The running acceptance of all phases, with the controls' production as lines."""
    n = len(run.main)
    if n < 2:
        return None
    window = running_window(n)
    figure, axes = new_axes("trajectory", "running acceptance")
    axes.set_ylim(0, 1.08)
    axes.set_xlim(0, n)
    _phases(axes, run.main)
    running = trailing_mean(run.main.column("accepted"), window)
    running[: min(FIRST, n // 2)] = numpy.nan
    spread = numpy.sqrt(running * (1 - running) / window)
    x = numpy.arange(1, n + 1)
    axes.fill_between(x, running - spread, numpy.minimum(1, running + spread), color=GUIDE, alpha=0.18, linewidth=0)
    axes.plot(x, running, color=GUIDE, linewidth=1.6)
    lines = [(run.main_name, accepted(run.main.phase("produce")), GUIDE)]
    lines += [(name_of(name), accepted(chain.phase("produce")), color_of(name)) for name, chain in run.controls.items()]
    lines = [line for line in lines if line[1].value == line[1].value]
    for _, estimate, color in lines[1:]:
        axes.axhline(estimate.value, color=color, linewidth=1, linestyle=(0, (4, 2)))
    _right_labels(axes, [(f"{name} {estimate.value:.2f}", estimate.value, color) for name, estimate, color in lines])
    caption = f"Mean acceptance of the last {window} trajectories (band: its binomial error), {n} trajectories in all."
    if run.controls:
        caption += " Dashed: production of the controls."
    return Panel("acceptance", "Acceptance against trajectory", caption, figure)


def loss_history(run: RunFolder) -> Panel | None:
    """The loss of every update, with its running median."""
    train = run.main.phase("train")
    loss = train.column("loss")
    loss = loss[numpy.isfinite(loss)]
    if loss.size < 2:
        return None
    window = running_window(loss.size)
    figure, axes = new_axes("epoch (one update per trajectory)", "loss")
    x = numpy.arange(1, loss.size + 1)
    axes.plot(x, loss, ".", color=MUTED, alpha=0.45, markersize=3.5, markeredgewidth=0, label="one trajectory")
    axes.plot(x, trailing_median(loss, window), color=GUIDE, linewidth=1.8, label=f"median of the last {window}")
    if (loss > 0).all():
        axes.set_yscale("log")
        axes.set_ylim(float(numpy.quantile(loss, 0.02)) / 2, float(loss.max()) * 2)
    axes.set_xlim(0, loss.size)
    axes.legend(loc="upper right")
    below = int((loss < axes.get_ylim()[0]).sum())
    caption = f"Loss of the {loss.size} training trajectories, accepted or not."
    caption += f" {below} of them lie below the frame." if below else ""
    return Panel("loss", "Loss against epoch", caption, figure)


def network_acceptances(run: RunFolder) -> Panel | None:
    """The running acceptance while training, of the guide and of each other network."""
    return _epochs(run, "accepted", trailing_mean, "running acceptance", "Acceptance against epoch, by network")


def network_losses(run: RunFolder) -> Panel | None:
    """The running median of the loss, of the guide and of each other network."""
    return _epochs(run, "loss", trailing_median, "median loss", "Loss against epoch, by network")


def _epochs(
    run: RunFolder, key: str, trailing: Callable[[Numbers, int], Numbers], label: str, title: str
) -> Panel | None:
    others = {name: chain.phase("train") for name, chain in run.controls.items() if name not in CONTROLS}
    chains = [("guide", run.main.phase("train"), GUIDE)]
    chains += [(name_of(name), chain, color_of(name)) for name, chain in others.items()]
    chains = [chain for chain in chains if len(chain[1]) >= 2]
    if len(chains) < 2:
        return None
    figure, axes = new_axes("epoch (one update per trajectory)", label)
    ends, window = [], running_window(max(len(history) for _, history, _ in chains))
    for name, history, color in chains:
        values = trailing(history.column(key), window)
        axes.plot(numpy.arange(1, values.size + 1), values, color=color, linewidth=1.5)
        ends.append((name, float(values[-1]), color))
    axes.set_xlim(0, max(len(history) for _, history, _ in chains))
    if key == "accepted":
        axes.set_ylim(0, 1.08)
    _right_labels(axes, ends)
    caption = f"Running over the last {window} training trajectories of each chain, accepted or not."
    return Panel(f"networks_{key}", title, caption, figure)


def plaquette_history(run: RunFolder) -> Panel | None:
    """The plaquette after every trajectory, beside the reference's mean."""
    plaquette = run.main.column("plaquette")
    if plaquette.size < 2:
        return None
    figure, axes = new_axes("trajectory", "plaquette")
    axes.plot(numpy.arange(1, plaquette.size + 1), plaquette, color=GUIDE, linewidth=0.8)
    _phases(axes, run.main)
    axes.set_xlim(0, plaquette.size)
    reference = gamma(run.reference.phase("produce").column("plaquette"))
    _zoom(axes, plaquette, reference.value)
    caption = f"Plaquette after each of {plaquette.size} trajectories."
    if reference.value == reference.value:
        low, high = reference.value - reference.error, reference.value + reference.error
        axes.axhspan(low, high, color=REFERENCE, alpha=0.35, linewidth=0)
        axes.axhline(reference.value, color=REFERENCE, linewidth=1)
        _right_labels(axes, [("plain HMC", reference.value, REFERENCE)])
        caption += f" Line: plain HMC of the target, {reference}."
    return Panel("plaquette", "Plaquette against trajectory", caption, figure)


def running_window(n: int) -> int:
    """The number of trajectories in a running mean over a history of n."""
    return max(1, min(50, n // 8))


def trailing_mean(values: Numbers, window: int) -> Numbers:
    """The mean of the last `window` values at every place; of fewer at the beginning."""
    total = numpy.concatenate([[0.0], numpy.cumsum(values)])
    end = numpy.arange(1, values.size + 1)
    begin = numpy.maximum(0, end - window)
    return (total[end] - total[begin]) / (end - begin)


def trailing_median(values: Numbers, window: int) -> Numbers:
    """The median of the last `window` values at every place; of fewer at the beginning."""
    return numpy.array([numpy.median(values[max(0, end - window) : end]) for end in range(1, values.size + 1)])


def _phases(axes: Axes, history: History) -> None:
    """Shades every second phase and writes its name on top."""
    begin = 0
    total = max(1, len(history))
    for number, name in enumerate(PHASES):
        end = begin + len(history.phase(name))
        if end == begin:
            continue
        if number % 2:
            axes.axvspan(begin, end, color=SHADE, zorder=0, linewidth=0)
        if end - begin > 0.1 * total:
            axes.text((begin + end) / 2, 1.01, name, transform=axes.get_xaxis_transform(), ha="center", va="bottom",
                      fontsize=9, color=MUTED)  # fmt: skip
        begin = end


def _right_labels(axes: Axes, labels: list[tuple[str, float, str]]) -> None:
    """Writes labels at the right edge at their heights, moved apart where they would overlap."""
    bottom, top = axes.get_ylim()
    if not labels:
        return
    labels = sorted(labels, key=lambda label: label[1])
    heights = _apart([height for _, height, _ in labels], 0.065 * (top - bottom), bottom, top)
    for (text, _, color), height in zip(labels, heights, strict=True):
        axes.text(1.015, height, text, transform=axes.get_yaxis_transform(), va="center", fontsize=9, color=color)


def _apart(heights: list[float], distance: float, bottom: float, top: float) -> list[float]:
    """Rising heights moved until neighbours are this far apart, each pair about its middle, within the frame."""
    moved = list(heights)
    for _ in range(100):
        moved = [min(max(height, bottom), top) for height in moved]
        for i in range(len(moved) - 1):
            missing = distance - (moved[i + 1] - moved[i])
            if missing > 0:
                moved[i] -= missing / 2
                moved[i + 1] += missing / 2
    return moved


def _zoom(axes: Axes, values: Numbers, reference: float) -> None:
    """Limits that show the later half and the reference, if it is a number, whole, and the beginning as far as it does
    not flatten them."""
    later = numpy.append(values[values.size // 2 :], reference)
    low, high = float(numpy.nanmin(later)), float(numpy.nanmax(later))
    width = (high - low) or 1e-3
    bottom, top = max(min(float(values.min()), low), low - width), min(max(float(values.max()), high), high + width)
    axes.set_ylim(bottom - 0.1 * width, top + 0.1 * width)
