"""Options of a verb that belong together, as one argument."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any


def with_groups(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb as the command line reads it: an argument that is a dataclass is replaced by options, its fields."""
    signature = inspect.signature(verb, eval_str=True)
    kinds = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    groups = {name: _parameters(kind) for name, kind in kinds.items() if isinstance(kind, type) and is_dataclass(kind)}

    @functools.wraps(verb)
    def called(**given: Any) -> None:
        for name, fields in groups.items():
            given[name] = kinds[name](**{field.name: given.pop(field.name) for field in fields})
        verb(**given)

    options = [option for p in signature.parameters.values() for option in groups.get(p.name, [p])]
    keywords = [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options]
    called.__signature__ = signature.replace(parameters=keywords)  # type: ignore[attr-defined]
    called.__annotations__ = {option.name: option.annotation for option in keywords}
    return called


def _parameters(group: type) -> list[inspect.Parameter]:
    return list(inspect.signature(group, eval_str=True).parameters.values())
