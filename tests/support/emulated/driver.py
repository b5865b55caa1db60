"""cupy.cuda.driver of the stand-in."""

from __future__ import annotations

import ctypes
import itertools
from dataclasses import dataclass, field
from typing import Any

from tests.support.emulated.card import Card, load_copy
from tests.support.emulated.compiler import Contents, contents
from tests.support.emulated.errors import CUDADriverError

NO_DRIVER = "CuPy failed to load libcuda.so.1: OSError: libcuda.so.1: cannot open shared object file"
# CU_FUNC_ATTRIBUTE_...: the names that a kernel of the stand-in has something to say to
MAX_THREADS, SHARED, CONSTANT, LOCAL, REGISTERS, PTX_VERSION, BINARY_VERSION = range(7)


@dataclass
class Module:
    """A loaded library; `kernels`: the executor's handles of its kernels."""

    library: ctypes.PyDLL
    contents: Contents
    kernels: dict[str, int] = field(default_factory=dict)


class Driver:
    """The modules of a card, and launches."""

    def __init__(self, card: Card):
        self.card, self.numbers = card, itertools.count(1)
        self.modules: dict[int, Module] = {}
        # Handle of a kernel -> its attributes
        self.attributes: dict[int, dict[int, int]] = {}
        self._shape = (ctypes.c_uint * 6)()

    def check(self, answer: int) -> int:
        if answer < 0:
            raise CUDADriverError(-answer, self.card.detail(-answer))
        return answer

    def moduleLoadData(self, image: bytes) -> int:
        if not self.card.settings.driver:
            raise RuntimeError(NO_DRIVER)
        if not self.card.has_context:
            raise CUDADriverError(201, "no card was chosen before")
        found, settings = contents(image), self.card.settings
        if found is None:
            raise CUDADriverError(200)
        if found.architecture // 10 != settings.capability // 10 or found.architecture > settings.capability:
            raise CUDADriverError(209)
        number = next(self.numbers)
        self.modules[number] = Module(self._loaded(image), found)
        return number

    def _loaded(self, image: bytes) -> ctypes.PyDLL:
        library = load_copy(image)
        library.emulated_attach.argtypes = [ctypes.c_void_p]
        library.emulated_attach(self.card.library.executor())
        return library

    def moduleGetFunction(self, module: int, funcname: str) -> int:
        if module not in self.modules:
            raise CUDADriverError(400)
        loaded = self.modules[module]
        if funcname not in loaded.contents.kernels:
            raise CUDADriverError(500)
        if funcname not in loaded.kernels:
            run = ctypes.cast(loaded.library[f"emulated_run_{funcname}"], ctypes.c_void_p).value
            size = loaded.library[f"emulated_size_{funcname}"]()
            limit = loaded.contents.kernels[funcname]
            handle = self.check(self.card.library.kernel(run, size, limit))
            loaded.kernels[funcname] = handle
            version = loaded.contents.architecture
            self.attributes[handle] = {
                **{MAX_THREADS: limit, SHARED: 0, CONSTANT: 0, LOCAL: 0},
                **{REGISTERS: 64, PTX_VERSION: version, BINARY_VERSION: version},
            }
        return loaded.kernels[funcname]

    def moduleUnload(self, module: int) -> None:
        if module not in self.modules:
            raise CUDADriverError(400)
        for handle in self.modules.pop(module).kernels.values():
            self.check(self.card.library.kernel_destroy(handle))
            del self.attributes[handle]

    def occupancyMaxPotentialBlockSize(self, func: int, dynamicSMemSize: int, blockSizeLimit: int) -> tuple[int, int]:
        limit = self.funcGetAttribute(MAX_THREADS, func)
        return 8, min(self.card.settings.block, limit, blockSizeLimit or limit)

    def funcGetAttribute(self, attribute: int, f: int) -> int:
        if f not in self.attributes:
            raise CUDADriverError(400)
        if attribute not in self.attributes[f]:
            raise CUDADriverError(1)
        return self.attributes[f][attribute]

    def names(self) -> dict[str, Any]:
        """The functions of cupy.cuda.driver that the project calls."""
        functions = (
            *(self.moduleLoadData, self.moduleGetFunction, self.moduleUnload),
            *(self.occupancyMaxPotentialBlockSize, self.funcGetAttribute),
        )
        return {**{function.__name__: function for function in functions}, "launchKernel": self._launch()}

    def _launch(self) -> Any:
        launch, shape, check = self.card.library.launch, self._shape, self.check

        # f, the grid's three extents and the block's, shared_mem_bytes, stream, kernel_params, extra
        def launchKernel(*given: Any) -> None:
            f, *extents, shared, stream, params, extra = given
            if shared or extra:
                raise CUDADriverError(1, "shared memory and extra arguments are not emulated")
            shape[:] = extents
            answer = launch(f, shape, stream, params)
            if answer:
                check(answer)

        return launchKernel
