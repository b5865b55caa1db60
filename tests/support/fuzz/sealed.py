"""Files of hpcgauge whose seal tells lies, and agrees with itself: what a reader must find out without any checksum."""

from __future__ import annotations

import hashlib
import io
import json
import random
import struct
from typing import Any

import h5py

from hpcgauge.io.checksum import bytes_checksum
from tests.support.fuzz.hdf5 import changed_json
from tests.support.fuzz.values import number, word

MAGIC = b"hpcgauge seal 1\n"
FOOTER = struct.Struct("<16sQQ32s")
TYPES = (
    "<f8",
    "<c16",
    "<i8",
    "<u8",
    "<f4",
    "|b1",
    "|S1",
    "|S0",
    "|S999999999",
    "<f2",
    ">f8",
    "|O",
    "|V8",
    "<M8[s]",
    "f8,f8",
)
KINDS = ("checkpoint", "network", "trajectory", "links", "x", "")


def taken_apart(content: bytes) -> tuple[bytes, dict[str, Any]]:
    """The HDF5 file and what its seal says; nothing said where there is no whole seal."""
    if len(content) < FOOTER.size:
        return content, {}
    magic, n_text, n_body, _ = FOOTER.unpack(content[-FOOTER.size :])
    if magic != MAGIC or n_body + n_text + FOOTER.size != len(content):
        return content, {}
    return content[:n_body], json.loads(content[n_body : n_body + n_text])


def sealed(body: bytes, said: dict[str, Any]) -> bytes:
    """The file with a seal that says this."""
    text = json.dumps(said).encode()
    front = FOOTER.pack(MAGIC, len(text), len(body), bytes(32))[:-32]
    return body + text + front + hashlib.sha256(text + front).digest()


def digest(body: bytes, said: dict[str, Any]) -> str:
    """The SHA-256 of the bytes outside the datasets, as far as these are said to be anywhere."""
    found, at = hashlib.sha256(), 0
    for start, end in sorted(_places(said)):
        found.update(body[at : max(at, start)])
        at = max(at, end)
    found.update(body[at:])
    return found.hexdigest()


def _places(said: dict[str, Any]) -> list[tuple[int, int]]:
    places = []
    for line in said["datasets"].values():
        try:
            length = int(line[0].lstrip("<|>fiucbS") or 0)
            for n in line[1]:
                length *= n
            places += [(line[2], line[2] + length)] if length > 0 and isinstance(line[2], int) else []
        except (TypeError, ValueError, AttributeError, IndexError):
            continue
    return places


def seal_lies(draw: random.Random, content: bytes) -> bytes:
    """Other types, shapes, places and names in the seal, with right sums and digests as often as not."""
    body, said = taken_apart(content)
    if not said:
        return content[: -draw.randint(1, FOOTER.size)]
    datasets = said["datasets"]
    for _ in range(draw.randint(1, 3)):
        name = draw.choice(list(datasets) or [""])
        line = datasets.get(name, ["<f8", [1], 0, "0" * 16, False])
        draw.choice((_field, _field, _field, _top, _rename))(draw, said, name, line)
    if draw.random() < 0.7:
        _right_sums(body, datasets)
    if draw.random() < 0.8 and isinstance(said.get("datasets"), dict):
        said["sha256"] = digest(body, said)
    return sealed(body, said)


def _field(draw: random.Random, said: dict[str, Any], name: str, line: list[Any]) -> None:
    """One number or word in the line of a dataset."""
    at = draw.randrange(len(line)) if line else 0
    other = (
        lambda: draw.choice(TYPES),
        lambda: [number(draw, n if isinstance(n, int) else 1) for n in (line[1] if isinstance(line[1], list) else [4])],
        lambda: number(draw, line[2] if isinstance(line[2], int) else 0),
        lambda: word(draw, "0" * 16),
        lambda: not line[4],
    )
    odd = (None, -1, 1.5, "x", [], {}, True, [[1]], 2**64, [1] * 40, [0, 2**62], [2**32, 2**32])
    value = draw.choice(odd) if draw.random() < 0.3 or at >= len(other) else other[at]()
    said["datasets"][name] = [*line[:at], value, *line[at + 1 :]]


def _top(draw: random.Random, said: dict[str, Any], name: str, line: list[Any]) -> None:
    """Kind, schema, or another entry of the whole."""
    key = draw.choice(("kind", "schema", "kind", "schema", "sha256", "further"))
    said[key] = draw.choice(KINDS) if key == "kind" else draw.choice((0, 1, 2, 3, -1, 2**70, 1.5, "2", None, [], {}))


def _rename(draw: random.Random, said: dict[str, Any], name: str, line: list[Any]) -> None:
    """A dataset lost, doubled, under another name, or many of them."""
    datasets = said["datasets"]
    kind = draw.randrange(4)
    if kind == 0:
        datasets.pop(name, None)
    elif kind == 1:
        datasets[name + "x"] = line
    elif kind == 2 and name in datasets:
        datasets[draw.choice(("links", "attributes", "field.0", "field.x", "memory.first", "vector"))] = datasets.pop(
            name
        )
    else:
        datasets |= {f"{name}{k}": line for k in range(draw.choice((10, 5000)))}


def _right_sums(body: bytes, datasets: dict[str, Any]) -> None:
    """The checksum of every small dataset, where it lies now."""
    for line in datasets.values():
        for start, end in _places({"datasets": {"": line}}):
            if 0 <= start and end <= len(body):
                line[3] = f"{bytes_checksum(body[start:end]):016x}"


def said_lies(draw: random.Random, content: bytes) -> bytes:
    """Other attributes, sealed again: the text lies behind the rest."""
    body, said = taken_apart(content)
    if not said or "attributes" not in said["datasets"]:
        return content[: len(content) // 2]
    kind, _, start, _, distributed = said["datasets"]["attributes"]
    text = changed_json(draw, body[start : start + int(kind.removeprefix("|S"))])
    said["datasets"]["attributes"] = [f"|S{len(text)}", [], len(body), f"{bytes_checksum(text):016x}", distributed]
    body += text
    said["sha256"] = digest(body, said)
    return sealed(body, said)


def unsealed(content: bytes) -> bytes:
    """The file as the first version wrote it: schema 1, without a seal."""
    image = io.BytesIO(taken_apart(content)[0])
    with h5py.File(image, "r+") as file:
        file.attrs.modify("schema", 1)
    return image.getvalue()
