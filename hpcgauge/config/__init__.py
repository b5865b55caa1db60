"""The description of a run: YAML to frozen, typed, validated sections and back."""

from hpcgauge.config.load import load, parse, read, refuse_missing_start, resolved_yaml
from hpcgauge.config.resume import changes_in_words, physics_differences
from hpcgauge.config.schema import Run

__all__ = [
    "Run",
    "changes_in_words",
    "load",
    "parse",
    "physics_differences",
    "read",
    "refuse_missing_start",
    "resolved_yaml",
]
