"""Kernels of a run, compiled before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hpcgauge as hg
from hpcgauge.comm.world import World
from hpcgauge.errors import ConfigError, DeviceError
from hpcgauge.io import checksum
from hpcgauge.io.gauge import compiled as gauge_files
from hpcgauge.kernels import host
from hpcgauge.kernels.build import Target
from hpcgauge.kernels.cuda_source import LANES
from hpcgauge.run import compilation, compile_configuration
from tests.support.jobs import EVERYTHING, PLAIN, described, run_here


@pytest.mark.host
@pytest.mark.parametrize(
    "changes",
    [
        ("solver.precision=mixed", "solver.chronological=3"),
        ("lattice.colors=3", "control=none", *PLAIN, "action.fermion.mass=5.0"),
    ],
)
def test_all_kernels_of_a_run_can_be_compiled_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: tuple[str, ...]
) -> None:
    """`hpcgauge compile` leaves nothing for the run to compile."""
    compiled: set[Any] = set()
    used: set[Any] = set()
    build = host.build

    def noted(kernel: hg.Kernel, target: Target) -> Any:
        used.add((kernel, target))
        return build(kernel, target)

    monkeypatch.setattr(compilation, "is_compiled", lambda kernel, target, architecture: False)
    monkeypatch.setattr(compilation, "compile_all", lambda jobs, architecture: compiled.update(jobs))
    monkeypatch.setattr(host, "build", noted)
    run = described(*EVERYTHING, *changes)
    assert compile_configuration(run, None, World.alone())
    run_here(run, tmp_path, World.alone())
    assert used and used <= compiled, [(kernel.name, target) for kernel, target in used - compiled]


@pytest.mark.host
def test_what_files_need_is_compiled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines that compute may have no compiler."""
    compiled: list[str] = []
    monkeypatch.setattr(compilation, "compile_all", lambda jobs, architecture: None)
    for module, name in ((checksum, "checksum"), (gauge_files, "gauge files")):
        monkeypatch.setattr(module, "library", lambda name=name: compiled.append(name))
    compile_configuration(described(*EVERYTHING), None, World.alone())
    assert compiled == ["checksum"]
    compile_configuration(described(*EVERYTHING, f"start={__file__}"), None, World.alone())
    assert compiled == ["checksum", "checksum", "gauge files"]


@pytest.mark.host
def test_kernels_of_a_run_on_cards_are_compiled_for_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: dict[str, list[Any]] = {}
    monkeypatch.setattr(compilation, "is_compiled", lambda kernel, target, architecture: False)
    monkeypatch.setattr(compilation, "compile_all", lambda jobs, architecture: compiled.update({architecture: jobs}))
    run, alone = described(*EVERYTHING, "lattice.device=cuda"), World.alone()
    names = compile_configuration(run, "sm_80,sm_90", alone)
    assert list(compiled) == ["sm_80", "sm_90"] and len(names) == sum(map(len, compiled.values()))
    assert all(target.lanes == LANES[target.precision] for jobs in compiled.values() for _, target in jobs)
    with pytest.raises(ConfigError, match="'sm_1' is not known to this NVRTC"):
        compile_configuration(run, "sm_1", alone)
    with pytest.raises(ConfigError, match=r"--target sm_90 is for cards, lattice\.device is cpu"):
        compile_configuration(described(*EVERYTHING), "sm_90", alone)


@pytest.mark.host
def test_without_a_card_its_kind_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_card(name: str) -> None:
        raise DeviceError(f"no card for {name}")

    monkeypatch.setattr(compilation, "Device", no_card)
    with pytest.raises(ConfigError, match=r"no card for cuda; or say what the cards are .*--target sm_90"):
        compile_configuration(described(*EVERYTHING, "lattice.device=cuda"), None, World.alone())
