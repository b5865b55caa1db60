"""A run folder as numbers: the main chain, its controls, and the reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy
from numpy.typing import NDArray

from hpcgauge.errors import FileFormatError
from hpcgauge.io.record import read_history as read_records

CONTROLS = ("nothing", "weight", "stout", "network_alone")
PHASES = ("thermalise", "train", "produce")


@final
@dataclass(frozen=True)
class History:
    """The lines of one history.jsonl."""

    records: tuple[dict[str, Any], ...]

    def __len__(self) -> int:
        return len(self.records)

    def phase(self, name: str) -> History:
        """The records of one phase."""
        return History(tuple(record for record in self.records if record.get("phase") == name))

    def column(self, key: str) -> NDArray[numpy.float64]:
        """One number of every record; NaN where a record has none."""
        values = [record.get(key) for record in self.records]
        try:
            return numpy.array([numpy.nan if value is None else float(value) for value in values], dtype=numpy.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise FileFormatError(f"history.jsonl: {key} is not a number everywhere ({error})") from None

    def entry(self, key: str, name: str | int) -> NDArray[numpy.float64]:
        """One of several numbers under a key, such as a loop of `wilson_loops`, of the records that have the key."""
        try:
            return numpy.array([float(record[key][name]) for record in self.records if record.get(key) is not None])
        except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            raise FileFormatError(f"history.jsonl: {key} has not a number {name!r} everywhere ({error})") from None

    def has(self, key: str) -> bool:
        """True if a record has this number."""
        return any(record.get(key) is not None for record in self.records)


@final
@dataclass(frozen=True)
class RunFolder:
    """All chains of a run folder; absent ones are empty."""

    path: Path
    main: History
    reference: History
    controls: dict[str, History] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """True for plain HMC, where the guide is the target and both energies change by the same."""
        produced = self.main.phase("produce").records
        return bool(produced) and all(record.get("dH_guide", numpy.nan) == record.get("dH") for record in produced)

    @property
    def main_name(self) -> str:
        """What drives the main chain."""
        return "HMC" if self.is_plain else "guide"


def read_folder(path: str | Path) -> RunFolder:
    """The chains below a run folder. FileFormatError if there is none."""
    folder = Path(path)
    main = folder / "history.jsonl"
    if not main.is_file():
        raise FileFormatError(f"{folder}: no history.jsonl there; give the folder of a run, e.g. runs/quickstart")
    others = sorted(path.parent.name for path in folder.glob("control/*/history.jsonl"))
    names = [*CONTROLS, *(name for name in others if name not in CONTROLS)]
    controls = {name: read_history(folder / "control" / name / "history.jsonl") for name in names}
    return RunFolder(
        folder,
        read_history(main),
        read_history(folder / "reference" / "history.jsonl"),
        {name: history for name, history in controls.items() if len(history)},
    )


def read_history(path: Path) -> History:
    """The records of a history file; none if it is absent."""
    return History(tuple(read_records(path)) if path.is_file() else ())
