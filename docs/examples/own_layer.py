"""An own layer with its own kernel: stout smearing with staples weighted by how well they agree with their link."""

from pathlib import Path

import numpy

import hpcgauge as hg

HEADER = str(Path(__file__).with_name("own_layer.h"))
INPUTS = (hg.reads("X", "matrix"), hg.reads("U", "matrix"), hg.Numbers("parameters", 2))
WEIGH = hg.Kernel(HEADER, (hg.writes("Z", "matrix"), *INPUTS), "weigh")
COTANGENTS = (hg.writes("dX", "matrix"), hg.updates("dU", "matrix"), hg.reads("dZ", "matrix"))
WEIGH_PULLBACK = hg.Kernel(HEADER, (*COTANGENTS, *INPUTS, hg.Sums(2)), "weigh_pullback")


class WeighedStout:
    """V = exp(TA(Z U^+)) U, Z = (rho + slope Re tr(X U^+) / norm) X, X the staple sum; parameters (rho, slope)."""

    def __init__(self, parameters):
        self.parameters = numpy.array(parameters, float)

    def with_parameters(self, parameters):
        return WeighedStout(parameters)

    def __call__(self, U):
        return self.apply(U)[0]

    def apply(self, U):
        X = hg.staple_sum(U)
        Z = hg.zeros_like(X)
        hg.run_kernel(WEIGH, Z=Z, X=X, U=U, parameters=self.parameters)
        return hg.exponential_layer(Z, U, U, 1.0), (U, X, Z)

    def pullback(self, tape, dV):
        U, X, Z = tape
        dU, dX = hg.zeros_like(dV), hg.zeros_like(dV)
        dZ, _ = hg.exponential_layer_pullback((Z, U, U, 1.0), dV, dU, dU)
        slopes = hg.run_kernel(WEIGH_PULLBACK, dX=dX, dU=dU, dZ=dZ, X=X, U=U, parameters=self.parameters)
        hg.staple_pullback(dX, U, dU)
        return dU, numpy.array(slopes)


lattice = hg.Lattice((4, 4, 4, 4), colors=2, world=hg.World())
net = WeighedStout([0.01, -0.02])
for group in ("gauge", "translation", "hypercubic"):
    print(f"{group}: {hg.symmetry.check(net, group=group, lattice=lattice, seed=1):.1e}")
target = hg.PlaquetteAction(beta=2.7) + hg.StaggeredAction(mass=0.3, tastes=4)
guide = hg.PlaquetteAction(beta=2.7) + 1.1 * hg.Transformed(hg.StaggeredAction(mass=0.4, tastes=4), net)
state = hg.State(hg.Links.hot(lattice, seed=1), seed=1)
for hmc in [hg.HMC(target, steps=7)] * 10 + [hg.HMC(target, guide, steps=7)] * 5:
    state, record = hmc.step(state)
    print(f"dH {record.dH:.4f}  dH_guide {record.dH_guide:.4f}  plaquette {record.plaquette:.4f}")
