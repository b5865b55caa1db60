"""Times of solves with D^+D on a quenched field: one line of JSON for each way.

    .venv/bin/python tools/solver_times.py [--extent 16] [--colors 3] [--beta 6.0] [--mass 0.05] [--links FILE.npy]

The field is thermalised first, or kept in FILE.npy. Times are the shortest of the repetitions.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import hpcgauge as hg
from hpcgauge.fermion.multishift import solve_masses
from hpcgauge.fermion.solvers import Solution, solve_normal
from hpcgauge.fields.field import Field
from hpcgauge.kernels.draws import Draw, Stream, random_vectors

SOURCES = 4
# Trajectories from unit links that are all taken, as many that are decided, and those after the field was repeated
TAKEN, DECIDED, LATER = 20, 40, 40


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extent", type=int, default=16)
    parser.add_argument("--colors", type=int, default=3)
    parser.add_argument("--beta", type=float, default=6.0)
    parser.add_argument("--mass", type=float, default=0.05)
    parser.add_argument("--tolerance", type=float, default=1e-10)
    parser.add_argument("--repetitions", type=int, default=4)
    parser.add_argument("--links", type=Path)
    return parser.parse_args()


def thermal(asked: argparse.Namespace) -> Field:
    """Quenched links in equilibrium: of half the extent first, repeated, and thermalised again."""
    halves = 2 if asked.extent >= 8 and asked.extent % 4 == 0 else 1
    small = hg.Lattice((asked.extent // halves,) * 4, asked.colors)
    sampler = hg.HMC(hg.PlaquetteAction(asked.beta), steps=8 + asked.extent // 4)
    state = hg.State(hg.Links.unit(small), 1)
    for trajectory in range(TAKEN):
        state = hg.State(sampler.propose(state).U_tau, 1, trajectory + 1)
    for _ in range(DECIDED):
        state, _ = sampler.step(state)
    array = np.tile(state.U.to_numpy(), (1, *[halves] * 4, 1, 1))
    state = hg.State(hg.Links.from_numpy(hg.Lattice((asked.extent,) * 4, asked.colors), array), 2)
    for _ in range(LATER if halves > 1 else 0):
        state, _ = sampler.step(state)
    return state.U


def links(asked: argparse.Namespace) -> Field:
    """The field of FILE.npy, made and kept there at first."""
    if asked.links is not None and asked.links.exists():
        return hg.Links.from_numpy(hg.Lattice((asked.extent,) * 4, asked.colors), np.load(asked.links))
    U = thermal(asked)
    if asked.links is not None:
        np.save(asked.links, U.to_numpy())
    return U


def ways(U: Field, asked: argparse.Namespace) -> dict[str, Callable[[], Solution]]:
    """What is timed, by name."""
    D, tolerance = hg.Staggered(U, asked.mass, compressed=True), asked.tolerance
    noise = [random_vectors(U.lattice, Draw(Stream.NOISE, 1, instance=k)) for k in range(SOURCES)]
    one = [D.adjoint_even(xi) for xi in noise]
    several = hg.ColorVector.from_numpy(U.lattice, np.stack([b.to_numpy() for b in one]))
    masses = [factor * asked.mass for factor in (1, 2, 4, 8)]
    found: dict[str, Callable[[], Solution]] = {}
    for precision in ("double", "mixed"):
        found[precision] = lambda p=precision: solve_normal(D, one[0], tolerance, parity="even", precision=p)
        found[f"{SOURCES} sources, {precision}"] = lambda p=precision: solve_normal(
            D, several, tolerance, parity="even", precision=p
        )
    found["4 masses"] = lambda: solve_masses(D, masses, one[0], tolerance, parity="even")
    return found


def main() -> None:
    """Prints the times."""
    asked = arguments()
    best: dict[str, float] = {}
    solutions: dict[str, Solution] = {}
    timed = ways(links(asked), asked)
    for _ in range(asked.repetitions):
        for name, solve in timed.items():
            began = time.perf_counter()
            solutions[name] = solve()
            best[name] = min(best.get(name, np.inf), time.perf_counter() - began)
    for name, solution in solutions.items():
        row = {"way": name, "seconds": best[name], "steps": solution.steps, "residual": solution.residual}
        print(json.dumps(row | {"converged": solution.converged}))


if __name__ == "__main__":
    main()
