"""The numbers of a run: summary.json and the table at its end."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray
from rich.table import Table

from hpcgauge.io.durable import put_text
from hpcgauge.observables.statistics import (
    Estimate,
    acceptance,
    exp_minus_dH,
    gamma,
    gaussian_acceptance,
    in_brackets,
    twice_negative,
)
from hpcgauge.report.history import CONTROLS, History, RunFolder, read_folder
from hpcgauge.report.style import name_of

LABELS = {
    "acceptance": "acceptance",
    "acceptance_nothing": "acceptance, no network, weight 1",
    "acceptance_weight": "acceptance, one weight",
    "acceptance_stout": "acceptance, one stout rho",
    "acceptance_network_alone": "acceptance, network with weight 1",
    "twice_negative_dH": "2 P(dH < 0)",
    "gaussian_acceptance": "erfc(sqrt(<dH>)/2)",
    "exp_minus_dH": "<exp(-dH)>",
    "dH": "<dH>",
    "plaquette": "plaquette",
    "plaquette_reference": "plaquette, plain HMC",
    "tau_int_plaquette": "tau_int of the plaquette",
    "condensate": "condensate",
    "polyakov_loop": "Re Polyakov loop",
}


# What keys of measurements begin with
MEASURED = ("condensate", "polyakov_loop", "wilson_loop_")


def summarise(folder: str | Path) -> dict[str, Any]:
    """The results of a run folder, {value, error} each or None without such a chain; written to summary.json too."""
    results = results_of(read_folder(folder))
    put_text(Path(folder) / "summary.json", json.dumps(results, indent=2) + "\n")
    return results


def results_of(run: RunFolder) -> dict[str, Any]:
    """The results of the chains, from their production alone."""
    main, reference = run.main.phase("produce"), run.reference.phase("produce")
    results: dict[str, Any] = {"trajectories": len(main), "acceptance": _pair(accepted(main))}
    for name in dict.fromkeys((*CONTROLS, *run.controls)):
        control = run.controls.get(name, History(())).phase("produce")
        results[f"acceptance_{name}"] = _pair(accepted(control))
    dH, plaquette = main.column("dH"), gamma(main.column("plaquette"))
    results |= {
        "twice_negative_dH": _pair(twice_negative(dH)),
        "gaussian_acceptance": _pair(gaussian_acceptance(dH)),
        "exp_minus_dH": _pair(exp_minus_dH(dH)),
        "dH": _pair(gamma(dH)),
        "plaquette": _pair(plaquette),
        "plaquette_reference": _pair(gamma(reference.column("plaquette"))),
        "tau_int_plaquette": _pair(Estimate(plaquette.tau_int, plaquette.tau_int_error)),
        "variance_dH": _number(float(numpy.var(dH))) if len(main) else None,
        "median_seconds": _number(float(numpy.median(main.column("seconds")))) if len(main) else None,
    }
    return results | measurements(main)


def measurements(produced: History) -> dict[str, Any]:
    """What `measure` asked for, {value, error} each: condensate, real part of the Polyakov loop, Wilson loops."""
    found: dict[str, NDArray[numpy.float64]] = {}
    if produced.has("condensate"):
        condensate = produced.column("condensate")
        found["condensate"] = condensate[~numpy.isnan(condensate)]
    if produced.has("polyakov_loop"):
        found["polyakov_loop"] = produced.entry("polyakov_loop", 0)
    loops = (record.get("wilson_loops") for record in produced.records)
    sides = next((by_sides for by_sides in loops if isinstance(by_sides, dict)), {})
    found |= {f"wilson_loop_{side}": produced.entry("wilson_loops", side) for side in sides}
    return {key: _pair(gamma(numbers)) for key, numbers in found.items()}


def labels(results: dict[str, Any]) -> dict[str, str]:
    """The results that are there, by key, in words."""
    named = dict(LABELS)
    for key in results:
        if key.startswith("acceptance_"):
            named.setdefault(key, f"acceptance, {name_of(key.removeprefix('acceptance_'))}")
        elif key.startswith("wilson_loop_"):
            named[key] = f"Wilson loop {key.removeprefix('wilson_loop_')}"
    return {key: label for key, label in named.items() if results.get(key) is not None}


def table(results: dict[str, Any]) -> Table:
    """The results as a table for the terminal."""
    drawn = Table(title=f"{results['trajectories']} production trajectories", title_justify="left")
    drawn.add_column("")
    drawn.add_column("value(error)", justify="right")
    for key, label in labels(results).items():
        drawn.add_row(label, shown(results[key]))
    return drawn


def shown(pair: dict[str, float | None] | None) -> str:
    """A result as value(error)."""
    if pair is None or pair["value"] is None:
        return "–"
    error = pair["error"]
    return in_brackets(pair["value"], math.nan if error is None else error)


def accepted(history: History) -> Estimate:
    """The acceptance in a history."""
    return acceptance([bool(record.get("accepted")) for record in history.records])


def _pair(estimate: Estimate) -> dict[str, float | None] | None:
    if math.isnan(estimate.value):
        return None
    return {"value": _number(estimate.value), "error": _number(estimate.error)}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
