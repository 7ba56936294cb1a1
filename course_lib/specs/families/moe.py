"""Decoders with routed experts. Each stands for `<Family>ForCausalLM` of
`transformers`.

mixtral, qwen3_moe, olmoe, gpt_oss, dbrx, glm4_moe (without its multi-token-prediction
layers).
"""

from typing import Any

from course_lib.specs.families.gpt import share_of
from course_lib.specs.families.llama import (
    attention,
    causal_lm,
    decoder_layer,
    gated_ffn,
    head_dim_of,
    windows_of,
)
from course_lib.specs.reader import REQUIRED, Config
from course_lib.specs.records import (
    AttentionSpec,
    FFNSpec,
    LayerSpec,
    ModelSpec,
    MoESpec,
    NormSpec,
    RopeSpec,
)
from course_lib.specs.rotary import rope_spec


def mixtral(config: Config) -> ModelSpec:
    """Mistral with eight wide experts in each layer, two of them at work for a
    token.
    """
    moe = MoESpec(
        experts=config.count("num_local_experts"),
        top_k=config.count("num_experts_per_tok"),
        expert=gated_ffn(config),
    )
    rope = rope_spec(config, head_dim_of(config), theta=1e6)
    mixer = attention(config, window=config.count("sliding_window", None), rope=rope)
    return causal_lm(
        config, (decoder_layer(config, mixer, moe, eps=1e-5),) * config.layers()
    )


def qwen3_moe(config: Config) -> ModelSpec:
    """Qwen3 with experts in every `decoder_sparse_step`-th layer, but for those in
    `mlp_only_layers`.
    """
    bias = config.flag("attention_bias", False)
    windowed = config.flag("use_sliding_window", False)
    window = config.count("sliding_window") if windowed else None
    mixer = attention(
        config, window=window, bias_qkv=bias, bias_out=bias, qk_norm="head"
    )
    moe = narrow_experts(config, renormalise=config.flag("norm_topk_prob", False))
    ffns = sparse_ffns(config, moe)
    return causal_lm(config, tuple(decoder_layer(config, mixer, ffn) for ffn in ffns))


def olmoe(config: Config) -> ModelSpec:
    """Many narrow experts, and norms over the whole width of queries and keys."""
    bias = config.flag("attention_bias", False)
    moe = narrow_experts(
        config, "intermediate_size", renormalise=config.flag("norm_topk_prob", False)
    )
    clip = config.number("clip_qkv", None, above=0)
    mixer = attention(config, bias_qkv=bias, bias_out=bias, qk_norm="width", clip=clip)
    return causal_lm(
        config, (decoder_layer(config, mixer, moe, eps=1e-5),) * config.layers()
    )


def gpt_oss(config: Config) -> ModelSpec:
    """Windows in every other layer, a learned sink in each head, and biases everywhere,
    routers included.

    Without RoPE fields `transformers` would assume YaRN here and plain RoPE elsewhere,
    so they must be given.
    """
    if not (config.table("rope_parameters") or config.table("rope_scaling")):
        raise ValueError(
            "config of model_type 'gpt_oss': the field 'rope_scaling' is missing"
        )
    for field, built in (("swiglu_limit", 7.0), ("swiglu_alpha", 1.702)):
        if config.number(field, built) != built:
            raise ValueError(f"config field {field!r}: supported is {built}")
    bias = config.flag("attention_bias", True)
    rope = rope_spec(config, head_dim_of(config), theta=150_000.0)
    moe = MoESpec(
        experts=config.count("num_local_experts"),
        top_k=config.count("num_experts_per_tok"),
        expert=FFNSpec(
            kind="glu",
            activation="swiglu_clamped",
            width=config.count("intermediate_size"),
            bias=True,
        ),
        router_bias=True,
    )
    windows = windows_of(config, lambda i: i % 2 == 0)
    options = {"rope": rope, "bias_qkv": bias, "bias_out": bias, "sinks": True}
    mixers = (attention(config, window=window, **options) for window in windows)
    return causal_lm(
        config, tuple(decoder_layer(config, mixer, moe, eps=1e-5) for mixer in mixers)
    )


