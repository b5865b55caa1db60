"""Headers rewritten by someone who knows the format: wrong, missing and doubled fields, and consistent lies."""

from __future__ import annotations

import json
import random
import re
import struct
from itertools import pairwise

from tests.support.fuzz.values import number, word

NERSC_END = b"END_HEADER\n"
TYPES = (
    *("4D_SU3_GAUGE", "4D_SU3_GAUGE_3x3", "4D_SU2_GAUGE_2x2", "4D_SU4_GAUGE_4x4", "4D_SU64_GAUGE_64x64"),
    *("4D_SU2_GAUGE", "4D_SU0_GAUGE_0x0", "4D_SU3_GAUGE_3x2", "4D_SU99_GAUGE_99x99", "3D_SU3_GAUGE", "4D_SU3_FERMION"),
)
NUMBER_FORMATS = ("IEEE32", "IEEE32BIG", "IEEE32LITTLE", "IEEE64", "IEEE64BIG", "IEEE64LITTLE", "IEEE128", "TFLOAT")


def nersc(draw: random.Random, content: bytes) -> bytes:
    """A NERSC header with changed, doubled, missing, moved and endless lines."""
    head, mark, data = content.partition(NERSC_END)
    lines = head.decode("latin-1").splitlines()
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(lines))
        key, _, value = (part.strip() for part in lines[at].partition("="))
        lines[at : at + 1] = draw.choice(
            (
                [f"{key} = {word(draw, value)}"],
                [f"{key} = {word(draw, value)}"],
                [f"{key} = {draw.choice(TYPES if key == 'DATATYPE' else NUMBER_FORMATS)}"],
                [],
                [lines[at], f"{key} = {word(draw, value)}"],
                [lines[at]] * draw.choice((2, 2000)),
                [lines[at].replace("=", draw.choice(("", "==", ":", " = = ")))],
                [key.lower() + " = " + value],
            )
        ) or [""]
    if draw.random() < 0.3:
        data = _agreeing_nersc(draw, lines, data)
    end = draw.choice((mark,) * 8 + (b"", b"END_HEADER", b"END_HEADER \r\n", mark * 2))
    return "\n".join([*lines, ""]).encode("utf-8", "replace") + end + data


def _agreeing_nersc(draw: random.Random, lines: list[str], data: bytes) -> bytes:
    """Other extents in the lines, and data of just that length."""
    extent = [draw.choice((1, 2, 3, 4, 6)) for _ in range(4)]
    for mu, n in enumerate(extent):
        lines.append(f"DIMENSION_{mu + 1} = {n}")
    return _of_length(data, extent[0] * extent[1] * extent[2] * extent[3] * draw.choice((384, 576, 256, 128, 768)))


