"""`course fit MODEL --gpu NAME`: do the weights fit, how many requests beside them, how
fast, what binds.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from course_lib.costs.cache import cache_bytes
from course_lib.costs.hardware import (
    Hardware,
    list_hardware,
)
from course_lib.costs.roofline import decode_roofline, prefill_roofline
from course_lib.costs.serving import cache_equals_weights, fewest_devices
from course_lib.costs.work import RooflineTime
from course_lib.course.beside import measured_facts, measured_lines
from course_lib.course.cli.built import (
    built_fit,
    built_model,
    one_device,
    show_built_fit,
)
from course_lib.course.cli.console import JSON, answer, say, table
from course_lib.course.cli.gpus import device_facts, peak_text, show_list
from course_lib.course.cli.kv import context_notes
from course_lib.course.cli.lookup import (
    Arithmetic,
    Bits,
    Context,
    Devices,
    Gpu,
    Model,
    Split,
    SplitName,
    WeightBits,
    bits_text,
    bytes_of,
    computing,
    context_of,
    find_gpu,
    find_model,
    plain,
)
from course_lib.course.cli.node import (
    RESERVE,
    Node,
    gpu_facts,
    node_of,
    read_bits,
    split_notes,
    split_text,
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
    split: Split = SplitName.heads,
    context: Context = None,
    bits: Bits = 16,
    weight_bits: WeightBits = None,
    arithmetic: Arithmetic = None,
    listing: Annotated[
        bool, typer.Option("--list-gpus", help="List the GPUs.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """What one GPU, or several, can serve of a model.

    Exit code 1 if not one request fits. Times are rooflines: lower bounds in the
    arithmetic that is named, with nothing lost between devices.
    """
    if listing:
        return answer(
            {"gpus": [device_facts(name) for name in list_hardware()]},
            as_json,
            show_list,
        )
    built = built_model(model)
    if built is not None:
        one_device(devices)
        facts = built_fit(built, find_gpu(gpu), context, bits, weight_bits)
        return ended(facts, as_json, show_built_fit)
    spec = find_model(model)
    device, tokens = find_gpu(gpu), context_of(spec, context)
    if spec.head != "lm" or not cache_bytes(spec, batch=1, tokens=tokens):
        raise typer.BadParameter(
            f"{spec.name} generates no text; a decoder is allowed", param_hint="MODEL"
        )
    node = node_of(spec, devices, split, bits, weight_bits)
    device = computing(device, arithmetic and arithmetic.value, node.multiplied_bits)
    return ended(fit_facts(spec, device, tokens, node), as_json, show)


def ended(facts: Mapping[str, Any], as_json: bool, show: Callable) -> None:
    """Print the answer; exit code 1 if not one request fits."""
    answer(facts, as_json, show)
    if not facts["max_concurrency_requests"]:
        raise typer.Exit(1)


def fit_facts(
    spec: ModelSpec,
    device: Hardware,
    context: int,
    node: Node,
) -> dict[str, Any]:
    """Memory, requests and times. Of an encoder-decoder, the source is as long as the
    context.
    """
    widths = node.widths
    source = {"source_tokens": context} if spec.encoder else {}
    options = {**node.where, **source, "bytes_per_element": widths["bytes_per_element"]}
    memory = gpu_facts(spec, device, context, node)
    request = cache_bytes(
        spec, batch=1, tokens=context, bytes_per_element=widths["bytes_per_element"]
    )
    batches = sorted({1, max(1, memory["max_concurrency_requests"])})
    prompt = 1 if spec.encoder else context
    bits = {tokens: read_bits(spec, node, tokens) for tokens in (context, *batches)}
    prefill = prefill_roofline(
        spec, device, prompt, bytes_per_weight=bytes_of(bits[context]), **options
    )
    needed = fewest_devices(
        spec,
        device,
        context,
        reserve=RESERVE,
        split=node.split,
        bytes_per_weight=node.weights,
        bytes_per_element=widths["bytes_per_element"],
    )
    return {
        "model": spec.name,
        "counted": spec.counted,
        "gpu": memory.pop("name"),
        **memory,
        "context_tokens": context,
        "model_context_tokens": spec.context,
        "bits_per_element": plain(node.bits),
        "arithmetic": device.arithmetic,
        "peak_flops_per_s": device.peak_flops,
        "cache_bytes_per_request": request,
        "devices_needed": needed,
        "cache_equals_weights_requests": cache_equals_weights(spec, context, **widths),
        "prefill": time_facts(prefill) | {"bits_per_weight_read": plain(bits[context])},
        "decode": [
            {
                "batch_requests": batch,
                **time_facts(step),
                "bits_per_weight_read": plain(bits[batch]),
                "tokens_per_s": batch / step.time_s,
            }
            for batch in batches
            for step in [
                decode_roofline(
                    spec,
                    device,
                    batch=batch,
                    context=context,
                    bytes_per_weight=bytes_of(bits[batch]),
                    **options,
                )
            ]
        ],
        "measured": measured_facts(spec, device.name),
    }


def time_facts(time: RooflineTime) -> dict[str, Any]:
    """The two times of a pass, the longer one, and which it is."""
    return {
        "time_s": time.time_s,
        "compute_s": time.compute_s,
        "memory_s": time.memory_s,
        "bound": time.bound,
    }


def show(facts: Mapping[str, Any]) -> None:
    """Print the tables of `fit`."""
    tokens = count_text(facts["context_tokens"])
    several = facts["devices"] > 1
    rows = [
        (
            f"memory of a device ({facts['reserve_share']:.0%} kept back)",
            bytes_text(facts["device_memory_bytes"]),
        ),
        (
            f"weights, {bits_text(facts['bits_per_weight'])} bits",
            bytes_text(facts["weight_bytes"]),
        ),
        *[("weights on a device", bytes_text(facts["device_weight_bytes"]))] * several,
        (
            f"cache of one request, {bits_text(facts['bits_per_element'])} bits",
            bytes_text(facts["cache_bytes_per_request"]),
        ),
        *[
            (
                "cache of one request on a device",
                bytes_text(facts["device_cache_bytes_per_request"]),
            )
        ]
        * several,
        ("requests that fit", count_text(facts["max_concurrency_requests"])),
        ("tokens in all", count_text(facts["tokens_in_all"])),
        (
            "requests whose cache weighs as much as the weights",
            short_text(facts["cache_equals_weights_requests"]),
        ),
    ]
    title = (
        f"{facts['model']} on {facts['devices']} x {facts['gpu']}{split_text(facts)}, "
        f"requests of {tokens} tokens"
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
    for note in notes(facts) + measured_lines(facts["measured"]):
        say(note)


def time_row(time: Mapping[str, Any]) -> tuple[str, ...]:
    """The cells of one pass."""
    return (
        *(seconds_text(time[key]) for key in ("time_s", "compute_s", "memory_s")),
        time["bound"],
    )


def notes(facts: Mapping[str, Any]) -> list[str]:
    """What a reader of the tables should know."""
    peak = peak_text(facts["peak_flops_per_s"])
    found = [
        f"Times are lower bounds in {facts['arithmetic']} arithmetic ({peak} TFLOP/s a "
        f"device), with weights of {read_text(facts)} bits and a "
        f"cache of {bits_text(facts['bits_per_element'])}: no launches, no exchange "
        "between devices, perfect overlap.",
        f"Counted: {facts['precision']}; a cache of "
        f"{bits_text(facts['bits_per_element'])} bits.",
    ]
    found += split_notes(facts)
    if facts["counted"]:
        found.append(f"Counted as {facts['counted']}.")
    if not facts["max_concurrency_requests"]:
        found.insert(0, f"Not one request fits. {needed_text(facts)}")
    return found + context_notes(facts)


def read_text(facts: Mapping[str, Any]) -> str:
    """Bits of the weights that the passes read, from the fewest to the most."""
    passes = (facts["prefill"], *facts["decode"])
    found = sorted({step["bits_per_weight_read"] for step in passes})
    ends = dict.fromkeys(bits_text(bits) for bits in (found[0], found[-1]))
    return " to ".join(ends)


def needed_text(facts: Mapping[str, Any]) -> str:
    """How many devices it takes."""
    if facts["devices_needed"] is None:
        return "No number of devices of this kind holds it with this split."
    return f"It takes {plural(facts['devices_needed'], 'device')} of this kind."
