"""Costs of a causal encoder-decoder: a stack whose upper half attends to one set of
keys and values, made at half depth (YOCO).

Symbols: n tokens, L layers, d width, g KV groups, k and v key and value width, B batch,
b bytes per element. A prompt token passes the lower half and makes its part of the
shared keys and values; the upper half is for the last token of a prompt, and for every
token that is written.

Terms:
    shared-KV cost, cost of half the depth: prefill FLOPs and cache bytes of a stack
        whose upper half shares its keys -> shared_kv_prefill_flops,
        shared_kv_cache_bytes
"""

from dataclasses import replace

from course_lib.costs.arithmetic import check_count
from course_lib.costs.cache import cache_bytes
from course_lib.costs.feed_forward.dispatch import ffn_weights
from course_lib.costs.flops import Flops, prefill_flops_split, visible_pairs
from course_lib.costs.mixers.attention import (
    flops_per_pair,
    key_value_weights,
    query_weights,
)
from course_lib.specs.records import ModelSpec


def shared_kv_cache_bytes(
    spec: ModelSpec, *, batch: int, tokens: int, bytes_per_element: float = 2
) -> int | float:
    """Bytes of the cache: the lower layers' keys and values, and one set for all upper
    layers.

    *Equation*: B n g (k + v) (L / 2 + 1) b where all layers are alike.

    Raises: ValueError as in `cache_bytes`, or if the number of layers is odd.

    >>> from course_lib.specs.small import small_llama
    >>> spec = small_llama(8, layers=4, heads=2)  # g (k + v) = 16
    >>> shared_kv_cache_bytes(spec, batch=1, tokens=10, bytes_per_element=2)
    960
    """
    kept = replace(spec, layers=spec.layers[: _half(spec) + 1])
    return cache_bytes(
        kept, batch=batch, tokens=tokens, bytes_per_element=bytes_per_element
    )


def shared_kv_prefill_flops(
    spec: ModelSpec, tokens: int, *, skip_upper: bool = True, skip_masked: bool = True
) -> Flops:
    """FLOPs of one pass over a prompt (batch 1, logits after its last token).

    *Equation*: the lower half's, plus 2 n d g (k + v) for the shared keys and values,
    plus the upper half's for one token, which attends to n keys in each layer; for n
    tokens and n (n + 1) / 2 pairs if not `skip_upper`. `skip_masked` as in
    `prefill_flops`.

    Raises: ValueError if `tokens` is no count, or if the number of layers is odd.
    Source: Sun et al. 2024, arXiv 2405.05254 (prefill leaves the stack at half depth).
    """
    check_count(tokens=tokens)
    half = _half(spec)
    lower = replace(spec, layers=spec.layers[:half])
    flops = prefill_flops_split(lower, tokens, skip_masked=skip_masked)
    shared = key_value_weights(spec.layers[half].mixer, spec.width)
    flops += Flops(2 * tokens * shared, 0)
    passing, pairs = 1, tokens
    if not skip_upper:
        passing, pairs = tokens, visible_pairs(tokens, causal=skip_masked)
    for layer in spec.layers[half:]:
        met = query_weights(layer.mixer, spec.width)
        met += ffn_weights(layer.ffn, spec.width)
        flops += Flops(2 * passing * met, pairs * flops_per_pair(layer.mixer))
    return flops


def _half(spec: ModelSpec) -> int:
    if len(spec.layers) % 2:
        raise ValueError(f"layers={len(spec.layers)}: allowed is an even number")
    return len(spec.layers) // 2
