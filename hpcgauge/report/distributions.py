"""Distributions and comparisons in production: histograms, acceptances, autocorrelation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy
from numpy.typing import NDArray

from hpcgauge.observables.statistics import (
    Estimate,
    autocorrelation,
    exp_minus_dH,
    gamma,
    gaussian_acceptance,
    twice_negative,
)
from hpcgauge.report.history import RunFolder
from hpcgauge.report.style import GUIDE, INK, MUTED, REFERENCE, Panel, color_of, name_of, new_axes
from hpcgauge.report.summary import accepted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Numbers = NDArray[numpy.float64]


def plaquette_histogram(run: RunFolder) -> Panel | None:
    """The distribution of the plaquette in production, beside the reference's."""
    main = run.main.phase("produce").column("plaquette")
    reference = run.reference.phase("produce").column("plaquette")
    if main.size < 10:
        return None
    figure, axes = new_axes("plaquette", "density")
    edges = _edges(numpy.concatenate([main, reference]), main.size)
    axes.hist(main, edges, density=True, color=GUIDE, alpha=0.3, linewidth=0)
    axes.hist(main, edges, density=True, histtype="step", color=GUIDE, linewidth=1.4)
    _mean_mark(axes, gamma(main), GUIDE)
    caption = f"Plaquette in {main.size} production trajectories: {gamma(main)}."
    if reference.size >= 10:
        axes.hist(reference, edges, density=True, histtype="step", color=REFERENCE, linewidth=1.4)
        _mean_mark(axes, gamma(reference), REFERENCE)
        caption += f" Plain HMC, {reference.size} trajectories: {gamma(reference)}. Bars on top: means with errors."
    top = axes.get_ylim()[1]
    axes.set_ylim(0, top * 1.18)
    axes.text(0.02, 0.97, "HMC" if run.is_plain else "guided", color=GUIDE, transform=axes.transAxes, va="top")
    if reference.size >= 10:
        axes.text(0.02, 0.89, "plain HMC", color=REFERENCE, transform=axes.transAxes, va="top")
    title = "Plaquette, guided and plain HMC" if reference.size >= 10 else "Plaquette"
    return Panel("histogram", title, caption, figure)


def dH_histogram(run: RunFolder) -> Panel | None:
    """The distribution of dH in production with what follows from it."""
    produce = run.main.phase("produce")
    dH = produce.column("dH")
    dH = dH[numpy.isfinite(dH)]
    if dH.size < 10:
        return None
    figure, axes = new_axes("δH of the target", "trajectories")
    edges = _edges(dH, dH.size)
    axes.hist(dH, edges, color=GUIDE, alpha=0.3, linewidth=0)
    axes.hist(dH, edges, histtype="step", color=GUIDE, linewidth=1.4)
    axes.axvline(0, color=INK, linewidth=0.8)
    lines = [
        ("⟨δH⟩", gamma(dH)),
        ("⟨exp(−δH)⟩", exp_minus_dH(dH)),
        ("2 P(δH < 0)", twice_negative(dH)),
        ("acceptance", accepted(produce)),
    ]
    axes.set_ylim(0, axes.get_ylim()[1] * 1.4)
    axes.text(0.99, 0.97, "\n".join(f"{name} = {value}" for name, value in lines), transform=axes.transAxes,
              ha="right", va="top", linespacing=1.5, fontsize=9, color=INK)  # fmt: skip
    caption = (
        f"Energy change of {dH.size} production proposals. Exact in equilibrium: ⟨exp(−δH)⟩ = 1 and "
        "2 P(δH < 0) = acceptance."
    )
    return Panel("dH", "Energy change δH", caption, figure)


