"""What became of all cases: counts by kind of file and of refusal, and everything that is not allowed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.support.fuzz.pool import outcomes

# Rarer outcomes are counted together.
SHOWN = 8


@dataclass
class Results:
    """Counts by kind of file and outcome, by kind and damage, and what is wrong by case."""

    seed: int
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    damages: Counter[str] = field(default_factory=Counter)
    wrong: dict[int, list[str]] = field(default_factory=dict)

    def take(self, number: int, found: dict[str, Any]) -> None:
        """Enters one outcome."""
        self.counts.setdefault(found["kind"], Counter())[found["what"]] += 1
        self.damages[found["damage"]] += 1
        if found["wrong"]:
            self.wrong[number] = [f"{found['kind']}, {found['file']}, {found['damage']}: {w}" for w in found["wrong"]]

    @property
    def n_cases(self) -> int:
        """The number of cases."""
        return sum(counter.total() for counter in self.counts.values())

    def table(self) -> str:
        """The counts, the most frequent outcomes of each kind."""
        lines = []
        for kind, counter in self.counts.items():
            read = sum(n for what, n in counter.items() if what.startswith("read"))
            lines.append(f"{kind}: {counter.total()} cases, {counter.total() - read} refused, {read} read")
            lines += [f"  {n:6d}  {what}" for what, n in counter.most_common(SHOWN)]
            others = counter.total() - sum(n for _, n in counter.most_common(SHOWN))
            lines += [f"  {others:6d}  {len(counter) - SHOWN} other outcomes"] if others else []
        return "\n".join(lines)

    def faults(self) -> list[str]:
        """What is not allowed, with the words that repeat it."""
        return [
            f"tools/fuzz --seed {self.seed} --case {number}: {text}"
            for number, texts in sorted(self.wrong.items())
            for text in texts
        ]


def fuzzed(first: int, n_cases: int, seed: int, n_workers: int) -> Results:
    """The results of so many cases from a first one on."""
    results = Results(seed)
    outcomes(iter(range(first, first + n_cases)), seed, n_workers, results.take)
    return results
