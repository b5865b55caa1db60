"""The description of a run: YAML to frozen, typed, validated sections and back."""

from hpcgauge.config.load import load, parse, read, resolved_yaml
from hpcgauge.config.resume import physics_differences
from hpcgauge.config.schema import Run

__all__ = ["Run", "load", "parse", "physics_differences", "read", "resolved_yaml"]
