"""Building kernels: a user's own, the cache by content, and what is said when it cannot be done.

Tests that watch the C++ compiler at its work for the processor are marked `host`.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpcgauge.comm.world import World
from hpcgauge.errors import DeviceError
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import Links, MatrixField
from hpcgauge.kernels import build, compiler
from hpcgauge.kernels.algebra import COMBINE
from hpcgauge.kernels.kernel import Kernel, Numbers, Sums, reads, updates, writes
from hpcgauge.kernels.loop import Launch, run
from hpcgauge.lattice.offsets import FORWARD
from tests.support.ranks import agree

EXTENT = (4, 4, 6, 8)
PLANE = Lattice((4, 4), 2)
TARGET = build.Target(2, 2, "double", PLANE.device.lanes, (2,))
TRIPLE = """
#include "links.h"
namespace site { SITE_FN void triple(const Lattice&, Site x, Matrices<2> U) {
    EACH_DIRECTION set(U, x, mu, broadcast(FACTOR) * get(U, x, mu));
} }
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of kernels, and nothing remembered of compilers and kernels before and after."""
    monkeypatch.setenv("HPCGAUGE_CACHE", str(tmp_path / "cache"))
    forget()
    yield tmp_path / "cache"
    forget()


def forget() -> None:
    build.build.cache_clear()
    compiler.find_compiler.cache_clear()


def triple(header: Path, factor: int) -> Kernel:
    header.write_text(TRIPLE.replace("FACTOR", str(factor)))
    return Kernel(str(header), (updates("U", "matrix"),))


def script(path: Path, body: str) -> str:
    path.write_text(body)
    path.chmod(0o755)
    return str(path)


USER_HEADER = """
#include "links.h"
namespace site {
// out = factor * U(x + mu) summed over mu, and the number of sites
SITE_FN void mine(const Lattice& g, Site x, Matrices<N_DIMENSIONS> out, Matrices<N_DIMENSIONS> U, const double* factor,
                  real (&totals)[1]) {
    EACH_DIRECTION set(out, x, mu, number(factor) * get(U, up(g, x, mu), mu));
    totals[0] = broadcast(SITES_COUNT);
}
}
"""


@pytest.mark.ranks
def test_a_users_kernel(world: World, shared_tmp_path: Path) -> None:
    header = shared_tmp_path / "mine.h"
    if world.rank == 0:
        header.write_text(USER_HEADER)
    world.barrier()
    arguments = (writes("out", "matrix"), reads("U", "matrix", FORWARD), Numbers("factor"), Sums(1))
    kernel = Kernel(str(header), arguments, constants=(("SITES_COUNT", 1),))
    lattice = Lattice(EXTENT, 3, world)
    U, out = Links.hot(lattice), MatrixField.zeros(lattice)
    (count,) = run(kernel, out=out, U=U, factor=2.0)
    links = U.to_numpy()
    expected = np.array([2 * np.roll(links[mu], -1, axis=3 - mu) for mu in range(4)])
    agree(world, count == lattice.volume and np.array_equal(out.to_numpy(), expected), f"{count}")


def test_a_kernel_that_does_not_compile_says_where(tmp_path: Path, cache: Path) -> None:
    header = tmp_path / "broken.h"
    header.write_text(USER_HEADER.replace("mine", "broken").replace("get(U", "got(U"))
    kernel = Kernel(str(header), (writes("out", "matrix"), reads("U", "matrix", FORWARD), Numbers("factor"), Sums(1)))
    U = Links.unit(PLANE)
    with pytest.raises(ValueError, match=r"kernel broken does not compile .*got"):
        run(kernel, out=U.copy(), U=U, factor=1.0)
    assert not list(cache.glob("*.so")) and not list(cache.glob("*.part"))


@pytest.fixture
def compiled(cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the libraries that are compiled, as they are."""
    names: list[str] = []
    original = build._compile

    def noted(compiler: str, text: str, library: Path, problem: type[Exception]) -> None:
        names.append(library.name)
        original(compiler, text, library, problem)

    monkeypatch.setattr(build, "_compile", noted)
    return names


@pytest.mark.host
def test_a_kernel_is_compiled_once_and_again_when_it_changes(tmp_path: Path, compiled: list[str]) -> None:
    for factor in (3, 4, 3):
        kernel = triple(tmp_path / "triple.h", factor)
        forget()
        U = Links.unit(Lattice((4, 4), 2))
        run(kernel, U=U)
        assert U.to_numpy()[0, 0, 0, 0, 0] == factor
    assert sum(name.startswith("triple") for name in compiled) == 2


@pytest.mark.host
def test_a_header_beside_a_users_header_counts(tmp_path: Path, compiled: list[str]) -> None:
    """triple.h includes parts/outer.h, which includes parts/inner.h by its name alone."""
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "outer.h").write_text('#pragma once\n#include "inner.h"\n#include "outer.h"\n')
    header = tmp_path / "triple.h"
    header.write_text('#include "parts/outer.h"\n' + TRIPLE)
    kernel = Kernel(str(header), (updates("U", "matrix"),))
    for factor in (3, 4, 3):
        (parts / "inner.h").write_text(f"#define FACTOR {factor}\n")
        forget()
        U = Links.unit(Lattice((4, 4), 2))
        run(kernel, U=U)
        assert U.to_numpy()[0, 0, 0, 0, 0] == factor
    assert sum(name.startswith("triple") for name in compiled) == 2


