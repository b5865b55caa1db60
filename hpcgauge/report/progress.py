"""How far a run is, live on a terminal or as plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, final

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

RECENT = 100  # trajectories in the running means
SECONDS_BETWEEN_LINES = 10.0
UPDATES_PER_SECOND = 4


@final
class Progress:
    """The progress of a run's phases (name to number of trajectories); silent unless enabled. A context manager."""

    def __init__(
        self,
        enabled: bool,
        phases: Mapping[str, int],
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._enabled = enabled
        self._totals = dict(phases)
        self._done = dict.fromkeys(phases, 0)
        self._pace: dict[str, float] = {}  # seconds per trajectory
        self._phase = ""
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._phase_started = self._last_line = clock()
        self._here = 0  # trajectories of this phase done by this process
        self._records: deque[Mapping[str, Any]] = deque(maxlen=RECENT)
        self._live: Live | None = None
        if enabled and self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=UPDATES_PER_SECOND, transient=False)
            self._live.start()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start_phase(self, name: str, total: int, done: int = 0) -> None:
        """Nothing; what follows belongs to this phase, of which a resumed run has `done` trajectories already."""
        self._finish_phase()
        self._phase, self._totals[name], self._done[name] = name, total, done
        self._phase_started = self._last_line = self._clock()
        self._here = 0
        self._records.clear()
        self._show(is_due=True)

    def update(self, record: Mapping[str, Any]) -> None:
        """Nothing; one trajectory more, described by its line of the history."""
        self._records.append(record)
        self._done[self._phase] = self._done.get(self._phase, 0) + 1
        self._here += 1
        self._pace[self._phase] = (self._clock() - self._phase_started) / self._here
        is_last = self._done[self._phase] >= self._totals.get(self._phase, 0)
        self._show(is_due=is_last or self._clock() - self._last_line >= SECONDS_BETWEEN_LINES)

    def note(self, text: str) -> None:
        """Nothing; the text is printed above the display."""
        if self._enabled:
            self._console.print(Text(text), soft_wrap=True)

    def close(self) -> None:
        """Nothing; the display stops where it is. May be called twice."""
        self._finish_phase()
        if self._live is not None:
            self._live.update(self._display(), refresh=True)
            self._live.stop()
            self._live = None

    def seconds_left(self) -> float | None:
        """The time the rest of all phases needs at the pace seen so far; None before the first trajectory."""
        if not self._pace:
            return None
        latest = self._pace.get(self._phase) or list(self._pace.values())[-1]
        rest = {name: max(0, total - self._done.get(name, 0)) for name, total in self._totals.items()}
        return sum(n * self._pace.get(name, latest) for name, n in rest.items())

    def _finish_phase(self) -> None:
        if self._phase and self._done[self._phase] < self._totals[self._phase]:
            self._show(is_due=self._here > 0)

    def _show(self, is_due: bool) -> None:
        if self._live is not None:
            self._live.update(self._display())
        elif self._enabled and is_due:
            self._last_line = self._clock()
            self._console.print(Text(self._line()), soft_wrap=True)

    def _line(self) -> str:
        parts = [f"{self._phase} {self._done[self._phase]}/{self._totals[self._phase]}", *self._numbers().values()]
        return "  ".join(parts)

    def _numbers(self) -> dict[str, str]:
        """The running means over the recent trajectories of this phase, and the time left."""
        numbers: dict[str, str] = {}
        for key, name, digits in (
            ("accepted", "acceptance", 2),
            ("dH", "<dH>", 3),
            ("plaquette", "plaquette", 5),
            ("loss", "loss", 4),
        ):
            values = [float(record[key]) for record in self._records if record.get(key) is not None]
            if values:
                numbers[name] = f"{name} {sum(values) / len(values):.{digits}f}"
        left = self.seconds_left()
        if left is not None:
            numbers["left"] = f"{duration(left)} left"
        return numbers

    def _display(self) -> Group:
        """A line for each phase, and one for the running means, which 80 columns hold."""
        table = Table.grid(padding=(0, 2))
        for name, total in self._totals.items():
            done = self._done.get(name, 0)
            style = "bold" if name == self._phase else "dim"
            bar = ProgressBar(total=max(1, total), completed=done, width=24)
            table.add_row(Text(name, style=style), bar, Text(f"{done}/{total}", style=style))
        return Group(table, Text("  ".join(self._numbers().values())))


def duration(seconds: float) -> str:
    """The time in words: 12 s, 3 min 05 s, 2 h 07 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
