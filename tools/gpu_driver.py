"""Prints the major version of CUDA that the NVIDIA driver of this machine supports; needs nothing but Python.

Exit code 4 and one sentence where there is no driver, or no card that is visible.
"""

from __future__ import annotations

import ctypes
import sys

NAMES = ("libcuda.so.1", "libcuda.so", "/usr/lib/wsl/lib/libcuda.so.1")
INSTEAD = "tools/test runs the tests without one"


def driver() -> ctypes.CDLL | None:
    """The driver's library, None where there is none."""
    for name in NAMES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def problem(library: ctypes.CDLL | None) -> str:
    """Why no card can be used; empty if one can."""
    if library is None:
        return f"no NVIDIA driver was found ({NAMES[0]}); install it ({INSTEAD})"
    count = ctypes.c_int()
    error = library.cuInit(0) or library.cuDeviceGetCount(ctypes.byref(count))
    if error or not count.value:
        return f"the NVIDIA driver finds no card (error {error}); see CUDA_VISIBLE_DEVICES ({INSTEAD})"
    return ""


def main() -> int:
    """0 with a card, else 4."""
    library = driver()
    text = problem(library)
    if text or library is None:
        print(f"gpu_check: {text}", file=sys.stderr)
        return 4
    version = ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(version))
    print(version.value // 1000)
    return 0


if __name__ == "__main__":
    sys.exit(main())
