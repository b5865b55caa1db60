"""All threads of a launch in step: a register is an array with one number for each thread.

The threads that stand at the lowest program counter go on until they meet others. Where an instruction is for a whole
warp, those that are there wait for the rest of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.support.ptx.access import bind_access
from tests.support.ptx.arithmetic import bind_arithmetic
from tests.support.ptx.memory import Local, Memory
from tests.support.ptx.text import DTYPE, Instruction, Program, PtxError, number
from tests.support.ptx.warp import WARP, bind_warp

# What is done by one instruction where a mask of threads, or True for all, says so.
Action = Callable[[np.ndarray | bool], None]
MAX_STEPS = 5_000_000
FAR = 1 << 40


@dataclass(frozen=True)
class Counts:
    """Of all threads together: instructions, flops (a multiply-add is two), bytes to and from global and local
    memory."""

    threads: int
    instructions: int
    flops: int
    loaded: int
    stored: int
    local: int


class Machine:
    """A program bound to memory and a grid of blocks (x, y) of so many threads, ready to be run."""

    def __init__(self, program: Program, memory: Memory, grid: tuple[int, int], n_threads: int):
        self.program, self.memory, self.n = program, memory, grid[0] * grid[1] * n_threads
        self.local = Local(self.n, program.local_bytes)
        thread = np.arange(self.n, dtype=np.uint32)
        self._special = {
            "%tid.x": thread % np.uint32(n_threads),
            "%ctaid.x": thread // np.uint32(n_threads) % np.uint32(grid[0]),
            "%ctaid.y": thread // np.uint32(n_threads * grid[0]),
            "%ntid.x": np.full(self.n, n_threads, np.uint32),
            "%nctaid.x": np.full(self.n, grid[0], np.uint32),
        }
        if n_threads % WARP:
            raise PtxError(f"{n_threads} threads in a block are no whole warps")
        self._rows = {name: np.zeros(self.n, DTYPE[kind]) for name, (kind, _) in program.registers.items()}
        self._symbols = {
            name: memory.add(np.frombuffer(data, np.uint8), False) for name, data in program.constants.items()
        }
        self._immediates: dict[tuple[str, type], np.ndarray] = {}
        self.parameters, self.carry = b"", np.zeros(self.n, np.uint64)
        self._actions = [self._bind(instruction) for instruction in program.instructions]
        self._is_for_warps = ["sync" in instruction.name for instruction in program.instructions]
        self._executed = [0] * len(self._actions)

    def register(self, name: str, dtype: type) -> np.ndarray:
        """The row of a register, seen as a type of its width."""
        row = self._rows.get(name)
        if row is None:
            raise PtxError(f"{name} is no register")
        if row.itemsize != np.dtype(dtype).itemsize:
            raise PtxError(f"{name} has {row.itemsize} bytes, {np.dtype(dtype).itemsize} are asked for")
        return row.view(dtype)

    def value(self, operand: str, dtype: type) -> np.ndarray:
        """A register, special register, immediate or address of a symbol, for all threads."""
        if operand in self._special:
            return self._special[operand].view(dtype)
        if operand.startswith("%"):
            return self.register(operand, dtype)
        key = operand, dtype
        if key not in self._immediates:
            if operand in self.program.local:
                chosen = np.dtype(dtype).type(self.program.local[operand])
            elif operand in self._symbols:
                chosen = np.dtype(dtype).type(self._symbols[operand])
            else:
                chosen = number(operand, dtype)
            self._immediates[key] = np.full(self.n, chosen, dtype)
        return self._immediates[key]

    def _bind(self, instruction: Instruction) -> Action | None:
        """What an instruction does; None for jumps."""
        if instruction.name[0] in ("bra", "ret", "exit"):
            return None
        for bind in (bind_arithmetic, bind_access, bind_warp):
            action = bind(self, instruction)
            if action is not None:
                return self._guarded(instruction, action)
        raise PtxError(f"unknown instruction: {instruction.text}")

    def _guarded(self, instruction: Instruction, action: Action) -> Action:
        if instruction.guard is None:
            return action
        name, is_negated = instruction.guard
        predicate = self.register(name, np.bool_)

        def guarded(mask: np.ndarray | bool) -> None:
            chosen = (~predicate if is_negated else predicate) & mask
            if chosen.any():
                action(chosen)

        return guarded

    def run(self, parameters: bytes) -> Counts:
        """Runs all threads to their end. PtxError when they do what they must not."""
        size = sum(count for _, count in self.program.parameters.values())
        if len(parameters) < size:
            raise PtxError(f"{len(parameters)} bytes of parameters, {size} are right")
        self.parameters = parameters
        self._executed = [0] * len(self._actions)
        end = len(self._actions)
        at, waiting = np.zeros(self.n, np.int64), np.zeros(self.n, np.bool_)
        with np.errstate(all="ignore"):
            for _ in range(MAX_STEPS):
                now = int(np.where(waiting, FAR, at).min())
                if now >= end and waiting.any():
                    raise PtxError("threads wait for others that do not come")
                if now >= end:
                    return self._counts()
                here = at == now
                self._stretch(at, waiting, now, here)
        raise PtxError("the program does not end")

    def _stretch(self, at: np.ndarray, waiting: np.ndarray, start: int, here: np.ndarray) -> None:
        """Runs the threads that are here until they meet others or a jump, and says in `at` where they are then."""
        stop = int(at.min(initial=len(self._actions), where=~here & (at > start)))
        n_here = int(np.count_nonzero(here))
        mask = True if n_here == self.n else here
        for k in range(start, stop):
            if self._is_for_warps[k]:
                here = self._meet(at, waiting, k, here)
                n_here = int(np.count_nonzero(here))
                mask = True if n_here == self.n else here
                if not n_here:
                    return
            self._executed[k] += n_here
            action = self._actions[k]
            if action is None:
                self._jump(at, k, here)
                return
            try:
                action(mask)
            except PtxError as error:
                raise PtxError(f"{error}: {self.program.instructions[k].text}") from None
        at[here] = stop

    def _meet(self, at: np.ndarray, waiting: np.ndarray, k: int, here: np.ndarray) -> np.ndarray:
        """Those of whose warp all threads are here; the others wait."""
        whole = np.repeat(here.reshape(-1, WARP).all(axis=1), WARP)
        at[here], waiting[here] = k, ~whole[here]
        return whole

    def _jump(self, at: np.ndarray, k: int, here: np.ndarray) -> None:
        instruction = self.program.instructions[k]
        is_end = instruction.name[0] != "bra"
        target = len(self._actions) if is_end else self.program.labels[instruction.operands[0]]
        if instruction.guard is None:
            at[here] = target
            return
        name, is_negated = instruction.guard
        taken = self.register(name, np.bool_) != is_negated
        at[here] = np.where(taken[here], target, k + 1)

    def _counts(self) -> Counts:
        total = dict.fromkeys(("flops", "loaded", "stored", "local"), 0)
        for instruction, times in zip(self.program.instructions, self._executed, strict=True):
            name = instruction.name
            if name[-1] in ("f32", "f64") and name[0] in ("add", "sub", "mul", "fma", "div", "rcp", "sqrt"):
                total["flops"] += times * (2 if name[0] == "fma" else 1)
            elif name[0] in ("ld", "st") and "param" not in name:
                width = np.dtype(DTYPE[name[-1]]).itemsize * next((int(p[1]) for p in name if p in ("v2", "v4")), 1)
                key = "local" if "global" not in name else "loaded" if name[0] == "ld" else "stored"
                total[key] += times * width
        return Counts(self.n, sum(self._executed), **total)
