"""The transformers before the LLaMA line: GPT-2 (and GPT-3), BERT, T5, BART, PaLM.

They stand for `GPT2LMHeadModel`, `BertModel` (with its pooler), `T5ForConditionalGeneration` and
`BartForConditionalGeneration` of `transformers`. PaLM is not there: "palm" and its fields are this course's.
"""

from course_lib.specs.reader import Config
from course_lib.specs.rotary import rope_spec
from course_lib.specs.schema import AttentionSpec, EmbeddingSpec, FFNSpec, LayerSpec, ModelSpec, NormSpec


def gpt2(config: Config) -> ModelSpec:
    """Pre-norm decoder with learned positions and biases. GPT-3 is described in the same fields."""
    width = config.count("n_embd")
    norm = layer_norm(config.number("layer_norm_epsilon", 1e-5))
    activation = config.word("activation_function", "gelu_new")
    layer = LayerSpec(
        mixer=full_attention(width, config.count("n_head")),
        ffn=mlp(config.count("n_inner", 4 * width), activation),
        norm=norm,
    )
    return model(
        config,
        width,
        layers=(layer,) * config.layers("n_layer"),
        embeddings=EmbeddingSpec(
            tied=config.flag("tie_word_embeddings", True), learned_positions=config.count("n_positions")
        ),
        final_norm=norm,
        context=config.count("n_positions"),
    )


def bert(config: Config) -> ModelSpec:
    """Post-norm encoder which sees both sides, with learned positions and token types."""
    width, context = config.count("hidden_size"), config.count("max_position_embeddings")
    norm = layer_norm(config.number("layer_norm_eps", 1e-12))
    layer = LayerSpec(
        mixer=full_attention(width, config.count("num_attention_heads"), causal=False),
        ffn=mlp(config.count("intermediate_size"), config.word("hidden_act", "gelu")),
        norm=norm,
        norm_layout="post",
    )
    types = config.count("type_vocab_size", 2)
    return model(
        config,
        width,
        layers=(layer,) * config.layers(),
        embeddings=EmbeddingSpec(learned_positions=context, token_types=types, norm=norm),
        head="pooler",
        context=context,
    )


def t5(config: Config) -> ModelSpec:
    """Pre-norm encoder-decoder: RMSNorm, no biases, unscaled scores, one table of position biases a stack.

    T5 1.1 unties its head (`tie_word_embeddings` false); `transformers` 5 ties it all the same.
    """
    depth = config.layers("num_layers")
    norm = NormSpec(kind="rmsnorm", eps=config.number("layer_norm_epsilon", 1e-6))
    return model(
        config,
        config.count("d_model"),
        encoder=t5_stack(config, depth, norm, causal=False),
        layers=t5_stack(config, config.layers("num_decoder_layers", depth), norm, causal=True),
        embeddings=EmbeddingSpec(tied=config.flag("tie_word_embeddings", True)),
        final_norm=norm,
        context=config.count("n_positions", None),
    )


def t5_stack(config: Config, depth: int, norm: NormSpec, *, causal: bool) -> tuple[LayerSpec, ...]:
    """Return T5's encoder, or its decoder (`causal`); the first layer owns the table of position biases."""
    buckets = config.count("relative_attention_num_buckets", 32)
    ffn, cross = t5_ffn(config), t5_attention(config, causal=False) if causal else None
    layers = (t5_attention(config, causal=causal, relative_buckets=0 if i else buckets) for i in range(depth))
    return tuple(LayerSpec(mixer=mixer, cross=cross, ffn=ffn, norm=norm) for mixer in layers)


def t5_attention(config: Config, **options) -> AttentionSpec:
    """Return T5's attention, whose heads need not add up to the width."""
    heads, width = config.count("num_heads"), config.count("d_kv")
    return AttentionSpec(heads=heads, kv_heads=heads, head_dim=width, value_dim=width, scale=1.0, **options)


