"""Dense decoders of the LLaMA line. Each stands for `<Family>ForCausalLM` of
`transformers`.

llama, mistral, qwen2, qwen3, smollm3.
"""

from collections.abc import Callable
from dataclasses import replace

from course_lib.specs.families.gpt import share_of
from course_lib.specs.reader import REQUIRED, Config
from course_lib.specs.records import (
    AttentionSpec,
    EmbeddingSpec,
    FFNSpec,
    LayerSpec,
    Mixer,
    ModelSpec,
    MoESpec,
    NormSpec,
    RopeSpec,
)
from course_lib.specs.rotary import LAYER_TYPES, rope_spec

MAY_OMIT_KV_HEADS = (
    "afmoe",
    "apertus",
    "arcee",
    "aria_text",
    "cohere",
    "cohere2",
    "cohere2_moe",
    "flex_olmo",
    "granite",
    "granitemoe",
    "granitemoe_swa",
    "granitemoeshared",
    "hunyuan_v1_dense",
    "hunyuan_v1_moe",
    "hyperclovax",
    "jais2",
    "llama",
    "nanochat",
    "olmo",
    "olmo2",
    "olmo3",
    "olmo_hybrid",
    "olmoe",
    "phi",
    "phi3",
)
OWN_HEAD_DIM = {  # where a config gives none
    "afmoe": 128,
    "cohere2_moe": 128,
    "cwm": 128,
    "ernie4_5": 128,
    "flint": 128,
    "gemma": 256,
    "gemma2": 256,
    "gemma3_text": 256,
    "gemma3n_text": 256,
    "glm": 128,
    "glm4": 128,
    "gpt_oss": 64,
    "helium": 128,
    "hy_v3": 128,
    "internlm3": 128,
    "iquestcoder": 128,
    "kolibri1": 128,
    "laguna": 128,
    "lfm3": 128,
    "llama4_text": 128,
    "mellum": 128,
    "minimax_m2": 128,
    "ministral3": 128,
    "qwen3": 128,
    "qwen3_vl_text": 128,
    "seed_oss": 128,
    "solar_open": 128,
    "vaultgemma": 256,
}


def llama(config: Config) -> ModelSpec:
    """LLaMA 1 to 3.1: RMSNorm, RoPE, a SwiGLU FFN; grouped KV heads where the config
    has them.
    """
    bias = config.flag("attention_bias", False)
    layer = decoder_layer(config, attention(config, bias_qkv=bias, bias_out=bias))
    return causal_lm(config, (layer,) * config.layers())


def mistral(config: Config) -> ModelSpec:
    """LLaMA with a window in every layer: 4096 unless the config says otherwise, or
    null for none.
    """
    window = config.count("sliding_window", config.unless_null("sliding_window", 4096))
    layer = decoder_layer(config, attention(config, window=window))
    return causal_lm(config, (layer,) * config.layers())


def qwen2(config: Config) -> ModelSpec:
    """LLaMA with biases on the query, key and value projections."""
    layers = (
        decoder_layer(config, attention(config, window=w, bias_qkv=True))
        for w in qwen_windows(config)
    )
    return causal_lm(config, tuple(layers))


def qwen3(config: Config) -> ModelSpec:
    """Qwen2 without those biases, but an RMSNorm on each head's query and key."""
    bias = config.flag("attention_bias", False)
    options = {"bias_qkv": bias, "bias_out": bias, "qk_norm": "head"}
    mixers = (
        attention(config, window=window, **options) for window in qwen_windows(config)
    )
    return causal_lm(config, tuple(decoder_layer(config, mixer) for mixer in mixers))


def smollm3(config: Config) -> ModelSpec:
    """LLaMA in which every fourth layer turns no queries and keys (NoPE), or each layer
    whose entry in `no_rope_layers` is 0. With `use_sliding_window`, these have one.
    """
    bias = config.flag("attention_bias", False)
    rope = rope_spec(config, head_dim_of(config), theta=2e6)
    turned = attention(config, rope=rope, bias_qkv=bias, bias_out=bias)
    on = config.flag("use_sliding_window", False)
    window = config.count("sliding_window", None) if on else None
    plain = replace(turned, rope=None, window=window)
    layers = (
        decoder_layer(config, turned if turns else plain)
        for turns in turned_layers(config)
    )
    tied = config.flag("tie_word_embeddings", True)
    return causal_lm(config, tuple(layers), embeddings=EmbeddingSpec(tied=tied))


