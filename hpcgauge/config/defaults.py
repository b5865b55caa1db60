"""Values that follow from other values when the configuration leaves them out."""

from __future__ import annotations

import math
from typing import Any

SINGLE_TOLERANCE = 1e-6  # what a solver reaches in single precision
MIXED_SITES = 2048  # from here on steps in single precision gain more than their updates cost (docs/performance.md)


def complete(data: dict[str, Any]) -> dict[str, Any]:
    """The raw configuration with derived values written in and lists as tuples. Wrong shapes are left as they are."""
    data = _frozen(data)
    _boundary(data)
    _control(data)
    _solver(data)
    training = data.get("training")
    if isinstance(training, dict) and "rate" in training and training.get("weight_rate") is None:
        data["training"] = {**training, "weight_rate": _kept(training["rate"], above=0, instead=1.0)}
    return data


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _frozen(inside) for key, inside in value.items()}
    return tuple(_frozen(inside) for inside in value) if isinstance(value, list | tuple) else value


def _boundary(data: dict[str, Any]) -> None:
    lattice, action = data.get("lattice"), data.get("action")
    extent = lattice.get("extent") if isinstance(lattice, dict) else None
    fermion = action.get("fermion") if isinstance(action, dict) else None
    if isinstance(action, dict) and isinstance(fermion, dict) and fermion.get("boundary") is None:
        n_directions = len(extent) if isinstance(extent, tuple) else 4  # a wrong extent is reported at its own key
        signs = (1,) * (n_directions - 1) + (-1,)
        data["action"] = {**action, "fermion": {**fermion, "boundary": signs}}


def _control(data: dict[str, Any]) -> None:
    control, chain = data.get("control"), data.get("chain")
    if control == "none" or control == ():
        control = None
    elif isinstance(control, tuple):
        control = {"which": control}
    if isinstance(control, dict):
        control = dict(control)
        if control.get("which") in ((), "none"):
            control = None
        else:
            for key in ("train", "produce"):
                if control.get(key) is None:
                    control[key] = _kept(chain.get(key) if isinstance(chain, dict) else 0, above=-1, instead=0)
    if "control" in data:
        data["control"] = control


def _solver(data: dict[str, Any]) -> None:
    lattice, solver = data.get("lattice"), data.get("solver", {})
    if not isinstance(lattice, dict) or not isinstance(solver, dict):
        return
    own, extent = lattice.get("precision", "double"), lattice.get("extent")
    if own == "single":
        solver = {"tolerance": SINGLE_TOLERANCE, "force_tolerance": SINGLE_TOLERANCE, **solver}
    if solver.get("precision") is None and own in ("double", "single"):
        sizes = [n for n in extent if isinstance(n, int)] if isinstance(extent, tuple) else []
        solver = {**solver, "precision": "mixed" if own == "double" and math.prod(sizes) >= MIXED_SITES else own}
    data["solver"] = solver


def _kept(value: Any, above: float, instead: float) -> Any:
    """The value if it is a number above the limit, else the other: a wrong value is reported once, at its own key."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and value > above else instead
