"""The composition root: a configuration becomes objects, the objects run, the report is written."""

from hpcgauge.run.job import compile_kernels, run

__all__ = ["compile_kernels", "run"]
