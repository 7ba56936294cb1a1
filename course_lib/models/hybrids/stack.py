"""Hybrid stacks from a pattern: any order of attention, windows, state spaces, linear
attention, convolutions and recurrent networks, a letter a layer.

    "mmma" * 2      eight layers, every fourth of them attention
    "aw" * 3        attention and a sliding window in turn

A pattern becomes a `ModelSpec`, so that parameters, FLOPs and cache bytes are those of
`costs`, and `CausalLM` builds it with one cache a layer, of the kind that it needs.

Terms:
    hybrid, hybrid model, hybrid stack: some layers attend and others keep a state of
        one size -> hybrid_spec
    layer pattern, attention-to-state ratio: which mixer each layer has, a letter a
        layer -> hybrid_spec, every_nth
"""

from collections.abc import Callable
from dataclasses import replace

from course_lib.specs.records import (
    AttentionSpec,
    GatedDeltaNetSpec,
    LightningSpec,
    Mixer,
    ModelSpec,
    RNNSpec,
    ShortConvSpec,
    SSMSpec,
)
from course_lib.specs.small import small_llama

LETTERS = {
    "a": "attention to the whole past",
    "w": "attention within a sliding window",
    "m": "Mamba",
    "s": "Mamba-2",
    "d": "gated DeltaNet",
    "n": "lightning attention",
    "c": "gated short convolution",
    "g": "GRU",
    "l": "LSTM",
}
"""What each letter of a pattern stands for."""


def hybrid_spec(
    pattern: str,
    width: int = 64,
    heads: int = 4,
    *,
    window: int = 16,
    positions: bool = True,
    **options: object,
) -> ModelSpec:
    """A decoder with Llama's parts around the mixers that `pattern` names.

    Args:
        pattern: a letter a layer, from `LETTERS`.
        width, heads: d, h; also the heads of the layers with a state.
        window: tokens that a "w" layer attends to.
        positions: whether attention turns by RoPE; Jamba's does not, for the state
            spaces below already know the order.
        options: more of `small_llama`, such as `kv_heads`, `ffn`, `vocab`.

    Raises:
        ValueError: `pattern` is empty or has another letter; or as `small_llama`.

    >>> spec = hybrid_spec("mma")
    >>> [type(layer.mixer).__name__ for layer in spec.layers]
    ['SSMSpec', 'SSMSpec', 'AttentionSpec']
    """
    unknown = sorted(set(pattern) - set(LETTERS))
    if unknown or not pattern:
        raise ValueError(
            f"pattern={pattern!r}: allowed are one or more of {', '.join(LETTERS)}"
        )
    base = small_llama(width, len(pattern), heads, **options)
    layers = []
    for letter, layer in zip(pattern, base.layers, strict=True):
        attention = layer.mixer
        if not positions:
            attention = replace(attention, rope=None)
        mixer = MIXERS[letter](attention, width, window)
        layers.append(replace(layer, mixer=mixer))
    return replace(base, layers=tuple(layers))


def every_nth(n: int, layers: int, state: str = "m", attention: str = "a") -> str:
    """A pattern in which the last of every n layers attends, and the others do not.

    >>> every_nth(4, 8), every_nth(1, 3), every_nth(9, 4)
    ('mmmammma', 'aaa', 'mmmm')
    """
    return "".join(attention if i % n == n - 1 else state for i in range(layers))


def _mamba(base: AttentionSpec, width: int, window: int) -> Mixer:
    sizes = {"d_inner": 2 * width, "state": 16, "conv": 4}
    return SSMSpec(kind="mamba1", dt_rank=max(width // 16, 1), **sizes)


def _mamba2(base: AttentionSpec, width: int, window: int) -> Mixer:
    sizes = {"d_inner": 2 * width, "state": 16, "conv": 4}
    heads = {"heads": base.heads, "head_dim": 2 * width // base.heads, "groups": 1}
    return SSMSpec(kind="mamba2", **sizes, **heads)


def _delta(base: AttentionSpec, width: int, window: int) -> Mixer:
    heads = {"key_heads": base.heads, "value_heads": base.heads}
    return GatedDeltaNetSpec(
        key_dim=base.head_dim, value_dim=base.head_dim, conv=4, **heads
    )


MIXERS: dict[str, Callable[[AttentionSpec, int, int], Mixer]] = {
    "a": lambda base, width, window: base,
    "w": lambda base, width, window: replace(base, window=window),
    "m": _mamba,
    "s": _mamba2,
    "d": _delta,
    "n": lambda base, width, window: LightningSpec(
        heads=base.heads, head_dim=base.head_dim
    ),
    "c": lambda base, width, window: ShortConvSpec(conv=3),
    "g": lambda base, width, window: RNNSpec(kind="gru", width=width),
    "l": lambda base, width, window: RNNSpec(kind="lstm", width=width),
}
"""From attention, width and window of a model to the mixer of each letter."""
