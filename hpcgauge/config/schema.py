"""The description of a run as frozen, typed sections; docs/configuration.md is made from this file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from hpcgauge.config.defaults import complete
from hpcgauge.config.rules import check

Positive = Annotated[int, Field(ge=1)]
Extent = Annotated[int, Field(ge=2)]
Count = Annotated[int, Field(ge=0)]
Real = Annotated[float, Field(allow_inf_nan=False)]
PositiveReal = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Tolerance = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Text = Annotated[str, StringConstraints(min_length=1)]
ControlName = Literal["nothing", "weight", "stout", "network_alone"]


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, types are exact, nothing changes afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class LatticeSection(Section):
    """The lattice and the machine it lies on."""

    extent: Annotated[tuple[Extent, ...], Field(min_length=2, max_length=4)] = Field(
        description="Sites in x, y, z, t: two, three or four even numbers."
    )
    colors: Annotated[int, Field(ge=2)] = Field(description="N of SU(N).")
    precision: Literal["double", "single"] = Field(default="double", description="Precision of the fields.")
    device: Literal["cpu", "cuda"] = Field(
        default="cpu", description="Where the fields live. There is no silent fallback."
    )
    process_grid: Literal["auto"] | tuple[Positive, ...] = Field(
        default="auto", description="Ranks in x, y, z, t; `auto` takes the grid of least surface. Changes no result."
    )
    threads: Literal["auto"] | Positive = Field(
        default="auto",
        description="Threads per rank; `auto` divides the cores among the ranks of a node. Changes no result.",
    )


class GaugeTerm(Section):
    """A plaquette action beta sum (1 - Re tr P / N)."""

    beta: Real = Field(description="Gauge coupling beta.")


class FermionAction(Section):
    """The staggered fermions of the target."""

    mass: PositiveReal = Field(description="Bare mass m.")
    tastes: Literal[4, 8] = Field(description="8: phi on all sites; 4: phi on even sites only.")
    boundary: tuple[Literal[1, -1], ...] = Field(
        description="Signs of the fermion field across the boundary in x, y, z, t. "
        "When left out: periodic, but antiperiodic in the last direction."
    )


class ActionSection(Section):
    """The target: what the accepted links are distributed by."""

    gauge: GaugeTerm = Field(description="Gauge part.")
    fermion: FermionAction | None = Field(description="Dynamical fermions; `null` is the quenched theory.")


class NetworkSection(Section):
    """A gauge-covariant network between the links and a fermion term."""

    kind: Literal["cask", "covnet"] = Field(description="Attention (CASK) or trained stout smearing (CovNet).")
    layers: Positive = Field(description="Number of layers.")
    reach: Positive | None = Field(
        default=None, description="CASK: the longest staple in the attention, e.g. 3. CovNet: none."
    )
    variant: Literal["hypercubic", "paper"] = Field(
        default="hypercubic", description="CASK: with all reflections and rotations, or as printed in arXiv:2501.16955."
    )
    start_scale: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        default=None, description="Start values are normal with this width. Either this or `parameters`."
    )
    parameters: tuple[tuple[Real, ...], ...] | None = Field(
        default=None,
        description="Start values, one list per layer or one for all layers: `[rho, rho_q, rho_k, rho_v]` (CASK) or "
        "`[rho]` (CovNet).",
    )


class GuideFermion(Section):
    """One fermion term of the guide: weight times S_f[network(U), mass] on the target's phi."""

    mass: PositiveReal = Field(description="Mass of this term.")
    weight: Real = Field(default=1.0, description="Start value of the number in front of the term.")
    network: NetworkSection | None = Field(description="Network between links and term; `null` is none.")


class GuideSection(Section):
    """The effective action that drives the trajectory."""

    gauge: GaugeTerm | None = Field(default=None, description="Gauge part of the guide; `null` takes the target's.")
    start: Text | None = Field(
        default=None,
        description="The `network.h5` of another run, whose trained numbers this guide starts from (weights only if "
        "`train_weights`). Extents may differ, group and architecture may not.",
    )
    train_weights: bool = Field(default=True, description="Train the numbers in front of the fermion terms too.")
    fermion: tuple[GuideFermion, ...] = Field(
        description="Fermion terms, all on the same phi. In `--set` an entry is named by its number: "
        "guide.fermion.0.mass."
    )


class IntegratorSection(Section):
    """How a trajectory is integrated."""

    scheme: Literal["leapfrog", "omelyan", "fourth_order", "force_gradient"] = Field(
        description="Leapfrog; second-order minimum norm (Omelyan); fourth order; force gradient (arXiv:1111.5059)."
    )
    steps: Positive = Field(description="Steps per trajectory.")
    length: PositiveReal = Field(description="Length tau of a trajectory.")
    gauge_steps: Positive | None = Field(
        default=None,
        description="Steps of the gauge force inside each step of the fermion force; `null`: one time scale.",
    )


class SolverSection(Section):
    """The conjugate gradient."""

    tolerance: Tolerance = Field(default=1e-12, description="Relative residual for actions and start values.")
    force_tolerance: Tolerance = Field(
        default=1e-12, description="Relative residual in forces (reversibility needs it small)."
    )
    max_steps: Positive = Field(default=10000, description="Steps after which an unconverged solve stops the run.")
    precision: Literal["double", "single", "mixed"] | None = Field(
        default=None,
        description="Precision of the steps: that of the lattice, or `mixed`, single steps with the true residual in "
        "double; `null` is `mixed` from 2048 sites on if the lattice is in double precision.",
    )
    chronological: Annotated[int, Field(ge=0, le=8)] = Field(
        default=0, description="Earlier solutions of a trajectory that the solves of its forces start from."
    )


