"""Cases: a number and a seed make one damaged file."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.support.fuzz import bytes as plain
from tests.support.fuzz import hdf5, headers
from tests.support.fuzz.corpus import CONTAINERS, FIRST_SCHEMA, Whole
from tests.support.fuzz.limefiles import lime
from tests.support.fuzz.sealed import said_lies, seal_lies

KNOWING = {
    "nersc": (headers.nersc,),
    "lime": (lime,),
    "milc": (headers.milc,),
    "openqcd": (headers.openqcd,),
    "hirep": (headers.hirep,),
    "history": (headers.history,),
    "configuration": (headers.configuration,),
    **dict.fromkeys((*CONTAINERS, "hdf5"), (*(seal_lies,) * 8, *(said_lies,) * 4, *(hdf5.structures,) * 2, hdf5.lies)),
}
# Of files without a seal.
KNOWING_HDF5 = (hdf5.structures, hdf5.lies)
LARGE = 500_000
# How often a file is taken: of the first schema or not, large or not.
RARE = {(False, False): 1.0, (False, True): 0.1, (True, False): 0.02}


@dataclass(frozen=True)
class Case:
    """A damaged file: of which whole one, how, whether its checks are made, and whether the damage knows the format."""

    number: int
    whole: Whole
    content: bytes
    damage: str
    verify: bool
    is_knowing: bool


def case(corpus: dict[str, list[Whole]], seed: int, number: int) -> Case:
    """The case of this number."""
    draw = random.Random(f"{seed}/{number}")
    kinds = [kind for kind, files in corpus.items() if files]
    whole = _chosen(draw, corpus[kinds[number % len(kinds)]])
    is_knowing = draw.random() < 0.5
    knowing = KNOWING_HDF5 if whole.name == FIRST_SCHEMA else KNOWING[whole.kind]
    damages = knowing if is_knowing else plain.DAMAGES
    content, names = whole.content, []
    for _ in range(draw.choice((1, 1, 1, 2))):
        damage = draw.choice(damages)
        content = damage(draw, content)
        names.append(damage.__name__)
        if not content:
            break
        damages = plain.DAMAGES
    return Case(number, whole, content, " and ".join(names), draw.random() < 0.7, is_knowing)


def _chosen(draw: random.Random, files: list[Whole]) -> Whole:
    """One of the files; large ones and those of the first schema more rarely, as they take longer."""
    weights = [RARE[whole.name == FIRST_SCHEMA, len(whole.content) > LARGE] for whole in files]
    return draw.choices(files, weights)[0]
