"""ORACLES: kernel name -> function(numpy inputs) -> numpy outputs, the formula each kernel is compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ORACLES: dict[str, Callable[..., Any]] = {}
