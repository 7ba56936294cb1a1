"""FLOPs of a forward pass: per token (linear in the context), and per query-key pair
(attention).

A multiply-add counts as two. Counted are matrix products, convolutions and recurrences;
left out are norms, softmax, activations, rotations and look-ups, all below one per cent
at real widths. `torch.utils.flop_counter` draws the line in the same place, and a test
holds the two equal. What a pair of tokens costs in a mixer, or a step through its
state, is said by its file in `mixers`; this module sums over the layers.

Symbols: t tokens, w window.

Terms:
    FLOPs per token, forward FLOPs: 2 for each weight a token meets, and 2 (d_k + d_v)
        for each head and key it attends to -> flops_per_token, prefill_flops
    query-key pairs, quadratic cost: how many pairs a mask leaves: t^2 / 2 causal, t W
        in a window -> visible_pairs
"""

from dataclasses import dataclass

from course_lib.costs.arithmetic import (
    Number,
    check_at_most,
    check_count,
    is_symbol,
    smaller,
)
from course_lib.costs.ends import head_positions, head_weights, patch_flops
from course_lib.costs.feed_forward.dispatch import ffn_weights
from course_lib.costs.mixers.attention import key_value_weights, query_weights
from course_lib.costs.mixers.dispatch import (
    attention_flops_per_pair,
    mixer_weights,
    recurrence_flops,
    selection_flops_per_pair,
)
from course_lib.costs.sides import side_weights
from course_lib.costs.stack import unique_layers
from course_lib.specs.records import ModelSpec, is_causal, reach_of


@dataclass(frozen=True)
class Flops:
    """FLOPs by what drives them: `linear` grows with the tokens, `attention` with the
    pairs of tokens.
    """

    linear: int
    attention: int

    @property
    def total(self) -> int:
        """Both together, in FLOPs."""
        return self.linear + self.attention

    @property
    def attention_share(self) -> float:
        """Attention's part of the total, between 0 and 1."""
        return self.attention / self.total

    def __add__(self, other: "Flops") -> "Flops":
        return Flops(self.linear + other.linear, self.attention + other.attention)


