"""Decoders before the LLaMA line, GPT-2 (and GPT-3) and BLOOM, and the parts that early
families share.

They stand for `GPT2LMHeadModel` and `BloomForCausalLM` of `transformers`.
"""

from dataclasses import replace

from course_lib.specs.reader import Config
from course_lib.specs.records import (
    AttentionSpec,
    EmbeddingSpec,
    FFNSpec,
    LayerSpec,
    ModelSpec,
    NormSpec,
)


def gpt2(config: Config) -> ModelSpec:
    """Pre-norm decoder with learned positions and biases. GPT-3 is described in the
    same fields.
    """
    if config.flag("scale_attn_by_inverse_layer_idx", False) or not config.flag(
        "scale_attn_weights", True
    ):
        raise ValueError(
            "config fields 'scale_attn_by_inverse_layer_idx' and 'scale_attn_weights': "
            "only false and true, as GPT-2 has them, are supported"
        )
    width = config.count("n_embd")
    norm = layer_norm(config.number("layer_norm_epsilon", 1e-5))
    activation = config.word("activation_function", "gelu_new")
    heads = config.count("n_head")
    layer = LayerSpec(
        mixer=full_attention(width, heads),
        cross=cross_attention(config, width, heads, decodes=True),
        ffn=mlp(config.count("n_inner", 4 * width), activation),
        norm=norm,
    )
    return model(
        config,
        width,
        layers=(layer,) * config.layers("n_layer"),
        embeddings=EmbeddingSpec(
            tied=config.flag("tie_word_embeddings", True),
            learned_positions=config.count("n_positions"),
        ),
        final_norm=norm,
        context=config.count("n_positions"),
    )


def bloom(config: Config) -> ModelSpec:
    """GPT-2 with ALiBi in place of a table of positions, and a norm on the words."""
    if config.flag("apply_residual_connection_post_layernorm", False):
        raise ValueError(
            "config field 'apply_residual_connection_post_layernorm': true is not "
            "supported, only false"
        )
    width = config.count(config.first("n_embed", "hidden_size"))
    norm = layer_norm(config.number("layer_norm_epsilon", 1e-5))
    attention = full_attention(
        width, config.count(config.first("num_attention_heads", "n_head"))
    )
    layer = LayerSpec(
        mixer=replace(attention, alibi=True),
        ffn=mlp(4 * width, "gelu_pytorch_tanh"),
        norm=norm,
    )
    return model(
        config,
        width,
        layers=(layer,) * config.layers(config.first("num_hidden_layers", "n_layer")),
        embeddings=EmbeddingSpec(
            tied=config.flag("tie_word_embeddings", True), norm=norm
        ),
        final_norm=norm,
    )


def full_attention(width: int, heads: int, *, causal: bool = True) -> AttentionSpec:
    """Return attention whose heads divide the width, with biases and no positions of
    its own.
    """
    share = share_of(width, heads)
    return AttentionSpec(
        heads=heads,
        kv_heads=heads,
        head_dim=share,
        value_dim=share,
        bias_qkv=True,
        bias_out=True,
        causal=causal,
    )


def cross_attention(
    config: Config, width: int, heads: int, *, decodes: bool
) -> AttentionSpec | None:
    """Return attention to an encoder's states where the config has
    `add_cross_attention`, which only a decoder may have.
    """
    if not config.flag("add_cross_attention", False):
        return None
    if not decodes:
        raise ValueError(
            "config field 'add_cross_attention': true is allowed with 'is_decoder' "
            "true only"
        )
    return full_attention(width, heads, causal=False)


def share_of(width: int, heads: int) -> int:
    """Return the width of a head where the heads share the model's width out."""
    if width % heads:
        raise ValueError(
            f"config field 'num_attention_heads': {heads} is no divisor of the width "
            f"'hidden_size', {width}"
        )
    return width // heads


def mlp(width: int, activation: str, *, bias: bool = True) -> FFNSpec:
    """Return a plain two-matrix FFN."""
    return FFNSpec(kind="mlp", activation=activation, width=width, bias=bias)


def layer_norm(eps: float) -> NormSpec:
    """Return a LayerNorm with a gain and a shift."""
    return NormSpec(kind="layernorm", eps=eps, bias=True)


def model(config: Config, width: int, **parts) -> ModelSpec:
    """Return the model, named after its family."""
    family = config.model_type
    return ModelSpec(
        name=family,
        family=family,
        width=width,
        vocab=config.count("vocab_size"),
        **parts,
    )
