"""Damage that knows nothing of formats: bytes changed, lost, added and moved."""

from __future__ import annotations

import random
from collections.abc import Callable

FRONT = 1024
MOST_FLIPS = 8
MOST_ADDED = 4096
Damage = Callable[[random.Random, bytes], bytes]


def flips_in_front(draw: random.Random, content: bytes) -> bytes:
    """Some bytes of the beginning changed."""
    return _flipped(draw, content, min(FRONT, len(content)))


def flips(draw: random.Random, content: bytes) -> bytes:
    """Some bytes changed anywhere."""
    return _flipped(draw, content, len(content))


def _flipped(draw: random.Random, content: bytes, end: int) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.randint(1, MOST_FLIPS) if end else 0):
        at = draw.randrange(end)
        changed[at] = draw.choice((changed[at] ^ (1 << draw.randrange(8)), draw.randrange(256), 0, 255))
    return bytes(changed)


def one_bit(draw: random.Random, content: bytes) -> bytes:
    """One bit of the middle changed: of the numbers, if the file is a gauge field."""
    changed = bytearray(content)
    if changed:
        changed[len(changed) // 4 + draw.randrange(max(1, len(changed) // 2))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def truncated(draw: random.Random, content: bytes) -> bytes:
    """The end is missing: a little, a lot, or nearly all."""
    lost = draw.choice((draw.randint(1, 16), draw.randint(0, len(content)), len(content) - draw.randint(0, FRONT)))
    return content[: max(0, len(content) - lost)]


def extended(draw: random.Random, content: bytes) -> bytes:
    """Something stands behind the end."""
    return content + draw.choice(
        (bytes(draw.randint(1, MOST_ADDED)), draw.randbytes(draw.randint(1, MOST_ADDED)), content)
    )


def inserted(draw: random.Random, content: bytes) -> bytes:
    """Bytes that do not belong there."""
    at = _place(draw, content)
    return content[:at] + draw.randbytes(draw.choice((1, 2, 4, 8, draw.randint(1, MOST_ADDED)))) + content[at:]


def deleted(draw: random.Random, content: bytes) -> bytes:
    """Bytes are missing in the middle."""
    at = _place(draw, content)
    return content[:at] + content[at + draw.choice((1, 2, 4, 8, draw.randint(1, MOST_ADDED))) :]


def swapped(draw: random.Random, content: bytes) -> bytes:
    """Two regions have changed places."""
    first, second = sorted((_place(draw, content), draw.randint(0, len(content))))
    n = draw.randint(1, MOST_ADDED)
    n = min(n, second - first, len(content) - second)
    a, b = content[first : first + n], content[second : second + n]
    return content[:first] + b + content[first + n : second] + a + content[second + n :]


def erased(draw: random.Random, content: bytes) -> bytes:
    """A block is zeros or ones, as after a fault of a disk."""
    at, n = _place(draw, content), draw.choice((16, 512, 4096))
    return content[:at] + draw.choice((b"\0", b"\xff")) * len(content[at : at + n]) + content[at + n :]


def _place(draw: random.Random, content: bytes) -> int:
    """A place, in the beginning as often as anywhere."""
    return draw.randint(0, min(FRONT, len(content)) if draw.random() < 0.5 else len(content))


DAMAGES: tuple[Damage, ...] = (
    flips_in_front,
    flips_in_front,
    flips,
    one_bit,
    truncated,
    extended,
    inserted,
    deleted,
    swapped,
    erased,
)
