"""Values as JSON text: every digit kept, NaN and infinity never written."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy


def plain(value: Any) -> Any:
    """The value in the types of JSON: numbers of numpy become those of Python, tuples lists."""
    if isinstance(value, numpy.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError(f"{value!r} cannot be written as JSON; expected numbers, texts, lists and mappings")


def to_json(values: Mapping[str, Any]) -> str:
    """The values as one line; ValueError naming the key of a number that is not finite."""
    content = plain(values)
    for key, entry in content.items():
        if not is_finite(entry):
            raise ValueError(f"{key} = {entry} is not finite and cannot be stored")
    return json.dumps(content, allow_nan=False, ensure_ascii=False)


def is_finite(value: Any) -> bool:
    """False if a plain value holds NaN or infinity anywhere."""
    if isinstance(value, dict):
        return all(is_finite(entry) for entry in value.values())
    if isinstance(value, list):
        return all(is_finite(entry) for entry in value)
    return not isinstance(value, float) or math.isfinite(value)
