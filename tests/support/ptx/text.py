"""PTX text as a list of instructions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

DTYPE = {
    "pred": np.bool_,
    "b8": np.uint8,
    "u8": np.uint8,
    "s8": np.int8,
    "b16": np.uint16,
    "u16": np.uint16,
    "s16": np.int16,
    "b32": np.uint32,
    "u32": np.uint32,
    "s32": np.int32,
    "b64": np.uint64,
    "u64": np.uint64,
    "s64": np.int64,
    "f32": np.float32,
    "f64": np.float64,
}
INSTRUCTION = re.compile(r"(?:@(!?)(%\w+)\s+)?([a-z][\w.]*)\s*(.*)", re.DOTALL)
REGISTERS = re.compile(r"\.reg\s+\.(\w+)\s+(%\w+)(?:<(\d+)>)?")
CONSTANT = re.compile(
    r"\.(?:visible\s+)?(?:global|const)\s+(?:\.align\s+\d+\s+)?\.(\w+)\s+(\w+)(?:\[(\d+)\])?(?:\s*=\s*(.+))?", re.DOTALL
)
LOCAL = re.compile(r"\.local\s+\.align\s+(\d+)\s+\.b8\s+(\w+)\[(\d+)\]")
ENTRY = re.compile(r"\.visible\s+\.entry\s+(\w+)\s*\(\s*(.*?)\s*\)\s*(?:\.\w+[^{]*)?\{(.*)\}", re.DOTALL)
PARAMETER = re.compile(r"\.param\s+(?:\.align\s+\d+\s+)?\.(\w+)\s+(\w+)(?:\[(\d+)\])?")
DIRECTIVES = (".version", ".target", ".address_size", ".pragma", ".loc", ".file")


class PtxError(Exception):
    """What the machine cannot do, or a program must not do."""


@dataclass
class Instruction:
    """One instruction: `name` split at its dots; `guard`: a predicate register, and True if it is negated."""

    name: tuple[str, ...]
    operands: list[str]
    guard: tuple[str, bool] | None
    text: str


@dataclass
class Program:
    """One entry function. `constants`: name -> bytes; `parameters`: name -> (offset, bytes)."""

    name: str
    instructions: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    registers: dict[str, tuple[str, int]] = field(default_factory=dict)
    constants: dict[str, bytes] = field(default_factory=dict)
    parameters: dict[str, tuple[int, int]] = field(default_factory=dict)
    local: dict[str, int] = field(default_factory=dict)
    local_bytes: int = 0


def parse(ptx: str) -> dict[str, Program]:
    """Every entry function of a module. PtxError where the text is not understood."""
    text = re.sub(r"//[^\n]*", "", ptx)
    first = text.find(".visible .entry")
    constants: dict[str, bytes] = {}
    for statement in text[:first].split(";"):
        line = statement.strip()
        while line.startswith(DIRECTIVES):
            line = line.partition("\n")[2].strip()
        if line:
            constants |= _constant(line)
    programs = {}
    for part in re.split(r"(?=\.visible\s+\.entry)", text[first:])[1:]:
        match = ENTRY.match(part)
        if not match:
            raise PtxError(f"not an entry function: {part[:80]!r}")
        programs[match[1]] = _entry(match, constants)
    return programs


def _constant(line: str) -> dict[str, bytes]:
    match = CONSTANT.fullmatch(line)
    if not match:
        raise PtxError(f"not understood: {line[:80]!r}")
    kind, name, count, values = match.groups()
    listed = [entry.strip() for entry in (values or "0").strip("{} \n").split(",")]
    numbers = np.array([number(entry, DTYPE[kind]) for entry in listed], DTYPE[kind])
    return {name: np.concatenate([numbers, np.zeros(int(count or 1) - len(numbers), DTYPE[kind])]).tobytes()}


def number(text: str, dtype: type) -> np.generic:
    """An immediate as a number of a type."""
    if text[:2] in ("0f", "0d"):
        bits = np.array(int(text[2:], 16), np.uint32 if text[1] == "f" else np.uint64)
        return bits.view(np.float32 if text[1] == "f" else np.float64)[()]
    value = int(text.removesuffix("U"), 0)
    if np.issubdtype(dtype, np.integer):
        return np.array(value % 2 ** (8 * np.dtype(dtype).itemsize), f"u{np.dtype(dtype).itemsize}").view(dtype)[()]
    return np.dtype(dtype).type(value)


def _entry(match: re.Match[str], constants: dict[str, bytes]) -> Program:
    program = Program(match[1], constants=constants)
    at = 0
    for kind, name, count in PARAMETER.findall(match[2]):
        size = np.dtype(DTYPE[kind]).itemsize * int(count or 1)
        at += -at % np.dtype(DTYPE[kind]).itemsize
        program.parameters[name] = at, size
        at += size
    for statement in match[3].split(";"):
        line = statement.strip()
        while label := re.match(r"(\$\w+):\s*", line):
            program.labels[label[1]] = len(program.instructions)
            line = line[label.end() :]
        if line:
            _statement(program, line)
    return program


def _statement(program: Program, line: str) -> None:
    if found := REGISTERS.fullmatch(line):
        kind, prefix, count = found.groups()
        if count is None:
            program.registers[prefix] = kind, 0
        else:
            program.registers |= {f"{prefix}{k}": (kind, k) for k in range(int(count))}
    elif found := LOCAL.fullmatch(line):
        program.local_bytes += -program.local_bytes % int(found[1])
        program.local[found[2]] = program.local_bytes
        program.local_bytes += int(found[3])
    elif line.startswith(DIRECTIVES):
        pass
    elif found := INSTRUCTION.fullmatch(line):
        guard = (found[2], found[1] == "!") if found[2] else None
        operands = re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+", found[4])
        program.instructions.append(Instruction(tuple(found[3].split(".")), operands, guard, line))
    else:
        raise PtxError(f"not understood: {line[:80]!r}")
