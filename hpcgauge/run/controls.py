"""What a guide is compared with, as configurations of their own: controls and the reference."""

from __future__ import annotations

from hpcgauge.config import Run
from hpcgauge.config.schema import NetworkSection

# Chains beside the main one have seeds of their own, this far apart.
SEED_STEP = 1_000_003
MAX_SEED = 2**63
NUMBERS = {"nothing": 1, "weight": 2, "stout": 3, "network_alone": 4, "reference": 5}
ONE_RHO = NetworkSection(kind="covnet", layers=1, parameters=((0.0,),))


def beside(run: Run) -> dict[str, Run]:
    """The chains beside the main one, by folder: control/NAME and reference."""
    if run.control is None:
        return {}
    chains = {f"control/{name}": control(run, name) for name in run.control.which}
    chains |= {f"control/{name}": _with_network(run, name) for name in run.control.networks}
    if run.control.reference is not None:
        chains["reference"] = _reference(run)
    return chains


def control(run: Run, name: str) -> Run:
    """The configuration of one control; it starts from the main chain's links after thermalisation.

    `nothing`: no network, weight 1. `weight`: one trained weight. `stout`: one trained rho, weight 1. `network_alone`:
    the network with weight 1.
    """
    assert run.control is not None and run.guide is not None
    bare = run.guide.fermion[0].model_copy(update={"weight": 1.0, "network": None})
    terms = {
        "nothing": (bare,),
        "weight": (bare,),
        "stout": (bare.model_copy(update={"network": ONE_RHO}),),
        "network_alone": tuple(term.model_copy(update={"weight": 1.0}) for term in run.guide.fermion),
    }
    start = run.guide.start if name == "network_alone" else None
    changes = {"train_weights": name == "weight", "fermion": terms[name], "start": start}
    guide = run.guide.model_copy(update=changes)
    lengths = {"thermalise": 0, "train": 0 if name == "nothing" else run.control.train, "produce": run.control.produce}
    chain = run.chain.model_copy(update={**lengths, "seed": _seed(run, name)})
    return run.model_copy(update={"guide": guide, "chain": chain, "control": None})


def _with_network(run: Run, name: str) -> Run:
    """The main chain's configuration with another network, of the control's lengths."""
    assert run.control is not None and run.guide is not None
    first, *rest = run.guide.fermion
    terms = (first.model_copy(update={"network": run.control.networks[name]}), *rest)
    lengths = {"thermalise": 0, "train": run.control.train, "produce": run.control.produce}
    seed = _seed(run, "reference", 1 + list(run.control.networks).index(name))
    chain = run.chain.model_copy(update={**lengths, "seed": seed})
    guide = run.guide.model_copy(update={"fermion": terms, "start": None})
    return run.model_copy(update={"guide": guide, "chain": chain, "control": None})


def _reference(run: Run) -> Run:
    assert run.control is not None and run.control.reference is not None
    lengths = {"train": 0, **run.control.reference.model_dump()}
    chain = run.chain.model_copy(update={**lengths, "seed": _seed(run, "reference")})
    return run.model_copy(update={"guide": None, "training": None, "chain": chain, "control": None})


def _seed(run: Run, name: str, further: int = 0) -> int:
    return (run.chain.seed + (NUMBERS[name] + further) * SEED_STEP) % MAX_SEED
