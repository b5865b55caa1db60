"""The command line. Modules are loaded by the verb that needs them, so that `--version` and `--help` are quick."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from hpcgauge._version import VERSION
from hpcgauge.report.options import with_groups

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

Extent = Annotated[str | None, typer.Option(metavar="X,Y,Z,T", help="The lattice, where a gauge file does not say it.")]
Checks = Annotated[str, typer.Option(metavar="all|none|NAME,...", help="checksum, link_trace, plaquette, group of IN.")]


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
        folder = out or Path("runs") / config.stem
        from hpcgauge.config import read

        described = read(config, changes or [])
        from hpcgauge.run import run as run_chain

        results = run_chain(described, folder, fresh, Console(stderr=True), world)
        if world.rank == 0:
            from hpcgauge.report.printing import print_results

            print_results(results, folder, as_json)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
    as_json: Json = False,
) -> None:
    """Write summary.json and report/index.html of a run folder anew."""
    from hpcgauge.report.page import write_page
    from hpcgauge.report.printing import print_results
    from hpcgauge.report.summary import summarise

    results = summarise(folder)
    write_page(folder)
    print_results(results, folder, as_json)


@app.command()
def info(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A gauge file, checkpoint, network or run folder.")],
    extent: Extent = None,
    as_json: Json = False,
) -> None:
    """Say what a file holds; what a gauge file stores about its numbers is held against them."""
    from hpcgauge.comm.world import World

    world = World()
    with world.guard():
        from hpcgauge.report import gauge_info
        from hpcgauge.report import info as information
        from hpcgauge.report.printing import print_pairs

        facts = information.describe(file, world, _extent(extent))
        if world.rank == 0 and as_json:
            print(json.dumps(facts, indent=2, default=str))
        elif world.rank == 0:
            print_pairs((gauge_info if information.is_gauge_file(facts) else information).in_words(facts))


@app.command()
def verify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Gauge files, checkpoints, networks.")],
    extent: Extent = None,
    as_json: Json = False,
) -> None:
    """Hold what files store about their numbers against these, a line for each; exit code 2 if any is wrong."""
    from hpcgauge.comm.world import World

    world = World()
    with world.guard():
        from hpcgauge.report.gauge_info import check_file, line

        found = [check_file(file, world, _extent(extent)) for file in files]
        if world.rank == 0:
            print(json.dumps(found, indent=1) if as_json else "\n".join(line(result) for result in found))
    if not all(result["right"] for result in found):
        raise typer.Exit(2)


@dataclass(frozen=True)
class Written:
    """How OUT is written."""

    format: Annotated[
        str, typer.Option(metavar="NAME", help="nersc, nersc-2x3, ildg, milc, openqcd, hirep, hirep-quaternions, hdf5.")
    ]
    precision: Annotated[str | None, typer.Option(metavar="P", help="double or single; default that of IN.")] = None
    byte_order: Annotated[str | None, typer.Option(metavar="B", help="big or little, where there is a choice.")] = None


@app.command()
@with_groups
def convert(
    files: Annotated[tuple[Path, Path], typer.Argument(metavar="IN OUT", help="A gauge file, and the one to write.")],
    written: Written,
    extent: Extent = None,
    verify: Checks = "all",
    is_forced: Annotated[bool, typer.Option("--force", help="Replace OUT.")] = False,
    as_json: Json = False,
) -> None:
    """Write a gauge file in another format, number by number as they are."""
    from hpcgauge.comm.world import World

    world = World()
    with world.guard():
        from hpcgauge.io.gauge.convert import convert as convert_file
        from hpcgauge.io.gauge.formats import wanted
        from hpcgauge.io.gauge.gaugefile import parsed_checks
        from hpcgauge.report.gauge_info import header_facts, in_words
        from hpcgauge.report.printing import print_pairs

        chosen = wanted(*astuple(written))
        file = convert_file(*files, chosen, world, _extent(extent), parsed_checks(verify), is_forced)
        facts = {"file": str(file.path), **header_facts(file)}
        if world.rank == 0:
            print(json.dumps(facts, indent=2)) if as_json else print_pairs(in_words(facts))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Look at what this machine offers: compiler, MPI, HDF5, threads, caches."""
    from hpcgauge.report.doctor import as_data, examine
    from hpcgauge.report.printing import print_pairs

    findings = examine()
    if as_json:
        print(json.dumps(as_data(findings), indent=2))
    else:
        remedies = {finding.subject: finding.remedy for finding in findings if finding.remedy}
        print_pairs({finding.subject: finding.found for finding in findings})
        for subject, remedy in remedies.items():
            print(f"{subject}: {remedy}")
    if not all(finding.is_fine for finding in findings):
        raise typer.Exit(4)


@app.command("compile")
def compile_kernels(
    config: Annotated[Path | None, typer.Argument(metavar="[CONFIG]", help="A YAML file: its kernels.")] = None,
    changes: Changes = None,
    target: Annotated[str | None, typer.Option(metavar="sm_90,...", help="For GPUs; no card needed.")] = None,
    colors: Annotated[str, typer.Option(metavar="N,...", help="With --target: the groups SU(N).")] = "2,3",
    precision: Annotated[str, typer.Option(metavar="P,...", help="With --target.")] = "double,single",
    is_list: Annotated[bool, typer.Option("--list", help="Print the names of all kernels.")] = False,
    as_json: Json = False,
) -> None:
    """Compile kernels into the cache: those of CONFIG, for nodes without a compiler, or all for GPUs."""
    from hpcgauge.comm.world import World
    from hpcgauge.errors import ConfigError

    world = World()
    with world.guard():
        if is_list + (config is not None or target is not None) != 1:
            raise ConfigError("compile takes CONFIG, --target, both, or --list alone")
        if config is not None:
            from hpcgauge.config import load
            from hpcgauge.run import compile_configuration

            names = compile_configuration(load(config, changes or []), target, world)
            shown: Any = {"kernels": names} if as_json else f"{len(names)} kernels are compiled"
        else:
            shown = _compile_for_gpus(target, colors, precision, as_json) if world.rank == 0 else None
        if world.rank == 0:
            from hpcgauge.report.printing import print_findings

            print_findings(shown, as_json)


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


def _extent(text: str | None) -> tuple[int, ...] | None:
    from hpcgauge.io.gauge.header import parsed_extent

    return None if text is None else parsed_extent(text)


if __name__ == "__main__":
    main()
