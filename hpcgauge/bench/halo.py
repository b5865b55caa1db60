"""`hpcgauge bench --halo`: exchanges between ranks, bare Sendrecv of the same bytes, and how much of them is hidden."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, final

import numpy
from rich.table import Table

from hpcgauge.bench.count import prepare
from hpcgauge.bench.measure import Probe, Rotation, sampled
from hpcgauge.bench.periodic import Periodic
from hpcgauge.bench.rows import check_numbers, machine
from hpcgauge.comm.exchange import Exchange, Message
from hpcgauge.comm.world import World
from hpcgauge.errors import ConfigError
from hpcgauge.fields.lattice import Lattice

SIZES = tuple(1024 * 4**k for k in range(8))
# Kernels whose ghosts are exchanged, and on what sites they work: a color vector's, and the links'.
HALOS = {"staggered_hop": "even", "plaquette_sum": "both"}
COLUMNS = {
    "case": "case",
    "bytes": "bytes",
    "messages": "messages",
    "seconds": "time, us",
    "seconds_min": "least",
    "sendrecv_seconds": "Sendrecv",
    "start_seconds": "start",
    "gbytes_per_s": "GB/s",
    "kernel_seconds": "kernel with",
    "kernel_alone_seconds": "and without",
    "hidden": "hidden",
}


@final
class Timed:
    """A call to be timed; `after` follows each without being timed."""

    def __init__(self, name: str, n_bytes: int, call: Callable[[], Any], after: Callable[[], Any] | None = None):
        self.name, self.bytes, self.flops = name, float(n_bytes), 0.0
        self._call, self._after = call, after

    def settle(self, count: int) -> None:
        """As many untimed calls. Collective."""
        self.seconds(count)

    def seconds(self, count: int) -> float:
        """The time of `count` calls. Collective."""
        call, after, clock = self._call, self._after, time.perf_counter
        if after is None:
            start = clock()
            for _ in range(count):
                call()
            return clock() - start
        total = 0.0
        for _ in range(count):
            start = clock()
            call()
            total += clock() - start
            after()
        return total


def bench_halo(
    world: World, extent: tuple[int, ...], colors: int, precision: str, report: Callable[[str], None]
) -> dict[str, Any]:
    """The machine in words, a row for each size of message and for each kernel of HALOS, and the latency and bandwidth
    that fit the sizes. ConfigError on one rank, or for numbers that are not possible. Collective."""
    if world.size == 1:
        raise ConfigError("--halo times messages between ranks: start it with tools/mpirun -n 2 hpcgauge bench --halo")
    check_numbers(colors, precision)
    lattice = Lattice(extent, colors, world, precision=precision)
    report("compiling")
    prepare(world, list(HALOS), len(extent), colors, precision)
    rows = []
    for n_bytes in SIZES:
        report(f"{n_bytes} bytes")
        rows.append(message_row(world, n_bytes))
    model = {kind: fit(rows, key) for kind, key in (("exchange", "seconds"), ("sendrecv", "sendrecv_seconds"))}
    for name, parity in HALOS.items():
        report(name)
        rows.append(kernel_row(Periodic(name, lattice, parity)))
    about = {"extent": list(extent), "colors": colors, "precision": precision}
    return {"machine": machine(lattice), **about, "rows": rows, "model": model}


def message_row(world: World, n_bytes: int) -> dict[str, Any]:
    """One message from every rank to the next in a ring. Collective."""
    out, into = numpy.ones(n_bytes, numpy.uint8), numpy.zeros(n_bytes, numpy.uint8)
    right, left = (world.rank + 1) % world.size, (world.rank - 1) % world.size
    messages = world.exchange([(right, out)], [(left, into)])
    samples = sampled(world, _exchanges(world, messages, messages.start, messages.wait))
    return _row("message", messages, samples)


def kernel_row(periodic: Periodic) -> dict[str, Any]:
    """The exchange of a kernel's ghosts, alone and behind the interior; the kernel is checked. Collective."""
    rotation = Rotation(periodic, 1)
    rotation.check()
    launch, world = rotation.launches[0], periodic.lattice.world
    halo = launch.halo()

    def stale() -> None:
        for field in launch.moving:
            field.touch()
        launch.execute()

    launches = [
        Timed("kernel", halo.exchange.bytes_sent, stale),
        Timed("kernel alone", halo.exchange.bytes_sent, launch.execute),
    ]
    samples = sampled(world, [*_exchanges(world, halo.exchange, halo.start, halo.wait), *launches])
    row = _row(periodic.case.name, halo.exchange, samples)
    return row | _hidden(row["seconds"], {probe.name: median(times) for probe, times in samples.items()})


