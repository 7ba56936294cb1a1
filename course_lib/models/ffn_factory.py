"""Feed-forward factory: from a specification to an MLP, a gated MLP, or a mixture of
experts (MoE).

Terms:
    feed-forward factory: builds an MLP or a mixture of experts from its record ->
        build_network, build_moe
"""

from course_lib.costs.feed_forward.moe import shared_network
from course_lib.layers.feed_forward.capacity import Capacity
from course_lib.layers.feed_forward.experts import Experts, SharedExpert
from course_lib.layers.feed_forward.mlp import MLP, GatedMLP
from course_lib.layers.feed_forward.moe import MoE
from course_lib.layers.feed_forward.router import Router
from course_lib.layers.feed_forward.sparse_mixer import SparseMixer
from course_lib.specs.records import FFNSpec, MoESpec

NETWORKS = {"mlp": MLP, "glu": GatedMLP}


def build_network(width: int, spec: FFNSpec) -> MLP | GatedMLP:
    """The MLP that `spec` describes; a ValueError for a kind that is not built."""
    if spec.kind not in NETWORKS:
        raise ValueError(f"ffn={spec.kind}: supported are {', '.join(NETWORKS)}")
    return NETWORKS[spec.kind](
        width, spec.width, activation=spec.activation, bias=spec.bias
    )


def build_moe(width: int, spec: MoESpec) -> MoE:
    """The mixture of experts that `spec` describes, which sorts tokens by expert and
    leaves no losses: set its `losses` to have them.

    Raises:
        ValueError: the experts are of a kind that is not built.
    """
    if spec.expert.kind not in NETWORKS:
        raise ValueError(f"ffn={spec.expert.kind}: supported are {', '.join(NETWORKS)}")
    experts = Experts(
        spec.experts,
        spec.latent or width,
        spec.expert.width,
        activation=spec.expert.activation,
        gated=spec.expert.kind == "glu",
        bias=spec.expert.bias,
    )
    shared = None
    if spec.shared:
        network = build_network(width, shared_network(spec))
        shared = SharedExpert(network, width, gate=spec.shared_gate)
    return MoE(
        build_router(width, spec),
        experts,
        shared,
        latent=spec.latent,
        weigh_input=spec.weigh_input,
        capacity=Capacity(slots=spec.capacity) if spec.capacity else None,
    )


def build_router(width: int, spec: MoESpec) -> Router:
    """The router that `spec` describes."""
    if spec.sparse_mixer:
        return SparseMixer(width, spec.experts, spec.top_k, tolerance=spec.sparse_mixer)
    return Router(
        width,
        spec.experts,
        spec.top_k,
        scoring=spec.scoring,
        renormalise=spec.renormalise,
        scale=spec.scale,
        groups=spec.groups,
        top_groups=spec.top_groups,
        group_score=spec.group_score,
        selection_bias=spec.selection_bias,
        bias_on=spec.bias_on,
        bias=spec.router_bias,
    )
