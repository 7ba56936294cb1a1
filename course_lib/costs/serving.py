"""A serving budget: how many requests fit, and when the cache outweighs the model.

Memory is that of each device, not a pool: what the devices hold twice counts twice
(`costs.devices`).

Symbols, here only: D devices, W weight bytes, C cache bytes of one request, M memory
bytes; W and C are those of one device, see `device_weight_bytes`,
`device_request_bytes`.

Terms:
    tokens in all, KV cache size in tokens: tokens of all requests that fit, as vLLM
        logs them -> tokens_in_all
    max concurrency, concurrent requests: how many requests' caches fit beside the
        weights -> max_concurrency, concurrent_requests
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
from course_lib.costs.devices import (
    check_split,
    on_one_device,
    splits_evenly,
)
from course_lib.costs.hardware import Hardware
from course_lib.costs.weights import Width, device_weight_bytes, weight_bytes
from course_lib.specs.records import ModelSpec


def concurrent_requests(
    *,
    memory_bytes: Number,
    weight_bytes: Number,
    cache_bytes_per_request: Number,
    reserve: Number = 0,
) -> Number:
    """Whole requests whose caches fit beside the weights.

    *Equation*: floor((M (1 - reserve) - W) / C), and 0 where the weights do not fit.

    Args: `memory_bytes` M; `weight_bytes` W and `cache_bytes_per_request` C in it;
        `reserve` the share of memory kept back for activations and fragments, 0 <=
        reserve < 1. Symbols are welcome.
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


def device_request_bytes(
    spec: ModelSpec,
    context: Number,
    *,
    devices: Number = 1,
    split: str = "heads",
    bytes_per_element: Number = 2,
) -> Number:
    """Bytes of one request's cache on one device that serves it: its KV heads, latents
    and states whole; with requests split, the whole cache.

    Raises: ValueError as `on_one_device` and `cache_bytes` do, or if the model keeps no
        cache.

    >>> from course_lib.specs.loader import load_spec
    >>> spec = load_spec("qwen2.5-7b")  # 4 KV heads
    >>> [device_request_bytes(spec, 1024, devices=n) for n in (1, 4, 8)]
    [58720256, 14680064, 14680064]
    """
    check_split(split)
    kept = on_one_device(spec, devices if split == "heads" else 1)
    return _request_bytes(kept, context, bytes_per_element)


def max_concurrency(
    spec: ModelSpec,
    hardware: Hardware,
    context: int,
    *,
    devices: int = 1,
    split: str = "heads",
    bytes_per_weight: Width = 2,
    bytes_per_element: float = 2,
    reserve: float = 0.1,
) -> int:
    """Requests of `context` tokens that fit in memory at once, none sharing a prefix.

    *Equation*: `concurrent_requests` with M = memory_bytes of a device, W =
        device_weight_bytes, C = device_request_bytes; D times that with requests split.

    Args: `context` tokens cached by each request; `devices` that serve one copy of the
        model together, and `split`, what they split (`costs.devices.SPLITS`);
        `bytes_per_weight`, `bytes_per_element`; `reserve` the share of memory kept back
        (serving engines keep about a tenth).
    Returns: a whole number of requests, 0 where the weights do not fit.
    Raises: ValueError if a count is no whole number of at least 1, a byte width is not
        above 0, `reserve` is outside [0, 1), the model keeps no cache, or the devices
        cannot split it that way.
    Source: Kwon et al. 2023, PagedAttention, arXiv 2309.06180, section 1, for memory as
        the limit.

    >>> from course_lib.costs.hardware import load_hardware
    >>> from course_lib.specs.loader import load_spec
    >>> node = {"devices": 8, "bytes_per_weight": 1, "context": 32768}
    >>> spec, h200 = load_spec("deepseek-v3"), load_hardware("H200-SXM")
    >>> [max_concurrency(spec, h200, split=s, **node) for s in ("heads", "requests")]
    [18, 112]
    """
    check_count(context=context, devices=devices)
    each = concurrent_requests(
        memory_bytes=hardware.memory_bytes,
        weight_bytes=device_weight_bytes(
            spec, devices, split=split, bytes_per_weight=bytes_per_weight
        ),
        cache_bytes_per_request=device_request_bytes(
            spec,
            context,
            devices=devices,
            split=split,
            bytes_per_element=bytes_per_element,
        ),
        reserve=reserve,
    )
    return each * (devices if split == "requests" else 1)


def tokens_in_all(
    spec: ModelSpec,
    hardware: Hardware,
    context: int,
    *,
    devices: int = 1,
    split: str = "heads",
    bytes_per_weight: Width = 2,
    bytes_per_element: float = 2,
    reserve: float = 0.1,
) -> int:
    """Tokens of all requests of `context` tokens that the memory for caches holds, the
    last request in part: what vLLM logs as "GPU KV cache size".

    *Equation*: floor(context (M (1 - reserve) - W) / C), as in `max_concurrency`, D
        times with requests split. Where every layer keeps every token, C / context is
        bytes_per_token, and the context does not matter.

    Args, raises: as `max_concurrency`.
    Returns: tokens, 0 where the weights do not fit. An engine's pages round it down.

    >>> from course_lib.costs.hardware import load_hardware
    >>> from course_lib.specs.loader import load_spec
    >>> tokens_in_all(load_spec("llama-3.1-8b"), load_hardware("RTX-3090"), 8192)
    42262
    """
    check_count(context=context, devices=devices)
    check_share(reserve=reserve)
    where = {"devices": devices, "split": split}
    weights = device_weight_bytes(spec, bytes_per_weight=bytes_per_weight, **where)
    room = hardware.memory_bytes * (1 - reserve) - weights
    request = device_request_bytes(
        spec, context, bytes_per_element=bytes_per_element, **where
    )
    tokens = max(int(context * room // request), 0)
    return tokens * (devices if split == "requests" else 1)


def fewest_devices(
    spec: ModelSpec, hardware: Hardware, context: int, *, most: int = 4096, **options
) -> int | None:
    """Fewest devices on which one request of `context` tokens fits.

    Args: `most` devices that are tried; `options` of `max_concurrency` but `devices`.
    Returns: a count that the model can be split over; None if `most` are too few, for
        what every device holds whole does not shrink with their number.
    Raises: ValueError as `max_concurrency` does.

    >>> from course_lib.costs.hardware import load_hardware
    >>> from course_lib.specs.loader import load_spec
    >>> fewest_devices(load_spec("llama-3.1-405b"), load_hardware("H100-SXM"), 8192)
    16
    """
    split = options.get("split", "heads")
    check_count(context=context, most=most)
    counts = [n for n in range(1, most + 1) if splits_evenly(spec, n, split)]

    def fits(devices: int) -> bool:
        return max_concurrency(spec, hardware, context, devices=devices, **options) > 0

    at = bisect_left(counts, True, key=fits)
    return counts[at] if at < len(counts) else None


def devices_needed(
    bytes_held: Number, hardware: Hardware, *, reserve: float = 0.0
) -> int:
    """Fewest devices whose memory together holds `bytes_held`, nothing held twice.

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