def glm4_moe(config: Config) -> ModelSpec:
    """GLM-4.5: routed as DeepSeek-V3, on grouped attention of which half of each head
    turns.
    """
    mixer = attention(
        config,
        rope=rope_spec(config, head_dim_of(config), fraction=0.5),
        bias_qkv=config.flag("attention_bias", False),
        qk_norm="head" if config.flag("use_qk_norm", False) else "none",
    )
    moe = fine_grained_experts(
        config,
        scoring="sigmoid",
        renormalise=config.flag("norm_topk_prob", True),
        selection_bias=True,
    )
    dense = config.count("first_k_dense_replace", 1, least=0)
    ffns = (gated_ffn(config) if i < dense else moe for i in range(config.layers()))
    return causal_lm(
        config, tuple(decoder_layer(config, mixer, ffn, eps=1e-5) for ffn in ffns)
    )


def dbrx(config: Config) -> ModelSpec:
    """DBRX: LayerNorms without a shift, clipped queries, keys and values; the sizes of
    attention and experts in parts of their own.

    The base of RoPE is the part's: `transformers` 5 reads another field, 10,000 by
    default.
    """
    inner = Config({**config.table("attn_config"), "model_type": config.model_type})
    ffn = Config({**config.table("ffn_config"), "model_type": config.model_type})
    heads, width = config.count("n_heads"), config.count("d_model")
    head = share_of(width, heads)
    if ffn.number("moe_normalize_expert_weights", 1.0) != 1:
        raise ValueError("config field 'moe_normalize_expert_weights': supported is 1")
    activation = Config({"model_type": "dbrx", **ffn.table("ffn_act_fn")})
    mixer = AttentionSpec(
        heads=heads,
        kv_heads=inner.count("kv_n_heads", 1),
        head_dim=head,
        value_dim=head,
        rope=RopeSpec(theta=inner.number("rope_theta", 1e4, above=0), dim=head),
        clip=inner.number("clip_qkv", None, above=0),
    )
    moe = MoESpec(
        experts=ffn.count("moe_num_experts", 4),
        top_k=ffn.count("moe_top_k", 1),
        expert=FFNSpec(
            kind="glu",
            activation=activation.word("name", "silu"),
            width=ffn.count("ffn_hidden_size", 3584),
        ),
    )
    norm = NormSpec(kind="layernorm", eps=1e-5)
    depth = config.layers("n_layers")
    return ModelSpec(
        name=config.model_type,
        family=config.model_type,
        width=width,
        vocab=config.count("vocab_size"),
        layers=(LayerSpec(mixer=mixer, ffn=moe, norm=norm),) * depth,
        final_norm=norm,
        context=config.count("max_seq_len", None),
    )


def sparse_ffns(config: Config, moe: MoESpec) -> list[MoESpec | None]:
    """Return Qwen's pattern: the mixture in every `decoder_sparse_step`-th layer, and
    None, for the dense FFN, in the others and in `mlp_only_layers`.
    """
    step, dense = (
        config.count("decoder_sparse_step", 1),
        config.get("mlp_only_layers", []),
    )
    if not isinstance(dense, list | tuple):
        raise ValueError(
            f"config field 'mlp_only_layers': {dense!r} is not a list of layer indices"
        )
    return [
        moe if i not in dense and (i + 1) % step == 0 else None
        for i in range(config.layers())
    ]


def narrow_experts(
    config: Config, field: str = "moe_intermediate_size", **routing
) -> MoESpec:
    """Return `num_experts` experts of the width in `field` (version 5 may say
    `num_local_experts`).
    """
    experts = config.count("num_local_experts", None) or config.count("num_experts")
    expert = FFNSpec(
        kind="glu",
        activation=config.word("hidden_act", "silu"),
        width=config.count(field),
    )
    return MoESpec(
        experts=experts,
        top_k=config.count("num_experts_per_tok"),
        expert=expert,
        **routing,
    )


def fine_grained_experts(
    config: Config,
    *,
    groups: tuple[int, int] = (1, 1),
    scale: float = 1.0,
    few: Any = REQUIRED,
    **routing,
) -> MoESpec:
    """Return DeepSeek's many narrow routed experts, beside a few shared ones which
    serve every token.

    `groups` is the family's number of groups and how many of them a token may visit;
    `scale` its factor on the experts' sum; `few` how many shared ones
    there are. All are used where the config says nothing.
    """
    width, shared = (
        config.count("moe_intermediate_size"),
        config.count("n_shared_experts", few, least=0),
    )
    return MoESpec(
        experts=config.count("n_routed_experts"),
        top_k=config.count("num_experts_per_tok"),
        expert=FFNSpec(
            kind="glu", activation=config.word("hidden_act", "silu"), width=width
        ),
        shared=shared,
        shared_width=shared * width,
        scale=config.number("routed_scaling_factor", scale),
        groups=config.count("n_group", groups[0]),
        top_groups=config.count("topk_group", groups[1]),
        **routing,
    )
