"""One message for what is wrong in a configuration: the key, its value, what would be right, the nearest known name."""

from __future__ import annotations

import difflib
import json
from typing import Any

from pydantic import BaseModel, ValidationError

from hpcgauge.config.words import Key, dotted, entry, in_words, leaves, section, walk


def explain(problem: ValidationError, model: type[BaseModel], data: Any) -> str:
    """The first thing that is wrong, unknown keys before all, in one sentence, and the keys of the others."""
    found: dict[str, str] = {}
    for error in sorted(problem.errors(), key=lambda error: error["type"] != "extra_forbidden"):
        key, text = _explain(error, model, data)
        found.setdefault(key, text)
    first, *others = found
    others = [other for other in others if not first.startswith(other + ".")]
    more = f" (also wrong: {', '.join(others)})" if others else ""
    return found[first] + more


def unknown_key(model: type[BaseModel], key: Key) -> str:
    """That the key is unknown, with the nearest known name."""
    above, annotation, _ = walk(model, key[:-1])
    inside = section(annotation)
    if inside is None and entry(annotation) is not None:
        return f"{dotted(key)} is not a known key; {dotted(above)} is a list, its entries are {dotted(above)}.0, ..."
    names = [] if inside is None else [dotted((*above, name)) for name in inside.model_fields]
    return f"{dotted(key)} is not a known key{_nearest(dotted(key), names, model)}"


def _nearest(name: str, siblings: list[str], model: type[BaseModel]) -> str:
    last = name.rpartition(".")[2]
    ends = {sibling.rpartition(".")[2]: sibling for sibling in siblings}
    close = [ends[end] for end in difflib.get_close_matches(last, ends, n=1, cutoff=0.6)]
    everywhere = [key for key, _ in leaves(model) if not name.startswith(key + ".")]
    close = close or [key for key in everywhere if key.rpartition(".")[2] == last][:1]
    close = close or difflib.get_close_matches(name, everywhere, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known here: {', '.join(ends)}" if ends else ""


def _explain(error: Any, model: type[BaseModel], data: Any) -> tuple[str, str]:
    location: Key = error["loc"]
    if error["type"] == "extra_forbidden":
        above = walk(model, location[:-1])[0]
        key = (*above, location[-1])
        return dotted(key), unknown_key(model, key)
    if error["type"] == "value_error":
        text = str(error["ctx"]["error"])
        return text.split(" ")[0], text
    key, annotation, limits = walk(model, location)
    if error["type"] == "missing":
        return dotted(key), f"{dotted(key)} is missing; it must be {in_words(annotation, limits)}"
    value, right = _value(data, key), in_words(annotation, limits)
    text = f"{dotted(key)} = {_shown(value)} is not possible; it must be {right}{_nearest_choice(value, right)}"
    return dotted(key), text


def _nearest_choice(value: Any, right: str) -> str:
    if not isinstance(value, str):
        return ""
    choices = [word.strip("(),") for word in right.split()]
    close = difflib.get_close_matches(value, choices, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close and close[0] != value else ""


def _value(data: Any, key: Key) -> Any:
    for part in key:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
