"""A GPU as a device: the card of this process, its memory, its streams. The door to CuPy for memory and launches."""

from __future__ import annotations

import contextlib
import ctypes
import weakref
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy

from hpcgauge.errors import DeviceError
from hpcgauge.fields.choice import ANOTHER, REMEDY, architecture_of, choose, in_a_line, is_shared, title_of
from hpcgauge.fields.hardware import Hardware

# CUDA's number of the error.
OUT_OF_MEMORY = 2
TO_DEVICE, TO_HOST, ON_DEVICE = 1, 2, 3
NON_BLOCKING, NO_TIMING, PINNED = 1, 2, 0
# Arrays of the host that are being copied are held up to so many bytes, HELD_BYTES each beside their own.
MOST_HELD, HELD_BYTES = 2**24, 2**8
# Numbers lie in slabs of so many bytes, each at a multiple of NUMBER_ALIGNMENT.
SLAB_BYTES, NUMBER_ALIGNMENT = 2**18, 64


@final
class CardArray:
    """An array in the memory of a card. `owner` lives as long as it and its slices. CuPy takes it as it is."""

    def __init__(self, card: Card, address: int, shape: tuple[int, ...], dtype: Any, owner: Any):
        self.card, self.address, self.shape, self.owner = card, address, shape, owner
        self.dtype = numpy.dtype(dtype)
        self.itemsize = self.dtype.itemsize
        self.size = int(numpy.prod(shape))
        self.nbytes = self.size * self.itemsize
        self.strides = tuple(int(numpy.prod(shape[k + 1 :])) * self.itemsize for k in range(len(shape)))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        place = {"data": (self.address, False), "stream": self.card.stream}
        return {"shape": self.shape, "typestr": self.dtype.str, "version": 3, **place}

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, chosen: slice | int) -> Any:
        """A slice of the first axis, or one of the numbers of an array of one axis."""
        if isinstance(chosen, int):
            return self.card.read(self[_as_slice(chosen)])[0]
        start, stop, step = chosen.indices(self.shape[0])
        assert step == 1, "slices of arrays on a card have step 1"
        shape = (max(stop - start, 0), *self.shape[1:])
        return CardArray(self.card, self.address + start * self.strides[0], shape, self.dtype, self.owner)

    def __setitem__(self, chosen: slice | int, values: Any) -> None:
        self.card.write(self[_as_slice(chosen) if isinstance(chosen, int) else chosen], values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> numpy.ndarray:
        return self.card.read(self).astype(dtype or self.dtype, copy=False)


def give_back(card: Card, function: Callable[[int], Any], handle: int) -> None:
    """Nothing; what is no longer held is the driver's again. A card that has failed said so when it did."""
    with contextlib.suppress(card.runtime.CUDARuntimeError):
        function(handle)


def _size(shape: tuple[int, ...], dtype: Any) -> int:
    """The bytes of an array, at least one."""
    return max(int(numpy.prod(shape)) * numpy.dtype(dtype).itemsize, 1)


def _as_slice(place: int) -> slice:
    return slice(place, place + 1 or None)


class _Owner:
    """Memory of an array."""

    __slots__ = ("__weakref__", "region")

    def __init__(self, region: Any):
        self.region = region


class _Region:
    """Memory of a card, given back when nobody holds it."""

    def __init__(self, card: Card, address: int):
        self.address = address
        weakref.finalize(self, give_back, card, card.runtime.free, address).atexit = False


@final
class Card(Hardware):
    """The card of this process. `stream`: where kernels run, in order; `side`: where ghosts are packed and copied.

    `architecture`: as "sm_90". `prepared`: what launches made once and keep for others. DeviceError when there is no
    CuPy, no driver, no card for this rank, or an old one.
    """

    name, lanes = "cuda", 16

    def __init__(self, local_rank: int, local_size: int):
        self.runtime, self.driver = _cupy()
        self.number = choose(self.runtime, local_rank, local_size)
        try:
            self.properties = self.runtime.getDeviceProperties(self.number)
            self.architecture = architecture_of(self.number, self.properties)
            self.runtime.setDevice(self.number)
            self.stream, self.side = (self.runtime.streamCreateWithFlags(NON_BLOCKING) for _ in range(2))
        except self.runtime.CUDARuntimeError as error:
            raise DeviceError(f"device = cuda: card {self.number} cannot be used ({error}); {ANOTHER}") from None
        self.prepared: dict[Any, Any] = {}
        self._functions: dict[tuple[bytes, str], int] = {}
        # By size: memory that may be used again, as to get or to give back any makes the whole card wait.
        self._free: dict[int, list[int]] = {}
        self._regions: dict[int, list[_Region]] = {}
        self._pinned: dict[int, list[int]] = {}
        self._events: dict[str, int] = {}
        self._held: list[numpy.ndarray] = []
        self._held_bytes = 0
        self._slabs: list[_Region] = []
        self._place = self._rest = 0

    @property
    def identity(self) -> str:
        found = self.properties
        place = ":".join(f"{found[name]:02x}" for name in ("pciDomainID", "pciBusID", "pciDeviceID"))
        return "" if is_shared() else place

    @property
    def title(self) -> str:
        """The card's name."""
        return title_of(self.properties)

    @property
    def description(self) -> str:
        return f"cuda (card {self.number}, {self.title}, {self.architecture})"

    def demand(self, n_bytes: float, what: str = "more") -> None:
        free, total = self.runtime.memGetInfo()
        if n_bytes > free:
            raise self._too_little(n_bytes, free, total, what)

    def _too_little(self, n_bytes: float, free: int, total: int, what: str) -> DeviceError:
        return DeviceError(
            f"card {self.number} ({self.title}) has {free / 2**20:.0f} of {total / 2**20:.0f} MiB free, and "
            f"{n_bytes / 2**20:.0f} MiB {what} are needed; use more cards, a smaller lattice, or single precision"
        )

    def region(self, n_bytes: int) -> _Region:
        if n_bytes > self.runtime.memGetInfo()[0]:
            for regions in self._regions.values():
                regions.clear()
        self.demand(n_bytes)
        try:
            return _Region(self, self.runtime.malloc(n_bytes))
        except self.runtime.CUDARuntimeError as error:
            if error.status != OUT_OF_MEMORY:
                raise
            free, total = self.runtime.memGetInfo()
            raise self._too_little(n_bytes, free, total, "in one piece") from None

    def array(self, region: _Region, shape: tuple[int, ...], dtype: Any) -> CardArray:
        return CardArray(self, region.address, shape, dtype, _Owner(region))

    def owner(self, array: CardArray) -> Any:
        return array.owner

    def address(self, array: CardArray) -> int:
        return array.address

    def read(self, array: CardArray) -> numpy.ndarray:
        host = numpy.empty(array.shape, array.dtype)
        if array.nbytes:
            self.runtime.memcpyAsync(host.ctypes.data, array.address, array.nbytes, TO_HOST, self.stream)
            self.wait()
        return host

    def write(self, array: CardArray, values: Any) -> None:
        if numpy.isscalar(values) and values == 0:
            self.runtime.memsetAsync(array.address, 0, array.nbytes, self.stream)
            return
        # A copy of its own: CUDA may read it at any time until the stream has been waited for.
        host = numpy.array(numpy.broadcast_to(numpy.asarray(values), array.shape), array.dtype, order="C")
        if array.nbytes:
            self.runtime.memcpyAsync(array.address, host.ctypes.data, array.nbytes, TO_DEVICE, self.stream)
            self._held.append(host)
            self._held_bytes += host.nbytes + HELD_BYTES
            if self._held_bytes > MOST_HELD:
                self.wait()

    def wait(self) -> None:
        """Returns when all is done that `stream` was asked for."""
        self.runtime.streamSynchronize(self.stream)
        self._held.clear()
        self._held_bytes = 0

    def copy(self, out: CardArray, x: CardArray) -> None:
        self.runtime.memcpyAsync(out.address, x.address, x.nbytes, ON_DEVICE, self.stream)

    def numbers(self, values: Sequence[float]) -> CardArray:
        array = self.small(len(values), numpy.float64)
        self.write(array, numpy.array(values, dtype=float))
        return array

    def table(self, array: numpy.ndarray) -> CardArray:
        held = self.empty(array.shape, array.dtype)
        self.write(held, array)
        return held

    def empty(self, shape: tuple[int, ...], dtype: Any) -> CardArray:
        """An array that is no field's, not initialised."""
        n_bytes = _size(shape, dtype)
        free = self._regions.setdefault(n_bytes, [])
        array = self.array(free.pop() if free else self.region(n_bytes), shape, dtype)
        weakref.finalize(array.owner, free.append, array.owner.region).atexit = False
        return array

    def small(self, count: int, dtype: Any) -> CardArray:
        """A small array out of a slab, not initialised."""
        n_bytes = -(-_size((count,), dtype) // NUMBER_ALIGNMENT) * NUMBER_ALIGNMENT
        free = self._free.setdefault(n_bytes, [])
        address = free.pop() if free else self._from_slab(n_bytes)
        owner = _Owner(None)
        weakref.finalize(owner, free.append, address).atexit = False
        return CardArray(self, address, (count,), dtype, owner)

    def _from_slab(self, n_bytes: int) -> int:
        if n_bytes > self._rest:
            self._rest = max(SLAB_BYTES, n_bytes)
            self._slabs.append(self.region(self._rest))
            self._place = self._slabs[-1].address
        place = self._place
        self._place, self._rest = self._place + n_bytes, self._rest - n_bytes
        return place

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> numpy.ndarray:
        """An array of the host that copies to and from the card may go on with by themselves."""
        n_bytes = _size(shape, dtype)
        free = self._pinned.setdefault(n_bytes, [])
        address = free.pop() if free else self._new_pinned(n_bytes)
        memory: Any = (ctypes.c_byte * n_bytes).from_address(address)
        weakref.finalize(memory, free.append, address).atexit = False
        return numpy.ndarray(shape, dtype, memory)

    def _new_pinned(self, n_bytes: int) -> int:
        try:
            return self.runtime.hostAlloc(n_bytes, PINNED)
        except self.runtime.CUDARuntimeError as error:
            if error.status != OUT_OF_MEMORY:
                raise
            raise DeviceError(
                f"the host has no {n_bytes / 2**20:.3g} MiB of pinned memory for card {self.number} ({error}); allow "
                "this job more memory or more locked memory (ulimit -l), or use more ranks"
            ) from None

    def event(self, name: str) -> int:
        """An event, made once; given back with the process."""
        if name not in self._events:
            self._events[name] = self.runtime.eventCreateWithFlags(NO_TIMING)
        return self._events[name]

    def function(self, code: bytes, name: str) -> int:
        """An entry function of machine code, loaded once."""
        key = code, name
        if key not in self._functions:
            self._functions[key] = self.driver.moduleGetFunction(self.driver.moduleLoadData(code), name)
        return self._functions[key]


def _cupy() -> tuple[Any, Any]:
    """CuPy's modules of the runtime and the driver."""
    try:
        from cupy.cuda import driver, runtime
    except ImportError as error:
        why = in_a_line(error)
        raise DeviceError(f"device = cuda: CuPy cannot be imported ({why}); {REMEDY}, or use device = cpu") from None
    return runtime, driver
