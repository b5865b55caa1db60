"""The checksum of numbers in files, which does not know which rank held which block. Compiled, see checksum.h."""

from __future__ import annotations

import ctypes
import functools

import numpy

from hpcgauge.comm.world import World
from hpcgauge.io.agreement import on_every_rank
from hpcgauge.io.distributed import WORD_BYTES, Distributed
from hpcgauge.kernels.build import load_library

TEXT = """#pragma GCC visibility push(default)
#include "../../io/checksum.h"
#pragma GCC visibility pop
"""
MASK = 2**64 - 1


class Block(ctypes.Structure):
    """struct Block of checksum.h."""

    _fields_ = [
        ("whole", ctypes.c_void_p),
        ("origin", ctypes.c_void_p),
        ("local", ctypes.c_void_p),
        ("n_axes", ctypes.c_long),
        ("words", ctypes.c_long),
    ]


@functools.cache
def library() -> ctypes.CDLL:
    """The library of checksum.h. DeviceError when there is no compiler."""
    loaded = load_library(TEXT, "checksum")
    loaded.checksum_of_block.restype = ctypes.c_uint64
    return loaded


def local_checksum(part: Distributed) -> int:
    """The sum mod 2^64 of mix64(word xor mix64(global number of the word)) over this block's little-endian words."""
    if part.local.size == 0:
        return 0
    axes = [(1, 0, 1), *zip(part.global_shape, part.origin_index, part.local.shape, strict=True)]
    words = part.local.dtype.itemsize // WORD_BYTES
    while len(axes) > 1 and axes[-1][0] == axes[-1][2]:
        words *= axes.pop()[0]
    table = numpy.array(axes, numpy.int64).T.copy()
    whole, origin, local = (row.ctypes.data for row in table)
    data = numpy.ascontiguousarray(part.local, dtype=part.local.dtype.newbyteorder("<"))
    block = Block(whole, origin, local, len(axes), words)
    return int(library().checksum_of_block(ctypes.byref(block), ctypes.c_void_p(data.ctypes.data)))


def checksum(world: World, part: Distributed) -> int:
    """The checksum of the whole array, the same for any blocks. Collective."""
    return sum(world.allgather(on_every_rank(world, lambda: local_checksum(part)))) & MASK


def bytes_checksum(data: bytes) -> int:
    """The checksum of bytes, filled up with zeros to whole words."""
    padded = data + bytes(-len(data) % WORD_BYTES)
    words = numpy.frombuffer(padded, "<u8")
    return local_checksum(Distributed(words.shape, (0,), words))