def acceptances(run: RunFolder) -> Panel | None:
    """The acceptance of the main chain and its controls, each beside 2 P(dH < 0) and the Gaussian formula."""
    chains = [(run.main_name, run.main.phase("produce"), GUIDE)]
    chains += [(name_of(name), chain.phase("produce"), color_of(name)) for name, chain in run.controls.items()]
    chains = [chain for chain in chains if len(chain[1])]
    if not chains:
        return None
    figure, axes = new_axes("acceptance", "")
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x")
    for row, (_, chain, color) in enumerate(chains):
        dH = chain.column("dH")
        for shift, marker, estimate in (
            (-0.2, "o", accepted(chain)),
            (0.0, "s", twice_negative(dH)),
            (0.2, "D", gaussian_acceptance(dH)),
        ):
            axes.errorbar(estimate.value, row + shift, xerr=estimate.error, fmt=marker, color=color, markersize=5,
                          markerfacecolor=color if marker == "o" else "white", capsize=2, linewidth=1.2)  # fmt: skip
    for marker, label in (("o", "accepted"), ("s", "2 P(δH < 0)"), ("D", "erfc(√⟨δH⟩/2)")):
        axes.plot([], [], marker, color=MUTED, markersize=5, label=label,
                  markerfacecolor=MUTED if marker == "o" else "white")  # fmt: skip
    between = "\n" if len(chains) <= 6 else " "
    axes.set_yticks(range(len(chains)), [f"{name}{between}({len(chain)})" for name, chain, _ in chains])
    axes.set_ylim(len(chains) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper center", ncols=3, handletextpad=0.3, columnspacing=1.2)
    caption = (
        "Production acceptance with the number of trajectories in brackets, beside what δH alone says: 2 P(δH < 0) is "
        "exact in equilibrium, erfc(√⟨δH⟩/2) holds for Gaussian δH."
    )
    return Panel("acceptances", "What the guide is worth" if run.controls else "Acceptance", caption, figure)


def autocorrelation_functions(run: RunFolder) -> Panel | None:
    """The autocorrelation function of the plaquette in production, guided and plain."""
    chains = (("HMC" if run.is_plain else "guided", run.main, GUIDE), ("plain HMC", run.reference, REFERENCE))
    figure, axes = new_axes("distance t in trajectories", "ρ(t) of the plaquette")
    axes.axhline(0, color=MUTED, linewidth=0.8)
    words, last = [], 0
    for shift, (name, history, color) in enumerate(chains):
        plaquette = history.phase("produce").column("plaquette")
        function, mean = autocorrelation(plaquette), gamma(plaquette)
        if not function.rho.size:
            continue
        shown = min(function.rho.size, max(8, 2 * function.window + 3))
        t = numpy.arange(shown)
        axes.errorbar(t + 0.12 * shift, function.rho[:shown], function.error[:shown], fmt="os"[shift], color=color,
                      markersize=4, linewidth=1, capsize=2, label=name)  # fmt: skip
        axes.axvline(function.window + 0.12 * shift, color=color, linewidth=1, linestyle=(0, (2, 2)))
        tau = Estimate(mean.tau_int, mean.tau_int_error)
        words.append(f"{name}: τ = {tau} from {plaquette.size} trajectories")
        last = max(last, shown)
    if not words:
        return None
    axes.set_xlim(-0.5, last - 0.5)
    axes.legend(loc="upper right")
    caption = f"Normalised autocorrelation by the Gamma method; dotted: window of its sum. {'; '.join(words)}."
    return Panel("autocorrelation", "Autocorrelation of the plaquette", caption, figure)


def _mean_mark(axes: Axes, mean: Estimate, color: str) -> None:
    height = 0.93 if color == GUIDE else 0.85
    axes.errorbar(mean.value, height, xerr=mean.error, fmt="o", color=color, markersize=4, capsize=3,
                  transform=axes.get_xaxis_transform())  # fmt: skip


def _edges(values: Numbers, n: int) -> list[float]:
    """Histogram edges for n values: at most 30 bins between the outermost."""
    low, high = float(values.min()), float(values.max())
    margin = 0.02 * (high - low) or 1e-6
    n_bins = int(min(30, max(8, numpy.sqrt(n))))
    return [float(edge) for edge in numpy.linspace(low - margin, high + margin, n_bins + 1)]
