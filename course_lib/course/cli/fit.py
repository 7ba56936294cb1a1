"""`course fit MODEL --gpu NAME`: do the weights fit, how many requests beside them, how
fast, what binds.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from course_lib.costs.cache import cache_bytes
from course_lib.costs.hardware import Hardware, list_hardware, load_hardware
from course_lib.costs.roofline import decode_roofline, prefill_roofline
from course_lib.costs.serving import cache_equals_weights, devices_needed
from course_lib.costs.work import RooflineTime
from course_lib.course.cli.console import JSON, answer, say, table
from course_lib.course.cli.kv import RESERVE, context_notes, gpu_facts
from course_lib.course.cli.lookup import (
    Bits,
    Context,
    Devices,
    Gpu,
    Model,
    WeightBits,
    bytes_of,
    context_of,
    find_gpu,
    find_model,
)
from course_lib.kit.units import (
    bytes_text,
    count_text,
    plural,
    seconds_text,
    short_text,
)
from course_lib.specs.records import ModelSpec


def fit(
    model: Model = None,
    gpu: Gpu = None,
    devices: Devices = 1,
    context: Context = None,
    bits: Bits = 16,
    weight_bits: WeightBits = 16,
    listing: Annotated[
        bool, typer.Option("--list-gpus", help="List the GPUs.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """What one GPU, or several, can serve of a model.

    Exit code 1 if not one request fits. Times are rooflines: lower bounds, with nothing
    lost between devices.
    """
    if listing:
        return answer(
            {"gpus": [device_facts(name) for name in list_hardware()]},
            as_json,
            show_list,
        )
    spec = find_model(model)
    device, tokens = find_gpu(gpu), context_of(spec, context)
    if spec.head != "lm" or not cache_bytes(spec, batch=1, tokens=tokens):
        raise typer.BadParameter(
            f"{spec.name} generates no text; a decoder is allowed", param_hint="MODEL"
        )
    facts = fit_facts(spec, device, tokens, devices, bits, weight_bits)
    answer(facts, as_json, show)
    if not facts["max_concurrency_requests"]:
        raise typer.Exit(1)


def device_facts(name: str) -> dict[str, Any]:
    """The figures of a GPU."""
    device = load_hardware(name)
    return {
        "gpu": name,
        "name": device.name,
        "peak_flops_per_s": device.peak_flops,
        "bandwidth_bytes_per_s": device.bandwidth_bytes_per_s,
        "memory_bytes": device.memory_bytes,
        "ridge_flops_per_byte": device.ridge,
        "source": device.source,
        "checked": device.checked,
    }


def fit_facts(
    spec: ModelSpec,
    device: Hardware,
    context: int,
    devices: int,
    bits: int,
    weight_bits: int,
) -> dict[str, Any]:
    """Memory, requests and times. Of an encoder-decoder, the source is as long as the
    context.
    """
    widths = {
        "bytes_per_weight": bytes_of(weight_bits),
        "bytes_per_element": bytes_of(bits),
    }
    options = (
        widths
        | {"devices": devices}
        | ({"source_tokens": context} if spec.encoder else {})
    )
    memory = gpu_facts(spec, device, context, devices, bits, weight_bits)
    request = cache_bytes(
        spec, batch=1, tokens=context, bytes_per_element=widths["bytes_per_element"]
    )
    batches = sorted({1, max(1, memory["max_concurrency_requests"])})
    prefill = prefill_roofline(spec, device, 1 if spec.encoder else context, **options)
    needed = devices_needed(memory["weight_bytes"] + request, device, reserve=RESERVE)
    return {
        "model": spec.name,
        "counted": spec.counted,
        "gpu": memory.pop("name"),
        **memory,
        "context_tokens": context,
        "model_context_tokens": spec.context,
        "bits_per_element": bits,
        "cache_bytes_per_request": request,
        "devices_needed": needed,
        "cache_equals_weights_requests": cache_equals_weights(spec, context, **widths),
        "prefill": time_facts(prefill),
        "decode": [
            {
                "batch_requests": batch,
                **time_facts(step),
                "tokens_per_s": batch / step.time_s,
            }
            for batch in batches
            for step in [
                decode_roofline(spec, device, batch=batch, context=context, **options)
            ]
        ],
    }


def time_facts(time: RooflineTime) -> dict[str, Any]:
    """The two times of a pass, the longer one, and which it is."""
    return {
        "time_s": time.time_s,
        "compute_s": time.compute_s,
        "memory_s": time.memory_s,
        "bound": time.bound,
    }


def show_list(facts: Mapping[str, Any]) -> None:
    """Print the list of GPUs."""
    head = ("gpu", "name", "#TFLOP/s", "#GB/s", "#GB", "#FLOPs/byte", "checked")
    rows = [
        (
            one["gpu"],
            one["name"],
            f"{one['peak_flops_per_s'] / 1e12:,.1f}",
            count_text(one["bandwidth_bytes_per_s"] / 1e9),
            count_text(one["memory_bytes"] / 1e9),
            count_text(one["ridge_flops_per_byte"]),
            one["checked"],
        )
        for one in facts["gpus"]
    ]
    table(
        head,
        rows,
        title="16-bit dense peak, memory bandwidth, memory, "
        "and where the two times meet",
    )


def show(facts: Mapping[str, Any]) -> None:
    """Print the tables of `fit`."""
    tokens = count_text(facts["context_tokens"])
    rows = [
        (
            f"memory ({facts['reserve_share']:.0%} kept back)",
            bytes_text(facts["memory_bytes"]),
        ),
        (
            f"weights, {facts['bits_per_weight']} bits",
            bytes_text(facts["weight_bytes"]),
        ),
        (
            f"cache of one request, {facts['bits_per_element']} bits",
            bytes_text(facts["cache_bytes_per_request"]),
        ),
        ("requests that fit", count_text(facts["max_concurrency_requests"])),
        (
            "requests whose cache weighs as much as the weights",
            short_text(facts["cache_equals_weights_requests"]),
        ),
    ]
    title = (
        f"{facts['model']} on {facts['devices']} x {facts['gpu']}, requests of "
        f"{tokens} tokens"
    )
    table(("what", "#amount"), rows, title=title)
    rows = [("prefill", 1, *time_row(facts["prefill"]), "-")]
    for step in facts["decode"]:
        rows.append(
            (
                "decode step",
                count_text(step["batch_requests"]),
                *time_row(step),
                short_text(step["tokens_per_s"]),
            )
        )
    table(
        ("pass", "#batch", "#time", "#compute", "#memory", "bound by", "#tokens/s"),
        rows,
    )
    for note in notes(facts):
        say(note)


def time_row(time: Mapping[str, Any]) -> tuple[str, ...]:
    """The cells of one pass."""
    return (
        *(seconds_text(time[key]) for key in ("time_s", "compute_s", "memory_s")),
        time["bound"],
    )


def notes(facts: Mapping[str, Any]) -> list[str]:
    """What a reader of the tables should know."""
    found = [
        "Times are lower bounds: no launches, no exchange "
        "between devices, perfect overlap."
    ]
    if facts["counted"]:
        found.append(f"Counted as {facts['counted']}.")
    if not facts["max_concurrency_requests"]:
        found.insert(
            0,
            "Not one request fits. It takes "
            f"{plural(facts['devices_needed'], 'device')} of this kind.",
        )
    return found + context_notes(facts)
