"""Programs on a card: stretches of steps as graphs, with the stop flag in device memory."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Sequence
from typing import Any, final

import numpy

from hpcgauge.fields.card import Card, CardArray, give_back
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
        card.write(self._state, 0)
        self._n_whole = 0
        self._can_stop = any(isinstance(step, Arithmetic) and step.kind == Kind.STOP for step in steps)
        self._pieces: list[Loop | _Graph] = []
        for is_loop, group in itertools.groupby(steps, lambda step: isinstance(step, Loop)):
            items = list(group)
            self._pieces += items if is_loop else [_Graph(card, items, self._state, self._can_stop)]

    def run(self, rounds: int) -> int:
        if not self._can_stop:
            for _ in range(rounds):
                self._round()
            return rounds
        done, batch = 0, FIRST_BATCH
        while done < rounds:
            now = min(batch, rounds - done)
            for _ in range(now):
                self._round()
            stopped, n_whole = self._card.read(self._state).tolist()
            whole, self._n_whole = n_whole - self._n_whole, n_whole
            done, batch = done + whole, min(2 * batch, LARGEST_BATCH)
            if stopped:
                self._card.write(self._state[:1], 0)
                break
        return done

    def _round(self) -> None:
        for piece in self._pieces:
            if isinstance(piece, Loop):
                assert not self._can_stop, "a list with loops has no stop of its own"
                piece.done[:] = piece.body.whole.run(int(piece.rounds[0]))
            else:
                piece.launch()


@final
class _Graph:
    """Launches and arithmetic, recorded at the first use and whenever fields have moved.

    `state`: the stop flag and the number of rounds that ever came to their end, on the card. `counts`: they are, here.
    """

    def __init__(self, card: Card, steps: Sequence[Launch | Arithmetic], state: CardArray, counts: bool):
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
        if waiting or counts:
            self._items.append(self._arithmetic(waiting, self._state[1:].address if counts else 0))
        self._places: list[tuple[int, ...]] = []
        self._graph = 0
        self._give_back: weakref.finalize | None = None

    def _arithmetic(self, steps: Sequence[Arithmetic], rounds: int = 0) -> Argument:
        records = numpy.zeros(max(len(steps), 1), STEP)
        for k, step in enumerate(steps):
            arrays = (step.out, step.a, step.b, step.flag, step.state)
            out, a, b, flag, state = (0 if array is None else array.address for array in arrays)
            records[k] = (int(step.kind), out, a, b, flag, step.count, state)
        table = self._card.table(records.view(numpy.uint64))
        self._kept.append(table)
        return Argument(STEPS_CALL, table.address, len(steps), self._state.address, rounds)

    def launch(self) -> None:
        """Nothing; the steps are under way, unless the flag is set."""
        places = [item.addresses for item in self._items if isinstance(item, CardBound)]
        if not self._graph or places != self._places:
            self._record()
            self._places = places
        self._card.runtime.graphLaunch(self._graph, self._card.stream)

    def _record(self) -> None:
        card, stopped = self._card, self._state.address
        run_steps = device_function(card, "run_steps")
        card.runtime.streamBeginCapture(card.stream, RELAXED)
        for item in self._items:
            if isinstance(item, CardBound):
                item.part(0, stopped)
                item.part(1, stopped)
                item.collect(stopped)
            else:
                enqueue(card, run_steps, (1, 1), WARP, item)
        graph = card.runtime.streamEndCapture(card.stream)
        if self._give_back:
            self._give_back()
        self._graph = card.runtime.graphInstantiate(graph)
        self._give_back = weakref.finalize(self, give_back, card, card.runtime.graphExecDestroy, self._graph)
        self._give_back.atexit = False
        card.runtime.graphDestroy(graph)
