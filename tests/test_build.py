"""Building kernels: a user's own, the cache by content, and what is said when it cannot be done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hpcgauge.comm.world import World
from hpcgauge.errors import DeviceError
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import Links, MatrixField
from hpcgauge.kernels import build
from hpcgauge.kernels.kernel import Kernel, Numbers, Sums, reads, updates, writes
from hpcgauge.kernels.loop import run
from hpcgauge.lattice.offsets import FORWARD
from tests.support.ranks import agree

EXTENT = (4, 4, 6, 8)
PLANE = Lattice((4, 4), 2)


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


def test_a_kernel_that_does_not_compile_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPCGAUGE_CACHE", str(tmp_path / "cache"))
    header = tmp_path / "broken.h"
    header.write_text(USER_HEADER.replace("mine", "broken").replace("get(U", "got(U"))
    kernel = Kernel(str(header), (writes("out", "matrix"), reads("U", "matrix", FORWARD), Numbers("factor"), Sums(1)))
    U = Links.unit(PLANE)
    with pytest.raises(ValueError, match=r"kernel broken does not compile .*got"):
        run(kernel, out=U.copy(), U=U, factor=1.0)
    assert not list((tmp_path / "cache").glob("*.so")) and not list((tmp_path / "cache").glob("*.part"))


def test_a_kernel_is_compiled_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPCGAUGE_CACHE", str(tmp_path / "cache"))
    compiled: list[str] = []
    original = build._compile
    monkeypatch.setattr(build, "_compile", lambda *a: (compiled.append(a[2].name), original(*a)))
    header = tmp_path / "triple.h"
    target = build.Target(2, 2, "double", PLANE.device.lanes, (2,))
    for factor in (3, 4, 3):
        header.write_text(
            '#include "links.h"\nnamespace site { SITE_FN void triple(const Lattice&, Site x, Matrices<2> U) {'
            f" EACH_DIRECTION set(U, x, mu, broadcast({factor}) * get(U, x, mu)); }} }}\n"
        )
        build.build.cache_clear()
        kernel = Kernel(str(header), (updates("U", "matrix"),))
        build.build(kernel, target)
        U = Links.unit(Lattice((4, 4), 2))
        run(kernel, U=U)
        assert U.to_numpy()[0, 0, 0, 0, 0] == factor
    assert sum(name.startswith("triple") for name in compiled) == 2


def test_without_a_compiler_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    build.find_compiler.cache_clear()
    try:
        with pytest.raises(DeviceError, match=r"no C\+\+ compiler was found: install g\+\+"):
            build.find_compiler()
    finally:
        build.find_compiler.cache_clear()


def test_a_cache_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPCGAUGE_CACHE", "/proc/nothing/here")
    with pytest.raises(DeviceError, match="HPCGAUGE_CACHE"):
        build.cache_folder()
