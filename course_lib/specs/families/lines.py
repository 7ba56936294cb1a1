"""Decoders that differ from LLaMA by settings alone: one parser, and a row a family in
`line_settings`. Each stands for its `<Family>ForCausalLM` of `transformers`.

A row says where the norms stand and of what kind they are, which projections have
biases, which layers have a window, and the defaults of what a config may leave out.
Families whose feed-forward part is a mixture add it in `families/mixtures`.
"""

from collections.abc import Sequence
from typing import Any

from course_lib.specs.families.line_settings import LINES, Line
from course_lib.specs.families.llama import head_dim_of, kv_heads_of
from course_lib.specs.reader import Config
from course_lib.specs.records import (
    AttentionSpec,
    EmbeddingSpec,
    FFNSpec,
    LayerSpec,
    ModelSpec,
    MoESpec,
    NormSpec,
    RopeSpec,
    SideSpec,
)
from course_lib.specs.rotary import LAYER_TYPES, rope_spec

SPELLINGS = {"qkv_bias": "attention_bias"}  # InternLM 3 takes both
ROPE_FIELDS = ("rope_parameters", "rope_scaling")


def line(config: Config) -> ModelSpec:
    """A decoder of the LLaMA line, with its family's settings."""
    kind = LINES[config.model_type]
    check_rope(config, kind)
    ffns = [dense_ffn(config, kind)] * config.layers()
    return line_lm(config, kind, ffns)


def check_rope(config: Config, kind: Line) -> None:
    """Refuse a config whose rotary positions `transformers` would make up."""
    if kind.needs_rope and not any(config.get(field) for field in ROPE_FIELDS):
        raise ValueError(
            f"config of model_type {config.model_type!r}: the field "
            "'rope_parameters' is missing"
        )


def line_lm(
    config: Config,
    kind: Line,
    ffns: Sequence[FFNSpec | MoESpec],
    **parts: Any,
) -> ModelSpec:
    """Return the model whose layers have these feed-forward parts."""
    norm = norm_of(config, kind)
    beside = layer_sides(config, kind)
    layers = tuple(
        LayerSpec(
            mixer=mixer,
            ffn=ffn,
            norm=norm,
            norm_layout=kind.layout,
            sides=beside,
            residual_scale=residual_scale(config, kind),
        )
        for mixer, ffn in zip(line_mixers(config, kind), ffns, strict=True)
    )
    scale = config.number("embedding_multiplier", 1.0) if kind.scaled else 1.0
    tied = config.flag("tie_word_embeddings", kind.tied)
    fields = {
        "embeddings": EmbeddingSpec(tied=tied, scale=scale),
        "context": config.count("max_position_embeddings", None),
    }
    fields.update(parts)
    return ModelSpec(
        name=config.model_type,
        family=config.model_type,
        width=config.count("hidden_size"),
        vocab=config.count("vocab_size"),
        layers=layers,
        final_norm=norm,
        logit_scale=logit_scale(config, kind),
        **fields,
    )


def norm_of(config: Config, kind: Line) -> NormSpec:
    """Return the family's norm, whose eps may stand under several names."""
    return NormSpec(
        kind=kind.norm,
        eps=config.number(eps_field(config), kind.eps),
        bias=kind.shift,
        offset=kind.offset,
        gain=kind.gain,
    )


def eps_field(config: Config) -> str:
    """Return the name under which the norm's eps stands."""
    return config.first(
        "layer_norm_eps",
        "layer_norm_epsilon",
        "norm_eps",
        "norm_epsilon",
        "rms_norm_eps",
    )


def dense_ffn(config: Config, kind: Line, field: str = "intermediate_size") -> FFNSpec:
    """Return the feed-forward network: gated, or of two matrices (`plain_mlp`)."""
    return FFNSpec(
        kind="mlp" if kind.plain_mlp else "glu",
        activation=config.word("hidden_act", kind.activation),
        width=config.count(field),
        bias=flag_of(config, kind.mlp_bias, kind.mlp_biased),
    )


def flag_of(config: Config, field: str, default: bool) -> bool:
    """Return a flag, or False where the family has no such field."""
    if not field:
        return False
    return config.flag(config.first(field, SPELLINGS.get(field, field)), default)


