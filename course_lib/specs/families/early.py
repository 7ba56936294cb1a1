"""Decoders before the LLaMA line: GPT-2 (and GPT-3) and PaLM, and the parts that early families share.

"gpt2" stands for `GPT2LMHeadModel` of `transformers`. PaLM is not there: "palm" and its fields are this
course's.
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
