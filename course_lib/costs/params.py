"""Parameter count: how many parameters a model has, how many are active for one token,
and where they are.

Matrices are counted by `weights`; this module adds the vectors (norms, biases, decays)
and the tables (token and position embeddings). A tied table is counted once. The total
equals the number of parameters of the `transformers` model of the same config.

Symbols: d model width, h heads, g KV groups, k head width, v value width, f FFN width,
    e experts, n state.

Terms:
    parameter count, total parameters, active parameters: numbers in all weights, and in
        those that work on one token -> param_count
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from course_lib.costs.weights import (
    conv_channels,
    head_weights,
    mixer_weights,
    network_weights,
    unique_layers,
)
from course_lib.specs.frozen import FrozenMapping
from course_lib.specs.records import (
    AttentionSpec,
    FFNSpec,
    LatentAttentionSpec,
    LayerSpec,
    Mixer,
    ModelSpec,
    MoESpec,
    NormSpec,
    RWKVSpec,
    SSMSpec,
)

NORMS_OF_A_SUBLAYER = {"pre": 1, "post": 1, "sandwich": 2, "parallel_two": 1}


@dataclass(frozen=True, kw_only=True)
class ParamCount:
    """Counts of parameters: `by_part` sums to `total`; `active` is without the experts
    a token skips.

    Parts: "embedding" (words, positions, patches), "attention", "cross_attention",
    "state" (state spaces and RWKV's time mixing), "ffn", "experts" (routed),
    "shared_experts", "router", "norm", "head" (nothing where it is tied), and "vision"
    for a whole image tower.
    """

    total: int
    active: int
    by_part: Mapping[str, int]


def param_count(spec: ModelSpec) -> ParamCount:
    """Count the parameters of a model.

    *Equation*: active = total - (1 - top_k / e) * (routed experts), summed over the
    layers. Both word tables are in both counts; authors who leave the input table out
    of "active" (gpt-oss, GLM-4.5) subtract it.

    Args:
        spec: the model.
    Returns:
        Counts of parameters.
    Cost: proportional to the number of different layers, not of layers.
    Source: the layers are those of the `transformers` classes named in
        `course_lib.specs.families`.

    >>> from course_lib.specs.loader import load_spec
    >>> count = param_count(load_spec("mixtral-8x7b"))
    >>> count.total, count.active
    (46702792704, 12879925248)
    """
    parts: Counter[str] = Counter()
    idle = 0
    for stack in (spec.layers, spec.encoder):
        for layer, times in unique_layers(stack):
            for part, count in layer_params(layer, spec.width).items():
                parts[part] += times * count
            idle += times * idle_params(layer, spec.width)
    parts.update(end_params(spec))
    if spec.vision is not None:
        parts["vision"] = param_count(spec.vision).total
    total = sum(parts.values())
    by_part = FrozenMapping({part: count for part, count in parts.items() if count})
    return ParamCount(total=total, active=total - idle, by_part=by_part)


def layer_params(layer: LayerSpec, width: int) -> Counter[str]:
    """Count one block's parameters by part."""
    parts = Counter({"norm": block_norms(layer) * norm_params(layer.norm, width)})
    attends = isinstance(layer.mixer, AttentionSpec | LatentAttentionSpec)
    parts["attention" if attends else "state"] = mixer_params(layer.mixer, width)
    if layer.cross is not None:
        parts["cross_attention"] = mixer_params(layer.cross, width)
    if isinstance(layer.ffn, MoESpec):
        parts += moe_params(layer.ffn, width)
    elif layer.ffn is not None:
        parts["ffn"] = ffn_params(layer.ffn, width)
    return parts


def block_norms(layer: LayerSpec) -> int:
    """Count a block's norms on the width: one or two a sublayer, or one for all side by
    side.
    """
    if layer.norm_layout == "parallel":
        return 1
    sublayers = 1 + (layer.cross is not None) + (layer.ffn is not None)
    return (sublayers - (not layer.mixer_norm)) * NORMS_OF_A_SUBLAYER[layer.norm_layout]


def norm_params(norm: NormSpec | None, width: int) -> int:
    """A gain for each element, and a shift where there is one."""
    return 0 if norm is None else width * (2 if norm.bias else 1)


def mixer_params(mixer: Mixer, width: int) -> int:
    """Count a token mixer's parameters: its matrices, and the vectors of its kind."""
    return mixer_weights(mixer, width) + mixer_vectors(mixer, width)


def mixer_vectors(mixer: Mixer, width: int) -> int:
    """Count a token mixer's parameters which are no matrix of `weights`.

    Attention: biases, query and key norms, sinks, and T5's table of position biases.
    Latent attention: biases and the norms of the two latents. Mamba: A (inner x n), D,
    and the biases of step and convolution; Jamba norms the step, B and C. Mamba-2: A, D
    and the step's bias by head, and the norm before the way out. RWKV-4: decay and
    bonus on the inner width, three token-shift mixes on the model width.
    """
    match mixer:
        case AttentionSpec():
            return _attention_vectors(mixer, width)
        case LatentAttentionSpec(q_rank=q, kv_rank=r, rope_dim=p):
            ranks = (q or 0) + r
            return ranks + (ranks + p + width if mixer.bias else 0)
        case SSMSpec():
            return _ssm_vectors(mixer, width)
        case RWKVSpec(width=inner):
            return 2 * inner + 3 * width
    raise ValueError(
        f"mixer={mixer!r}: an attention, latent attention, SSM or RWKV spec is allowed"
    )


def _attention_vectors(mixer: AttentionSpec, width: int) -> int:
    queries, keys = mixer.heads * mixer.head_dim, mixer.kv_heads * mixer.head_dim
    values = mixer.kv_heads * mixer.value_dim
    norms = {"none": 0, "head": 2 * mixer.head_dim, "width": queries + keys}[
        mixer.qk_norm
    ]
    biases = (queries + keys + values if mixer.bias_qkv else 0) + (
        width if mixer.bias_out else 0
    )
    return norms + biases + mixer.heads * (int(mixer.sinks) + mixer.relative_buckets)


def _ssm_vectors(mixer: SSMSpec, width: int) -> int:
    channels = conv_channels(mixer)
    conv_bias = channels if mixer.conv_bias else 0
    if mixer.kind == "mamba2":
        biases = mixer.inner + channels + mixer.heads + width if mixer.bias else 0
        return conv_bias + biases + 3 * mixer.heads + mixer.inner
    biases = 2 * mixer.inner + width if mixer.bias else 0
    norms = mixer.dt_rank + 2 * mixer.state if mixer.inner_norm else 0
    return conv_bias + biases + norms + mixer.inner * (mixer.state + 2)


def ffn_params(ffn: FFNSpec, width: int) -> int:
    """Count one network's parameters; RWKV's channel mix adds two token-shift mixes."""
    inputs = {"glu": 2, "mlp": 1, "channel_mix": 1}[ffn.kind]
    mixes = 2 * width if ffn.kind == "channel_mix" else 0
    biases = inputs * ffn.width + width if ffn.bias else 0
    return network_weights(ffn, width) + mixes + biases


def moe_params(moe: MoESpec, width: int) -> Counter[str]:
    """Count a mixture's parameters by part. Its balancing bias is a buffer, which is
    not counted.
    """
    parts = Counter(
        experts=moe.experts * ffn_params(moe.expert, width),
        router=moe.experts * (width + int(moe.router_bias)),
    )
    if moe.shared:
        together = FFNSpec(
            kind=moe.expert.kind,
            activation=moe.expert.activation,
            width=moe.shared_width,
            bias=moe.expert.bias,
        )
        parts["shared_experts"] = ffn_params(together, width) + (
            width if moe.shared_gate else 0
        )
    return parts


def idle_params(layer: LayerSpec, width: int) -> int:
    """Count the parameters of the routed experts which one token does not visit."""
    if not isinstance(layer.ffn, MoESpec):
        return 0
    return (layer.ffn.experts - layer.ffn.top_k) * ffn_params(layer.ffn.expert, width)


def end_params(spec: ModelSpec) -> Counter[str]:
    """Count what stands before the first layer and after the last, for one stack or for
    two.
    """
    width, words = spec.width, spec.embeddings
    stacks = 2 if spec.encoder else 1
    table = spec.vocab + words.token_types + stacks * words.learned_positions
    norms = norm_params(words.norm, width) + norm_params(spec.final_norm, width)
    return Counter(
        embedding=table * width + patch_params(spec),
        norm=stacks * norms,
        head=head_params(spec),
    )


def patch_params(spec: ModelSpec) -> int:
    """Count the map from a patch's pixels to the width, and the class token."""
    if spec.patches is None:
        return 0
    pixels = spec.patches.channels * spec.patches.patch**2
    return spec.width * (pixels + spec.patches.bias + spec.patches.class_token)


def head_params(spec: ModelSpec) -> int:
    """Count the head: no words where it is the word table. CLIP's two projections share
    one temperature.
    """
    if spec.head in ("lm", "mlm"):
        words = int(spec.embeddings.tied) * spec.width * spec.vocab
        biases = int(spec.embeddings.head_bias) * spec.vocab
        return head_weights(spec) - words + biases + transform_vectors(spec)
    biases = {"pooler": spec.width, "classifier": spec.outputs}.get(spec.head, 0)
    temperature = int(spec.head == "projection" and spec.vision is not None)
    return head_weights(spec) + biases + temperature


def transform_vectors(spec: ModelSpec) -> int:
    """Count the biases and the norm of a masked model's transform; its matrix is in
    `head_weights`.
    """
    if spec.transform is None:
        return 0
    return spec.transform.bias * spec.width + norm_params(
        spec.transform.norm, spec.width
    )
