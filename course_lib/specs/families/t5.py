"""Encoder-decoders: T5 (1.0 and 1.1), mT5, umT5, BART, mBART, Marian, Pegasus.

They stand for `T5ForConditionalGeneration`, `BartForConditionalGeneration`,
`MarianMTModel` and their kin of `transformers`, or for what `architectures` name: an
encoder or a decoder alone, both without a head, a classifier.
"""

from dataclasses import replace

from course_lib.specs.classes import BACKBONE, LABELS, LM, SPANS, TOKENS, Ends
from course_lib.specs.families.gpt import full_attention, layer_norm, mlp, model
from course_lib.specs.reader import Config
from course_lib.specs.records import (
    AttentionSpec,
    EmbeddingSpec,
    FFNSpec,
    LayerSpec,
    ModelSpec,
    NormSpec,
)

CLASSIFIER = Ends(head="classifier", outputs=LABELS, before="dense")
T5 = {
    "ForConditionalGeneration": LM,
    "Model": BACKBONE,
    "EncoderModel": Ends(head="none", stack="encoder"),
    "ForSequenceClassification": CLASSIFIER,
    "ForTokenClassification": Ends(
        head="token_classifier", outputs=LABELS, stack="encoder"
    ),
    "ForQuestionAnswering": TOKENS,
}
BART = {
    "ForConditionalGeneration": LM,
    "MTModel": LM,
    "Model": BACKBONE,
    "ForCausalLM": Ends(head="lm", stack="decoder"),
    "ForSequenceClassification": CLASSIFIER,
    "ForQuestionAnswering": SPANS,
}


def t5(config: Config) -> ModelSpec:
    """Pre-norm encoder-decoder: RMSNorm, no biases, unscaled scores, one table of
    position biases a stack.

    T5 1.0 ties its head to the words and scales what it reads by d^-1/2; 1.1 does
    neither. A config of version 4 says so by `tie_word_embeddings`. Version 5 of
    `transformers` turns that into `scale_decoder_outputs` and writes
    `tie_word_embeddings` true for both.
    """
    tied = config.flag(
        "scale_decoder_outputs", config.flag("tie_word_embeddings", True)
    )
    return t5_pair(config, tied=tied, scaled=tied)


def mt5(config: Config) -> ModelSpec:
    """T5 1.1 on words of many languages. `transformers` ties its head, whatever the
    config says, and scales nothing.
    """
    return t5_pair(config, tied=True, scaled=False, proj="gated-gelu")


def umt5(config: Config) -> ModelSpec:
    """mT5 in which every layer owns a table of position biases. `transformers` ties its
    head and scales what it reads.
    """
    return t5_pair(config, tied=True, scaled=True, proj="gated-gelu", tables="all")


def t5_pair(
    config: Config,
    *,
    tied: bool,
    scaled: bool,
    proj: str = "relu",
    tables: str = "first",
) -> ModelSpec:
    """Return T5's two stacks around one word table; `proj` is the default of its FFN,
    and `tables` says which layers own position biases.
    """
    width, depth = config.count("d_model"), config.layers("num_layers")
    norm = NormSpec(kind="rmsnorm", eps=config.number("layer_norm_epsilon", 1e-6))
    options = {"ffn": t5_ffn(config, proj), "tables": tables}
    return model(
        config,
        width,
        encoder=t5_stack(config, depth, norm, causal=False, **options),
        layers=t5_stack(
            config,
            config.layers("num_decoder_layers", depth),
            norm,
            causal=True,
            **options,
        ),
        embeddings=EmbeddingSpec(tied=tied),
        final_norm=norm,
        logit_scale=width**-0.5 if scaled else 1.0,
        context=config.count("n_positions", None),
    )


def t5_stack(
    config: Config,
    depth: int,
    norm: NormSpec,
    *,
    causal: bool,
    ffn: FFNSpec,
    tables: str,
) -> tuple[LayerSpec, ...]:
    """Return T5's encoder, or its decoder (`causal`); the first layer owns the table of
    position biases, or each its own.
    """
    buckets = config.count("relative_attention_num_buckets", 32)
    furthest = config.count("relative_attention_max_distance", 128)
    cross = t5_attention(config, causal=False) if causal else None
    options = {"causal": causal, "relative_max_distance": furthest}
    mixers = (
        t5_attention(
            config,
            relative_buckets=buckets if i == 0 or tables == "all" else 0,
            **options,
        )
        for i in range(depth)
    )
    return tuple(
        LayerSpec(mixer=mixer, cross=cross, ffn=ffn, norm=norm) for mixer in mixers
    )


