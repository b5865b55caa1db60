"""How the time of a CASK layer and of a hop grows with volume, colors, layers and reach.

One line of JSON for each point, then the power of each sequence:

    OMP_NUM_THREADS=1 .venv/bin/python tools/growth.py [--seconds 1.0]

Times are the shortest of the repetitions; a CASK network is applied and pulled back, as a program, as in a trajectory.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np

import hpcgauge as hg
from hpcgauge.kernels.draws import Draw, Stream, random_vectors
from hpcgauge.kernels.program import Program
from hpcgauge.kernels.recording import recording

ROW = (-0.012, 0.024, 0.014, 0.125)
# What varies, and its values; the rest is one layer of reach 3 for SU(2) on 8^4.
SEQUENCES: dict[str, tuple[int, ...]] = {
    "extent": (4, 6, 8, 12),
    "colors": (2, 3, 4),
    "layers": (1, 2, 4),
    "reach": (1, 2, 3, 4),
}
USUAL = {"extent": 8, "colors": 2, "layers": 1, "reach": 3}
HOP_EXTENTS = (4, 6, 8, 12, 16)


def shortest(work: Callable[[], object], seconds: float) -> float:
    """The shortest time of `work`, called for about so many seconds after a first call."""
    work()
    times = []
    while not times or sum(times) < seconds:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def network_seconds(extent: int, colors: int, layers: int, reach: int, seconds: float) -> float:
    """Of a CASK network forward and back."""
    lattice = hg.Lattice((extent,) * 4, colors)
    U, net = hg.Links.hot(lattice, 1), hg.Cask(np.array([ROW] * layers), reach=reach)
    cotangent = hg.Links.hot(lattice, 2)

    with recording(lattice) as steps:
        _, tape = net.apply(U)
        net.pullback(tape, cotangent)
    program = Program(steps)
    return shortest(lambda: program.run(1), seconds)


def hop_seconds(extent: int, colors: int, seconds: float) -> float:
    """Of D^+D on even sites."""
    lattice = hg.Lattice((extent,) * 4, colors)
    psi = random_vectors(lattice, Draw(Stream.NOISE, 1))
    launches = hg.Staggered(hg.Links.hot(lattice, 1), 0.1).normal_launches(psi, psi.copy(), psi.copy(), "even")
    return shortest(lambda: [launch() for launch in launches], seconds)


def power(x: list[int], y: list[float]) -> float:
    """p of the fit y = a x^p."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def main() -> None:
    """Prints points and powers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0)
    seconds = parser.parse_args().seconds
    for name, values in SEQUENCES.items():
        found = [network_seconds(**(USUAL | {name: value}), seconds=seconds) for value in values]
        for value, taken in zip(values, found, strict=True):
            print(json.dumps({"what": "cask", name: value, "seconds": taken}), flush=True)
        print(json.dumps({"what": "cask", "in": name, "power": power(list(values), found)}), flush=True)
    for colors in (2, 3):
        found = [hop_seconds(extent, colors, seconds) for extent in HOP_EXTENTS]
        for extent, taken in zip(HOP_EXTENTS, found, strict=True):
            print(json.dumps({"what": "normal", "colors": colors, "extent": extent, "seconds": taken}), flush=True)
        print(json.dumps({"what": "normal", "colors": colors, "power": power(list(HOP_EXTENTS), found)}), flush=True)


if __name__ == "__main__":
    main()