@pytest.mark.host
def test_what_is_in_the_cache_needs_no_compiler(
    tmp_path: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = triple(tmp_path / "triple.h", 3)
    assert not build.is_built(kernel, TARGET)
    build.build(kernel, TARGET)
    assert build.is_built(kernel, TARGET) and len(compiled) == 1
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    forget()
    assert build.is_built(kernel, TARGET)
    U = Links.unit(Lattice((4, 4), 2))
    run(kernel, U=U)
    assert U.to_numpy()[0, 0, 0, 0, 0] == 3 and len([name for name in compiled if name.startswith("triple")]) == 1
    other = triple(tmp_path / "triple.h", 4)
    forget()
    assert not build.is_built(other, TARGET)
    with pytest.raises(DeviceError, match=r"no C\+\+ compiler was found"):
        build.build(other, TARGET)


def test_another_compiler_compiles_again(tmp_path: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = triple(tmp_path / "triple.h", 3)
    build.build(kernel, TARGET)
    other = script(tmp_path / "other", f'#!/bin/sh\nexec {compiler.find_compiler()} "$@"\n')
    monkeypatch.setenv("CXX", other)
    forget()
    assert not build.is_built(kernel, TARGET)
    build.build(kernel, TARGET)
    first, second = (name.rsplit("-", 1) for name in compiled)
    assert first[0] == second[0] and first[1] != second[1]


def test_the_header_of_vector_instructions_is_compiled_once(tmp_path: Path, cache: Path) -> None:
    """With GCC, by a process that compiles first; a compiled header that cannot be read costs time alone."""
    build.build(triple(tmp_path / "triple.h", 3), TARGET)
    found = {path: path.stat().st_mtime_ns for path in cache.glob("*.gch")}
    assert len(found) == compiler._is_gcc(compiler.find_compiler())
    forget()
    build.build(triple(tmp_path / "triple.h", 4), TARGET)
    assert found == {path: path.stat().st_mtime_ns for path in cache.glob("*.gch")}
    for path in found:
        path.write_bytes(b"broken")
    forget()
    build.build(triple(tmp_path / "triple.h", 5), TARGET)


def test_another_compiler_than_gcc_reads_the_header_as_it_is(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = f'#!/bin/sh\n[ "$1" = --version ] && echo other || exec {compiler.find_compiler()} "$@"\n'
    monkeypatch.setenv("CXX", script(tmp_path / "other", body))
    forget()
    build.build(triple(tmp_path / "triple.h", 3), TARGET)
    assert list(cache.glob("triple*.so")) and not list(cache.glob("intrinsics*"))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("#!/bin/sh\necho 'error: No space left on device' >&2\nexit 1\n", "No space left"),
        ("#!/bin/sh\nexit 3\n", "ended with 3"),
        ("#!/nowhere/sh\n", "CXX"),
    ],
    ids=["disk full", "silent", "does not start"],
)
def test_a_package_kernel_fails_by_the_machine(
    body: str, said: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", script(tmp_path / "broken", body))
    forget()
    target = build.Target(2, 2, "double", PLANE.device.lanes, (2, 2, 2))
    with pytest.raises(DeviceError, match=rf"kernel combine .*{said}"):
        build.build(COMBINE, target)
    assert not list(cache.glob("*.so")) and not list(cache.glob("*.part"))


def test_a_cache_without_locks(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(DeviceError, match=r"No locks available.*HPCGAUGE_CACHE"):
        build.build(triple(tmp_path / "triple.h", 3), TARGET)


def test_two_machines_do_not_share_an_unfinished_library(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / "said"
    monkeypatch.setenv("CXX", script(tmp_path / "broken", f'#!/bin/sh\necho "$@" > {said}\nexit 1\n'))
    forget()
    with pytest.raises(ValueError, match="kernel triple does not compile"):
        build.build(triple(tmp_path / "triple.h", 3), TARGET)
    assert said.read_text().strip().endswith(f".{os.uname().nodename}.{os.getpid()}.part")


def test_an_unknown_parity_is_refused_before_anything_is_compiled(tmp_path: Path, compiled: list[str]) -> None:
    kernel = triple(tmp_path / "triple.h", 3)
    with pytest.raises(ValueError, match="kernel triple: parity = 'evn' is none of 'even', 'odd', 'both'"):
        Launch(kernel, "evn", U=Links.unit(PLANE))
    assert not [name for name in compiled if name.startswith("triple")]


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"PATH": "", "CXX": ""}, r"no C\+\+ compiler was found: install g\+\+"),
        ({"CXX": "no-such-compiler"}, "CXX = 'no-such-compiler' is no program; set CXX to the path"),
    ],
)
def test_a_compiler_that_is_not_there(
    variables: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None at all, or the one that was named: another one never takes its place."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    compiler.find_compiler.cache_clear()
    try:
        with pytest.raises(DeviceError, match=sentence):
            compiler.find_compiler()
    finally:
        compiler.find_compiler.cache_clear()


def test_a_cache_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPCGAUGE_CACHE", "/proc/nothing/here")
    with pytest.raises(DeviceError, match="HPCGAUGE_CACHE"):
        compiler.cache_folder()
