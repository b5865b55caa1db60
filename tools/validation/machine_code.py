"""Every kernel of the catalogue as machine code for four generations of GPUs; no card is needed."""

from __future__ import annotations

import time

from measure import Row
from points import Known

from hpcgauge.bench import cuda

TARGETS, COLORS, PRECISIONS = "sm_75,sm_80,sm_90,sm_100", "2,3", "double,single"


def machine_code() -> list[Row]:
    """How many kernels have more stack than they may; DeviceError where one does not compile, or NVRTC is missing."""
    began = time.perf_counter()
    rows = cuda.resources(cuda.chosen(TARGETS, COLORS, PRECISIONS))
    name, seconds = f"{len(rows)} kernels for GPUs", time.perf_counter() - began
    return [Row(name, "with too much stack", len(cuda.excessive(rows)), 0, Known(0, 0.5, 0), seconds)]
