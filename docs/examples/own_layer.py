"""An own layer with its own kernel: stout smearing with one rho for links in space and one for the last direction."""

from pathlib import Path

import numpy

import hpcgauge as hg

FIELDS = (hg.writes("out", "matrix"), hg.reads("given", "matrix"), hg.reads("X", "matrix"))
HEADER = str(Path(__file__).with_name("own_layer.h"))
WEIGH = hg.Kernel(HEADER, (*FIELDS, hg.Numbers("rho", 2), hg.Sums(2)), "weigh")


class AnisotropicStout:
    """V = exp(TA(Z U^+)) U, Z_mu = rho_mu X_mu, X the staple sum; parameters: rho in space, in the last direction."""

    def __init__(self, parameters):
        self.parameters = numpy.array(parameters, float)

    def with_parameters(self, parameters):
        return AnisotropicStout(parameters)

    def __call__(self, U):
        return self.apply(U)[0]

    def apply(self, U):
        X, Z = hg.staple_sum(U), hg.MatrixField.zeros(U.lattice)
        hg.run_kernel(WEIGH, out=Z, given=X, X=X, rho=self.parameters)
        return hg.exponential_layer(Z, U, U, 1.0), (U, X, Z)

    def pullback(self, tape, dV):
        U, X, Z = tape
        dU, dX = hg.zeros_like(dV), hg.zeros_like(dV)
        dZ, _ = hg.exponential_layer_pullback((Z, U, U, 1.0), dV, dU, dU)
        slopes = hg.run_kernel(WEIGH, out=dX, given=dZ, X=X, rho=self.parameters)
        hg.staple_pullback(dX, U, dU)
        return dU, numpy.array(slopes)


lattice = hg.Lattice((4, 4, 4, 4), colors=2, world=hg.World())
net = AnisotropicStout([0.01, -0.02])
error = hg.symmetry.check(net, group="gauge", lattice=lattice, seed=1)  # on all ranks
if lattice.world.rank == 0:
    print(f"gauge: {error:.1e}")
