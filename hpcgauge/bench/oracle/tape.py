"""Reverse-mode derivatives of matrix fields: every operation remembers how it hands a cotangent back to its inputs.

A cotangent C of a value Z means df = Re sum tr(C^+ dZ) for matrices and df = sum c dz for real numbers. The rules:
  Z = A B        C_A = C B^+, C_B = A^+ C                    Z = A^+         C_A = C^+
  Z = A(n + mu)  C_A = C(n - mu)                             Z = TA(A)       C_A = TA(C)       (an orthogonal projector)
  Z = a A        c_a = Re tr(C^+ A), C_A = a C               z = Re tr A     C_A = c 1
  z = tan(a)     c_a = (1 + z^2) c
  Z = exp(Q), Q = W diag(i w) W^+:   W^+ dZ W = G * (W^+ dQ W) entry by entry,   C_Q = W [ G^* * (W^+ C W) ] W^+,
                 G_jk = (e^{i w_j} - e^{i w_k}) / (i (w_j - w_k)), e^{i w_j} where they agree.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import algebra
from .algebra import Array


class Variable:
    """A value and, after `backward`, its cotangent."""

    def __init__(
        self, value: Array, inputs: tuple[Variable, ...] = (), pull: Callable[[Array], tuple[Array, ...]] | None = None
    ):
        self.value = value
        self.inputs = inputs
        self.pull = pull
        self.cotangent: Array = np.zeros_like(value)

    def __add__(self, other: Variable) -> Variable:
        return Variable(self.value + other.value, (self, other), lambda C: (C, C))

    def __sub__(self, other: Variable) -> Variable:
        return Variable(self.value - other.value, (self, other), lambda C: (C, -C))

    def __matmul__(self, other: Variable) -> Variable:
        left, right = self.value, other.value
        return Variable(left @ right, (self, other), lambda C: (C @ algebra.adjoint(right), algebra.adjoint(left) @ C))


def adjoint(A: Variable) -> Variable:
    """A^+."""
    return Variable(algebra.adjoint(A.value), (A,), lambda C: (algebra.adjoint(C),))


def shift(A: Variable, mu: int, steps: int) -> Variable:
    """A(n + steps mu)."""
    return Variable(algebra.shift(A.value, mu, steps), (A,), lambda C: (algebra.shift(C, mu, -steps),))


def TA(A: Variable) -> Variable:
    """The traceless antihermitian part."""
    return Variable(algebra.TA(A.value), (A,), lambda C: (algebra.TA(C),))


def scale(a: Variable, A: Variable) -> Variable:
    """a A, a one real number (shape ()) or one per site."""
    number, matrix = a.value, A.value

    def pull(C: Array) -> tuple[Array, Array]:
        per_site = np.sum(np.conj(C) * matrix, axis=(-1, -2)).real
        return (per_site.sum() if number.ndim == 0 else per_site), number[..., None, None] * C

    return Variable(number[..., None, None] * matrix, (a, A), pull)


def real_trace(A: Variable) -> Variable:
    """Re tr A per site."""
    identity = np.eye(A.value.shape[-1])
    return Variable(algebra.trace(A.value).real, (A,), lambda C: (C[..., None, None] * identity + 0j,))


def tan_scaled(a: Variable, factor: float) -> Variable:
    """tan(factor * a) of real numbers."""
    value = np.tan(factor * a.value)
    return Variable(value, (a,), lambda C: (factor * (1 + value**2) * C,))


def exp(Q: Variable) -> Variable:
    """exp(Q) of antihermitian matrices."""
    angles, W = np.linalg.eigh(-1j * Q.value)
    phases = np.exp(1j * angles)
    # e^{i(w_j + w_k)/2} sin(d/2)/(d/2) with d = w_j - w_k is G without a division by zero
    mean = (angles[..., :, None] + angles[..., None, :]) / 2
    half_difference = (angles[..., :, None] - angles[..., None, :]) / 2
    G = np.exp(1j * mean) * np.sinc(half_difference / np.pi)
    W_adjoint = algebra.adjoint(W)
    return Variable(
        (W * phases[..., None, :]) @ W_adjoint, (Q,), lambda C: (W @ (np.conj(G) * (W_adjoint @ C @ W)) @ W_adjoint,)
    )


def backward(outputs: list[Variable], cotangents: Array) -> None:
    """Sets `cotangent` of everything the outputs depend on; call it once per tape."""
    order: list[Variable] = []
    seen: set[int] = set()
    stack = [(output, False) for output in outputs]
    while stack:
        node, finished = stack.pop()
        if finished:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((parent, False) for parent in node.inputs)
    for output, cotangent in zip(outputs, cotangents, strict=True):
        output.cotangent = output.cotangent + cotangent
    for node in reversed(order):
        if node.pull is not None:
            for parent, part in zip(node.inputs, node.pull(node.cotangent), strict=True):
                parent.cotangent = parent.cotangent + part
