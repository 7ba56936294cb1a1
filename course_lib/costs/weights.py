"""Matrix weights that a token is multiplied by on its way through a model: the N of "2N
FLOPs per token".

A matrix of n weights costs a token 2n FLOPs, and one pass over the memory that holds it
however many tokens share the pass. So this one count serves both sides of a roofline.
Vectors (norms, biases, decays) and table look-ups multiply no token by a matrix and are
left out; `params.param_count` counts everything.

Symbols: d model width, h heads, g KV groups, k head width, v value width, f FFN width,
e experts, n state, r latent rank of the keys and values.

Terms:
    expected active experts: how many experts a batch needs, if each token's are drawn
        evenly -> expected_active_experts
    two FLOPs per weight, 2N rule: a token's matrix products cost twice the weights it
        meets -> mixer_weights, ffn_weights
"""

from collections import Counter
from collections.abc import Iterator, Mapping

from course_lib.costs.arithmetic import Number, check_at_most, check_count
from course_lib.specs.records import (
    AttentionSpec,
    FFNSpec,
    LatentAttentionSpec,
    LayerSpec,
    Mixer,
    ModelSpec,
    MoESpec,
    RWKVSpec,
    SSMSpec,
)


def unique_layers(
    layers: tuple[LayerSpec, ...] | Mapping[LayerSpec, Number],
) -> Iterator[tuple[LayerSpec, Number]]:
    """Each kind of layer once, with how often it stands in the stack (80 equal layers
    are one kind).

    A mapping from a kind to its count says the same, and its counts may be symbols: so
    a formula of any depth is traced.
    """
    yield from Counter(layers).items()


def mixer_weights(mixer: Mixer, width: int) -> int:
    """Matrix weights of one token mixer.

    *Equation*: attention d(hk + gk + gv) + hvd. Latent attention, for key widths n
        without and p with
    position: d q + q h (n + p) with query rank q, else d h (n + p); and d (r + p) + r h
    (n + v) + h v d. State spaces and RWKV: the projections in and out, and the
    depthwise convolution.

    Args: `mixer` the spec; `width` d.
    Returns: a count of weights.
    Raises: ValueError if `mixer` is none of the four kinds.
    """
    match mixer:
        case AttentionSpec():
            return query_weights(mixer, width) + key_value_weights(mixer, width)
        case LatentAttentionSpec(
            heads=h, q_rank=q, kv_rank=r, nope_dim=n, rope_dim=p, value_dim=v
        ):
            queries = width * h * (n + p) if q is None else q * (width + h * (n + p))
            return queries + width * (r + p) + r * h * (n + v) + h * v * width
        case SSMSpec():
            return _ssm_weights(mixer, width)
        case RWKVSpec(width=inner):
            return 4 * width * inner  # receptance, key, value, output
    raise ValueError(
        f"mixer={mixer!r}: an attention, latent attention, SSM or RWKV spec is allowed"
    )


def query_weights(mixer: AttentionSpec, width: int) -> int:
    """Query and output projections: d h k + h v d. In cross attention, the decoder
    token's part.
    """
    return width * mixer.heads * (mixer.head_dim + mixer.value_dim)


def key_value_weights(mixer: AttentionSpec, width: int) -> int:
    """Key and value projections: d g (k + v). In cross attention, the encoder token's
    part.
    """
    return width * mixer.kv_heads * (mixer.head_dim + mixer.value_dim)


def conv_channels(mixer: SSMSpec) -> int:
    """Channels of the short convolution: inner, and in Mamba-2 the groups' B and C
    beside it.
    """
    return (
        mixer.inner
        if mixer.kind == "mamba1"
        else mixer.inner + 2 * mixer.groups * mixer.state
    )


def _ssm_weights(mixer: SSMSpec, width: int) -> int:
    conv = conv_channels(mixer) * mixer.conv
    if (
        mixer.kind == "mamba2"
    ):  # in: gate, convolved channels and one step size per head
        return (
            width * (mixer.inner + conv_channels(mixer) + mixer.heads)
            + conv
            + mixer.inner * width
        )
    step = mixer.inner * (mixer.dt_rank + 2 * mixer.state) + mixer.dt_rank * mixer.inner
    return width * 2 * mixer.inner + conv + step + mixer.inner * width


def network_weights(ffn: FFNSpec, width: int) -> int:
    """Matrix weights of one feed-forward network: 2 d f, gated 3 d f, RWKV's channel
    mix 2 d f + d^2.
    """
    if ffn.kind == "channel_mix":
        return 2 * width * ffn.width + width * width
    return (3 if ffn.kind == "glu" else 2) * width * ffn.width


def ffn_weights(
    ffn: FFNSpec | MoESpec | None, width: int, experts: Number | None = None
) -> Number:
    """Matrix weights of a layer's per-token part, with `experts` of a mixture's experts
    (default: its top-k).

    Args: `ffn` the spec, None where a layer has no such part; `width` d; `experts` how
        many routed experts.
    Returns: a count of weights; a fraction where `experts` is an expected count.
    """
    if ffn is None:
        return 0
    if isinstance(ffn, FFNSpec):
        return network_weights(ffn, width)
    routed = (ffn.top_k if experts is None else experts) * network_weights(
        ffn.expert, width
    )
    gated = 3 if ffn.expert.kind == "glu" else 2
    shared = gated * width * ffn.shared_width + (width if ffn.shared_gate else 0)
    return routed + shared + width * ffn.experts


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


def head_weights(spec: ModelSpec) -> int:
    """Matrix weights of the head: d |V| for a language model, d (d + |V|) for a masked
    one, d^2 for a pooler, d outputs for the rest."""
    columns = {
        "lm": spec.vocab,
        "mlm": spec.width + spec.vocab,
        "pooler": spec.width,
        "none": 0,
    }
    return spec.width * columns.get(spec.head, spec.outputs)
