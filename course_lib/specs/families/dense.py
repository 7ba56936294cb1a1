"""Dense decoders of the LLaMA line. Each stands for `<Family>ForCausalLM` of `transformers`.

llama, mistral, qwen2, qwen3, gemma2, gemma3_text.
"""

from course_lib.specs.reader import Config
from course_lib.specs.rotary import LAYER_TYPES, rope_spec
from course_lib.specs.schema import AttentionSpec, EmbeddingSpec, FFNSpec, LayerSpec, ModelSpec, NormSpec

Windows = tuple[int | None, ...]


def llama(config: Config) -> ModelSpec:
    """LLaMA 1 to 3.1: RMSNorm, RoPE, a SwiGLU FFN; grouped KV heads where the config has them."""
    bias = config.flag("attention_bias", False)
    layer = decoder_layer(config, attention(config, bias_qkv=bias, bias_out=bias))
    return causal_lm(config, (layer,) * config.layers())


def mistral(config: Config) -> ModelSpec:
    """LLaMA with a sliding window in every layer, where `sliding_window` is not null."""
    layer = decoder_layer(config, attention(config, window=config.count("sliding_window", None)))
    return causal_lm(config, (layer,) * config.layers())


def qwen2(config: Config) -> ModelSpec:
    """LLaMA with biases on the query, key and value projections."""
    layers = (decoder_layer(config, attention(config, window=w, bias_qkv=True)) for w in qwen_windows(config))
    return causal_lm(config, tuple(layers))


def qwen3(config: Config) -> ModelSpec:
    """Qwen2 without those biases, but an RMSNorm on each head's query and key."""
    bias = config.flag("attention_bias", False)
    options = {"bias_qkv": bias, "bias_out": bias, "qk_norm": "head"}
    mixers = (attention(config, window=window, **options) for window in qwen_windows(config))
    return causal_lm(config, tuple(decoder_layer(config, mixer) for mixer in mixers))


def gemma2(config: Config) -> ModelSpec:
    """Norms before and after each sublayer, windows in every other layer, soft-capped scores and logits."""
    windows = windows_of(config, lambda i: i % 2 == 0)
    return causal_lm(config, tuple(gemma_layer(config, window) for window in windows), **gemma_ends(config))


def gemma3_text(config: Config) -> ModelSpec:
    """Five windowed layers to one full one, each kind with its own RoPE base, and norms on query and key."""
    pattern = config.count("sliding_window_pattern", 6)
    windows = windows_of(config, lambda i: (i + 1) % pattern != 0)
    layers = tuple(gemma_layer(config, window, third=True) for window in windows)
    return causal_lm(config, layers, **gemma_ends(config))


def rms(config: Config, *, offset: float = 0.0, field: str = "rms_norm_eps") -> NormSpec:
    """Return the family's RMSNorm."""
    return NormSpec(kind="rmsnorm", eps=config.number(field, 1e-6), offset=offset)


def head_dim_of(config: Config) -> int:
    """Return `head_dim`, which a config may leave to hidden_size / num_attention_heads."""
    default = config.count("hidden_size") // config.count("num_attention_heads")
    return config.count("head_dim", max(1, default))


def attention(config: Config, *, window: int | None = None, rope=None, **options) -> AttentionSpec:
    """Return grouped attention with RoPE; without `num_key_value_heads` every head has its own keys."""
    heads, width = config.count("num_attention_heads"), head_dim_of(config)
    return AttentionSpec(
        heads=heads,
        kv_heads=config.count("num_key_value_heads", heads),
        head_dim=width,
        value_dim=width,
        window=window,
        rope=rope or rope_spec(config, width),
        **options,
    )


def gated_ffn(config: Config, field: str = "intermediate_size", activation: str = "silu") -> FFNSpec:
    """Return the family's gated FFN."""
    return FFNSpec(
        kind="glu",
        activation=config.word("hidden_act", activation),
        width=config.count(field),
        bias=config.flag("mlp_bias", False),
    )


