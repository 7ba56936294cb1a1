"""LFM2: gated short convolutions, and attention in some layers. lfm2, lfm2_moe; each
stands for `<Family>ForCausalLM` of `transformers`.
"""

from course_lib.specs.families.llama import attention, causal_lm, head_dim_of
from course_lib.specs.families.moe import narrow_experts
from course_lib.specs.reader import Config
from course_lib.specs.records import (
    EmbeddingSpec,
    FFNSpec,
    LayerSpec,
    ModelSpec,
    MoESpec,
    NormSpec,
    ShortConvSpec,
)
from course_lib.specs.rotary import rope_spec


def lfm2(config: Config) -> ModelSpec:
    """Short convolutions, and attention with normed queries and keys in some layers."""
    ffn = FFNSpec(kind="glu", activation="silu", width=lfm2_width(config))
    return lfm2_lm(config, [ffn] * config.layers())


def lfm2_width(config: Config) -> int:
    """Return the width of LFM2's FFN: two thirds, times a factor, rounded up."""
    width = config.count(config.first("block_ff_dim", "intermediate_size"))
    if not config.flag("block_auto_adjust_ff_dim", True):
        return width
    factor = config.number("block_ffn_dim_multiplier", 1.0)
    whole, step = int(factor * int(2 * width / 3)), config.count("block_multiple_of")
    return step * -(-whole // step)


def lfm2_moe(config: Config) -> ModelSpec:
    """LFM2 with experts after the first `num_dense_layers`."""
    bias = config.flag("use_expert_bias", True)
    moe = narrow_experts(
        config,
        scoring="sigmoid",
        renormalise=config.flag("norm_topk_prob", True),
        scale=config.number("routed_scaling_factor", 1.0),
        selection_bias=bias,
    )
    width, dense = (
        config.count("intermediate_size"),
        config.count("num_dense_layers", 2),
    )
    plain = FFNSpec(kind="glu", activation="silu", width=width)
    return lfm2_lm(
        config, [plain if i < dense else moe for i in range(config.layers())]
    )


def lfm2_lm(config: Config, ffns: list[FFNSpec | MoESpec]) -> ModelSpec:
    """Return the model of either: its kinds of layers are listed."""
    norm, depth = (
        NormSpec(kind="rmsnorm", eps=config.number("norm_eps", 1e-5)),
        len(ffns),
    )
    listed = config.words("layer_types", depth, allowed=("conv", "full_attention"))
    if listed is None and config.get("full_attn_idxs") is None:
        raise ValueError(
            f"config of model_type {config.model_type!r}: the field 'layer_types' is "
            "missing"
        )
    full = config.get("full_attn_idxs", ())
    kinds = listed or tuple(
        "full_attention" if i in full else "conv" for i in range(depth)
    )
    rope = rope_spec(config, head_dim_of(config), theta=1e6)
    mixers = {
        "conv": short_conv(config, 3),
        "full_attention": attention(config, rope=rope, qk_norm="head"),
    }
    layers = tuple(
        LayerSpec(mixer=mixers[kind], ffn=ffn, norm=norm)
        for kind, ffn in zip(kinds, ffns, strict=True)
    )
    tied = config.flag(config.first("tie_embedding", "tie_word_embeddings"), True)
    return causal_lm(config, layers, embeddings=EmbeddingSpec(tied=tied))


def short_conv(config: Config, least: int) -> ShortConvSpec:
    """Return LFM's convolution."""
    return ShortConvSpec(
        conv=config.count("conv_L_cache", least), bias=config.flag("conv_bias", False)
    )
