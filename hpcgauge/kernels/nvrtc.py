"""Machine code for GPUs: NVRTC through CuPy, cached by content. No card and no driver are needed."""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcgauge.errors import ConfigError, DeviceError
from hpcgauge.fields.choice import REMEDY, in_a_line
from hpcgauge.kernels.cache import cache_folder, digest, included, locked
from hpcgauge.kernels.cuda_source import PROGRAM, cuda_source
from hpcgauge.kernels.kernel import SITE_FOLDER, Kernel
from hpcgauge.kernels.source import Target

# Then the log says what the machine code takes.
VERBOSE = "--ptxas-options=--verbose"
FLAGS = ("--std=c++17", "--fmad=false", "--device-as-default-execution-space", "--device-int128", VERBOSE)
ENTRY = re.compile(
    r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
    r".*?Used (\d+) registers(?:[^\n]*?(\d+) bytes cumulative stack)?",
    re.DOTALL,
)


@dataclass(frozen=True)
class Resources:
    """What a thread of an entry function takes: registers, bytes of stack, bytes of it that spills store and load."""

    registers: int
    stack_bytes: int
    spill_bytes: int


@dataclass(frozen=True)
class MachineCode:
    """The code for one architecture, the PTX that it was made of, and what each of its entry functions takes."""

    code: bytes
    ptx: str
    resources: dict[str, Resources]


def build_cuda(kernel: Kernel, target: Target, architecture: str) -> MachineCode:
    """The machine code of a kernel, from the cache if it is there. Every rank may call it at once.

    DeviceError when there is no CuPy or NVRTC, ValueError when a user's header does not compile.
    """
    problem = DeviceError if kernel.path.parent == SITE_FOLDER else ValueError
    return machine_code(cuda_source(kernel, target), kernel.name, architecture, problem)


def machine_code(text: str, name: str, architecture: str, problem: type[Exception] = DeviceError) -> MachineCode:
    """The machine code of a translation unit for an architecture, as "sm_90"; `problem`: what is raised when the text
    does not compile."""
    path = _compiled(text, name, architecture, problem)
    found = ENTRY.findall(path.with_suffix(".log").read_text())
    resources = {
        entry: Resources(int(registers), int(cumulative or stack), int(stores) + int(loads))
        for entry, stack, stores, loads, registers, cumulative in found
    }
    return MachineCode(path.read_bytes(), path.with_suffix(".ptx").read_text(), resources)


def build_program(architecture: str) -> MachineCode:
    """The machine code of site/gpu_program.h, which every run needs. DeviceError when there is no CuPy or NVRTC."""
    return machine_code(PROGRAM, "gpu_program", architecture)


def is_compiled(kernel: Kernel, target: Target, architecture: str) -> bool:
    """True if the machine code of a kernel is in the cache. DeviceError when there is no CuPy or NVRTC."""
    return _place(cuda_source(kernel, target), kernel.name, architecture).exists()


def chosen(targets: str) -> list[str]:
    """The architectures of a list such as "sm_80,sm_90"; ConfigError for one that NVRTC does not compile for."""
    known = architectures()
    wanted = list(dict.fromkeys(part.strip() for part in targets.split(",")))
    for target in wanted:
        if target not in known:
            raise ConfigError(f"--target {target!r} is not known to this NVRTC; possible are {', '.join(known)}")
    return wanted


def architectures() -> list[str]:
    """What NVRTC compiles for."""
    return [f"sm_{number}" for number in nvrtc().getSupportedArchs()]


def _place(text: str, name: str, architecture: str) -> Path:
    """Where the machine code of a translation unit lies in the cache, compiled or not."""
    version = ".".join(map(str, nvrtc().getVersion()))
    key = digest((text, *included(text), " ".join(FLAGS), version))[:32]
    return cache_folder() / f"{name}-{key}-{architecture}.cubin"


def _compiled(text: str, name: str, architecture: str, problem: type[Exception]) -> Path:
    path = _place(text, name, architecture)
    if not path.exists():
        with locked(path):
            if not path.exists():
                _compile(text, path, architecture, problem)
    return path


def _compile(text: str, path: Path, architecture: str, problem: type[Exception]) -> None:
    compiler, name, unit = nvrtc(), path.name.split("-")[0], path.with_suffix(".cu")
    if architecture not in architectures():
        known = ", ".join(architectures())
        raise DeviceError(
            f"this NVRTC compiles for {known} and not for {architecture}; for a newer card install a newer one: "
            "pip install --upgrade 'hpcgauge[cuda13]'"
        )
    options = [*FLAGS, f"--gpu-architecture={architecture}", f"--include-path={SITE_FOLDER}"]
    program = compiler.createProgram(text, unit.name, [], [])
    try:
        compiler.compileProgram(program, options)
        code, intermediate = compiler.getCUBIN(program), compiler.getPTX(program)
        log = compiler.getProgramLog(program).rstrip("\0")
    except RuntimeError as error:
        lines = compiler.getProgramLog(program).rstrip("\0").splitlines() or [str(error)]
        errors = [line for line in lines if "error" in line] or lines
        raise problem(f"kernel {name} does not compile for {architecture}: {' | '.join(errors[:3])}") from None
    finally:
        compiler.destroyProgram(program)
    # Processes of several machines may share the folder.
    part = path.with_suffix(f".{os.uname().nodename}.{os.getpid()}.part")
    try:
        unit.write_text(text)
        path.with_suffix(".log").write_text(log)
        path.with_suffix(".ptx").write_bytes(intermediate if isinstance(intermediate, bytes) else intermediate.encode())
        part.write_bytes(code)
        os.replace(part, path)
    except OSError as error:
        raise DeviceError(f"kernel {name} cannot be kept: {error}; HPCGAUGE_CACHE names another folder") from None
    finally:
        part.unlink(missing_ok=True)


@functools.cache
def nvrtc() -> Any:
    """CuPy's module of NVRTC. DeviceError when CuPy or NVRTC is missing."""
    try:
        from cupy.cuda import nvrtc as module

        module.getVersion()
    except ImportError as error:
        raise DeviceError(f"CuPy cannot be imported ({in_a_line(error)}): {REMEDY}") from None
    except RuntimeError as error:
        raise DeviceError(f"NVRTC, the compiler of CUDA, was not found ({in_a_line(error)}): {REMEDY}") from None
    return module
