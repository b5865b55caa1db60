"""cupy.cuda.nvrtc of the stand-in: the text that NVRTC would receive goes to the C++ compiler."""

from __future__ import annotations

import functools
import itertools
import json
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcgauge.kernels.cache import digest, included
from hpcgauge.kernels.compiler import find_compiler, identity, processor
from tests.support.emulated.card import part_text
from tests.support.emulated.errors import NVRTCError

FLAGS = (
    "-O1 -fpeel-loops -march=native -fno-math-errno -fno-trapping-math -shared -fPIC -fvisibility=hidden -nostdinc -s"
    " -w -fmax-errors=5"
).split()
ARCHITECTURES = (75, 80, 86, 87, 88, 89, 90, 100, 103, 107, 110, 120, 121)
IGNORED = ("--device-as-default-execution-space", "--device-int128", "--ptxas-options=")
KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\(\s*(\d+)\s*\)\s*)?(\w+)\s*\(\s*(?:const\s+)?\w+\s+\w+\s*\)'
)
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
MAX_THREADS = 1024
# Behind the library: what is in it
MARK = b"\nemulated "
LOG = """ptxas info    : Compiling entry function '{name}' for 'sm_{architecture}'
ptxas info    : Function properties for {name}
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 64 registers, used 0 barriers
"""


@dataclass(frozen=True)
class Contents:
    """What the emulated machine code is for, and its kernels with the most threads of a block."""

    architecture: int
    kernels: dict[str, int]


@dataclass
class Program:
    """A text, and after compilation the code and what the compiler said."""

    text: str
    name: str
    code: bytes = b""
    log: str = ""


def contents(image: bytes) -> Contents | None:
    """What is in emulated machine code; None if it is something else."""
    _, mark, rest = image.rpartition(MARK)
    return Contents(**json.loads(rest)) if mark else None


def nvrtc_names() -> dict[str, Any]:
    """The functions of cupy.cuda.nvrtc that the project calls."""
    programs: dict[int, Program] = {}
    numbers = itertools.count(1)

    def createProgram(src: str, name: str, headers: Any, include_names: Any) -> int:
        if headers or include_names:
            raise ValueError("headers = and include_names = must be empty: the stand-in for NVRTC finds headers by -I")
        number = next(numbers)
        programs[number] = Program(src, name)
        return number

    def destroyProgram(prog: int) -> None:
        del programs[prog]

    return {
        "getVersion": _version,
        "createProgram": createProgram,
        "compileProgram": lambda prog, options: _compile(programs[prog], options),
        "getCUBIN": lambda prog: programs[prog].code,
        "getPTX": lambda prog: b"// emulated: no PTX\n",
        "getProgramLog": lambda prog: programs[prog].log + "\0",
        "destroyProgram": destroyProgram,
        "getSupportedArchs": lambda: ARCHITECTURES,
    }


@functools.cache
def _front() -> str:
    """What stands before a unit."""
    return part_text("agreed") + Path(__file__).with_name("unit.h").read_text() + '#line 1 "unit.cu"\n'


@functools.cache
def _version() -> tuple[int, int]:
    """The second number tells machine code of the stand-in from all other, in the cache."""
    parts = (_front(), " ".join(FLAGS), identity(find_compiler()), processor())
    return 13, 1_000_000 + int(digest(parts)[:12], 16)


def _compile(program: Program, options: list[str]) -> None:
    flags, architecture = _flags(program, options)
    found = {name: int(limit or MAX_THREADS) for limit, name in _kernels(program)}
    text = _front() + program.text + "\n" + "".join(f"EMULATED_KERNEL({name})\n" for name in found)
    with tempfile.TemporaryDirectory() as folder:
        unit, library = Path(folder, "emulated.cpp"), Path(folder, "emulated.so")
        unit.write_text(text)
        command = [find_compiler(), *FLAGS, *flags, str(unit), "-o", str(library)]
        result = subprocess.run(command, capture_output=True, text=True)
        program.log = result.stderr.replace("unit.cu", program.name)
        if result.returncode:
            raise NVRTCError(6)
        ending = json.dumps({"architecture": architecture, "kernels": found}).encode()
        program.code = library.read_bytes() + MARK + ending
    program.log += "".join(LOG.format(name=name, architecture=architecture) for name in found)


def _kernels(program: Program) -> list[tuple[str, str]]:
    """(most threads or nothing, name) of each kernel."""
    texts = [COMMENT.sub("", text) for text in (program.text, *included(program.text))]
    found = [kernel for text in texts for kernel in KERNEL.findall(text)]
    if len(found) != sum(text.count("__global__") for text in texts):
        program.log = 'error: the stand-in runs kernels written as extern "C" __global__ void name(const Struct call)'
        raise NVRTCError(6)
    return found


def _flags(program: Program, options: list[str]) -> tuple[list[str], int]:
    """The C++ compiler's flags for options of NVRTC, and the architecture."""
    # -O1 alone contracts nothing.
    flags, architecture, contraction = [], 75, ["-ffp-contract=fast", "-fexpensive-optimizations"]
    for option in options:
        name, _, value = option.partition("=")
        if option.startswith(IGNORED):
            continue
        if name in ("--gpu-architecture", "-arch") and value.removeprefix("sm_") in map(str, ARCHITECTURES):
            architecture = int(value.removeprefix("sm_"))
        elif name in ("--include-path", "-I") and value:
            flags.append(f"-I{value}")
        elif name in ("--std", "-std"):
            flags.append(f"-std={value}")
        elif option == "--fmad=false":
            contraction = ["-ffp-contract=off"]
        elif option.startswith("-D"):
            flags.append(option)
        else:
            program.log = f"nvrtc: error: unrecognized option {option} found\n"
            raise NVRTCError(5)
    return [*flags, *contraction, f"-D__CUDA_ARCH__={architecture}0"], architecture
