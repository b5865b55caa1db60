"""Paths of network layers over tape.Variable, by the recursion in their length."""

from __future__ import annotations

from .tape import Variable, adjoint, shift

LinkVariables = list[Variable]
PathTable = dict[tuple[int, int, int, int], Variable]


def path_table(U: LinkVariables, reach: int) -> PathTable:
    """P_{sigma nu,s}(U) under the key (mu, nu, sigma, s), s = 1..reach, each from the one of s - 1."""
    table: PathTable = {}
    directions = range(len(U))
    for mu, nu in ((mu, nu) for mu in directions for nu in directions if nu != mu):
        ahead = shift(U[nu], mu, 1)
        forward = backward_path = U[mu]
        for length in range(1, reach + 1):
            forward = U[nu] @ shift(forward, nu, 1) @ adjoint(ahead)
            backward_path = shift(adjoint(U[nu]) @ backward_path @ ahead, nu, -1)
            table[mu, nu, 1, length], table[mu, nu, -1, length] = forward, backward_path
    return table
