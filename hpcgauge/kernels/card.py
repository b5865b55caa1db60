"""A card as a backend: kernels by NVRTC, programs as graphs, messages through pinned memory."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, final

from hpcgauge.comm.aware import Awareness, cuda_awareness
from hpcgauge.comm.halo import Transport
from hpcgauge.fields.field import Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.kernels.backend import Backend
from hpcgauge.kernels.card_kernel import CardKernel, card_of, card_tables
from hpcgauge.kernels.card_program import CardProgram
from hpcgauge.kernels.card_transport import CardTransport
from hpcgauge.kernels.cuda_source import CONVERSION, MAX_THREADS, WARP
from hpcgauge.kernels.enqueue import Argument, device_function, enqueue
from hpcgauge.kernels.kernel import Kernel
from hpcgauge.lattice.offsets import LOCAL, PARITY


@final
class CardBackend(Backend):
    """Kernels by NVRTC, programs as graphs, messages through pinned memory."""

    def compiled(self, kernel: Kernel, fields: Sequence[Field], counts: tuple[int, ...], parity: str) -> CardKernel:
        return CardKernel(kernel, fields, counts, parity)

    def program(self, steps: Sequence[Any], lattice: Lattice) -> CardProgram:
        return CardProgram(steps, card_of(lattice.device))

    def convert(self, out: Field, x: Field, parity: str) -> None:
        card, tables = card_of(x.lattice.device), card_tables(x.lattice, LOCAL)
        place, count = tables.parts[PARITY[parity]][0]
        where = out.address, x.address, place, count
        argument = Argument(CONVERSION, *where, x.components, int(out.precision == "single"))
        grid = -(-count * WARP // MAX_THREADS), x.components
        enqueue(card, device_function(card, "convert"), grid, MAX_THREADS, argument)

    def route(self, lattice: Lattice) -> str:
        return awareness(card_of(lattice.device).number).route

    def transport(self, lattice: Lattice) -> Transport:
        card = card_of(lattice.device)
        return CardTransport(card, awareness(card.number).is_aware)


CARD = CardBackend()


@functools.cache
def awareness(card: int) -> Awareness:
    """Whether MPI takes memory of this process's card, found out once."""
    return cuda_awareness(card)
