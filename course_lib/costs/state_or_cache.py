"""State against keys and values: what the layers with a state of a model keep, and the
length of text from which attention in their place would keep more; and how far back a
state that decays remembers.

Symbols: b batch, s tokens, l layers with a state, g KV groups and k key width of the
attention that would stand in their place; a decay per token, between 0 and 1.

    state    the same at every length; accumulators in float32 as a rule
    cache    2 g k numbers a layer and token

The two are equal at some length, and from there on the state saves memory, in
proportion to the length. It says nothing of what the state still knows.

Terms:
    crossover length, state against KV cache: tokens whose keys and values take as many
        bytes as the state -> crossover_tokens
    memory horizon, half-life of a state: tokens after which a given share of what was
        written is left -> horizon_tokens
"""

from course_lib.costs.arithmetic import (
    Number,
    check_positive,
    check_share,
    logarithm,
    round_up,
)
from course_lib.costs.cache import decoding_layers, kv_cache_bytes
from course_lib.costs.mixers.dispatch import state_elements
from course_lib.specs.records import ModelSpec


def state_layers(spec: ModelSpec) -> Number:
    """How many layers keep a state, be it beside attention.

    >>> from course_lib.specs.loader import load_spec
    >>> [state_layers(load_spec(name)) for name in ("qwen3.5-35b-a3b", "llama-3-8b")]
    [30, 0]
    """
    return sum(
        count
        for layer, count in decoding_layers(spec)
        if any(state_elements(layer.mixer, spec.width))
    )


def state_bytes(
    spec: ModelSpec,
    *,
    batch: Number = 1,
    bytes_per_element: Number = 2,
    state_bytes_per_element: Number = 4,
) -> Number:
    """Bytes of all recurrent states, which no text makes longer.

    *Equation*: b sum over layers of (accumulators state_bytes_per_element + last inputs
        bytes_per_element).

    Args: `batch` sequences; `bytes_per_element` of last inputs;
        `state_bytes_per_element` of accumulators.
    Raises: ValueError if a byte width is not above 0.

    >>> from course_lib.specs.loader import load_spec
    >>> state_bytes(load_spec("qwen3.5-35b-a3b")) / 2**20
    61.875
    """
    check_positive(
        bytes_per_element=bytes_per_element,
        state_bytes_per_element=state_bytes_per_element,
    )
    total = 0
    for layer, count in decoding_layers(spec):
        sums, inputs = state_elements(layer.mixer, spec.width)
        kept = sums * state_bytes_per_element + inputs * bytes_per_element
        total += count * kept
    return batch * total


def keys_instead_bytes(
    spec: ModelSpec,
    tokens: Number,
    *,
    kv_heads: Number,
    head_dim: Number,
    batch: Number = 1,
    bytes_per_element: Number = 2,
) -> Number:
    """Bytes of keys and values, if attention stood in the place of every layer with a
    state.

    Raises: ValueError as `kv_cache_bytes`, and if no layer keeps a state.
    """
    return kv_cache_bytes(
        batch=batch,
        tokens=tokens,
        kv_heads=kv_heads,
        head_dim=head_dim,
        layers=_some(spec),
        bytes_per_element=bytes_per_element,
    )


def crossover_tokens(
    spec: ModelSpec,
    *,
    kv_heads: Number,
    head_dim: Number,
    bytes_per_element: Number = 2,
    state_bytes_per_element: Number = 4,
) -> Number:
    """The least length at which those keys and values take as many bytes as the state.

    *Equation*: state / (2 l g k bytes_per_element), rounded up.

    Raises: ValueError if a count is no whole number of at least 1, a byte width is not
        above 0, or no layer keeps a state.

    >>> from course_lib.specs.loader import load_spec
    >>> crossover_tokens(load_spec("qwen3.5-35b-a3b"), kv_heads=2, head_dim=256)
    1056
    """
    kept = state_bytes(
        spec,
        bytes_per_element=bytes_per_element,
        state_bytes_per_element=state_bytes_per_element,
    )
    return round_up(
        kept
        / keys_instead_bytes(
            spec,
            1,
            kv_heads=kv_heads,
            head_dim=head_dim,
            bytes_per_element=bytes_per_element,
        )
    )


def _some(spec: ModelSpec) -> Number:
    layers = state_layers(spec)
    if not layers:
        raise ValueError(
            f"spec={spec.name!r}: allowed is a model with a layer that keeps a state"
        )
    return layers


def share_left(decay: Number, tokens: Number) -> Number:
    """What is left of something written after so many tokens: decay^tokens.

    Raises: ValueError if `decay` is outside [0, 1).

    >>> round(share_left(0.999, 1000), 3)
    0.368
    """
    check_share(decay=decay)
    return decay**tokens


def horizon_tokens(decay: Number, share: Number = 0.5) -> Number:
    """Tokens after which only `share` is left; half of it, when left out.

    *Equation*: log(share) / log(decay).

    Raises: ValueError if one of the two is not between 0 and 1.

    >>> round(horizon_tokens(0.999), 1), round(horizon_tokens(0.5), 1)
    (692.8, 1.0)
    """
    check_positive(decay=decay, share=share)
    check_share(decay=decay, share=share)
    return logarithm(share) / logarithm(decay)


def longest_horizon(significant_bits: Number, share: Number = 0.5) -> Number:
    """The longest horizon of a decay that is stored as a number of so many significant
    bits (8 in bf16, 11 in fp16, 24 in float32): the largest such number below 1 is 1 -
    2^-bits.

    >>> round(longest_horizon(8), 1), round(longest_horizon(24) / 1e6, 1)
    (177.1, 11.6)
    """
    return horizon_tokens(1 - 2 ** (-significant_bits), share)
