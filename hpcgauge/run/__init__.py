"""The composition root: a configuration becomes objects, the objects run, the report is written."""

from hpcgauge.run.compilation import compile_configuration
from hpcgauge.run.job import run

__all__ = ["compile_configuration", "run"]
