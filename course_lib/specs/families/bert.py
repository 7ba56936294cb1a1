"""Encoders, which see both sides: BERT, RoBERTa, ModernBERT.

They stand for the class that the config's `architectures` name: `BertForMaskedLM`,
`RobertaForSequenceClassification` ..., or, where they name none, for `BertModel` and
`RobertaModel` (with their poolers) and `ModernBertModel` of `transformers`. With
`is_decoder`, BERT and RoBERTa are causal, and may attend to an encoder.
"""

from course_lib.specs.classes import LABELS, TOKENS, Ends
from course_lib.specs.families.gpt import (
    cross_attention,
    full_attention,
    layer_norm,
    mlp,
    model,
    share_of,
)
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

POOLED = Ends(head="classifier", outputs=LABELS, before="dense")
BERT = {
    "Model": Ends(head="pooler"),
    "ForMaskedLM": Ends(head="mlm", before="transform"),
    "ForPreTraining": Ends(head="mlm", outputs=2, before="transform"),
    "LMHeadModel": Ends(head="lm", before="transform"),
    "ForCausalLM": Ends(head="lm", before="transform"),
    "ForNextSentencePrediction": Ends(head="classifier", outputs=2, before="dense"),
    "ForSequenceClassification": POOLED,
    "ForMultipleChoice": Ends(head="classifier", outputs=1, before="dense"),
    "ForTokenClassification": TOKENS,
    "ForQuestionAnswering": TOKENS,
}
"""BERT's classes and RoBERTa's, whose classification head has a dense layer of its own
in the pooler's place.
"""
MODERNBERT = {
    "Model": Ends(head="none"),
    "ForMaskedLM": Ends(head="mlm", before="transform"),
    "ForSequenceClassification": Ends(
        head="classifier", outputs=LABELS, before="transform"
    ),
    "ForMultipleChoice": Ends(head="classifier", outputs=1, before="transform"),
    "ForTokenClassification": Ends(
        head="token_classifier", outputs=LABELS, before="transform"
    ),
    "ForQuestionAnswering": Ends(
        head="token_classifier", outputs=LABELS, before="transform"
    ),
}
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
    heads, causal = (
        config.count("num_attention_heads"),
        config.flag("is_decoder", False),
    )
    layer = LayerSpec(
        mixer=full_attention(width, heads, causal=causal),
        cross=cross_attention(config, width, heads, decodes=causal),
        ffn=mlp(config.count("intermediate_size"), config.word("hidden_act", "gelu")),
        norm=norm,
        norm_layout="post",
    )
    embeddings = EmbeddingSpec(
        tied=config.flag("tie_word_embeddings", True),
        learned_positions=rows,
        position_offset=position_offset,
        token_types=config.count("type_vocab_size", 2),
        norm=norm,
        head_bias=True,
    )
    return model(
        config,
        width,
        layers=(layer,) * config.layers(),
        embeddings=embeddings,
        context=rows - position_offset,
        transform=TransformSpec(activation=head_activation, bias=True, norm=norm),
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
        transform=transform,
        embeddings=EmbeddingSpec(
            tied=config.flag("tie_word_embeddings", True),
            norm=norm,
            head_bias=config.flag("decoder_bias", True),
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
    local = layer_type == LAYER_TYPES[1]
    field, theta = ("local_rope_theta", 1e4) if local else ("global_rope_theta", 1.6e5)
    theta = config.number(field, theta, above=0)
    return AttentionSpec(
        heads=heads,
        kv_heads=heads,
        head_dim=share_of(width, heads),
        value_dim=share_of(width, heads),
        window=config.count("local_attention", 128) if local else None,
        rope=rope_spec(config, width // heads, layer_type=layer_type, theta=theta),
        bias_qkv=bias,
        bias_out=bias,
        causal=False,
    )
