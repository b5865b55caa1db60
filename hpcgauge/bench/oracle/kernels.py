"""ORACLES: kernel name -> function(numpy inputs) -> numpy outputs, the formula each kernel is compared with.

Inputs come by the names of the kernel's arguments: fields as `Field.to_numpy` shows them, numbers as arrays, the
constants of compilation by their names in small letters, and `colors`. Fields that a kernel writes come too, holding
what they held before. The result holds the fields that are written, and under "sums" one number per site for each sum,
(sum, t, z, y, x). Matrices of SU(2) are quaternions, real multiples of group elements; outputs that are not by
themselves are projected.
"""

from __future__ import annotations

from collections.abc import Callable

from hpcgauge.bench.formulas import Result, algebra, draws, fermions, layers, links, paths

ORACLES: dict[str, Callable[..., Result]] = {
    "zero": algebra.zero,
    "zero on vectors": algebra.zero,
    "combine": algebra.combine,
    "combine on vectors": algebra.combine,
    "inner": algebra.inner_of_matrices,
    "inner on vectors": algebra.inner_of_vectors,
    "inner_each": algebra.inner_each,
    "inner_all": algebra.inner_all,
    "advance": algebra.advance,
    "reduce": algebra.reduce,
    "difference": algebra.difference,
    "shifted_difference": algebra.shifted_difference,
    "placed": algebra.placed,
    "overlaps": algebra.overlaps,
    "superposed": algebra.superposed,
    "multiply": links.multiply,
    "update_links": links.update_links,
    "force": links.force,
    "kick": links.kick,
    "kinetic": links.kinetic,
    "reunitarise": links.reunitarise,
    "drift": links.drift,
    "gauge_rotate": links.gauge_rotate,
    "plaquette_sum": links.plaquette_sum,
    "staple_sum": links.staple_sum,
    "staple_and_plaquette_sum": links.staple_and_plaquette_sum,
    "extend_line": links.extend_line,
    "line_trace": links.line_trace,
    "rectangle_trace": links.rectangle_trace,
    "shifted": links.shifted_matrices,
    "shifted on rotation": links.shifted_matrices,
    "shifted on vectors": links.shifted_vectors,
    "random_group": draws.random_group,
    "random_group on rotation": draws.random_group,
    "random_momenta": draws.random_momenta,
    "random_vectors": draws.random_vectors,
    "exponential_layer": layers.exponential_layer,
    "exponential_layer_pullback": layers.exponential_layer_pullback,
    "three_layers": layers.three_layers,
    "three_layers_pullback": layers.three_layers_pullback,
    "staple_pullback": paths.staple_pullback,
    "loop_traces": paths.loop_traces,
    "path_sum": paths.path_sum,
    "attention": paths.attention,
    "attention (paper)": paths.attention,
    "path_pullback": paths.path_pullback,
    "trace_pullback": paths.trace_pullback,
    "trace_pullback (paper)": paths.trace_pullback,
    "loop_pullback": paths.loop_pullback,
    "loop_pullback (paper)": paths.loop_pullback,
    "add_slopes": paths.add_slopes,
    "add_loop_slopes": paths.add_loop_slopes,
    "hop_links": fermions.hop_links,
    "hop_rows": fermions.hop_rows,
    "staggered_hop": fermions.staggered_hop,
    "staggered_hop (compressed)": fermions.staggered_hop,
    "staggered_hop_add": fermions.staggered_hop_add,
    "staggered_hop_add (compressed)": fermions.staggered_hop_add,
    "staggered_gradient": fermions.staggered_gradient,
}