def turned_layers(config: Config) -> tuple[bool, ...]:
    """Return whether RoPE acts in each layer: `no_rope_layers`, in which 1 says that it
    does, or all but every `no_rope_layer_interval`-th.
    """
    every, depth = config.count("no_rope_layer_interval", 4), config.layers()
    given = config.get("no_rope_layers")
    if given is None:
        return tuple((i + 1) % every != 0 for i in range(depth))
    if not isinstance(given, list | tuple) or [n for n in given if n not in (0, 1)]:
        raise ValueError(f"config field 'no_rope_layers': {given!r} is no list of 0, 1")
    if len(given) != depth:
        raise ValueError(
            f"config field 'no_rope_layers': {len(given)} entries for {depth} layers"
        )
    return tuple(map(bool, given))


def attention(
    config: Config,
    *,
    window: int | None = None,
    rope: RopeSpec | None = None,
    **options,
) -> AttentionSpec:
    """Return grouped attention, with RoPE unless another is given."""
    width = head_dim_of(config)
    return AttentionSpec(
        heads=config.count("num_attention_heads"),
        kv_heads=kv_heads_of(config),
        head_dim=width,
        value_dim=width,
        window=window,
        rope=rope or rope_spec(config, width),
        **options,
    )


def kv_heads_of(config: Config) -> int:
    """Return `num_key_value_heads`; null means one a head, and so does silence in older
    families.
    """
    default = None if config.model_type in MAY_OMIT_KV_HEADS else REQUIRED
    given = config.count(
        "num_key_value_heads", config.unless_null("num_key_value_heads", default)
    )
    return given or config.count("num_attention_heads")


def head_dim_of(config: Config) -> int:
    """Return `head_dim`, or the family's own, or the share of each head in the width.

    Raises:
        ValueError: if the heads are to share the width and do not divide it.
    """
    width, heads = config.count("hidden_size"), config.count("num_attention_heads")
    own = OWN_HEAD_DIM.get(config.model_type)
    shared = own is None and config.get("head_dim") is None
    share = None
    if shared:
        share = share_of(width, heads)
    return config.count("head_dim", own or share)


def gated_ffn(config: Config, field: str = "intermediate_size") -> FFNSpec:
    """Return the family's gated FFN, of the width in `field`."""
    return FFNSpec(
        kind="glu",
        activation=config.word("hidden_act", "silu"),
        width=config.count(field),
        bias=config.flag("mlp_bias", False),
    )


def decoder_layer(
    config: Config,
    mixer: Mixer,
    ffn: FFNSpec | MoESpec | None = None,
    *,
    eps: float = 1e-6,
) -> LayerSpec:
    """Return a pre-norm block, with the config's gated FFN unless another is given;
    `eps` is the default.
    """
    norm = NormSpec(kind="rmsnorm", eps=config.number("rms_norm_eps", eps))
    return LayerSpec(mixer=mixer, ffn=ffn or gated_ffn(config), norm=norm)


def causal_lm(
    config: Config,
    layers: tuple[LayerSpec, ...],
    *,
    embeddings: EmbeddingSpec | None = None,
    **parts,
) -> ModelSpec:
    """Return the model around the layers, which ends in the norm its layers use."""
    return ModelSpec(
        name=config.model_type,
        family=config.model_type,
        width=config.count("hidden_size"),
        vocab=config.count("vocab_size"),
        layers=layers,
        embeddings=embeddings
        or EmbeddingSpec(tied=config.flag("tie_word_embeddings", False)),
        final_norm=layers[-1].norm,
        context=config.count("max_position_embeddings", None),
        **parts,
    )


def windows_of(
    config: Config, is_windowed: Callable[[int], bool]
) -> tuple[int | None, ...]:
    """Return each layer's window, from `layer_types` or else from the family's rule on
    the layer's index.
    """
    window, depth = config.count("sliding_window"), config.layers()
    types = config.words("layer_types", depth, allowed=LAYER_TYPES)
    windowed = (
        map(is_windowed, range(depth))
        if types is None
        else (t == LAYER_TYPES[1] for t in types)
    )
    return tuple(window if here else None for here in windowed)


def qwen_windows(config: Config) -> tuple[int | None, ...]:
    """Return Qwen's windows: off unless `use_sliding_window`, then from layer
    `max_window_layers` on.
    """
    if not config.flag("use_sliding_window", False):
        return (None,) * config.layers()
    first = config.count("max_window_layers", 28, least=0)
    return windows_of(config, lambda i: i >= first)
