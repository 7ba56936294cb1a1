"""Encoders beside BERT: DistilBERT, MPNet, Nomic BERT, ELECTRA.

They stand for what the config's `architectures` name, or, where they name none, for the
family's `...Model` of `transformers`, with its pooler where it has one.
"""

from course_lib.specs.classes import BACKBONE, SPANS, TOKENS, Ends
from course_lib.specs.families.bert import BERT, POOLED, bert
from course_lib.specs.families.gpt import full_attention, layer_norm, mlp, share_of
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
from course_lib.specs.rotary import rope_spec

DISTILBERT = {
    "Model": BACKBONE,
    "ForMaskedLM": Ends(head="mlm", before="transform"),
    "ForSequenceClassification": POOLED,
    "ForMultipleChoice": Ends(head="classifier", outputs=1, before="dense"),
    "ForTokenClassification": TOKENS,
    "ForQuestionAnswering": SPANS,
}
"""DistilBERT's classes, which have a dense layer and no pooler."""
ELECTRA = {
    **DISTILBERT,
    "ForQuestionAnswering": TOKENS,
    "ForCausalLM": Ends(head="lm", before="transform"),
    "ForPreTraining": Ends(head="token_classifier", outputs=1, before="dense"),
}
"""ELECTRA's: its discriminator says of every token whether it is the text's own."""
MPNET = {
    name: BERT[name]
    for name in (
        "Model",
        "ForMaskedLM",
        "ForSequenceClassification",
        "ForMultipleChoice",
        "ForTokenClassification",
        "ForQuestionAnswering",
    )
}
NOMIC = {
    "Model": BACKBONE,
    "ForMaskedLM": BERT["ForMaskedLM"],
    "ForSequenceClassification": POOLED,
    "ForTokenClassification": TOKENS,
}
NOMIC_OLD = (
    ("hidden_size", "n_embd"),
    ("num_attention_heads", "n_head"),
    ("num_hidden_layers", "n_layer"),
    ("intermediate_size", "n_inner"),
    ("max_position_embeddings", "n_positions"),
)
"""Names in `transformers`, and those of the files that were published before it had the
family.
"""


def distilbert(config: Config) -> ModelSpec:
    """BERT with half the layers and no token types, under names of its own. Its table
    of positions may begin as sines, and is trained all the same.
    """
    width = config.count(config.first("hidden_size", "dim"))
    heads = config.count(config.first("num_attention_heads", "n_heads"))
    norm = layer_norm(1e-12)
    activation = config.word("activation", "gelu")
    layer = LayerSpec(
        mixer=full_attention(width, heads, causal=False),
        ffn=mlp(config.count("hidden_dim"), activation),
        norm=norm,
        norm_layout="post",
    )
    depth = config.layers(config.first("num_hidden_layers", "n_layers"))
    rows = config.count("max_position_embeddings")
    return encoder(
        config,
        width,
        (layer,) * depth,
        embeddings={"learned_positions": rows},
        activation=activation,
        context=rows,
    )


def mpnet(config: Config) -> ModelSpec:
    """BERT without token types, whose scores have T5's biases as well: one table for
    all layers. Two rows of its positions belong to padding.
    """
    width, heads = config.count("hidden_size"), config.count("num_attention_heads")
    share = share_of(width, heads)
    norm = layer_norm(config.number("layer_norm_eps", 1e-12))
    ffn = mlp(config.count("intermediate_size"), config.word("hidden_act", "gelu"))
    buckets = config.count("relative_attention_num_buckets", 32)
    layers = [
        LayerSpec(
            mixer=AttentionSpec(
                heads=heads,
                kv_heads=heads,
                head_dim=share,
                value_dim=share,
                bias_qkv=True,
                bias_out=True,
                causal=False,
                relative_buckets=0 if i else buckets,
            ),
            ffn=ffn,
            norm=norm,
            norm_layout="post",
        )
        for i in range(config.layers())
    ]
    rows, padding = config.count("max_position_embeddings"), 2
    return encoder(
        config,
        width,
        tuple(layers),
        embeddings={"learned_positions": rows, "position_offset": padding},
        activation="gelu",
        context=rows - padding,
    )


def nomic_bert(config: Config) -> ModelSpec:
    """Post-norm encoder with RoPE and a gated FFN, without biases but in its norms."""
    config = config.renamed(NOMIC_OLD)
    width, heads = config.count("hidden_size"), config.count("num_attention_heads")
    norm = layer_norm(config.number("layer_norm_eps", 1e-12))
    share = config.get("head_dim") or share_of(width, heads)
    head_dim = config.count("head_dim", share)
    theta = config.number("rotary_emb_base", 1000.0, above=0)
    activation = config.word("hidden_act", "silu")
    layer = LayerSpec(
        mixer=AttentionSpec(
            heads=heads,
            kv_heads=heads,
            head_dim=head_dim,
            value_dim=head_dim,
            rope=rope_spec(config, head_dim, theta=theta),
            causal=False,
        ),
        ffn=FFNSpec(
            kind="glu", activation=activation, width=config.count("intermediate_size")
        ),
        norm=norm,
        norm_layout="post",
    )
    return encoder(
        config,
        width,
        (layer,) * config.layers(),
        embeddings={"token_types": config.count("type_vocab_size", 2)},
        activation=activation,
        context=config.count("max_position_embeddings", None),
        norm=norm,
    )


def electra(config: Config) -> ModelSpec:
    """BERT, if the words are as wide as the model; its heads are its own."""
    width = config.count("hidden_size")
    words = config.count("embedding_size", 128)
    if words != width:
        raise ValueError(
            f"config field 'embedding_size': {words} is not the hidden_size of "
            f"{width}; words of a width of their own are not supported"
        )
    return bert(config)


def encoder(
    config: Config,
    width: int,
    layers: tuple[LayerSpec, ...],
    *,
    embeddings: dict,
    activation: str,
    context: int | None,
    norm: NormSpec | None = None,
) -> ModelSpec:
    """Return a post-norm encoder around its layers; `activation` stands before a masked
    model's word table.
    """
    own = norm or layers[0].norm
    return ModelSpec(
        name=config.model_type,
        family=config.model_type,
        width=width,
        vocab=config.count("vocab_size"),
        layers=layers,
        embeddings=EmbeddingSpec(
            tied=config.flag("tie_word_embeddings", True),
            norm=own,
            head_bias=True,
            **embeddings,
        ),
        context=context,
        transform=TransformSpec(activation=activation, bias=True, norm=own),
    )
