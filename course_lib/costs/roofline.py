"""How long prefill and a decode step must take: as long as their arithmetic or their
memory traffic, whichever is longer (`work.roofline_time`).

Prefill meets each weight once for many tokens and is bound by compute. A decode step
meets each weight once for one token a sequence, reads the whole cache besides, and is
bound by memory until the batch is large; at a long context, at every batch.

The work is that of one of `devices`, the busiest: its share of the FLOPs, its share of
the weights and what it holds whole (`costs.devices`), and the caches that it keeps. The
time is a bound for the precisions that it is asked for: bytes a weight and a cached
number, and the arithmetic that `hardware.peak_flops` stands for
(`Hardware.computing`).

Source: Pope et al. 2022, arXiv 2211.05102, section 2.

Terms:
    arithmetic intensity, operational intensity: FLOPs for each byte moved ->
        attention_intensity
    TPOT, time per output token, inter-token latency: seconds of one decode step ->
        decode_step_time
    prefill time: seconds of the pass over a prompt -> prefill_time
"""

from course_lib.costs.arithmetic import check_count, check_positive
from course_lib.costs.cache import cache_bytes
from course_lib.costs.devices import (
    busiest_batch,
    extra_weights_read,
    on_one_device,
)
from course_lib.costs.ends import head_weights
from course_lib.costs.feed_forward.dispatch import ffn_weights_read
from course_lib.costs.flops import flops_per_token, prefill_flops
from course_lib.costs.hardware import Hardware
from course_lib.costs.mixers.attention import key_value_weights, query_weights
from course_lib.costs.mixers.dispatch import (
    attention_flops_per_pair,
    mixer_weights,
    token_elements,
)
from course_lib.costs.sides import side_weights
from course_lib.costs.stack import unique_layers
from course_lib.costs.work import RooflineTime, Work
from course_lib.specs.records import LayerSpec, Mixer, ModelSpec


def weights_read(spec: ModelSpec, *, batch: int, prefill: bool = False) -> float:
    """Matrix weights a pass reads once for the whole batch.

    The token embedding is looked up, not read through, unless it is the head too. A
    mixture reads the experts its tokens pick: `expected_active_experts` of them if the
    router picks evenly. A decode step of an encoder-decoder reads neither the encoder
    nor the projections of the source's keys and values; its prefill reads both.

    Args: `batch` tokens of the pass, over all sequences; `prefill` whether the source
        is encoded in it.
    Returns: an (expected) count of weights; times bytes per weight, the bytes read.
    Raises: ValueError if `batch` is no whole number of at least 1.
    """
    check_count(batch=batch)
    read = head_weights(spec) + side_weights(spec.sides)
    for stack in (spec.layers, spec.encoder) if prefill else (spec.layers,):
        read += sum(
            count * _layer_read(layer, spec.width, batch, prefill)
            for layer, count in unique_layers(stack)
        )
    return read


def _layer_read(layer: LayerSpec, width: int, batch: int, prefill: bool) -> float:
    cross = layer.cross
    weights = mixer_weights(layer.mixer, width)
    weights += ffn_weights_read(layer.ffn, width, batch) + side_weights(layer.sides)
    if cross:
        weights += query_weights(cross, width) + prefill * key_value_weights(
            cross, width
        )
    return weights


def attention_intensity(
    mixer: Mixer, *, bytes_per_element: float = 2, absorbed: bool = True
) -> float:
    """FLOPs of one decode step's attention for each cached byte it reads, at any batch
    and context.

    *Equation*: attention_flops_per_pair / (token_elements bytes_per_element): h / g for
    bf16 keys and values. No batch raises it, since every sequence reads a cache of its
    own (a prefix shared by a batch is not modelled).

    Args: `mixer` of a layer that keeps a cache; `bytes_per_element`; `absorbed` the
        form of latent attention.
    Returns: FLOPs per byte, to hold against `Hardware.ridge`.
    Raises: ValueError if the layer keeps nothing per token, or `bytes_per_element` is
        not above 0.
    """
    check_positive(bytes_per_element=bytes_per_element)
    kept = token_elements(mixer, latent=absorbed)
    if not kept:
        raise ValueError(
            f"mixer={mixer!r}: a causal attention or a latent one is allowed"
        )
    return attention_flops_per_pair(mixer, absorbed=absorbed) / (
        kept * bytes_per_element
    )