def line_mixers(config: Config, kind: Line) -> list[AttentionSpec]:
    """Return each layer's attention."""
    options = {
        "bias_qkv": flag_of(config, kind.bias, kind.biased),
        "bias_out": flag_of(config, kind.out, kind.biased and kind.out == kind.bias),
        "qk_norm": kind.qk_norm,
        "sinks": kind.sinks,
        "scale": config.number("attention_multiplier", 1.0) if kind.scaled else None,
        "output_gate": kind.output_gate,
        "clip": config.number("clip_qkv", None, above=0),
    }
    width, windows = head_dim_of(config), line_windows(config, kind)
    return [
        AttentionSpec(
            heads=config.count("num_attention_heads"),
            kv_heads=kv_heads_of(config),
            head_dim=width,
            value_dim=width,
            window=window,
            rope=line_rope(config, kind, window),
            **options,
        )
        for window in windows
    ]


def line_windows(config: Config, kind: Line) -> tuple[int | None, ...]:
    """Return each layer's window."""
    depth = config.layers()
    late = kind.windows in ("late", "even")
    if kind.windows == "none" or (late and not uses_windows(config)):
        return (None,) * depth
    window = config.count(
        "sliding_window", config.unless_null("sliding_window", kind.window)
    )
    if kind.windows == "whole":
        return (window,) * depth
    if late:
        first = config.count("max_window_layers", kind.period, least=0)
        if kind.windows == "even":
            seen = [i % 2 == 0 and i < first for i in range(depth)]
        else:
            seen = [i >= first for i in range(depth)]
        return tuple(window if one else None for one in seen)
    types = config.words("layer_types", depth, allowed=LAYER_TYPES)
    windowed = (
        [is_windowed(config, kind, i) for i in range(depth)]
        if types is None
        else [one == LAYER_TYPES[1] for one in types]
    )
    return tuple(window if here else None for here in windowed)


def uses_windows(config: Config) -> bool:
    """Return Qwen's switch of the windows in late layers; dots.1 has none."""
    return config.flag("use_sliding_window", config.model_type == "dots1")


def is_windowed(config: Config, kind: Line, index: int) -> bool:
    """Return whether the family's rule gives this layer a window."""
    if config.model_type == "flint":  # the first two layers and the last are full
        ends = index < 2 or index == config.layers() - 1
        return not (ends or index % 4 == 1)
    period = config.count(kind.pattern, kind.period, least=0)
    if period <= 0:
        return period < 0
    place = index if kind.full_first else index + 1
    return place % period != 0


def line_rope(config: Config, kind: Line, window: int | None) -> RopeSpec | None:
    """Return a layer's rotary positions; None where it turns nothing."""
    local = window is not None
    width = head_dim_of(config)
    if kind.nope and not local and config.get("sliding_window", kind.window):
        return None
    if kind.plain_local and local and not config.table("rope_parameters"):
        return RopeSpec(theta=kind.theta, dim=width, pairing=kind.pairing)
    return rope_spec(
        config,
        width,
        layer_type=LAYER_TYPES[local],
        pairing=kind.pairing,
        theta=kind.theta,
        fraction=config.count("rotary_dim", width) / width
        if kind.rotary_dim
        else kind.fraction,
    )


def logit_scale(config: Config, kind: Line) -> float:
    """Return the factor on the logits: Cohere multiplies, Granite divides."""
    if kind.scaled:
        return 1 / config.number("logits_scaling", 1.0, above=0)
    if kind.logit_scale is not None:
        return config.number("logit_scale", kind.logit_scale, above=0)
    return 1.0


def residual_scale(config: Config, kind: Line) -> float:
    """Return Granite's factor on what each part adds."""
    return config.number("residual_multiplier", 1.0) if kind.scaled else 1.0


def layer_sides(config: Config, kind: Line) -> tuple[SideSpec, ...]:
    """Return what stands in a layer beside attention and FFN."""
    if config.get("hidden_act", kind.activation) == "xielu":
        return (SideSpec(words="two learned slopes of xIELU", of="ffn", vectors=2),)
    return ()
