"""Costs of a mixture of experts (MoE): routed experts, shared experts, and the router.

Symbols: d model width, e experts, f width inside an expert, l width of the latent in
which routed experts may work (latent MoE; then their matrices have l f weights).

Terms:
    expected active experts: how many experts a batch needs, if each token's are drawn
        evenly -> expected_active_experts
    MoE parameters, routed and shared experts: what is stored, and what one token visits
        -> params, weights
"""

from collections import Counter

from course_lib.costs.arithmetic import Number, check_at_most, check_count
from course_lib.costs.feed_forward import dense
from course_lib.specs.records import FFNSpec, MoESpec


def weights(moe: MoESpec, width: Number, experts: Number | None = None) -> Number:
    """Matrix weights of `experts` routed experts (default: a token's top_k), of the
    shared ones, of the router, d e, and of the ways into a latent and out, 2 d l.

    Returns: a count of weights; a fraction where `experts` is an expected count.
    """
    routed = (moe.top_k if experts is None else experts) * dense.weights(
        moe.expert, moe.latent or width
    )
    ways = 2 * width * moe.latent
    return routed + ways + _shared_weights(moe, width) + width * moe.experts


def _shared_weights(moe: MoESpec, width: Number) -> Number:
    gate = width if moe.shared_gate else 0
    return dense.weights(shared_network(moe), width) + gate if moe.shared else 0


def shared_network(moe: MoESpec) -> FFNSpec:
    """The shared experts as the one network that they run as."""
    expert = moe.expert
    return FFNSpec(
        kind=expert.kind,
        activation=expert.activation,
        width=moe.shared_width,
        bias=expert.bias,
    )


def params(moe: MoESpec, width: Number) -> Counter[str]:
    """Parameters by part: "experts" (routed), "router", "shared_experts". The balancing
    bias is a buffer, which is not counted.
    """
    parts = Counter(
        experts=moe.experts * dense.network_params(moe.expert, moe.latent or width)
        + 2 * width * moe.latent,
        router=moe.experts * (width + int(moe.router_bias)),
    )
    if moe.shared:
        gate = width if moe.shared_gate else 0
        parts["shared_experts"] = (
            dense.network_params(shared_network(moe), width) + gate
        )
    return parts


def idle_params(moe: MoESpec, width: Number) -> Number:
    """Parameters of the routed experts that one token does not visit:
    (e - top_k) of one expert's.
    """
    one = dense.network_params(moe.expert, moe.latent or width)
    return (moe.experts - moe.top_k) * one


def weights_read(moe: MoESpec, width: Number, batch: Number) -> Number:
    """Matrix weights a pass of `batch` tokens reads: of the routed experts, the
    expected number of distinct ones that it meets.
    """
    met = expected_active_experts(moe.experts, moe.top_k, batch)
    return weights(moe, width, met)


def expected_active_experts(experts: Number, top_k: Number, batch: Number) -> Number:
    """Expected number of distinct experts a step of `batch` tokens meets, if the router
    picks evenly.

    *Equation*: e (1 - (1 - top_k / e)^batch). One token meets top_k; many tokens meet
    nearly all e, which is why a batched mixture reads close to its total weights
    although each token uses only its active ones.

    Args: counts of experts, of experts per token, of tokens.
    Returns: an expected count, between top_k and e.
    Raises: ValueError if an argument is no whole number of at least 1, or `top_k` is
        above `experts`.

    >>> expected_active_experts(8, 2, 1), round(expected_active_experts(8, 2, 8), 2)
    (2.0, 7.2)
    """
    check_count(experts=experts, top_k=top_k, batch=batch)
    check_at_most("experts", experts, top_k=top_k)
    return experts * (1 - (1 - top_k / experts) ** batch)
