"""Programs on a card: stretches of steps as graphs, with the stop flag in device memory."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, final

import numpy

from hpcgauge.fields.card import Card, CardArray
from hpcgauge.kernels.backend import Runnable
from hpcgauge.kernels.card_kernel import CardBound
from hpcgauge.kernels.cuda_source import STEP, STEPS_CALL, WARP
from hpcgauge.kernels.enqueue import Argument, device_function, enqueue
from hpcgauge.kernels.loop import Launch
from hpcgauge.kernels.program import Arithmetic, Kind, Loop

RELAXED = 2
# Rounds that are under way before the host looks at the stop flag; those behind a stop do nothing.
FIRST_BATCH, LARGEST_BATCH = 8, 64


@final
class CardProgram(Runnable):
    """Stretches without loops are graphs; a loop is its body's graph, launched by the host until the flag is seen."""

    def __init__(self, steps: Sequence[Any], card: Card):
        self._card = card
        self._state = card.small(2, numpy.int64)
        self._can_stop = any(isinstance(step, Arithmetic) and step.kind == Kind.STOP for step in steps)
        self._pieces: list[Loop | _Graph] = []
        for is_loop, group in itertools.groupby(steps, lambda step: isinstance(step, Loop)):
            items = list(group)
            self._pieces += items if is_loop else [_Graph(card, items, self._state)]

    def run(self, rounds: int) -> int:
        self._card.write(self._state, 0)
        if not self._can_stop:
            for _ in range(rounds):
                self._round()
            return rounds
        done, batch = 0, FIRST_BATCH
        while done < rounds:
            now = min(batch, rounds - done)
            for _ in range(now):
                self._round()
            stopped, whole = self._card.read(self._state).tolist()
            if stopped:
                return whole
            done, batch = done + now, min(2 * batch, LARGEST_BATCH)
        return rounds

    def _round(self) -> None:
        for number, piece in enumerate(self._pieces):
            if isinstance(piece, Loop):
                assert not self._can_stop, "a list with loops has no stop of its own"
                piece.done[:] = piece.body.whole.run(int(piece.rounds[0]))
            else:
                piece.launch(counts=number == len(self._pieces) - 1)


@final
class _Graph:
    """Launches and arithmetic, recorded at the first use and whenever fields have moved.

    `state`: the stop flag and the number of rounds that came to their end, on the card.
    """

    def __init__(self, card: Card, steps: Sequence[Launch | Arithmetic], state: CardArray):
        self._card, self._state = card, state
        self._kept: list[Any] = list(steps)
        self._items: list[CardBound | Argument] = []
        waiting: list[Arithmetic] = []
        for step in steps:
            if isinstance(step, Launch):
                self._items += [self._arithmetic(waiting)] if waiting else []
                assert isinstance(step.bound, CardBound)
                self._items.append(step.bound)
                waiting = []
            else:
                waiting.append(step)
        # The last kernel counts the round, also where it has nothing else to do.
        self._last = self._arithmetic(waiting)
        self._places: list[tuple[int, ...]] = []
        self._graph = 0

    def _arithmetic(self, steps: Sequence[Arithmetic]) -> Argument:
        records = numpy.zeros(max(len(steps), 1), STEP)
        for k, step in enumerate(steps):
            arrays = (step.out, step.a, step.b, step.flag, step.state)
            out, a, b, flag, state = (0 if array is None else array.address for array in arrays)
            records[k] = (int(step.kind), out, a, b, flag, step.count, state)
        table = self._card.table(records.view(numpy.uint64))
        self._kept.append(table)
        return Argument(STEPS_CALL, table.address, len(steps), self._state.address, 0)

    def launch(self, counts: bool) -> None:
        """Nothing; the steps are under way, unless the flag is set. `counts`: the round ends with them."""
        places = [item.addresses() for item in self._items if isinstance(item, CardBound)]
        if not self._graph or places != self._places:
            self._record(counts)
            self._places = places
        self._card.runtime.graphLaunch(self._graph, self._card.stream)

    def _record(self, counts: bool) -> None:
        card, stopped = self._card, self._state.address
        run_steps = device_function(card, "run_steps")
        self._last.record["rounds"] = self._state[1:].address if counts else 0
        card.runtime.streamBeginCapture(card.stream, RELAXED)
        for item in (*self._items, self._last):
            if isinstance(item, CardBound):
                item.part(0, stopped)
                item.part(1, stopped)
                item.collect(stopped)
            else:
                enqueue(card, run_steps, (1, 1), WARP, item)
        graph = card.runtime.streamEndCapture(card.stream)
        if self._graph:
            card.runtime.graphExecDestroy(self._graph)
        self._graph = card.runtime.graphInstantiate(graph)
        card.runtime.graphDestroy(graph)