def visible_pairs(
    tokens: Number, window: Number | None = None, *, causal: bool = True
) -> Number:
    """Pairs (query, key) that a mask leaves visible in a pass over `tokens` tokens.

    *Equation*: t^2 without a mask; t (t + 1) / 2 causal; m (m + 1) / 2 + (t - m) m with
    m = min(t, w) in a causal window. In one that is not causal, w // 2 keys on either
    side: t (2 n + 1) - n (n + 1) with n = min(t - 1, w // 2).

    Args: `tokens` t; `window` w, the keys a query sees, itself included; `causal`
        whether later keys are hidden.
    Returns: a count of pairs.
    Raises: ValueError if a count is no whole number of at least 1.
    Source: Beltagy et al. 2020, Longformer, arXiv 2004.05150, for windows.

    >>> visible_pairs(4), visible_pairs(4, window=2), visible_pairs(4, causal=False)
    (10, 7, 16)
    >>> visible_pairs(4, window=2, causal=False)
    10
    """
    check_count(tokens=tokens)
    if window is not None:
        check_count(window=window)
    if not causal:
        side = tokens - 1 if window is None else smaller(tokens - 1, window // 2)
        return tokens * (2 * side + 1) - side * (side + 1)
    reach = tokens if window is None else smaller(tokens, window)
    triangle = reach * (reach + 1)
    return (triangle / 2 if is_symbol(triangle) else triangle // 2) + (
        tokens - reach
    ) * reach


def flops_per_token(
    spec: ModelSpec,
    context: int,
    *,
    source_tokens: int | None = None,
    absorbed: bool = True,
) -> int:
    """FLOPs to produce one more token with a cache, when it sees `context` tokens,
    itself among them.

    *Equation*: 2 N + sum over layers of attention_flops_per_pair * min(context, w),
        with N the weights the token meets.

    Args: `context` in tokens; `source_tokens` of an encoder-decoder's input (default:
        `context`); `absorbed` the form of latent attention, whose other form multiplies
        out and keeps keys and values.
    Returns: FLOPs.
    Raises: ValueError if a count is no whole number of at least 1.
    Source: Kaplan et al. 2020, arXiv 2001.08361, table 1, for 2N plus the context term.
    """
    return flops_per_token_split(
        spec, context, source_tokens=source_tokens, absorbed=absorbed
    ).total


def flops_per_token_split(
    spec: ModelSpec,
    context: int,
    *,
    source_tokens: int | None = None,
    absorbed: bool = True,
) -> Flops:
    """`flops_per_token` split into linear and attention FLOPs; arguments, units and
    errors are the same.
    """
    source = context if source_tokens is None else source_tokens
    check_count(context=context, source_tokens=source)
    flops = Flops(2 * (head_weights(spec) + side_weights(spec.sides)), 0)
    for layer, count in unique_layers(spec.layers):
        weights = mixer_weights(layer.mixer, spec.width) + ffn_weights(
            layer.ffn, spec.width
        )
        weights += side_weights(layer.sides)
        pairs = smaller(context, reach_of(layer.mixer) or context)
        attention = attention_flops_per_pair(layer.mixer, absorbed=absorbed) * pairs
        attention += selection_flops_per_pair(layer.mixer) * context
        if layer.cross:
            weights += query_weights(layer.cross, spec.width)
            attention += attention_flops_per_pair(layer.cross) * source
        linear = 2 * weights + recurrence_flops(layer.mixer)
        flops += Flops(count * linear, count * attention)
    return flops


def prefill_flops(
    spec: ModelSpec,
    tokens: int,
    *,
    source_tokens: int | None = None,
    skip_masked: bool = True,
    logit_positions: int = 1,
) -> int:
    """FLOPs of one pass over a prompt of `tokens` tokens (batch 1).

    *Equation*: 2 t (N - N_head) + 2 N_head logit_positions + sum over layers of
        attention_flops_per_pair * visible_pairs.

    Args: `tokens` t; `source_tokens` of an encoder-decoder's input (default: `tokens`),
        whose encoder pass is included; `skip_masked` False counts the t^2 scores of a
        kernel that computes hidden ones too; `logit_positions` how many positions get
        logits: 1 to generate, t to score or train. Pooler, classifier and projection
        run once, a token classifier at every position.
    Returns: FLOPs.
    Raises: ValueError if a count is no whole number of at least 1, or `logit_positions`
        is above `tokens`.
    Cost of latent attention: the expanded form, in which prompts are run.
    """
    return prefill_flops_split(
        spec,
        tokens,
        source_tokens=source_tokens,
        skip_masked=skip_masked,
        logit_positions=logit_positions,
    ).total


def prefill_flops_split(
    spec: ModelSpec,
    tokens: int,
    *,
    source_tokens: int | None = None,
    skip_masked: bool = True,
    logit_positions: int = 1,
) -> Flops:
    """`prefill_flops` split into linear and attention FLOPs; arguments, units and
    errors are the same.
    """
    source = tokens if source_tokens is None else source_tokens
    check_count(tokens=tokens, source_tokens=source, logit_positions=logit_positions)
    check_at_most("tokens", tokens, logit_positions=logit_positions)
    places = head_positions(spec, tokens, logit_positions)
    beside = 2 * tokens * side_weights(spec.sides)
    head = 2 * head_weights(spec) * places
    flops = Flops(head + patch_flops(spec, tokens) + beside, 0)
    flops += _stack_flops(spec.layers, spec.width, tokens, source, skip_masked)
    return flops + _stack_flops(spec.encoder, spec.width, source, source, skip_masked)


def _stack_flops(
    layers, width: int, tokens: int, source: int, skip_masked: bool
) -> Flops:
    flops = Flops(0, 0)
    for layer, count in unique_layers(layers):
        linear = (
            tokens
            * 2
            * (mixer_weights(layer.mixer, width) + ffn_weights(layer.ffn, width))
        )
        linear += tokens * recurrence_flops(layer.mixer)
        linear += 2 * tokens * side_weights(layer.sides)
        causal = skip_masked and is_causal(layer.mixer)
        reach = reach_of(layer.mixer) if skip_masked else None
        attention = attention_flops_per_pair(layer.mixer) * visible_pairs(
            tokens, reach, causal=causal
        )
        attention += selection_flops_per_pair(layer.mixer) * visible_pairs(
            tokens, causal=causal
        )
        if layer.cross:
            linear += tokens * 2 * query_weights(layer.cross, width)
            linear += source * 2 * key_value_weights(layer.cross, width)
            attention += tokens * source * attention_flops_per_pair(layer.cross)
        flops += Flops(count * linear, count * attention)
    return flops
