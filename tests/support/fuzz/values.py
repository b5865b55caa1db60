"""Values that a field of a header should not have."""

from __future__ import annotations

import random

NUMBERS = (
    *(0, 1, -1, 2, 3, 4, 5, 7, 8, 12, 16, 64, 255, 256, 65535, 65536, 65537),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30),
)
WORDS = (
    *(
        "",
        " ",
        "0",
        "-0",
        "+4",
        "4.0",
        "4e0",
        "1e9",
        "1_0",
        "0x10",
        "4 4",
        "4;4",
        "4,4",
        "4\t",
        "\u0664",
        "\u00b2",
        "\uff14",
    ),
    *(
        "nan",
        "-nan",
        "inf",
        "-inf",
        "1e400",
        "1e-400",
        "NULL",
        "None",
        "true",
        "deadbeef",
        "-1",
        "ffffffff",
        "1ffffffff",
    ),
    *("%s%n", "../../../etc/passwd", "4" * 5000, "A" * 70000, "=", "<", ">", "\0", "\x7f", "\ud7ff"),
)


def number(draw: random.Random, near: int = 4) -> int:
    """A number: extreme, or close to the right one."""
    return draw.choice(
        (draw.choice(NUMBERS), near + draw.randint(-2, 2), near * draw.randint(2, 5), -near, draw.getrandbits(64))
    )


def word(draw: random.Random, near: str = "4") -> str:
    """A text in the place of another."""
    changed = list(near) or ["4"]
    changed[draw.randrange(len(changed))] = chr(draw.choice((draw.randrange(32, 127), draw.randrange(256), 0x3B1)))
    close = int(near) if near.isascii() and near.isdigit() and len(near) < 20 else 4
    return draw.choice((draw.choice(WORDS), str(number(draw, close)), "".join(changed)))
