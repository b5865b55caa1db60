"""The checksums of gauge files, summed over any part of the sites and combined over the ranks."""

from __future__ import annotations

import zlib
from typing import Any, Protocol, final

import numpy

from hpcgauge.comm.world import World
from hpcgauge.io.header import Header

WORD = 2**32


class Checksum(Protocol):
    """Sums over sites, in any order."""

    def add(self, sites: numpy.ndarray, index: numpy.ndarray) -> None:
        """Takes in sites: their bytes as in the file (site, byte) and their lexicographic numbers, x fastest."""

    def sums(self, world: World) -> dict[str, int]:
        """The sums over the sites of all ranks by name. Collective."""


def rotated(word: numpy.ndarray, distance: numpy.ndarray) -> numpy.ndarray:
    """32-bit words rotated left by 0 to 31 bits."""
    distance = distance.astype(numpy.uint32)
    back = (numpy.uint32(32) - distance) & numpy.uint32(31)
    return (word << distance) | (word >> back)


def combined_by_xor(world: World, local: dict[str, int]) -> dict[str, int]:
    """The numbers of all ranks, XORed name by name. Collective."""
    total = dict.fromkeys(local, 0)
    for part in world.allgather(local):
        for name, value in part.items():
            total[name] ^= value
    return total


@final
class NerscSum:
    """Sum mod 2^32 of the 32-bit words of the numbers."""

    def __init__(self, byte_order: str) -> None:
        self._word = ">u4" if byte_order == "big" else "<u4"
        self._sum = 0

    def add(self, sites: numpy.ndarray, index: numpy.ndarray) -> None:
        self._sum += int(sites.reshape(-1).view(self._word).sum(dtype=numpy.uint64))

    def sums(self, world: World) -> dict[str, int]:
        """The sum over all ranks. Collective."""
        return {"checksum": sum(world.allgather(self._sum)) % WORD}


@final
class ScidacSum:
    """CRC-32 of the bytes of each site, rotated left by its number mod 29 (and mod 31), XORed."""

    def __init__(self) -> None:
        self._sums = {"suma": 0, "sumb": 0}

    def add(self, sites: numpy.ndarray, index: numpy.ndarray) -> None:
        data, size = numpy.ascontiguousarray(sites).reshape(-1).data, sites.shape[1]
        crc = numpy.array([zlib.crc32(data[at : at + size]) for at in range(0, len(data), size)], dtype=numpy.uint32)
        for name, modulus in (("suma", 29), ("sumb", 31)):
            self._sums[name] ^= int(numpy.bitwise_xor.reduce(rotated(crc, index % modulus)))

    def sums(self, world: World) -> dict[str, int]:
        """Both sums over all ranks. Collective."""
        return combined_by_xor(world, self._sums)


@final
class MilcSum:
    """The 32-bit words as the writer saw them, word k rotated left by k mod 29 (and k mod 31), XORed."""

    def __init__(self, byte_order: str) -> None:
        self._word = ">u4" if byte_order == "big" else "<u4"
        self._sums = {"sum29": 0, "sum31": 0}

    def add(self, sites: numpy.ndarray, index: numpy.ndarray) -> None:
        words = sites.view(self._word).astype(numpy.uint32)
        number = index[:, None] * words.shape[1] + numpy.arange(words.shape[1])
        for name, modulus in (("sum29", 29), ("sum31", 31)):
            self._sums[name] ^= int(numpy.bitwise_xor.reduce(rotated(words, number % modulus), axis=None))

    def sums(self, world: World) -> dict[str, int]:
        """Both sums over all ranks. Collective."""
        return combined_by_xor(world, self._sums)


def checksum_of(header: Header) -> Checksum | None:
    """An empty checksum of the kind that the file stores; None if it stores none."""
    kinds: dict[str, Any] = {
        "checksum": lambda: NerscSum(header.byte_order),
        "suma": ScidacSum,
        "sum29": lambda: MilcSum(header.byte_order),
    }
    made: list[Checksum] = [kinds[name]() for name in header.sums if name in kinds]
    return made[0] if made else None
