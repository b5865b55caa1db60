"""What a run may need compiled, compiled before it begins: kernels, and the code that reads and writes files."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from hpcgauge.catalogue import IN_SINGLE_STEPS, Entry, all_entries, compile_all, is_compiled
from hpcgauge.comm.world import World
from hpcgauge.config import Run
from hpcgauge.errors import ConfigError, DeviceError
from hpcgauge.fields.device import Device
from hpcgauge.io import checksum
from hpcgauge.io.agreement import on_root
from hpcgauge.io.gauge import compiled
from hpcgauge.kernels import nvrtc
from hpcgauge.kernels.kernel import Kernel
from hpcgauge.kernels.source import Target
from hpcgauge.observables.condensate import TOGETHER
from hpcgauge.run.build import HOT, UNIT


def compile_kernels(
    configuration: Run, world: World, architecture: str = "", say: Callable[[str], None] | None = None
) -> list[str]:
    """The kernels a configuration may need, named with reach and right-hand sides, compiled by rank 0, and so is what
    its files need. Collective.

    `architecture`: of the cards that they are for, as "sm_90"; empty: this processor. `say` is told how many have to be
    compiled, if any.
    """
    jobs = _kernels(configuration, bool(architecture))

    def compile_missing() -> None:
        missing = [job for job in jobs.values() if not is_compiled(*job, architecture)]
        if missing and say is not None:
            say(f"compiling {len(missing)} kernels, once on this machine")
        compile_all(missing, architecture)
        checksum.library()
        if configuration.start not in (UNIT, HOT):
            compiled.library()

    on_root(world, compile_missing)
    return sorted(jobs)


def compile_configuration(configuration: Run, target: str | None, world: World) -> list[str]:
    """The kernels that were compiled for a configuration; `target`: for which cards, as "sm_80,sm_90". Collective.

    ConfigError where the configuration is not for cards, and where it is and neither target nor card is there.
    """
    wanted = on_root(world, lambda: _architectures(configuration, target))
    return [name for architecture in wanted for name in compile_kernels(configuration, world, architecture)]


def _architectures(configuration: Run, target: str | None) -> list[str]:
    """What to compile for: "" for the processor."""
    if configuration.lattice.device == "cpu":
        if target is not None:
            raise ConfigError(f"--target {target} is for cards, lattice.device is cpu; leave it out, or set cuda")
        return [""]
    if target is not None:
        return nvrtc.chosen(target)
    try:
        return [Device(configuration.lattice.device).hardware.architecture]
    except DeviceError as error:
        raise ConfigError(f"{error}; or say what the cards are that kernels are for: --target sm_90") from None


def _kernels(configuration: Run, is_for_cards: bool) -> dict[str, tuple[Kernel, Target]]:
    lattice, guide = configuration.lattice, configuration.guide
    networks = [term.network for term in guide.fermion if term.network is not None] if guide is not None else []
    networks += list(configuration.control.networks.values()) if configuration.control is not None else []
    reaches = sorted({network.reach for network in networks if network.reach is not None}) or [1]
    dimensions = len(lattice.extent)
    unused = set() if configuration.measure.loops is not None else {"shift.h", "loops.h"}
    if not networks:
        unused |= {"paths.h", "attention.h", "layer.h"}

    def job(entry: Entry, precision: str) -> tuple[Kernel, Target]:
        target = entry.cuda_target if is_for_cards else entry.target
        return entry.kernel, target(dimensions, lattice.colors, precision)

    return {
        f"{name} ({reach}, {n}, {precision})": job(entry, precision)
        for reach, n in product(reaches, _right_hand_sides(configuration))
        for name, entry in all_entries(dimensions, reach, n).items()
        if entry.kernel.header not in unused
        for precision in _precisions(configuration, entry)
        if entry.is_for(lattice.colors, precision)
    }


def _right_hand_sides(configuration: Run) -> list[int]:
    """How many there are in the solves of a run: noise sources, masses on one phi, earlier solutions."""
    guide, found = configuration.guide, {1}
    if configuration.measure.condensate is not None:
        found.add(TOGETHER)
    if configuration.action.fermion is not None:
        found.add(max(1, configuration.solver.chronological))
    if guide is not None:
        # A control may have no network.
        found |= {max(1, len(guide.fermion)), max(1, sum(term.network is None for term in guide.fermion))}
    return sorted(found)


def _precisions(configuration: Run, entry: Entry) -> set[str]:
    lattice, solver = configuration.lattice, configuration.solver
    own = lattice.precision if entry.is_for(lattice.colors, lattice.precision) else "double"
    return {own, "single"} if solver.precision == "mixed" and entry.kernel.name in IN_SINGLE_STEPS else {own}
