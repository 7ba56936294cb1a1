"""Gemma 2 and Gemma 3: windows in most layers, norms around each sublayer, gains
written as 1 + w.

Each stands for `Gemma2ForCausalLM` or `Gemma3ForCausalLM` of `transformers` (Gemma 3's
text model alone).
"""

from course_lib.specs.families.llama import (
    attention,
    causal_lm,
    head_dim_of,
    windows_of,
)
from course_lib.specs.reader import Config
from course_lib.specs.records import (
    EmbeddingSpec,
    FFNSpec,
    LayerSpec,
    ModelSpec,
    NormSpec,
    RopeSpec,
)
from course_lib.specs.rotary import LAYER_TYPES, rope_spec


def gemma2(config: Config) -> ModelSpec:
    """Windows in every other layer; scores and logits are soft-capped."""
    windows = windows_of(config, lambda i: i % 2 == 0)
    rope = rope_spec(config, head_dim_of(config))
    cap = soft_cap(config, "attn_logit_softcapping", 50.0)
    layers = [gemma_layer(config, window, rope, softcap=cap) for window in windows]
    return gemma_lm(config, layers, soft_cap(config, "final_logit_softcapping", 30.0))


def gemma3_text(config: Config) -> ModelSpec:
    """Five windowed layers to a full one, each kind with its own RoPE base; norms on
    query and key.
    """
    pattern = config.count("sliding_window_pattern", 6)
    windows = windows_of(config, lambda i: (i + 1) % pattern != 0)
    ropes = {
        True: local_rope(config),
        False: rope_spec(config, head_dim_of(config), theta=1e6),
    }
    options = {
        "qk_norm": "head",
        "softcap": soft_cap(config, "attn_logit_softcapping", None),
    }
    layers = [
        gemma_layer(config, window, ropes[window is not None], **options)
        for window in windows
    ]
    return gemma_lm(config, layers, soft_cap(config, "final_logit_softcapping", None))


def gemma_layer(
    config: Config, window: int | None, rope: RopeSpec, **options
) -> LayerSpec:
    """Return a Gemma block."""
    if config.flag("use_bidirectional_attention", False):
        raise ValueError(
            "config field 'use_bidirectional_attention': true "
            "is not supported, only false"
        )
    bias = config.flag("attention_bias", False)
    mixer = attention(
        config,
        window=window,
        rope=rope,
        bias_qkv=bias,
        bias_out=bias,
        scale=config.number("query_pre_attn_scalar", 256.0, above=0) ** -0.5,
        **options,
    )
    norm = NormSpec(kind="rmsnorm", eps=config.number("rms_norm_eps", 1e-6), offset=1.0)
    return LayerSpec(
        mixer=mixer, ffn=gemma_ffn(config), norm=norm, norm_layout="sandwich"
    )


def gemma_ffn(config: Config) -> FFNSpec:
    """Return Gemma's GeGLU; it reads `hidden_activation` and ignores `hidden_act`."""
    activation = config.word("hidden_activation", "gelu_pytorch_tanh")
    return FFNSpec(
        kind="glu", activation=activation, width=config.count("intermediate_size")
    )


def local_rope(config: Config) -> RopeSpec:
    """Return the RoPE of Gemma 3's windowed layers, which no context extension
    touches.
    """
    tables = {
        "rope_parameters": config.table("rope_parameters"),
        "model_type": config.model_type,
    }
    base = config.number("rope_local_base_freq", 10_000.0, above=0)
    return rope_spec(
        Config(tables), head_dim_of(config), layer_type=LAYER_TYPES[1], theta=base
    )


def soft_cap(config: Config, field: str, default: float | None) -> float | None:
    """Return a cap c, as in c tanh(x / c); a null says that there is none."""
    return config.number(field, config.unless_null(field, default), above=0)


def gemma_lm(
    config: Config, layers: list[LayerSpec], softcap: float | None
) -> ModelSpec:
    """Return the model: words scaled by sqrt(d), and logits capped."""
    scale = config.count("hidden_size") ** 0.5
    embeddings = EmbeddingSpec(
        tied=config.flag("tie_word_embeddings", True), scale=scale
    )
    return causal_lm(
        config, tuple(layers), embeddings=embeddings, logit_softcap=softcap
    )
