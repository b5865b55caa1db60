"""An own action in HMC: a field h that pulls on the Polyakov loops, S = -h sum_lines Re tr L / N."""

import numpy

import hpcgauge as hg


class PolyakovAction(hg.AbstractAction):
    slot = None  # it lives on links alone

    def __init__(self, h):
        self.h = h

    def refresh(self, draw, U):
        return None

    def evaluate(self, U, fields=None, gradient=True, parameters=False):
        time, length = U.lattice.dimensions - 1, U.lattice.extent[-1]
        value = -self.h * U.lattice.volume / length * hg.polyakov_loop(U).real
        # tr L = tr U_t(x) R(x) for every x of a line, R(x) the links from x + t round to x: C_t = -h / N R^+.
        R, _ = hg.shifted(hg.line(U, time, length - 1), time).local_to_numpy()
        C = numpy.zeros((time + 1, *R.shape[1:]), complex)
        C[time] = -self.h / U.colors * R[0].conj().swapaxes(-1, -2)
        return hg.Evaluation(value, hg.MatrixField.from_local(U.lattice, C) if gradient else None)


hmc = hg.HMC(hg.PlaquetteAction(beta=2.0) + PolyakovAction(h=0.5), steps=10)
state = hg.State(hg.Links.unit(hg.Lattice((4, 4, 4, 4), colors=2, world=hg.World())), seed=1)
for _ in range(20):
    state, record = hmc.step(state)
    print(f"dH {record.dH:.4f}  plaquette {record.plaquette:.4f}  loop {hg.polyakov_loop(state.U).real:.4f}")