def t5_attention(config: Config, **options) -> AttentionSpec:
    """Return T5's attention, whose heads need not add up to the width."""
    heads, width = config.count("num_heads"), config.count("d_kv")
    return AttentionSpec(
        heads=heads,
        kv_heads=heads,
        head_dim=width,
        value_dim=width,
        scale=1.0,
        **options,
    )


def t5_ffn(config: Config, proj: str) -> FFNSpec:
    """Return T5's FFN: "relu", or "gated-gelu" in T5 1.1."""
    gate, _, activation = config.word("feed_forward_proj", proj).rpartition("-")
    if gate not in ("", "gated"):
        raise ValueError(
            f"config field 'feed_forward_proj': {gate}-{activation} is neither an "
            "activation nor 'gated-' and one"
        )
    activation = "gelu_new" if (gate, activation) == ("gated", "gelu") else activation
    kind = "glu" if gate == "gated" else "mlp"
    return FFNSpec(kind=kind, activation=activation, width=config.count("d_ff"))


def bart(config: Config) -> ModelSpec:
    """Post-norm encoder-decoder with biases; its position tables have two rows before
    the first position.
    """
    context, offset = config.count("max_position_embeddings"), 2
    positions = {
        "learned_positions": context + offset,
        "position_offset": offset,
        "norm": layer_norm(1e-5),
    }
    return post_norm_pair(config, context=context, **positions)


def mbart(config: Config) -> ModelSpec:
    """BART with its norms before each part, and one more behind each stack."""
    context, offset = config.count("max_position_embeddings"), 2
    positions = {
        "learned_positions": context + offset,
        "position_offset": offset,
        "norm": layer_norm(1e-5),
    }
    return norm_first_pair(config, context=context, **positions)


def pegasus(config: Config) -> ModelSpec:
    """mBART with sines for positions and no norm on the words."""
    context = config.count("max_position_embeddings")
    return norm_first_pair(config, context=context, sinusoidal="halves")


def norm_first_pair(config: Config, *, context: int, **positions) -> ModelSpec:
    """Return BART's two stacks with their norms first.

    Raises:
        ValueError: encoder, decoder and head have word tables of their own.
    """
    if not config.flag("tie_word_embeddings", True):
        raise ValueError(
            "config field 'tie_word_embeddings': only one word table, true, is "
            f"supported for {config.model_type}"
        )
    pair = post_norm_pair(config, context=context, **positions)
    return replace(
        pair,
        encoder=norm_first(pair.encoder),
        layers=norm_first(pair.layers),
        final_norm=layer_norm(1e-5),
    )


def norm_first(stack: tuple[LayerSpec, ...]) -> tuple[LayerSpec, ...]:
    """Return a stack of post-norm layers as pre-norm ones."""
    return (replace(stack[0], norm_layout="pre"),) * len(stack)


def marian(config: Config) -> ModelSpec:
    """BART with sines for positions and no norm on the words; its shift of the logits
    is trained.

    Raises:
        ValueError: encoder and decoder have word tables of their own.
    """
    shared = config.flag("share_encoder_decoder_embeddings", True)
    vocab = config.count("vocab_size")
    if not shared or config.count("decoder_vocab_size", vocab) != vocab:
        raise ValueError(
            "config field 'share_encoder_decoder_embeddings': only one shared table "
            "is supported"
        )
    return post_norm_pair(
        config, context=config.count("max_position_embeddings"), sinusoidal="halves"
    )


def post_norm_pair(config: Config, *, context: int, **positions) -> ModelSpec:
    """Return BART's two stacks around one word table; `positions` goes to its
    `EmbeddingSpec`.
    """
    width, norm = config.count("d_model"), layer_norm(1e-5)
    scale = width**0.5 if config.flag("scale_embedding", False) else 1.0
    tied = config.flag("tie_word_embeddings", True)
    return model(
        config,
        width,
        encoder=post_norm_stack(config, "encoder", norm),
        layers=post_norm_stack(config, "decoder", norm),
        embeddings=EmbeddingSpec(tied=tied, scale=scale, head_shift=True, **positions),
        context=context,
    )


def post_norm_stack(config: Config, side: str, norm: NormSpec) -> tuple[LayerSpec, ...]:
    """Return the encoder or the decoder, which also reads the encoder."""
    width, heads = config.count("d_model"), config.count(f"{side}_attention_heads")
    layer = LayerSpec(
        mixer=full_attention(width, heads, causal=side == "decoder"),
        cross=full_attention(width, heads, causal=False) if side == "decoder" else None,
        ffn=mlp(
            config.count(f"{side}_ffn_dim"), config.word("activation_function", "gelu")
        ),
        norm=norm,
        norm_layout="post",
    )
    return (layer,) * config.layers(f"{side}_layers")
