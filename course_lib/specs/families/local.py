"""Mixtures whose layers attend near and far in turn: Llama 4, in chunks, and
MiMo-V2-Flash, in windows. Each stands for `<Family>ForCausalLM` of `transformers`.

llama4_text, mimo_v2_flash.
"""

from dataclasses import replace

from course_lib.specs.families.llama import attention, causal_lm, decoder_layer
from course_lib.specs.families.moe import fine_grained_experts
from course_lib.specs.reader import Config
from course_lib.specs.records import (
    AttentionSpec,
    FFNSpec,
    LayerSpec,
    ModelSpec,
    MoESpec,
    NormSpec,
    SideSpec,
)
from course_lib.specs.rotary import LAYER_TYPES, rope_spec

CHUNKED = ("full_attention", "chunked_attention")
MLPS = ("dense", "sparse")


def llama4_text(config: Config) -> ModelSpec:
    """Chunks of 8,192 tokens in three of four layers; the fourth turns nothing and
    attends to all. One expert a token beside a shared one.
    """
    depth = config.layers()
    every = config.count("no_rope_layer_interval", 4)
    turned = config.get("no_rope_layers") or [
        int((i + 1) % every != 0) for i in range(depth)
    ]
    rule = tuple(CHUNKED[bool(one)] for one in turned)
    kinds = config.words("layer_types", depth, allowed=CHUNKED) or rule
    if len(turned) != depth:
        raise ValueError(
            f"config field 'no_rope_layers': {len(turned)} entries for {depth} layers"
        )
    layers = (
        decoder_layer(config, mixer, ffn, eps=1e-5)
        for mixer, ffn in zip(
            [
                llama4_attention(config, kind, bool(one))
                for kind, one in zip(kinds, turned, strict=True)
            ],
            llama4_ffns(config, depth),
            strict=True,
        )
    )
    return causal_lm(config, tuple(layers))


def llama4_attention(config: Config, kind: str, turned: bool) -> AttentionSpec:
    """Return the attention of one layer."""
    bias = config.flag("attention_bias", False)
    rope = rope_spec(
        config, config.count("head_dim", 128), pairing="interleaved", theta=5e5
    )
    chunk = config.count("attention_chunk_size", 8192)
    local = kind == CHUNKED[1]
    mixer = attention(
        config,
        rope=rope,
        window=chunk if local else None,
        bias_qkv=bias,
        bias_out=bias,
        chunked=local,
        qk_norm="length" if config.flag("use_qk_norm", True) else "none",
    )
    if turned:
        return mixer
    stretched = config.flag("attn_temperature_tuning", True)
    return replace(
        mixer,
        rope=None,
        qk_norm="none",
        temperature=temperature_of(config) if stretched else None,
    )


def temperature_of(config: Config) -> tuple[int, float]:
    """Return how the queries of layers that turn nothing grow with the position."""
    every = config.count("floor_scale", 8192)
    return every, config.number("attn_scale", 0.1)


def llama4_ffns(config: Config, depth: int) -> list[FFNSpec | MoESpec]:
    """Return experts in every `interleave_moe_layer_step`-th layer, or in those listed
    in `moe_layers`.
    """
    step = config.count("interleave_moe_layer_step", 1)
    sparse = config.get("moe_layers")
    if sparse is None:
        sparse = [i for i in range(depth) if (i + 1) % step == 0]
    activation = config.word("hidden_act", "silu")
    expert = FFNSpec(
        kind="glu", activation=activation, width=config.count("intermediate_size")
    )
    moe = MoESpec(
        experts=config.count("num_local_experts"),
        top_k=config.count("num_experts_per_tok"),
        expert=expert,
        shared=1,
        shared_width=expert.width,
        scoring="sigmoid",
        renormalise=False,
        weigh_input=True,
    )
    dense = FFNSpec(
        kind="glu",
        activation=activation,
        width=config.count("intermediate_size_mlp", 16_384),
    )
    return [moe if i in sparse else dense for i in range(depth)]


def mimo_v2_flash(config: Config) -> ModelSpec:
    """Windows of 128 with sinks and twice the KV heads, five to a full layer; keys
    wider than values, a third of each head turned.
    """
    depth = config.layers()
    listed = config.words("layer_types", depth, allowed=LAYER_TYPES)
    rule = [i == 0 or (i + 1) % 6 == 0 for i in range(depth)]
    full = [one == LAYER_TYPES[0] for one in listed] if listed else rule
    moe = fine_grained_experts(
        config,
        scoring="sigmoid",
        renormalise=config.flag("norm_topk_prob", True),
        selection_bias=True,
        few=0,
    )
    plain = FFNSpec(
        kind="glu",
        activation=config.word("hidden_act", "silu"),
        width=config.count("intermediate_size"),
    )
    mlps = config.words("mlp_layer_types", depth, allowed=MLPS)
    dense = [one == "dense" for one in mlps] if mlps else [i == 0 for i in range(depth)]
    eps = config.number(config.first("layernorm_epsilon", "rms_norm_eps"), 1e-5)
    norm = NormSpec(kind="rmsnorm", eps=eps)
    factor = config.number("attention_value_scale", 0.707)
    note = (SideSpec(words=f"values × {factor:g}", of="mixer"),)
    return causal_lm(
        config,
        tuple(
            LayerSpec(
                mixer=mimo_attention(config, far),
                ffn=plain if flat else moe,
                norm=norm,
                sides=note,
            )
            for far, flat in zip(full, dense, strict=True)
        ),
    )


def mimo_attention(config: Config, full: bool) -> AttentionSpec:
    """Return a full layer's attention or a windowed one's."""
    kind = LAYER_TYPES[0] if full else LAYER_TYPES[1]
    width, groups = config.count("head_dim", 192), config.count("num_key_value_heads")
    thetas = ("rope_theta", 5e6) if full else ("swa_rope_theta", 1e4)
    size = config.count("sliding_window_size", None)
    window = config.count("sliding_window", 129) if size is None else size + 1
    table = {name: config.get(name) for name in ("rope_parameters",)}
    fields = Config({**table, "model_type": config.model_type})
    share = config.number("partial_rotary_factor", 0.334)
    return AttentionSpec(
        heads=config.count("num_attention_heads"),
        kv_heads=groups if full else 2 * groups,
        head_dim=width,
        value_dim=config.count("v_head_dim", 128),
        window=None if full else window,
        bias_qkv=config.flag("attention_bias", False),
        rope=rope_spec(
            fields,
            width,
            layer_type=kind,
            theta=config.number(thetas[0], thetas[1], above=0),
            fraction=share,
        ),
        sinks=not full,
    )
