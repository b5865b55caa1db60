"""The command line. Modules are loaded by the verb that needs them, so that `--version` and `--help` are quick."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpcgauge._version import VERSION

if TYPE_CHECKING:
    from hpcgauge.comm.world import World
    from hpcgauge.config import Run

app = typer.Typer(
    name="hpcgauge",
    help="SU(N) lattice gauge theory with gauge-covariant neural networks.",
    epilog="Exit codes: 0 done, 1 a bug, 2 wrong input, 3 lost physics, 4 the machine, 75 stopped cleanly: run again.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Configuration = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file, see docs/configuration.md.")]
Changes = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key; may be repeated.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"hpcgauge {VERSION}")
        raise typer.Exit


@app.command()
def run(
    config: Configuration,
    changes: Changes = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Run folder; default runs/NAME of CONFIG.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Refuse a folder that holds a checkpoint.")] = False,
    as_json: Json = False,
) -> None:
    """Run a configuration; goes on by itself where DIR holds a checkpoint."""
    from rich.console import Console

    from hpcgauge.comm.world import World

    world = World()
    with world.guard():
        described, folder = _load(config, changes), out or Path("runs") / config.stem
        from hpcgauge.run import run as run_chain

        results = run_chain(described, folder, fresh, Console(stderr=True), world)
        if world.rank == 0:
            _print_results(results, folder, as_json)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
    as_json: Json = False,
) -> None:
    """Write summary.json and report/index.html of a run folder anew."""
    from hpcgauge.report.page import write_page
    from hpcgauge.report.summary import summarise

    results = summarise(folder)
    write_page(folder)
    _print_results(results, folder, as_json)


@app.command()
def info(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A gauge file, checkpoint, network or run folder.")],
    as_json: Json = False,
) -> None:
    """Say what a file holds."""
    from hpcgauge.report.info import describe

    facts = describe(file)
    if as_json:
        print(json.dumps(facts, indent=2, default=str))
    else:
        _print_pairs({key: value for key, value in facts.items() if value is not None})


@app.command()
def doctor(as_json: Json = False) -> None:
    """Look at what this machine offers: compiler, MPI, HDF5, threads, caches."""
    from hpcgauge.report.doctor import as_data, examine

    findings = examine()
    if as_json:
        print(json.dumps(as_data(findings), indent=2))
    else:
        remedies = {finding.subject: finding.remedy for finding in findings if finding.remedy}
        _print_pairs({finding.subject: finding.found for finding in findings})
        for subject, remedy in remedies.items():
            print(f"{subject}: {remedy}")
    if not all(finding.is_fine for finding in findings):
        raise typer.Exit(4)


@app.command("compile")
def compile_kernels(
    config: Annotated[Path | None, typer.Argument(metavar="[CONFIG]", help="A YAML file: its kernels.")] = None,
    changes: Changes = None,
    target: Annotated[str | None, typer.Option(metavar="sm_90,...", help="All, for GPUs; no card needed.")] = None,
    colors: Annotated[str, typer.Option(metavar="N,...", help="With --target: the groups SU(N).")] = "2,3",
    precision: Annotated[str, typer.Option(metavar="P,...", help="With --target.")] = "double,single",
    is_list: Annotated[bool, typer.Option("--list", help="Print the names of all kernels.")] = False,
    as_json: Json = False,
) -> None:
    """Compile kernels into the cache: those of a configuration, for nodes without a compiler, or all for GPUs."""
    from hpcgauge.comm.world import World
    from hpcgauge.errors import ConfigError

    world = World()
    with world.guard():
        if (config is not None) + (target is not None) + is_list != 1:
            raise ConfigError("compile takes one of CONFIG, --target and --list")
        if config is not None:
            names = _compile_configuration(_load(config, changes), world)
            shown: Any = {"kernels": names} if as_json else f"{len(names)} kernels are compiled"
        else:
            shown = _compile_for_gpus(target, colors, precision, as_json) if world.rank == 0 else None
        if world.rank == 0:
            _print_findings(shown, as_json)


def _compile_configuration(described: Run, world: World) -> list[str]:
    from hpcgauge.run import compile_kernels as compile_all

    return compile_all(described, world)


def _compile_for_gpus(target: str | None, colors: str, precision: str, as_json: bool) -> Any:
    """What is to be shown: the rows of all kernels for GPUs, or without a target the names of all."""
    from hpcgauge.bench import cuda

    if target is None:
        return cuda.names() if as_json else "\n".join(cuda.names())
    rows = cuda.resources(cuda.chosen(target, colors, precision))
    return rows if as_json else cuda.table(rows)


@app.command()
def bench(
    kernel: Annotated[str | None, typer.Option(metavar="NAME", help="One kernel; default all.")] = None,
    extent: Annotated[str, typer.Option(metavar="X,Y,Z,T", help="Even extents.")] = "16,16,16,16",
    colors: Annotated[int, typer.Option(metavar="N", help="The group SU(N).")] = 3,
    precision: Annotated[str, typer.Option(metavar="P", help="double or single.")] = "double",
    device: Annotated[str, typer.Option(metavar="D", help="cpu or cuda.")] = "cpu",
    is_halo: Annotated[bool, typer.Option("--halo", help="Exchanges between ranks, beside bare Sendrecv.")] = False,
    as_json: Json = False,
) -> None:
    """Time kernels beside what this machine can do, each checked against its formula."""
    from rich.console import Console

    from hpcgauge.comm.world import World

    world = World()
    with world.guard():
        from hpcgauge.bench import halo, rows
        from hpcgauge.errors import ConfigError

        if is_halo and kernel:
            raise ConfigError(f"--halo has kernels of its own: leave --kernel {kernel} out")
        if is_halo and device != "cpu":
            raise ConfigError(f"--halo is about the processor: leave --device {device} out")
        chosen = rows.parse_extent(extent), colors, precision
        with Console(stderr=True, quiet=world.rank > 0).status("") as status:
            if is_halo:
                found = halo.bench_halo(world, *chosen, status.update)
            else:
                found = rows.bench(world, kernel, *chosen, status.update, device)
        if world.rank == 0:
            if as_json:
                print(json.dumps(found, indent=2))
            else:
                shown = (halo if is_halo else rows).table(found)
                Console(width=max(Console().width, rows.TABLE_WIDTH)).print(shown)


def main(arguments: Sequence[str] | None = None) -> None:
    """Never returns: exits with the code of the verb. An error is one sentence on stderr; a bug has a trace-back."""
    from hpcgauge.comm.world import World

    given = list(sys.argv[1:] if arguments is None else arguments)
    with World.alone().guard():
        app(args=spread(given), prog_name="hpcgauge")


def spread(arguments: Sequence[str]) -> list[str]:
    """The arguments with `--set a=1 b=2` written as `--set a=1 --set b=2`."""
    spelled: list[str] = []
    is_change = False
    for argument in arguments:
        is_further = is_change and "=" in argument and not argument.startswith("-")
        if is_further and spelled[-1] != "--set":
            spelled.append("--set")
        spelled.append(argument)
        is_change = argument == "--set" or is_further
    return spelled


def _load(config: Path, changes: list[str] | None) -> Run:
    from hpcgauge.config import load

    return load(config, changes or [])


def _print_results(results: dict[str, Any], folder: Path, as_json: bool) -> None:
    if as_json:
        print(json.dumps(results, indent=2))
        return
    from rich.console import Console

    from hpcgauge.report.summary import table

    console = Console()
    console.print(table(results))
    page = folder / "report" / "index.html"
    if page.is_file():
        print(f"report: {page}")


def _print_findings(shown: Any, as_json: bool) -> None:
    from rich.console import Console

    if as_json or isinstance(shown, str):
        print(shown if isinstance(shown, str) else json.dumps(shown, indent=None if isinstance(shown, dict) else 1))
    else:
        Console(width=max(Console().width, 110)).print(shown)


def _print_pairs(pairs: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for name, value in pairs.items():
        table.add_row(Text(name, style="bold"), Text(_in_words(value), overflow="fold"))
    Console().print(table)


def _in_words(value: Any) -> str:
    if isinstance(value, dict) and set(value) == {"value", "error"}:
        from hpcgauge.report.summary import shown

        return shown(value)
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


if __name__ == "__main__":
    main()
