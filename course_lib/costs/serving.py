"""A serving budget: how many requests fit, and when the cache outweighs the model.

Symbols, here only: W weight bytes, C cache bytes of one request, M memory bytes.

Terms:
    max concurrency, concurrent requests: how many requests' caches fit beside the
        weights -> max_concurrency, concurrent_requests
    weight memory, model size: bytes of all parameters -> weight_bytes
"""

import math
from bisect import bisect_left

from course_lib.costs.arithmetic import (
    Number,
    check_count,
    check_positive,
    check_share,
    is_symbol,
    larger,
)
from course_lib.costs.cache import cache_bytes
from course_lib.costs.hardware import Hardware
from course_lib.costs.params import param_count
from course_lib.specs.records import ModelSpec


def weight_bytes(spec: ModelSpec, bytes_per_weight: float = 2) -> float:
    """Bytes that all parameters occupy: param_count(spec).total * bytes_per_weight.

    Raises: ValueError if `bytes_per_weight` is not above 0.
    """
    check_positive(bytes_per_weight=bytes_per_weight)
    return param_count(spec).total * bytes_per_weight


def concurrent_requests(
    *,
    memory_bytes: Number,
    weight_bytes: Number,
    cache_bytes_per_request: Number,
    reserve: Number = 0,
) -> Number:
    """Whole requests whose caches fit beside the weights.

    *Equation*: floor((M (1 - reserve) - W) / C), and 0 where the weights do not fit.

    Args: `memory_bytes` M of all devices together; `weight_bytes` W;
        `cache_bytes_per_request` C; `reserve` the share of memory kept back for
        activations and fragments, 0 <= reserve < 1. Symbols are welcome.
    Returns: a whole number of requests.
    Raises: ValueError if a byte count is not above 0, or `reserve` is outside [0, 1).

    >>> concurrent_requests(memory_bytes=80, weight_bytes=16, cache_bytes_per_request=5)
    12
    """
    check_positive(
        memory_bytes=memory_bytes,
        weight_bytes=weight_bytes,
        cache_bytes_per_request=cache_bytes_per_request,
    )
    check_share(reserve=reserve)
    fit = (memory_bytes * (1 - reserve) - weight_bytes) // cache_bytes_per_request
    return larger(fit, 0) if is_symbol(fit) else max(int(fit), 0)


def max_concurrency(
    spec: ModelSpec,
    hardware: Hardware,
    context: int,
    *,
    devices: int = 1,
    bytes_per_weight: float = 2,
    bytes_per_element: float = 2,
    reserve: float = 0.1,
) -> int:
    """Requests of `context` tokens that fit in memory at once, none sharing a prefix.

    *Equation*: `concurrent_requests` with M = devices memory_bytes, W = weight_bytes, C
        = the cache of one.

    Args: `context` tokens cached by each request; `devices` that hold one copy of the
        weights together; `bytes_per_weight`, `bytes_per_element`; `reserve` the share
        of memory kept back (serving engines keep about a tenth).
    Returns: a whole number of requests, 0 where the weights do not fit.
    Raises: ValueError if a count is no whole number of at least 1, a byte width is not
        above 0, `reserve` is outside [0, 1), or the model keeps no cache.
    Source: Kwon et al. 2023, PagedAttention, arXiv 2309.06180, section 1, for memory as
        the limit.
    """
    check_count(context=context, devices=devices)
    return concurrent_requests(
        memory_bytes=devices * hardware.memory_bytes,
        weight_bytes=weight_bytes(spec, bytes_per_weight),
        cache_bytes_per_request=_request_bytes(spec, context, bytes_per_element),
        reserve=reserve,
    )


def devices_needed(
    bytes_held: Number, hardware: Hardware, *, reserve: float = 0.0
) -> int:
    """Fewest devices whose memory holds `bytes_held`.

    *Equation*: ceil(bytes_held / (memory_bytes (1 - reserve))).

    Args: `bytes_held` of weights, cache or both; `reserve` the share of each memory
        kept back.
    Returns: a whole number of devices.
    Raises: ValueError if `bytes_held` is not above 0, or `reserve` is outside [0, 1).
    """
    check_positive(bytes_held=bytes_held)
    check_share(reserve=reserve)
    return math.ceil(bytes_held / (hardware.memory_bytes * (1 - reserve)))


def cache_equals_weights(
    spec: ModelSpec,
    context: int,
    *,
    bytes_per_weight: float = 2,
    bytes_per_element: float = 2,
) -> float:
    """Batch at which the caches of `context` tokens weigh as much as the model.

    *Equation*: W / C. Near it a decode step reads as much cache as weights (the word
        table is not read).

    Args: `context` tokens of each sequence; byte widths of weights and cache.
    Returns: a batch, as a fraction.
    Raises: ValueError if `context` is no whole number of at least 1, a byte width is
        not above 0, or the model keeps no cache.
    """
    return weight_bytes(spec, bytes_per_weight) / _request_bytes(
        spec, context, bytes_per_element
    )


def _request_bytes(spec: ModelSpec, context: int, bytes_per_element: float) -> float:
    held = cache_bytes(
        spec, batch=1, tokens=context, bytes_per_element=bytes_per_element
    )
    if not held:
        raise ValueError(f"spec={spec.name!r}: a model that keeps a cache is allowed")
    return held


def equal_context(
    spec: ModelSpec,
    batch: int,
    *,
    bytes_per_weight: float = 2,
    bytes_per_element: float = 2,
) -> int | None:
    """Shortest context at which the caches of `batch` sequences weigh as much as the
    model.

    *Equation*: the least n with batch * cache_bytes(n) >= W.

    Args: `batch` sequences; byte widths of weights and cache.
    Returns: tokens of each sequence; None where the cache stops growing before
        (windows, recurrent states).
    Raises: ValueError if `batch` is no whole number of at least 1, or a byte width is
        not above 0.
    """
    check_count(batch=batch)
    weights, far = weight_bytes(spec, bytes_per_weight), 2**50

    def held(tokens: int) -> float:
        return cache_bytes(
            spec, batch=batch, tokens=tokens, bytes_per_element=bytes_per_element
        )

    return (
        bisect_left(range(far), weights, lo=1, key=held)
        if held(far) >= weights
        else None
    )
