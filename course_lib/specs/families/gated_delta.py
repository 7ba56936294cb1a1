"""Hybrids of gated DeltaNet and output-gated attention: Qwen3-Next and Qwen3.5. Each
stands for `<Family>ForCausalLM` of `transformers`.

qwen3_next, qwen3_5_text, qwen3_5_moe_text; qwen3_5 and qwen3_5_moe are models that see,
whose text model is read: without the image tower, and without the
multi-token-prediction layer that the checkpoints carry beside the model.
"""

from dataclasses import replace

from course_lib.specs.families.llama import (
    causal_lm,
    decoder_layer,
    gated_ffn,
    kv_heads_of,
)
from course_lib.specs.families.moe import narrow_experts, sparse_ffns
from course_lib.specs.reader import Config
from course_lib.specs.records import (
    AttentionSpec,
    EmbeddingSpec,
    FFNSpec,
    GatedDeltaNetSpec,
    ModelSpec,
    MoESpec,
)
from course_lib.specs.rotary import rope_spec

LAYER_KINDS = ("linear_attention", "full_attention")


def qwen3_next(config: Config) -> ModelSpec:
    """Three layers of gated DeltaNet to one of attention; experts, one of them shared,
    in every `decoder_sparse_step`-th layer, but for those in `mlp_only_layers`.
    """
    moe = shared_experts(config, renormalise=config.flag("norm_topk_prob", True))
    return hybrid_lm(config, sparse_ffns(config, moe))


def qwen3_5_moe(config: Config) -> ModelSpec:
    """The text model of Qwen3.5 with experts; the whole says whether its head is
    tied.
    """
    text = config.nested("text_config", "qwen3_5_moe_text")
    return replace(qwen3_5_moe_text(text), embeddings=embeddings_of(config))


def qwen3_5_moe_text(config: Config) -> ModelSpec:
    """Qwen3-Next with experts in every layer, their weights always renormalised."""
    moe = shared_experts(config, renormalise=True)
    return hybrid_lm(config, [moe] * config.layers())


def qwen3_5(config: Config) -> ModelSpec:
    """The text model of dense Qwen3.5; the whole says whether its head is tied."""
    text = config.nested("text_config", "qwen3_5_text")
    return replace(qwen3_5_text(text), embeddings=embeddings_of(config))


def qwen3_5_text(config: Config) -> ModelSpec:
    """Qwen3-Next with one gated FFN in the place of its experts."""
    return hybrid_lm(config, [gated_ffn(config)] * config.layers())


def hybrid_lm(config: Config, ffns: list[FFNSpec | MoESpec | None]) -> ModelSpec:
    """Return the model whose layers are of the kinds that `layer_types` lists, else
    attention in every `full_attention_interval`-th. Norms' gains are 1 + w.
    """
    mixers = {
        "linear_attention": gated_delta_net(config),
        "full_attention": gated_attention(config),
    }
    layers = (
        decoder_layer(config, mixers[kind], ffn)
        for kind, ffn in zip(layer_kinds(config), ffns, strict=True)
    )
    return causal_lm(
        config,
        tuple(replace(one, norm=replace(one.norm, offset=1.0)) for one in layers),
    )


def layer_kinds(config: Config) -> tuple[str, ...]:
    """Return each layer's kind, "linear_attention" or "full_attention"."""
    every, depth = config.count("full_attention_interval", 4), config.layers()
    rule = (
        "linear_attention" if (i + 1) % every else "full_attention"
        for i in range(depth)
    )
    return config.words("layer_types", depth, allowed=LAYER_KINDS) or tuple(rule)


def gated_delta_net(config: Config) -> GatedDeltaNetSpec:
    """Return the linear mixer: heads of values that share fewer heads of queries and
    keys.
    """
    return GatedDeltaNetSpec(
        key_heads=config.count("linear_num_key_heads"),
        value_heads=config.count("linear_num_value_heads"),
        key_dim=config.count("linear_key_head_dim"),
        value_dim=config.count("linear_value_head_dim"),
        conv=config.count("linear_conv_kernel_dim", 4),
    )


def gated_attention(config: Config) -> AttentionSpec:
    """Return grouped attention: norms on each head's query and key, a quarter of each
    head turned, and a sigmoid gate on the output.
    """
    if not config.flag("attn_output_gate", True):
        raise ValueError("config field 'attn_output_gate': False; only True is known")
    bias, width = config.flag("attention_bias", False), config.count("head_dim", 256)
    return AttentionSpec(
        heads=config.count("num_attention_heads"),
        kv_heads=kv_heads_of(config),
        head_dim=width,
        value_dim=width,
        bias_qkv=bias,
        bias_out=bias,
        qk_norm="head",
        rope=rope_spec(config, width, fraction=0.25),
        output_gate=True,
    )


def shared_experts(config: Config, *, renormalise: bool) -> MoESpec:
    """Return many narrow experts beside a shared one, which a learned scalar gates."""
    return narrow_experts(
        config,
        renormalise=renormalise,
        shared=1,
        shared_width=config.count("shared_expert_intermediate_size"),
        shared_gate=True,
    )


def embeddings_of(config: Config) -> EmbeddingSpec:
    """Return the embedding, whose table is the head too where the whole model ties
    them.
    """
    return EmbeddingSpec(tied=config.flag("tie_word_embeddings", False))
