"""The public face: every name and call that is promised works as promised, on any number of ranks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy
import pytest

import hpcgauge as hg
from tests.support.gaugefiles import nersc, random_links
from tests.support.ranks import agree, clean_environment

EXTENT = (4, 4, 4, 4)
ROUNDING = 1e-13
# Two layers, all four numbers at work
CASK = ((-0.012, 0.024, 0.014, 0.125), (0.01, -0.02, 0.03, 0.02))


@pytest.fixture(scope="module")
def lattice(world: hg.World) -> hg.Lattice:
    return hg.Lattice(EXTENT, colors=2, world=world, device="cpu", precision="double", process_grid="auto")


@pytest.fixture(scope="module")
def U(lattice: hg.Lattice) -> hg.Field:
    """Rough links, the same on every rank."""
    return hg.stout(hg.Links.hot(lattice, seed=1), rho=0.1)


def complex_noise(shape: tuple[int, ...], seed: int) -> numpy.ndarray:
    random = numpy.random.default_rng(seed)
    return random.normal(size=shape) + 1j * random.normal(size=shape)


def quaternions(shape: tuple[int, ...], seed: int) -> numpy.ndarray:
    """Real multiples of SU(2) matrices, which a matrix field keeps as they are."""
    a, b = complex_noise(shape, seed), complex_noise(shape, seed + 1)
    return numpy.stack([numpy.stack([a, b], -1), numpy.stack([-b.conj(), a.conj()], -1)], -2)


def test_every_public_name_is_there() -> None:
    assert all(getattr(hg, name) is not None for name in hg.__all__)
    assert set(hg.__all__) == set(dir(hg))
    with pytest.raises(AttributeError, match="Latice"):
        _ = hg.Latice


def test_importing_does_nothing_else() -> None:
    code = "import sys, hpcgauge; print([m for m in ('numpy', 'mpi4py', 'h5py', 'matplotlib') if m in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


@pytest.mark.ranks
def test_world_and_lattice(world: hg.World, lattice: hg.Lattice) -> None:
    alone = hg.World.alone()
    agree(world, (alone.rank, alone.size) == (0, 1) and lattice.world.size == world.size)
    agree(world, lattice.volume == 256 and lattice.local_volume * world.size == 256)


@pytest.mark.ranks
def test_links_go_to_numpy_and_back(world: hg.World, lattice: hg.Lattice, U: hg.Field) -> None:
    array = U.to_numpy()
    agree(world, array.shape == (4, 4, 4, 4, 4, 2, 2) and array.dtype == numpy.complex128)
    agree(world, numpy.array_equal(hg.Links.from_numpy(lattice, array).to_numpy(), array))
    local, origin = U.local_to_numpy()
    agree(world, origin == lattice.origin)
    agree(world, numpy.array_equal(hg.Links.from_local(lattice, local).to_numpy(), array))
    single = U.astype("single")
    agree(world, single.precision == "single" and 0 < abs(single.to_numpy() - array).max() < 1e-6)
    agree(world, abs(hg.reunitarise(single.astype("double")).to_numpy() - array).max() < 1e-6)
    with pytest.raises(ValueError, match=r"mu = 2 at site \(3, 2, 1, 0\) is off SU\(2\)"):
        array[2, 0, 1, 2, 3] *= 1.001
        hg.Links.from_numpy(lattice, array)
    agree(world, abs(hg.Links.from_numpy(lattice, array, reunitarise=True).to_numpy() - U.to_numpy()).max() < 1e-12)


@pytest.mark.ranks
def test_links_from_a_file(world: hg.World, shared_tmp_path: Path) -> None:
    path, array = shared_tmp_path / "links", random_links(2, EXTENT)
    if world.rank == 0:
        path.write_bytes(nersc(array, 2, "IEEE64BIG", ">f8"))
    world.barrier()
    found = hg.read_links(path, world=world, extent=None, verify=True)
    agree(world, abs(found.to_numpy() - array).max() < 1e-14)


@pytest.mark.ranks
def test_gauge_rotation_plaquette_and_stout(world: hg.World, lattice: hg.Lattice, U: hg.Field) -> None:
    G = hg.Rotation.hot(lattice, seed=2)
    rotated = hg.gauge_rotate(U, G)
    agree(world, hg.plaquette(hg.Links.unit(lattice)) == 1 and 0 < hg.plaquette(U) < 1)
    agree(world, abs(hg.plaquette(rotated) - hg.plaquette(U)) < ROUNDING)
    difference = hg.gauge_rotate(hg.stout(U, rho=0.1), G).to_numpy() - hg.stout(rotated, rho=0.1).to_numpy()
    agree(world, abs(difference).max() < ROUNDING)


@pytest.mark.ranks
@pytest.mark.parametrize(
    "net", [hg.Cask(CASK, reach=3, variant="hypercubic"), hg.CovNet([[0.05], [-0.03]])], ids=["cask", "covnet"]
)
def test_networks_and_their_pullback(world: hg.World, lattice: hg.Lattice, U: hg.Field, net: hg.Cask) -> None:
    V, tape = net.apply(U)
    agree(world, numpy.array_equal(net(U).to_numpy(), V.to_numpy()))
    cotangent = quaternions((4, 4, 4, 4, 4), seed=3)
    dV = hg.MatrixField.from_numpy(lattice, cotangent)
    agree(world, abs(dV.to_numpy() - cotangent).max() < 1e-15)
    dU, dparameters = net.pullback(tape, dV)
    agree(world, dU.to_numpy().shape == cotangent.shape and dparameters.shape == net.parameters.shape)
    step, slope = 1e-5, numpy.zeros_like(net.parameters)
    slope[1, 0] = 1.0
    above, below = (net.with_parameters(net.parameters + sign * step * slope)(U).to_numpy() for sign in (1, -1))
    expected = (cotangent.conj() * (above - below)).sum().real / (2 * step)
    agree(world, abs(dparameters[1, 0] - expected) < 1e-6 * abs(expected), f"{dparameters[1, 0]} {expected}")
    agree(world, hg.symmetry.check(net, group="gauge", lattice=lattice, seed=4, samples=2) < ROUNDING)


def test_symmetries_of_a_network(lattice: hg.Lattice) -> None:
    for group in ("translation", "hypercubic"):
        assert hg.symmetry.check(hg.Cask(CASK), group=group, lattice=lattice, seed=1, samples=1) < ROUNDING


@pytest.mark.ranks
@pytest.mark.parametrize("shape", [(4, 4, 4, 4, 2), (3, 4, 4, 4, 4, 2)], ids=["one", "three right-hand sides"])
def test_staggered_operator_and_solver(
    world: hg.World, lattice: hg.Lattice, U: hg.Field, shape: tuple[int, ...]
) -> None:
    D = hg.Staggered(U, mass=0.3, boundary=(1, 1, 1, -1))
    a, b = complex_noise(shape, 5), complex_noise(shape, 6)
    chi, eta = hg.ColorVector.from_numpy(lattice, a), hg.ColorVector.from_numpy(lattice, b)
    agree(world, chi.to_numpy().shape == shape and numpy.array_equal(chi.to_numpy(), a))
    there, back = numpy.vdot(a, D(eta).to_numpy()), numpy.vdot(D.adjoint(chi).to_numpy(), b)
    agree(world, abs(there - back) < 1e-10)
    solution = hg.solve(D, chi, tolerance=1e-10)
    agree(world, solution.converged and solution.steps > 0 and solution.residual <= 1e-10)
    left = (D(solution.value).to_numpy() - a).reshape(-1, 512)
    worst = (numpy.linalg.norm(left, axis=1) / numpy.linalg.norm(a.reshape(-1, 512), axis=1)).max()
    agree(world, abs(worst - solution.residual) < 1e-12)
    agree(world, not hg.solve(D, chi, tolerance=1e-10, max_steps=3).converged)


@pytest.mark.ranks
def test_self_learning_step(world: hg.World, U: hg.Field) -> None:
    S = hg.PlaquetteAction(beta=2.7) + hg.StaggeredAction(mass=0.3, tastes=4)
    net = hg.Cask(CASK[:1], reach=3)
    guide = hg.PlaquetteAction(beta=2.7) + 1.1 * hg.Transformed(hg.StaggeredAction(mass=0.4, tastes=4), net)
    agree(world, list(guide.weights) == [1.0, 1.1])
    hmc = hg.HMC(target=S, guide=guide, scheme=hg.OMELYAN, steps=1, length=0.1)
    state, record = hmc.step(hg.State(U, 7))
    agree(world, (state.seed, state.trajectory, record.trajectory) == (7, 1, 1))
    agree(world, numpy.isfinite([record.dH, record.dH_guide]).all() and record.solver_steps > 0)
    trained = hg.train(hmc, state, 1, hg.Adam(0.003), loss="trajectory")
    agree(world, trained.state.trajectory == 2 and len(trained.records) == 1 and trained.guide.weights[0] == 1.0)
    agree(world, trained.guide.weights[1] != 1.1 and (trained.guide.parameters != guide.parameters).all())


@pytest.mark.ranks
def test_condensate(world: hg.World, lattice: hg.Lattice) -> None:
    found = hg.condensate(hg.Links.unit(lattice), mass=0.3, sources=8)
    # The free value of SU(2) at mass 0.3 on this lattice
    agree(world, found.error > 0 and abs(found.value - 0.376392) < 4 * found.error, str(found))


OWN_KERNEL = """#include "links.h"
namespace site {
// a = Re tr U_mu(x) U_mu(x + mu), and its sum
SITE_FN void straight(const Lattice& g, Site x, Reals<N_DIMENSIONS> a, Matrices<N_DIMENSIONS> U, const double* factor,
                      real (&totals)[1]) {
    EACH_DIRECTION {
        const real two = number(factor) * real_trace(get(U, x, mu) * get(U, up(g, x, mu), mu));
        set(a, x, mu, two);
        totals[0] = totals[0] + two;
    }
}
}  // namespace site
"""


@pytest.mark.ranks
def test_own_kernel(world: hg.World, U: hg.Field, shared_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if world.rank == 0:
        (shared_tmp_path / "straight.h").write_text(OWN_KERNEL)
    world.barrier()
    monkeypatch.chdir(shared_tmp_path)  # a header may be named by a relative path
    arguments = (hg.writes("a", "real"), hg.reads("U", "matrix", hg.Offsets(((1, 0),))), hg.Numbers("factor"))
    kernel = hg.Kernel("straight.h", (*arguments, hg.Sums(1)))
    a = hg.Field(U.lattice, hg.reals(4))
    (total,) = hg.run_kernel(kernel, a=a, U=U, factor=0.5)
    links = U.to_numpy()
    ahead = numpy.stack([numpy.roll(links[mu], -1, axis=3 - mu) for mu in range(4)])
    expected = 0.5 * numpy.einsum("...ab,...ba->...", links, ahead).real
    agree(world, abs(a.to_numpy() - expected).max() < ROUNDING and abs(total - expected.sum()) < 1e-11)