def _of_length(data: bytes, length: int) -> bytes:
    """The data repeated or cut to this length."""
    return (data * (length // max(1, len(data)) + 1))[:length]


def _fields(draw: random.Random, content: bytes, layout: str, orders: str = "<>") -> bytes:
    """A binary header of this layout with some of its numbers changed, or its byte order."""
    order = draw.choice(orders)
    size = struct.calcsize("<" + layout)
    if len(content) < size:
        return content
    values = list(struct.unpack(order + layout, content[:size]))
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(values))
        if isinstance(values[at], int):
            values[at] = (number(draw, values[at]) + 2**31) % 2**32 - 2**31
        elif isinstance(values[at], float):
            values[at] = draw.choice((float("nan"), float("inf"), -1.0, 0.0, 3.0, 1e308, 5e-324, values[at] * 1.001))
        else:
            values[at] = draw.randbytes(len(values[at]))
    if draw.random() < 0.1:
        order = draw.choice("<>")
    return struct.pack(order + layout, *values) + content[size:]


def milc(draw: random.Random, content: bytes) -> bytes:
    """A MILC header with changed numbers; sometimes the data have the length that it says."""
    order = "<" if content[:4] == struct.pack("<i", 20103) else ">"
    changed = _fields(draw, content, "i4i64s3i", order)
    if draw.random() < 0.3:
        extent = [draw.choice((1, 2, 3, 4, 6)) for _ in range(4)]
        length = extent[0] * extent[1] * extent[2] * extent[3] * 288
        return changed[:4] + struct.pack(f"{order}4i", *extent) + changed[20:96] + _of_length(changed[96:], length)
    return changed


def openqcd(draw: random.Random, content: bytes) -> bytes:
    """An openQCD header with changed numbers; sometimes the data have the length that it says."""
    changed = _fields(draw, content, "4id", "<")
    if draw.random() < 0.3:
        extent = [draw.choice((2, 3, 4, 6, 8)) for _ in range(4)]
        length = extent[0] * extent[1] * extent[2] * extent[3] // 2 * 8 * 144
        return struct.pack("<4i", *extent) + changed[16:24] + _of_length(changed[24:], length)
    return changed


def hirep(draw: random.Random, content: bytes) -> bytes:
    """A HiRep header with changed numbers; sometimes the data have the length that it says."""
    changed = _fields(draw, content, "5id", ">")
    if draw.random() < 0.3:
        colors, *extent = draw.choice((1, 2, 3, 4, 5, 65)), *(draw.choice((1, 2, 3, 4, 6)) for _ in range(4))
        length = extent[0] * extent[1] * extent[2] * extent[3] * 4 * min(colors, 6) ** 2 * 16
        return struct.pack(">5i", colors, *extent) + changed[20:28] + _of_length(changed[28:], length)
    return changed


def history(draw: random.Random, content: bytes) -> bytes:
    """Lines of history that are JSON, but not what they should be."""
    lines = content.decode("utf-8", "replace").splitlines()
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(lines))
        lines[at] = draw.choice(
            (
                *("", "null", "3", "[]", "{}", '"text"', "NaN", "[" * 100000, '{"a":' * 50000, "9" * 5000, "{}" * 3),
                re.sub(r"[-0-9.e]+(?=[,}])", lambda _: word(draw, "4"), lines[at], count=1),
                re.sub(r'"\w+":', lambda _: f'"{word(draw, "plaquette")}":', lines[at], count=1),
                _other_value(draw, lines[at]),
                _other_value(draw, lines[at]),
                lines[at] + lines[at],
            )
        )
    return "\n".join([*lines, ""]).encode("utf-8", "replace")


def _other_value(draw: random.Random, line: str) -> str:
    """The line with something else behind one of its keys."""
    key = draw.choice(("trajectory", "phase", "accepted", "dH", "plaquette", "seconds"))
    return re.sub(rf'("{key}": )[^,}}]+', lambda found: found.group(1) + json.dumps(draw.choice(OTHERS)), line)


OTHERS = (
    None,
    [],
    {},
    "text",
    True,
    -1,
    10**400,
    1.5,
    [[1]],
    {"a": {"b": 1}},
    "trajectory",
    float("nan"),
    float("inf"),
)


def configuration(draw: random.Random, content: bytes) -> bytes:
    """A configuration with other values, other nesting, and what YAML can do."""
    lines = content.decode("utf-8", "replace").splitlines()
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(lines))
        key, colon, value = lines[at].partition(":")
        lines[at : at + 1] = draw.choice(
            (
                [f"{key}{colon} {word(draw, value.strip())}"],
                [f"{key}{colon} {json.dumps(draw.choice(OTHERS))}"],
                ["  " + lines[at]],
                [lines[at].lstrip()],
                [lines[at], lines[at]],
                [],
                [f"{key}{colon} {draw.choice(YAML)}"],
            )
        ) or [""]
    return "\n".join([*lines, ""]).encode("utf-8", "replace")


def _bomb(letters: str) -> str:
    """Lists of lists of lists, each named once and used nine times."""
    levels = [f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]" for a, b in pairwise(letters)]
    return "\n".join([f"&{letters[0]} [x]", *levels])


YAML = (
    *("!!python/object/apply:os.system [true]", "!!binary aGk=", "!!timestamp 2001-01-01", "!!set {a, b}", "*nothing"),
    *("&a [*a]", "&a {b: *a}", "{<<: {a: 1}}", "[" * 3000, "{" * 3000, "- - - -", "|", ">", "? a", "%TAG", "---"),
    *("...", "\t", _bomb("abcdefghi")),
)
