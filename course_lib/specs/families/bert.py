"""Encoders, which see both sides: BERT, RoBERTa, ModernBERT.

They stand for `BertModel` and `RobertaModel` (with their poolers) and `ModernBertModel`
of `transformers`. Where the config's `architectures` name a `...ForMaskedLM`, they
stand for that.
"""

from typing import Any

from course_lib.specs.families.gpt import full_attention, layer_norm, mlp, model
from course_lib.specs.reader import Config
from course_lib.specs.records import (
    AttentionSpec,
    EmbeddingSpec,
    FFNSpec,
    LayerSpec,
    ModelSpec,
    NormSpec,
    TransformSpec,
)
from course_lib.specs.rotary import LAYER_TYPES, rope_spec

# ModernBERT: every third layer sees the whole text, where the config says nothing.
LONGEST_PAUSE = 3


def bert(config: Config) -> ModelSpec:
    """Post-norm encoder with learned positions and token types."""
    return post_norm_encoder(
        config, position_offset=0, head_activation=config.word("hidden_act", "gelu")
    )


def roberta(config: Config) -> ModelSpec:
    """BERT whose positions start after the padding id: the table's rows up to it belong
    to padding.
    """
    padding = config.count("pad_token_id", 1, least=0)
    return post_norm_encoder(
        config, position_offset=padding + 1, head_activation="gelu"
    )


def post_norm_encoder(
    config: Config, *, position_offset: int, head_activation: str
) -> ModelSpec:
    """Return BERT, or what shares its layers; `head_activation` stands before a masked
    model's word table.
    """
    width, rows = config.count("hidden_size"), config.count("max_position_embeddings")
    norm = layer_norm(config.number("layer_norm_eps", 1e-12))
    layer = LayerSpec(
        mixer=full_attention(width, config.count("num_attention_heads"), causal=False),
        ffn=mlp(config.count("intermediate_size"), config.word("hidden_act", "gelu")),
        norm=norm,
        norm_layout="post",
    )
    embeddings = {
        "learned_positions": rows,
        "position_offset": position_offset,
        "token_types": config.count("type_vocab_size", 2),
        "norm": norm,
    }
    transform = TransformSpec(activation=head_activation, bias=True, norm=norm)
    return model(
        config,
        width,
        layers=(layer,) * config.layers(),
        context=rows - position_offset,
        **head(config, transform, embeddings, without="pooler"),
    )


def modernbert(config: Config) -> ModelSpec:
    """Pre-norm encoder: RoPE, GeGLU, no biases; two local layers after each that sees
    the whole text.

    A local layer sees half of `local_attention` tokens on either side. The first
    layer's attention has no
    norm: the words have just been through one.
    """
    width, depth = config.count("hidden_size"), config.layers()
    norm = NormSpec(
        kind="layernorm",
        eps=config.number("norm_eps", 1e-5),
        bias=config.flag("norm_bias", False),
    )
    ffn = FFNSpec(
        kind="glu",
        activation=config.word("hidden_activation", "gelu"),
        width=config.count("intermediate_size"),
        bias=config.flag("mlp_bias", False),
    )
    mixers = (
        modernbert_attention(config, width, kind)
        for kind in modernbert_layer_types(config, depth)
    )
    transform = TransformSpec(
        activation=config.word("classifier_activation", "gelu"),
        bias=config.flag("classifier_bias", False),
        norm=norm,
    )
    return model(
        config,
        width,
        layers=tuple(
            LayerSpec(mixer=mixer, ffn=ffn, norm=norm, mixer_norm=i > 0)
            for i, mixer in enumerate(mixers)
        ),
        final_norm=norm,
        context=config.count("max_position_embeddings", None),
        **head(
            config,
            transform,
            {"norm": norm},
            without="none",
            bias=config.flag("decoder_bias", True),
        ),
    )


def modernbert_layer_types(config: Config, depth: int) -> tuple[str, ...]:
    """Return each layer's kind: listed, or every n-th, from the first on, sees the
    whole text.
    """
    every = config.count("global_attn_every_n_layers", LONGEST_PAUSE)
    listed = config.words("layer_types", depth, allowed=LAYER_TYPES)
    return listed or tuple(LAYER_TYPES[bool(i % every)] for i in range(depth))


def modernbert_attention(config: Config, width: int, layer_type: str) -> AttentionSpec:
    """Return the attention of one kind of layer, which has a base of its own for
    RoPE.
    """
    heads, bias = (
        config.count("num_attention_heads"),
        config.flag("attention_bias", False),
    )
    if width % heads:
        raise ValueError(f"config: {heads} heads do not divide a width of {width}")
    local = layer_type == LAYER_TYPES[1]
    field, theta = ("local_rope_theta", 1e4) if local else ("global_rope_theta", 1.6e5)
    theta = config.number(field, theta, above=0)
    return AttentionSpec(
        heads=heads,
        kv_heads=heads,
        head_dim=width // heads,
        value_dim=width // heads,
        window=config.count("local_attention", 128) if local else None,
        rope=rope_spec(config, width // heads, layer_type=layer_type, theta=theta),
        bias_qkv=bias,
        bias_out=bias,
        causal=False,
    )


def head(
    config: Config,
    transform: TransformSpec,
    embeddings: dict[str, Any],
    *,
    without: str,
    bias: bool = True,
) -> dict[str, Any]:
    """Return what follows the last layer: a masked model's head where `architectures`
    ask, or `without`.
    """
    if not any(name.endswith("ForMaskedLM") for name in config.names("architectures")):
        return {"head": without, "embeddings": EmbeddingSpec(**embeddings)}
    tied = config.flag("tie_word_embeddings", True)
    words = EmbeddingSpec(**embeddings, tied=tied, head_bias=bias)
    return {"head": "mlm", "transform": transform, "embeddings": words}