def _hidden(exchange: float, seconds: dict[str, float]) -> dict[str, float]:
    """The kernel with and without its exchange, and the share of the exchange that does not show in the sum."""
    whole, alone = seconds["kernel"], seconds["kernel alone"]
    hidden = 1 - (whole - alone) / exchange
    return {"kernel_seconds": whole, "kernel_alone_seconds": alone, "hidden": hidden}


def _exchanges(world: World, exchange: Exchange, start: Callable[[], Any], wait: Callable[[], Any]) -> list[Timed]:
    """The exchange, its start alone, and bare Sendrecv of its messages, one after another."""
    pairs = [_apart(send, receive) for send, receive in zip(exchange.sends, exchange.receives, strict=True)]

    def both() -> None:
        start()
        wait()

    def bare() -> None:
        for (target, out), (source, into) in pairs:
            world.communicator.Sendrecv(out, dest=target, recvbuf=into, source=source)

    n_bytes = exchange.bytes_sent
    return [
        Timed("exchange", n_bytes, both),
        Timed("start", n_bytes, start, wait),
        Timed("sendrecv", n_bytes, bare),
    ]


def _apart(send: Message, receive: Message) -> tuple[Message, Message]:
    """The same messages from and to memory of their own."""
    return (send[0], numpy.ones(send[1].nbytes, numpy.uint8)), (receive[0], numpy.zeros(receive[1].nbytes, numpy.uint8))


def _row(case: str, exchange: Exchange, samples: dict[Probe, list[float]]) -> dict[str, Any]:
    times = {probe.name: found for probe, found in samples.items()}
    seconds = median(times["exchange"])
    return {
        "case": case,
        "bytes": exchange.bytes_sent,
        "messages": len(exchange.sends),
        "seconds": seconds,
        "seconds_min": min(times["exchange"]),
        "samples": len(times["exchange"]),
        "sendrecv_seconds": median(times["sendrecv"]),
        "start_seconds": median(times["start"]),
        "gbytes_per_s": exchange.bytes_sent / seconds / 1e9,
        "kernel_seconds": None,
        "kernel_alone_seconds": None,
        "hidden": None,
    }


def fit(rows: Sequence[dict[str, Any]], key: str) -> dict[str, float]:
    """Latency and bandwidth of t = latency + bytes / bandwidth, least squares of relative differences."""
    sizes, seconds = (numpy.array([float(row[k]) for row in rows]) for k in ("bytes", key))
    columns = numpy.stack([1 / seconds, sizes / seconds], axis=1)
    (latency, per_byte), *_ = numpy.linalg.lstsq(columns, numpy.ones(len(rows)), rcond=None)
    return {"latency_seconds": float(latency), "bytes_per_s": float(1 / per_byte)}


def table(found: dict[str, Any]) -> Table:
    """The rows for reading."""
    used, model = found["machine"], found["model"]
    extent = "x".join(str(length) for length in found["extent"])
    title = f"SU({found['colors']}), {extent}, {found['precision']}; ranks {used['ranks']}, threads {used['threads']}"
    caption = ", ".join(
        f"{kind}: {fitted['latency_seconds'] * 1e6:.1f} us + bytes / {fitted['bytes_per_s'] / 1e9:.1f} GB/s"
        for kind, fitted in model.items()
    )
    shown = Table(title=f"{title}; {used['processor']}", caption=caption)
    for heading in COLUMNS.values():
        shown.add_column(heading, justify="left" if heading == "case" else "right")
    for row in found["rows"]:
        shown.add_row(*(_in_words(key, row[key]) for key in COLUMNS))
    return shown


def _in_words(key: str, value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if key.endswith(("seconds", "seconds_min")):
        return f"{value * 1e6:.1f}"
    return str(value) if isinstance(value, int) else f"{value:.2f}"
