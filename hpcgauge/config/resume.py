"""What a resumed run may change."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from hpcgauge.config.schema import Run

# They change no number of a run that goes on; a solve that ended before the limit does not know it.
FREE = ("lattice.device", "lattice.process_grid", "lattice.threads", "solver.max_steps", "checkpoint")
GROWING = ("chain.produce", "control.produce", "control.reference.produce")


def physics_differences(before: Run, after: Run) -> list[str]:
    """The keys that forbid to go on with `before` as `after`: all that differ, but those that change no number and
    lengths of production that grew."""
    old, new = dict(_flat(before.model_dump(mode="json"))), dict(_flat(after.model_dump(mode="json")))
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if before.control is None or after.control is None:  # chains of their own, begun or left out
        keys = [key for key in keys if key.split(".")[0] != "control"]
    return [key for key in keys if not _is_allowed(key, old.get(key), new.get(key))]


def changes_in_words(keys: Sequence[str], before: Run, after: Run) -> str:
    """The keys with the values of both, for someone who wants the old ones back."""
    old, new = dict(_flat(before.model_dump(mode="json"))), dict(_flat(after.model_dump(mode="json")))
    return ", ".join(f"{key} ({_shown(old, key)}, not {_shown(new, key)})" for key in keys)


def _shown(values: dict[str, Any], key: str) -> str:
    return json.dumps(values[key]).strip('"') if key in values else "left out"


def _is_allowed(key: str, old: Any, new: Any) -> bool:
    if any(key == free or key.startswith(free + ".") for free in FREE):
        return True
    return key in GROWING and old is not None and new is not None and new >= old


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Pairs of dotted key and value; a list of plain values is one value."""
    if isinstance(value, dict):
        for name, inside in value.items():
            yield from _flat(inside, f"{key}.{name}" if key else name)
    elif isinstance(value, list) and any(isinstance(inside, dict) for inside in value):
        for i, inside in enumerate(value):
            yield from _flat(inside, f"{key}.{i}")
    else:
        yield key, value