def decoder_layer(config: Config, mixer, ffn=None) -> LayerSpec:
    """Return a pre-norm block, with the config's gated FFN unless another is given."""
    return LayerSpec(mixer=mixer, ffn=ffn or gated_ffn(config), norm=rms(config))


def causal_lm(config: Config, layers: tuple[LayerSpec, ...], *, tied: bool = False, **parts) -> ModelSpec:
    """Return the model around the layers; `tied` is the family's default."""
    embeddings = parts.pop("embeddings", EmbeddingSpec(tied=config.flag("tie_word_embeddings", tied)))
    return ModelSpec(
        name=config.model_type,
        family=config.model_type,
        width=config.count("hidden_size"),
        vocab=config.count("vocab_size"),
        layers=layers,
        embeddings=embeddings,
        final_norm=layers[-1].norm,
        context=config.count("max_position_embeddings", None),
        **parts,
    )


def windows_of(config: Config, is_windowed) -> Windows:
    """Return each layer's window, from `layer_types` or else from the family's rule on the layer's index."""
    window, depth = config.count("sliding_window", None), config.layers()
    types = config.words("layer_types", depth, allowed=LAYER_TYPES)
    if types is None:
        return tuple(window if is_windowed(i) else None for i in range(depth))
    if window is None and LAYER_TYPES[1] in types:
        raise ValueError(
            "config: the field 'sliding_window' is missing, and 'layer_types' has windowed layers"
        )
    return tuple(window if kind == LAYER_TYPES[1] else None for kind in types)


def qwen_windows(config: Config) -> Windows:
    """Return Qwen's windows: off unless `use_sliding_window`, then from layer `max_window_layers` on."""
    if not config.flag("use_sliding_window", False):
        return (None,) * config.layers()
    first = config.count("max_window_layers", 28, least=0)
    return windows_of(config, lambda i: i >= first)


def gemma_layer(config: Config, window: int | None, *, third: bool = False) -> LayerSpec:
    """Return a Gemma 2 block, or a Gemma 3 one (`third`)."""
    kind, width = LAYER_TYPES[window is not None], head_dim_of(config)
    rope = gemma3_rope(config, width, kind) if third else rope_spec(config, width, layer_type=kind)
    bias = config.flag("attention_bias", False)
    mixer = attention(
        config,
        window=window,
        rope=rope,
        bias_qkv=bias,
        bias_out=bias,
        qk_norm="head" if third else "none",
        softcap=config.number("attn_logit_softcapping", None),
        scale=config.number("query_pre_attn_scalar", 256.0) ** -0.5,
        causal=not config.flag("use_bidirectional_attention", False),
    )
    ffn = FFNSpec(
        kind="glu",
        activation=config.word("hidden_activation", "gelu_pytorch_tanh"),
        width=config.count("intermediate_size"),
    )
    return LayerSpec(mixer=mixer, ffn=ffn, norm=rms(config, offset=1.0), norm_layout="sandwich")


def gemma3_rope(config: Config, width: int, kind: str):
    """Return Gemma 3's RoPE: base 10 000 and never scaled in windowed layers, 1 000 000 in full ones."""
    if kind == LAYER_TYPES[0]:
        return rope_spec(config, width, layer_type=kind, theta=1e6)
    local = Config({"model_type": config.model_type, "rope_parameters": config.table("rope_parameters")})
    base = config.number("rope_local_base_freq", 10_000.0)
    return rope_spec(local, width, layer_type=kind, theta=base)


def gemma_ends(config: Config) -> dict:
    """Return Gemma's scaled, tied embedding and its soft-capped logits."""
    tied = config.flag("tie_word_embeddings", True)
    return {
        "embeddings": EmbeddingSpec(tied=tied, scale=config.count("hidden_size") ** 0.5),
        "logit_softcap": config.number("final_logit_softcapping", None),
    }
