"""SU(N) lattice gauge theory with gauge-covariant neural networks, on many processes, from Python.

`import hpcgauge as hg`: the names below are resolved when they are first used; importing does nothing else.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from hpcgauge._version import VERSION as __version__

PUBLIC = {
    "World": "comm.world",
    "Lattice": "fields.lattice",
    "Field": "fields.field",
    "reals": "fields.field",
    "Links": "gauge.links",
    "MatrixField": "gauge.links",
    "Rotation": "gauge.links",
    "ColorVector": "fermion.vectors",
    "read_links": "io.gauge.links",
    "write_links": "io.gauge.links",
    "load_network": "io.network",
    "reunitarise": "gauge.links:reunitarised",
    "gauge_rotate": "gauge.links",
    "multiply": "gauge.links",
    "plaquette": "gauge.plaquette",
    "staple_sum": "gauge.plaquette",
    "stout": "gauge.stout",
    "exponential_layer": "gauge.stout",
    "exponential_layer_pullback": "gauge.stout",
    "staple_pullback": "gauge.stout",
    "line": "observables.loops",
    "shifted": "observables.loops",
    "polyakov_loop": "observables.loops",
    "wilson_loop": "observables.loops",
    "condensate": "observables.condensate",
    "AbstractAction": "action.action",
    "Evaluation": "action.action",
    "Sum": "action.action",
    "Transformed": "action.transformed",
    "PlaquetteAction": "gauge.plaquette",
    "StaggeredAction": "fermion.pseudofermion",
    "Staggered": "fermion.staggered",
    "Solution": "fermion.solvers",
    "solve": "fermion.solvers",
    "Cask": "network.cask",
    "CovNet": "network.covnet",
    "HMC": "sampler.hmc",
    "State": "sampler.hmc",
    "time_scales": "sampler.hmc",
    "Level": "sampler.integrators",
    "Scheme": "sampler.integrators",
    "LEAPFROG": "sampler.integrators",
    "OMELYAN": "sampler.integrators",
    "FOURTH_ORDER": "sampler.integrators",
    "FORCE_GRADIENT": "sampler.integrators",
    "train": "training.train",
    "fit": "training.fit",
    "Trainable": "training.trainable",
    "Adam": "training.optimisers",
    "SGD": "training.optimisers",
    "Kernel": "kernels.kernel",
    "Numbers": "kernels.kernel",
    "Sums": "kernels.kernel",
    "reads": "kernels.kernel",
    "writes": "kernels.kernel",
    "updates": "kernels.kernel",
    "Offsets": "lattice.offsets",
    "rectangle": "lattice.offsets",
    "run_kernel": "kernels.loop:run",
    "add": "kernels.algebra",
    "scaled": "kernels.algebra",
    "inner": "kernels.algebra",
    "zeros_like": "kernels.algebra",
    "Draw": "kernels.draws",
    "Stream": "kernels.draws",
    "symmetry": "symmetry:",
    "ConfigError": "errors",
    "FileFormatError": "errors",
    "PhysicsError": "errors",
    "DeviceError": "errors",
}
__all__ = ["__version__", *PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'hpcgauge' has no attribute {name!r}", name=name, obj=sys.modules[__name__])
    place, _, attribute = PUBLIC[name].partition(":")
    module = import_module(f"hpcgauge.{place}")
    return module if PUBLIC[name].endswith(":") else getattr(module, attribute or name)


def __dir__() -> list[str]:
    return sorted(__all__)
