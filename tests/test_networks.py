"""CovNet and CASK: links, pullbacks and parameter gradients against formulas, symmetries and finite differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from hpcgauge.bench.oracle import algebra, gauge
from hpcgauge.bench.oracle.algebra import TA, Array, adjoint
from hpcgauge.comm.world import World
from hpcgauge.fields.field import Field
from hpcgauge.fields.lattice import Lattice
from hpcgauge.gauge.links import Links, MatrixField, Rotation, gauge_rotate
from hpcgauge.gauge.stout import stout
from hpcgauge.kernels.draws import Draw, Stream, random_momenta
from hpcgauge.network.cask import Cask
from hpcgauge.network.covnet import CovNet
from tests.support.kernels.differences import five_point, moved
from tests.support.kernels.samples import EXTENTS, link_array
from tests.support.oracle import pullback
from tests.support.oracle.differences import pairing, richardson
from tests.support.oracle.samples import distance, random_matrices
from tests.support.ranks import agree

Network = Cask | CovNet
# Two layers are some hundred roundings of 1.1e-16, which the slope of CASK's tan multiplies by up to a few tens.
FORMULA = 1e-12
ROUNDING = 1e-13
# Extrapolated five-point differences: what is left is rounding, 1e-16 |function| / eps, relative to the gradient.
DIFFERENCE = 1e-8
# CASK bends on this scale, so that eps must be small.
EPS = 2e-4
CLEAR_MISS = 1e-3
# rho, rho_q, rho_k, rho_v of two layers; the first make attention numbers of order one.
STRONG = np.array([[0.1, 0.2, -0.15, 0.12], [-0.05, 0.1, 0.2, -0.1]])
GENTLE = np.array([[0.1, 0.05, -0.04, 0.12], [-0.05, 0.03, 0.06, -0.1]])
RHO = np.array([[0.1], [-0.07]])


@dataclass(frozen=True)
class Case:
    """A network of two layers on links of a kind."""

    colors: int
    reach: int  # 0: CovNet
    variant: str
    kind: str
    dimensions: int = 4

    def __str__(self) -> str:
        name = f"cask-{self.variant}-reach-{self.reach}" if self.reach else "covnet"
        return f"{name}-SU({self.colors})-{self.kind}-{self.dimensions}d"

    @property
    def parameters(self) -> Array:
        return STRONG if self.reach else RHO

    @property
    def network(self) -> Network:
        return Cask(self.parameters, self.reach, self.variant) if self.reach else CovNet(self.parameters)

    def formula(self, U: Array, dV: Array) -> tuple[Array, Array, Array]:
        """V, dU and dparameters."""
        if self.reach:
            return pullback.cask(U, self.parameters, dV, self.reach, self.variant)  # type: ignore[arg-type]
        return pullback.covnet(U, self.parameters, dV)

    def links(self, world: World | None) -> tuple[Array, Field]:
        """The links as an array and as a field. Collective."""
        array = link_array(self.kind, EXTENTS[self.dimensions], self.colors)
        return array, Links.from_numpy(Lattice(EXTENTS[self.dimensions], self.colors, world), array)


CASES = [
    Case(colors, reach, variant, kind)
    for colors in (2, 3)
    for reach in (1, 3)
    for variant in ("hypercubic", "paper")
    for kind in ("rough", "hot")
]
CASES += [Case(colors, 0, "", kind) for colors in (2, 3, 4) for kind in ("rough", "hot")]
CASES += [Case(4, 3, "hypercubic", "rough"), Case(4, 1, "paper", "hot")]
CASES += [Case(2, reach, "hypercubic", "rough", dimensions) for reach in (0, 3) for dimensions in (2, 3)]
DIFFERENCE_CASES = [
    Case(2, 3, "hypercubic", "smooth"),
    Case(2, 3, "paper", "smooth"),
    Case(3, 1, "hypercubic", "smooth"),
]
DIFFERENCE_CASES += [Case(2, 0, "", "rough"), Case(3, 0, "", "hot")]


def in_algebra(C: Array, U: Array) -> Array:
    """TA(C U^+), what a change of the links inside the group sees of a cotangent."""
    return TA(C @ adjoint(U))


def on_ranks(case: Case) -> Any:
    """A parameter; some run on several ranks too, and the bits of all are compared there anyway."""
    marks = [pytest.mark.ranks] if case.colors == 2 and case.kind == "rough" else []
    return pytest.param(case, marks=marks, id=str(case))


@pytest.mark.parametrize("case", [on_ranks(case) for case in CASES])
def test_network_and_pullback_equal_the_formulas(world: World, case: Case) -> None:
    array, U = case.links(world)
    dV = random_matrices(array)
    V, tape = case.network.apply(U)
    dU, dparameters = case.network.pullback(tape, MatrixField.from_numpy(U.lattice, dV))
    found = V.to_numpy(), dU.to_numpy()
    errors = [0.0]
    if world.rank == 0:
        V_right, dU_right, dparameters_right = case.formula(array, dV)
        right = in_algebra(dU_right, array)
        errors = [
            distance(found[0], V_right),
            distance(in_algebra(found[1], array), right) / abs(right).max(),
            distance(dparameters, dparameters_right) / abs(dparameters_right).max(),
        ]
    agree(world, max(errors) < FORMULA, f"V, dU, dparameters off by {errors}")
    agree(world, distance(found[0], array) > CLEAR_MISS and abs(dparameters).min() > CLEAR_MISS, "all of it acts")
    agree(world, np.array_equal(case.network(U).to_numpy(), found[0]), "a call gives what apply gives")


@pytest.mark.ranks
@pytest.mark.parametrize("case", [case for case in CASES if case.kind == "rough"], ids=str)
def test_bits_do_not_depend_on_the_ranks(world: World, case: Case) -> None:
    def results(on: World | None) -> tuple[bytes, bytes, list[list[float]]]:
        array, U = case.links(on)
        V, tape = case.network.apply(U)
        dU, dparameters = case.network.pullback(tape, MatrixField.from_numpy(U.lattice, random_matrices(array)))
        return V.to_numpy().tobytes(), dU.to_numpy().tobytes(), dparameters.tolist()

    together = results(world)
    agree(world, world.rank > 0 or together == results(None))


@pytest.mark.ranks
@pytest.mark.parametrize("colors", [2, 3])
@pytest.mark.parametrize(
    "network", [Cask(GENTLE), Cask(GENTLE, 1), Cask(GENTLE, 3, "paper"), CovNet(RHO)], ids=lambda network: repr(network)
)
def test_gauge_covariance(world: World, colors: int, network: Network) -> None:
    """net(U^G) = net(U)^G, the pullback turns with it, and links stay in the group."""
    lattice = Lattice(EXTENTS[4], colors, world)
    U, G = Links.from_numpy(lattice, link_array("rough", EXTENTS[4], colors)), Rotation.hot(lattice)
    W, g = gauge_rotate(U, G), G.to_numpy()
    (V, tape), (V_turned, tape_turned) = network.apply(U), network.apply(W)
    error = distance(V_turned.to_numpy(), gauge.gauge_rotate(V.to_numpy(), g))
    agree(world, error < ROUNDING and algebra.group_error(V.to_numpy()) < ROUNDING, f"misses by {error:.2g}")
    dV = random_matrices(U.to_numpy())
    dV = dV if colors > 2 else algebra.project_quaternion(dV)
    dU, dparameters = network.pullback(tape, MatrixField.from_numpy(lattice, dV))
    dV_turned = MatrixField.from_numpy(lattice, gauge.gauge_rotate(dV, g))
    dU_turned, dparameters_turned = network.pullback(tape_turned, dV_turned)
    left = in_algebra(dU_turned.to_numpy(), W.to_numpy())
    right = gauge.rotate_matrices(in_algebra(dU.to_numpy(), U.to_numpy()), g)
    agree(world, distance(left, right) < ROUNDING * abs(right).max(), f"pullback misses by {distance(left, right):.2g}")
    close = np.allclose(dparameters, dparameters_turned, rtol=FORMULA, atol=FORMULA * abs(dparameters).max())
    agree(world, close, f"{dparameters} {dparameters_turned}")


@pytest.mark.ranks
@pytest.mark.parametrize("case", DIFFERENCE_CASES, ids=str)
def test_pullback_is_the_finite_difference(world: World, case: Case) -> None:
    _, U = case.links(world)
    network = case.network.with_parameters(GENTLE if case.reach else RHO)
    dV = random_matrices(U.to_numpy())
    dV = dV if case.colors > 2 else algebra.project_quaternion(dV)
    _, tape = network.apply(U)
    dU, dparameters = network.pullback(tape, MatrixField.from_numpy(U.lattice, dV))
    Q = random_momenta(U.lattice, Draw(Stream.NOISE, 41))

    def along_links(step: float) -> float:
        return pairing(dV, network(moved(U, Q, step)).to_numpy())

    def along_parameters(step: float) -> float:
        moved_by = step * np.cos(np.arange(network.parameters.size)).reshape(network.parameters.shape)
        return pairing(dV, network.with_parameters(network.parameters + moved_by)(U).to_numpy())

    slope = pairing(dU.to_numpy(), Q.to_numpy() @ U.to_numpy())
    error = abs(richardson(lambda eps: five_point(along_links, eps), EPS) - slope) / np.linalg.norm(dU.to_numpy())
    agree(world, error < DIFFERENCE, f"links: {error:.2g}")
    slope = float(np.cos(np.arange(dparameters.size)) @ dparameters.ravel())
    error = abs(richardson(lambda eps: five_point(along_parameters, eps), EPS) - slope) / np.linalg.norm(dparameters)
    agree(world, error < DIFFERENCE, f"parameters: {error:.2g}")


@pytest.mark.ranks
@pytest.mark.parametrize("variant", ["hypercubic", "paper"])
@pytest.mark.parametrize("colors", [2, 3])
def test_special_weights(world: World, colors: int, variant: str) -> None:
    array = link_array("rough", EXTENTS[4], colors)
    U = Links.from_numpy(Lattice(EXTENTS[4], colors, world), array)
    plain = Cask([[0.13, 0.0, 0.0, 0.4]], variant=variant)(U).to_numpy()
    agree(world, distance(plain, stout(U, 0.13).to_numpy()) < ROUNDING, "no query, no key: stout")
    identity = Cask([[0.0, 0.2, 0.1, 0.3]], variant=variant)(U).to_numpy()
    agree(world, distance(identity, array) < ROUNDING, "rho = 0: the identity")
    from_zero = Cask(np.zeros((1, 4)), variant=variant)
    _, tape = from_zero.apply(U)
    _, dparameters = from_zero.pullback(tape, MatrixField.from_numpy(U.lattice, random_matrices(array)))
    agree(world, abs(dparameters[0, 0]) > 1 and abs(dparameters[0, 1:]).max() < ROUNDING, f"from zero: {dparameters}")
    same = [net(U).to_numpy() for net in (CovNet([[0.13]]), CovNet([[0.1], [0.03]]))]
    agree(world, distance(same[0], plain) < ROUNDING and distance(*same) > CLEAR_MISS, "CovNet is stout, by layers")


@pytest.mark.ranks
def test_layers_act_in_the_order_of_rows(world: World) -> None:
    U = Links.from_numpy(Lattice(EXTENTS[4], 2, world), link_array("rough", EXTENTS[4], 2))
    one_by_one = Cask(GENTLE[1:])(Cask(GENTLE[:1])(U)).to_numpy()
    agree(world, np.array_equal(Cask(GENTLE)(U).to_numpy(), one_by_one), "the first row first")
    agree(world, distance(Cask(GENTLE[::-1])(U).to_numpy(), one_by_one) > CLEAR_MISS, "order matters")


@pytest.mark.ranks
def test_single_precision(world: World) -> None:
    U = Links.from_numpy(Lattice(EXTENTS[4], 2, world), link_array("rough", EXTENTS[4], 2))
    for network in (Cask(GENTLE), CovNet(RHO)):
        error = distance(network(U.astype("single")).to_numpy(), network(U).to_numpy())
        agree(world, error < 1e-5, f"{network}: {error:.2g}")


def test_variant_and_reach_matter() -> None:
    U = Links.from_numpy(Lattice(EXTENTS[4], 2), link_array("rough", EXTENTS[4], 2))
    assert distance(Cask(GENTLE)(U).to_numpy(), Cask(GENTLE, variant="paper")(U).to_numpy()) > CLEAR_MISS
    assert distance(Cask(GENTLE, 1)(U).to_numpy(), Cask(GENTLE, 3)(U).to_numpy()) > CLEAR_MISS


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cask([0.1, 0.2, 0.3, 0.4]), r"parameters have shape \(4,\); \(layers, 4\) is right, for rho, rho_q"),
        (lambda: Cask(np.zeros((0, 4))), r"\(layers, 4\) is right"),
        (lambda: CovNet([[0.1, 0.2]]), r"parameters have shape \(1, 2\); \(layers, 1\) is right, for rho"),
        (lambda: CovNet([[float("nan")]]), "must be finite"),
        (lambda: Cask(GENTLE, variant="best"), "variant = 'best' is not known; hypercubic and paper are possible"),
        (lambda: Cask(GENTLE, reach=0), "reach = 0 must be at least 1"),
    ],
)
def test_impossible_networks_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