def prefill_work(
    spec: ModelSpec,
    tokens: int,
    *,
    batch: int = 1,
    devices: int = 1,
    split: str = "heads",
    bytes_per_element: float = 2,
    skip_masked: bool = True,
    source_tokens: int | None = None,
) -> Work:
    """What running a prompt takes on one device; its cache bytes are written.

    *Equation*: FLOPs = batch prefill_flops / D; bytes written = cache_bytes of what the
        device keeps.

    Args: `tokens` of the prompt; `batch` prompts run together; `devices` D that share
        the work, and `split`, as in `costs.devices`; `bytes_per_element` of the cache;
        `skip_masked`, `source_tokens` as in `prefill_flops`.
    Returns: the work of the pass.
    Raises: ValueError if a count is no whole number of at least 1, a byte width is not
        above 0, or the devices cannot split the model that way.
    """
    check_count(tokens=tokens, batch=batch)
    flops = prefill_flops(
        spec, tokens, skip_masked=skip_masked, source_tokens=source_tokens
    )
    read = weights_read(spec, batch=batch * tokens, prefill=True)
    read += extra_weights_read(spec, devices, split=split, prefill=True)
    return Work(
        flops=batch * flops / devices,
        weights_read=read / devices,
        cache_bytes=cache_bytes(
            on_one_device(spec, devices if split == "heads" else 1),
            batch=busiest_batch(batch, devices, split),
            tokens=tokens,
            bytes_per_element=bytes_per_element,
            source_tokens=source_tokens,
        ),
    )


def prefill_roofline(
    spec: ModelSpec,
    hardware: Hardware,
    tokens: int,
    *,
    bytes_per_weight: float = 2,
    **options,
) -> RooflineTime:
    """Times of running a prompt, split into compute and memory.

    Args: `bytes_per_weight`; the rest as in `prefill_work`.
    Returns: seconds of each, and the bound. Raises as `prefill_work` and `Work.on` do.
    """
    work = prefill_work(spec, tokens, **options)
    return work.on(hardware, bytes_per_weight=bytes_per_weight)


def prefill_time(spec: ModelSpec, hardware: Hardware, tokens: int, **options) -> float:
    """Seconds until the first token: `prefill_roofline(...).time_s`, with its options
    and errors.
    """
    return prefill_roofline(spec, hardware, tokens, **options).time_s


def decode_work(
    spec: ModelSpec,
    *,
    batch: int = 1,
    context: int,
    devices: int = 1,
    split: str = "heads",
    bytes_per_element: float = 2,
    absorbed: bool = True,
    source_tokens: int | None = None,
) -> Work:
    """What one decode step takes on one device, in which each of `batch` sequences
    gains one token.

    *Equation*: FLOPs = batch flops_per_token / D; bytes read = cache_bytes of what the
        device keeps, a window as a ring.

    Args: `context` tokens each new token sees, itself among them; `batch` sequences on
        all devices together; `devices` D that share the work, and `split`, as in
        `costs.devices`; `bytes_per_element` of the cache; `absorbed` latent attention
        against the latent, or against keys and values kept multiplied out;
        `source_tokens` as in `flops_per_token`.
    Returns: the work of the step.
    Raises: ValueError if a count is no whole number of at least 1, a byte width is not
        above 0, or the devices cannot split the model that way.
    """
    check_count(batch=batch, context=context)
    flops = flops_per_token(
        spec, context, absorbed=absorbed, source_tokens=source_tokens
    )
    read = weights_read(spec, batch=batch)
    read += extra_weights_read(spec, devices, split=split)
    return Work(
        flops=batch * flops / devices,
        weights_read=read / devices,
        cache_bytes=cache_bytes(
            on_one_device(spec, devices if split == "heads" else 1),
            batch=busiest_batch(batch, devices, split),
            tokens=context,
            bytes_per_element=bytes_per_element,
            source_tokens=source_tokens,
            latent=absorbed,
            ring=True,
        ),
    )


def decode_roofline(
    spec: ModelSpec,
    hardware: Hardware,
    *,
    context: int,
    bytes_per_weight: float = 2,
    **options,
) -> RooflineTime:
    """Times of one decode step, split into compute and memory.

    Args: `bytes_per_weight`; the rest as in `decode_work`.
    Returns: seconds of each, and the bound. Raises as `decode_work` and `Work.on` do.
    """
    work = decode_work(spec, context=context, **options)
    return work.on(hardware, bytes_per_weight=bytes_per_weight)


def decode_step_time(
    spec: ModelSpec, hardware: Hardware, *, batch: int = 1, context: int, **options
) -> float:
    """Seconds of one decode step: `decode_roofline(...).time_s`, with its options and
    errors.
    """
    return decode_roofline(
        spec, hardware, batch=batch, context=context, **options
    ).time_s
