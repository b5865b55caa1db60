"""Self-learning HMC: a guide behind a CASK network learns, then drives; the target decides, so the result is exact."""

import math
import sys

import numpy

import hpcgauge as hg

thermalise, train, produce = map(int, sys.argv[1:4] or (100, 200, 400))
world = hg.World()
lattice = hg.Lattice((4, 4, 4, 4), colors=2, world=world)
target = hg.PlaquetteAction(beta=2.7) + hg.StaggeredAction(mass=0.3, tastes=4)
network = hg.Cask(0.01 * numpy.random.default_rng(1).normal(size=(2, 4)), reach=3)
guide = hg.PlaquetteAction(beta=2.7) + 1.0 * hg.Transformed(hg.StaggeredAction(mass=0.4, tastes=4), network)
hmc, state, numbers = hg.HMC(target, steps=7), hg.State(hg.Links.hot(lattice, seed=1), seed=1), []
for _ in range(thermalise):  # plain HMC
    state, record = hmc.step(state)
trained = hg.train(hg.HMC(target, guide, steps=7), state, train, hg.Adam(0.003))
hmc, state = trained.hmc, trained.state  # the guide is frozen from here on
for _ in range(produce):
    state, record = hmc.step(state)
    numbers.append((record.accepted, record.plaquette, math.exp(-record.dH)))
if world.rank == 0:
    print("acceptance {:.3f}  plaquette {:.5f}  <exp(-dH)> {:.3f}".format(*numpy.mean(numbers, axis=0)))
    print(f"weight {trained.guide.weights[1]:.4f}  network {trained.guide.parameters.round(4)}")
