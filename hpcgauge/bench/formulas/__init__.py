"""The formulas of kernels in NumPy, apart from the kernels. `oracle/kernels.py` says how they are called."""

from __future__ import annotations

from hpcgauge.bench.oracle.algebra import Array

Result = dict[str, Array]
SUMS = "sums"