def t5_ffn(config: Config) -> FFNSpec:
    """Return T5's FFN: "relu", or "gated-gelu" in T5 1.1."""
    gate, _, activation = config.word("feed_forward_proj", "relu").rpartition("-")
    activation = "gelu_new" if (gate, activation) == ("gated", "gelu") else activation
    kind = "glu" if gate == "gated" else "mlp"
    return FFNSpec(kind=kind, activation=activation, width=config.count("d_ff"))


def bart(config: Config) -> ModelSpec:
    """Post-norm encoder-decoder with biases; its position tables have two rows before the first position."""
    width, context = config.count("d_model"), config.count("max_position_embeddings")
    norm, offset = layer_norm(1e-5), 2
    scale = width**0.5 if config.flag("scale_embedding", False) else 1.0
    tied = config.flag("tie_word_embeddings", True)
    return model(
        config,
        width,
        encoder=bart_stack(config, "encoder", norm),
        layers=bart_stack(config, "decoder", norm),
        embeddings=EmbeddingSpec(
            tied=tied, learned_positions=context + offset, position_offset=offset, norm=norm, scale=scale
        ),
        context=context,
    )


def bart_stack(config: Config, side: str, norm: NormSpec) -> tuple[LayerSpec, ...]:
    """Return BART's encoder or its decoder, which also reads the encoder."""
    width, heads = config.count("d_model"), config.count(f"{side}_attention_heads")
    layer = LayerSpec(
        mixer=full_attention(width, heads, causal=side == "decoder"),
        cross=full_attention(width, heads, causal=False) if side == "decoder" else None,
        ffn=mlp(config.count(f"{side}_ffn_dim"), config.word("activation_function", "gelu")),
        norm=norm,
        norm_layout="post",
    )
    return (layer,) * config.layers(f"{side}_layers")


def palm(config: Config) -> ModelSpec:
    """One KV head for all, attention and SwiGLU side by side on one norm, and no bias anywhere."""
    width, head_dim = config.count("hidden_size"), config.count("head_dim")
    norm = NormSpec(kind="layernorm", eps=config.number("layer_norm_eps", 1e-6))
    layer = LayerSpec(
        mixer=AttentionSpec(
            heads=config.count("num_attention_heads"),
            kv_heads=config.count("num_key_value_heads"),
            head_dim=head_dim,
            value_dim=head_dim,
            rope=rope_spec(config, head_dim),
        ),
        ffn=FFNSpec(kind="glu", activation="silu", width=config.count("intermediate_size")),
        norm=norm,
        norm_layout="parallel",
    )
    return model(
        config,
        width,
        layers=(layer,) * config.layers(),
        embeddings=EmbeddingSpec(tied=config.flag("tie_word_embeddings", True)),
        final_norm=norm,
        context=config.count("max_position_embeddings"),
    )


def full_attention(width: int, heads: int, *, causal: bool = True) -> AttentionSpec:
    """Return attention whose heads divide the width, with biases and no positions of its own."""
    if width % heads:
        raise ValueError(f"config: {heads} heads do not divide a width of {width}")
    share = width // heads
    return AttentionSpec(
        heads=heads,
        kv_heads=heads,
        head_dim=share,
        value_dim=share,
        bias_qkv=True,
        bias_out=True,
        causal=causal,
    )


def mlp(width: int, activation: str) -> FFNSpec:
    """Return a plain two-matrix FFN with biases."""
    return FFNSpec(kind="mlp", activation=activation, width=width, bias=True)


def layer_norm(eps: float) -> NormSpec:
    """Return a LayerNorm with a gain and a shift."""
    return NormSpec(kind="layernorm", eps=eps, bias=True)


def model(config: Config, width: int, **parts) -> ModelSpec:
    """Return the model, named after its family."""
    family = config.model_type
    return ModelSpec(name=family, family=family, width=width, vocab=config.count("vocab_size"), **parts)
