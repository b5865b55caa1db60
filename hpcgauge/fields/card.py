"""A GPU as a device: the card of this process, its memory, its streams. The door to CuPy for memory and launches."""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy

from hpcgauge.errors import DeviceError
from hpcgauge.fields.hardware import Hardware

REMEDY = "pip install 'hpcgauge[cuda13]' (cuda12 where the driver is older than CUDA 13)"
ANOTHER = "choose another card with CUDA_VISIBLE_DEVICES, or use device = cpu"
# What launchers call a process among those of its machine.
LOCAL_RANKS = ("SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "PMI_LOCAL_RANK")
# Set to 1 where several ranks are to share a card.
SHARING = "HPCGAUGE_SHARE_CARDS"
LEAST_CAPABILITY = 75
# Numbers of CUDA's errors.
OUT_OF_MEMORY, NO_DEVICE = 2, 100
TO_DEVICE, TO_HOST, ON_DEVICE = 1, 2, 3
NON_BLOCKING, NO_TIMING, PINNED = 1, 2, 0
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
        weakref.finalize(self, card.runtime.free, address).atexit = False


@final
class Card(Hardware):
    """The card of this process. `stream`: where kernels run, in order; `side`: where ghosts are packed and copied.

    `architecture`: as "sm_90". DeviceError when there is no CuPy, no driver, no card for this rank, or an old one.
    """

    name, lanes = "cuda", 16

    def __init__(self, local_rank: int, local_size: int):
        self.runtime, self.driver = _cupy()
        self.number = self._choose(local_rank, local_size)
        try:
            self.properties = self.runtime.getDeviceProperties(self.number)
            self.architecture = self._architecture()
            self.runtime.setDevice(self.number)
            self.stream, self.side = (self.runtime.streamCreateWithFlags(NON_BLOCKING) for _ in range(2))
        except self.runtime.CUDARuntimeError as error:
            raise DeviceError(f"device = cuda: card {self.number} cannot be used ({error}); {ANOTHER}") from None
        self._functions: dict[tuple[bytes, str], int] = {}
        self._free: dict[int, list[int]] = {}
        self._slabs: list[_Region] = []
        self._place = self._rest = 0

    @property
    def identity(self) -> str:
        found = self.properties
        place = ":".join(f"{found[name]:02x}" for name in ("pciDomainID", "pciBusID", "pciDeviceID"))
        return "" if _is_shared() else place

    @property
    def title(self) -> str:
        """The card's name."""
        name = self.properties["name"]
        return name.decode() if isinstance(name, bytes) else str(name)

    @property
    def description(self) -> str:
        return f"cuda (card {self.number}, {self.title}, {self.architecture})"

    def _choose(self, local_rank: int, local_size: int) -> int:
        try:
            n_cards = self.runtime.getDeviceCount()
        except self.runtime.CUDARuntimeError as error:
            if error.status != NO_DEVICE:
                raise DeviceError(
                    f"device = cuda: no card can be reached ({error}); install an NVIDIA driver as new as CuPy's CUDA, "
                    "or use device = cpu"
                ) from None
            n_cards = 0
        if not n_cards:
            raise DeviceError("device = cuda: no card is visible; see CUDA_VISIBLE_DEVICES, or use device = cpu")
        if n_cards == 1:
            return 0
        if local_size > n_cards and not _is_shared():
            raise DeviceError(
                f"device = cuda: {local_size} ranks on this machine and {n_cards} visible cards; start one rank for "
                f"each card, or set {SHARING}=1 to let ranks share them"
            )
        return local_rank_of(os.environ, local_rank) % n_cards

    def _architecture(self) -> str:
        capability = 10 * self.properties["major"] + self.properties["minor"]
        if capability < LEAST_CAPABILITY:
            raise DeviceError(
                f"device = cuda: card {self.number} ({self.title}) has compute capability {capability / 10}, and "
                f"{LEAST_CAPABILITY / 10} or more is needed; {ANOTHER}"
            )
        return f"sm_{capability}"

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
            self.runtime.streamSynchronize(self.stream)
        return host

    def write(self, array: CardArray, values: Any) -> None:
        if numpy.isscalar(values) and values == 0:
            self.runtime.memsetAsync(array.address, 0, array.nbytes, self.stream)
            return
        host = numpy.ascontiguousarray(numpy.broadcast_to(numpy.asarray(values), array.shape), array.dtype)
        if array.nbytes:
            self.runtime.memcpyAsync(array.address, host.ctypes.data, array.nbytes, TO_DEVICE, self.stream)

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
        n_bytes = int(numpy.prod(shape)) * numpy.dtype(dtype).itemsize
        return self.array(self.region(max(n_bytes, 1)), shape, dtype)

    def small(self, count: int, dtype: Any) -> CardArray:
        """A small array out of a slab, not initialised."""
        n_bytes = -(-max(count, 1) * numpy.dtype(dtype).itemsize // NUMBER_ALIGNMENT) * NUMBER_ALIGNMENT
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
        n_bytes = max(int(numpy.prod(shape)) * numpy.dtype(dtype).itemsize, 1)
        address = self.runtime.hostAlloc(n_bytes, PINNED)
        memory = (ctypes.c_byte * n_bytes).from_address(address)
        weakref.finalize(memory, self.runtime.freeHost, address).atexit = False
        return numpy.ndarray(shape, dtype, memory)

    def event(self) -> int:
        """An event, given back with the process."""
        return self.runtime.eventCreateWithFlags(NO_TIMING)

    def function(self, code: bytes, name: str) -> int:
        """An entry function of machine code, loaded once."""
        key = code, name
        if key not in self._functions:
            self._functions[key] = self.driver.moduleGetFunction(self.driver.moduleLoadData(code), name)
        return self._functions[key]


def local_rank_of(environment: Mapping[str, str], known: int) -> int:
    """The process among those of its machine: what the launcher says, else what MPI found."""
    for name in LOCAL_RANKS:
        if environment.get(name, "").isdigit():
            return int(environment[name])
    return known


def _is_shared() -> bool:
    return os.environ.get(SHARING) == "1"


def _cupy() -> tuple[Any, Any]:
    """CuPy's modules of the runtime and the driver."""
    try:
        from cupy.cuda import driver, runtime
    except ImportError as error:
        raise DeviceError(f"device = cuda: CuPy cannot be imported ({error}); {REMEDY}, or use device = cpu") from None
    return runtime, driver
