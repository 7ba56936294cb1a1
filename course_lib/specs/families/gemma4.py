"""Gemma 1 and 4: the first of the line without windows, and the one whose full layers
have wider heads. gemma, gemma4_text, gemma4_unified_text, vaultgemma.

Each stands for `<Family>ForCausalLM` of `transformers` (text models alone). Gemma 4 may
hold experts beside its FFN, a small embedding for each layer, keys that are values too,
and last layers that use the keys and values of earlier ones.
"""

from dataclasses import replace

from course_lib.specs.families.gemma import gemma2, gemma_ffn, gemma_lm, soft_cap
from course_lib.specs.families.llama import attention
from course_lib.specs.reader import Config
from course_lib.specs.records import (
    AttentionSpec,
    FFNSpec,
    LayerSpec,
    ModelSpec,
    MoESpec,
    NormSpec,
    SideSpec,
)
from course_lib.specs.rotary import LAYER_TYPES, rope_spec

TANH = {
    "gelu": "gelu_pytorch_tanh"
}  # what first configs call gelu was trained with tanh


def gemma(config: Config) -> ModelSpec:
    """Gemma 1: LLaMA with GeGLU, wide heads, scaled words and gains of 1 + w."""
    if config.flag("use_bidirectional_attention", False):
        raise ValueError(
            "config field 'use_bidirectional_attention': true "
            "is not supported, only false"
        )
    bias = config.flag("attention_bias", False)
    word = config.word("hidden_act", "gelu_pytorch_tanh")
    ffn = FFNSpec(
        kind="glu",
        activation=TANH.get(word, word),
        width=config.count("intermediate_size"),
    )
    layer = LayerSpec(
        mixer=attention(config, bias_qkv=bias, bias_out=bias),
        ffn=ffn,
        norm=gemma_norm(config, offset=1.0),
    )
    return gemma_lm(config, [layer] * config.layers(), None)


def vaultgemma(config: Config) -> ModelSpec:
    """Gemma 2 with a norm before each part alone."""
    model = gemma2(config)
    layers = tuple(replace(one, norm_layout="pre") for one in model.layers)
    return replace(model, layers=layers)


def gemma_norm(config: Config, *, offset: float) -> NormSpec:
    """Return the family's norm."""
    eps = config.number("rms_norm_eps", 1e-6)
    return NormSpec(kind="rmsnorm", eps=eps, offset=offset)


def gemma4_text(config: Config) -> ModelSpec:
    """Five windowed layers to a full one, whose heads are wider; scores not scaled."""
    depth = config.layers()
    if config.get("use_bidirectional_attention") == "all":
        raise ValueError("config field 'use_bidirectional_attention': 'all' is refused")
    kinds = full_layers(config, depth)
    shared = config.count("num_kv_shared_layers", 0, least=0)
    mixers = [
        gemma4_attention(config, full, borrows=shared > 0 and i >= depth - shared)
        for i, full in enumerate(kinds)
    ]
    small = 0
    if config.model_type == "gemma4_text":
        small = config.count("hidden_size_per_layer_input", 256, least=0)
    norm, sides = gemma_norm(config, offset=0.0), layer_parts(config, small)
    layers = [
        LayerSpec(
            mixer=mixer,
            ffn=gemma4_ffn(config, mixer),
            norm=norm,
            norm_layout="sandwich",
            sides=sides,
        )
        for mixer in mixers
    ]
    model = gemma_lm(config, layers, soft_cap(config, "final_logit_softcapping", None))
    return replace(model, sides=whole_parts(config, small, depth))


def full_layers(config: Config, depth: int) -> list[bool]:
    """Return which layers attend to the whole text: the last one always."""
    listed = config.words("layer_types", depth, allowed=LAYER_TYPES)
    rule = [i % 6 == 5 for i in range(depth)]
    found = [one == LAYER_TYPES[0] for one in listed] if listed else rule
    return [full or i == depth - 1 for i, full in enumerate(found)]


def gemma4_attention(config: Config, full: bool, *, borrows: bool) -> AttentionSpec:
    """Return a windowed layer's attention, or a full one's with heads of its own."""
    bias, width = config.flag("attention_bias", False), config.count("head_dim", 256)
    groups = config.count("num_key_value_heads")
    same = config.model_type == "gemma4_text" and config.flag("attention_k_eq_v", False)
    alike = same or config.model_type != "gemma4_text"
    if full:
        own = full_overrides(config)
        width = own.count("head_dim", config.count("global_head_dim", 512))
        other = config.count("num_global_key_value_heads", groups) if alike else groups
        groups = own.count("num_key_value_heads", other)
    return AttentionSpec(
        heads=config.count("num_attention_heads"),
        kv_heads=groups,
        head_dim=width,
        value_dim=width,
        window=None if full else config.count("sliding_window"),
        bias_qkv=bias,
        bias_out=bias,
        qk_norm="head",
        rope=gemma4_rope(config, width, full),
        scale=1.0,
        shared_kv=full and config.flag("attention_k_eq_v", False),
        kept_apart=full and config.flag("attention_k_eq_v", False),
        borrows_kv=borrows,
    )


def gemma4_rope(config: Config, width: int, full: bool):
    """Return a layer's rotary positions; the table of each kind must be given."""
    if not config.table("rope_parameters"):
        raise ValueError(
            f"config of model_type {config.model_type!r}: the field "
            "'rope_parameters' is missing"
        )
    kind = LAYER_TYPES[0] if full else LAYER_TYPES[1]
    return rope_spec(config, width, layer_type=kind)


def full_overrides(config: Config) -> Config:
    """Return what `transformers` writes of the full layers, the first of them."""
    tables = list(config.table("per_layer_config").values())
    return Config({**(tables[0] if tables else {}), "model_type": config.model_type})


def gemma4_ffn(config: Config, mixer: AttentionSpec) -> FFNSpec | MoESpec:
    """Return GeGLU, twice as wide where keys are borrowed if the config says so; or
    experts beside it.
    """
    plain = gemma_ffn(config)
    if mixer.borrows_kv and config.flag("use_double_wide_mlp", False):
        return replace(plain, width=2 * plain.width)
    if not config.flag("enable_moe_block", False):
        return plain
    return MoESpec(
        experts=config.count("num_experts"),
        top_k=config.count("top_k_experts"),
        expert=replace(plain, width=config.count("moe_intermediate_size")),
        shared=1,
        shared_width=plain.width,
    )


def layer_parts(config: Config, small: int) -> tuple[SideSpec, ...]:
    """Return what a layer has beside: a small embedding's way in, the router's scales
    and the norms of the experts.
    """
    width = config.count("hidden_size")
    parts = (SideSpec(words="values normed, nothing learned", of="mixer"),)
    if small:
        words = f"Per-layer embedding of {small}"
        parts += (SideSpec(words=words, weights=2 * width * small, vectors=width),)
    if config.flag("enable_moe_block", False):
        words = "the router's scales, three norms around the experts"
        vectors = 4 * width + config.count("num_experts")
        parts += (SideSpec(words=words, of="ffn", vectors=vectors),)
    return parts


def whole_parts(config: Config, small: int, depth: int) -> tuple[SideSpec, ...]:
    """Return the table of small embeddings, a row a token and layer, and their
    projection from the words.
    """
    if not small:
        return ()
    rows = config.count("vocab_size_per_layer_input", 262_144)
    return (
        SideSpec(
            words=f"per-layer embeddings, {depth} of {small} a token",
            of="model",
            rows=rows * depth * small,
            weights=config.count("hidden_size") * depth * small,
            vectors=small,
        ),
    )