class RecordedSection(Section):
    """Training from a file of trajectories."""

    trajectories: Positive | None = Field(
        default=None, description="How many trajectories of the train phase are used, the last ones; `null`: all."
    )
    epochs: Positive = Field(description="Passes over them.")


class TrainingSection(Section):
    """How the guide learns in the phase `train`."""

    loss: Literal["action", "trajectory", "force"] = Field(
        description="Square of S - S_eff (`action`), of its change along the trajectory (`trajectory`), "
        "or of the difference of the forces (`force`)."
    )
    optimiser: Literal["adam", "sgd", "lbfgs"] = Field(description="`lbfgs` needs source: recorded.")
    rate: PositiveReal = Field(description="Learning rate of the network.")
    weight_rate: PositiveReal = Field(description="Learning rate of the terms' weights. When left out: `rate`.")
    schedule: Literal["constant", "cosine"] = Field(
        default="constant", description="`cosine`: the rates fall to 0 over all updates."
    )
    beta1: Fraction = Field(default=0.9, description="Adam: decay of the first moment.")
    beta2: Fraction = Field(default=0.999, description="Adam: decay of the second moment.")
    source: Literal["live", "recorded"] = Field(
        default="live", description="One update per trajectory, or a fit of trajectories recorded before."
    )
    recorded: RecordedSection | None = Field(default=None, description="Needed with source: recorded.")


class ChainSection(Section):
    """The phases of the chain, in trajectories."""

    thermalise: Count = Field(description="Trajectories that are thrown away first.")
    train: Count = Field(
        default=0, description="Trajectories the guide learns from; an adaptive chain, not for physics."
    )
    produce: Count = Field(description="Trajectories with a frozen guide, for physics. May grow when a run is resumed.")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(description="Seed of all random numbers.")


class ReferenceSection(Section):
    """Plain HMC of the target, for the plaquette to be compared with."""

    thermalise: Count = Field(description="Trajectories that are thrown away first.")
    produce: Positive = Field(description="Trajectories that count.")


class ControlSection(Section):
    """What the guide is compared with: chains of their own from the same start."""

    which: Annotated[tuple[ControlName, ...], Field(min_length=1)] = Field(
        description="`nothing`: no network, weight 1. `weight`: one trained weight. `stout`: one trained rho, "
        "weight 1. `network_alone`: the network with weight 1."
    )
    networks: dict[Text, NetworkSection] = Field(
        default_factory=dict,
        description="Other networks in place of that of the guide's first fermion term, each a chain of its own: "
        "`name: {kind: ..., layers: ...}`.",
    )
    train: Count = Field(description="Training trajectories of each. When left out: `chain.train`.")
    produce: Count = Field(description="Production trajectories of each. When left out: `chain.produce`.")
    reference: ReferenceSection | None = Field(default=None, description="Plain HMC beside them; `null`: none.")


class CondensateSection(Section):
    """The condensate Tr D^-1 per site by noise sources."""

    every: Positive = Field(description="Measure after every this many production trajectories.")
    sources: Positive = Field(description="Noise sources per measurement.")


class LoopsSection(Section):
    """Polyakov and Wilson loops."""

    every: Positive = Field(description="Measure after every this many production trajectories.")
    largest: Positive = Field(default=2, description="Wilson loops up to this side.")


class MeasureSection(Section):
    """What is measured besides the plaquette."""

    condensate: CondensateSection | None = Field(default=None, description="Condensate; `null`: not measured.")
    loops: LoopsSection | None = Field(default=None, description="Loops; `null`: not measured.")


class CheckpointSection(Section):
    """How often the state is saved."""

    every: Positive = Field(default=10, description="Trajectories between two checkpoints.")
    keep: Positive = Field(default=2, description="How many checkpoints are kept, the newest ones.")
    keep_every: Count = Field(
        default=0, description="Beside them, those after every this many trajectories are kept for ever; 0: none."
    )


class Run(Section):
    """A run, complete."""

    lattice: LatticeSection = Field(description="Lattice and machine.")
    start: Text = Field(description="First links: `unit`, `hot`, or the path of a gauge file.")
    start_reunitarise: bool = Field(
        default=False, description="Take the nearest links of the group from the file, as single precision files need."
    )
    action: ActionSection = Field(description="The target.")
    guide: GuideSection | None = Field(default=None, description="The effective action; `null` is plain HMC.")
    integrator: IntegratorSection = Field(description="Molecular dynamics.")
    solver: SolverSection = Field(default_factory=SolverSection, description="Conjugate gradient.")
    training: TrainingSection | None = Field(default=None, description="Needed when chain.train is above 0.")
    chain: ChainSection = Field(description="Phases and seed.")
    control: ControlSection | None = Field(
        default=None, description="Controls; `none` switches them off; a bare list of names is short for `which`."
    )
    measure: MeasureSection = Field(default_factory=MeasureSection, description="Measurements.")
    checkpoint: CheckpointSection = Field(default_factory=CheckpointSection, description="Checkpoints.")

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        return complete(data) if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _check(self) -> Run:
        check(self)
        return self
