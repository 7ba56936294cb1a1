"""`course kv MODEL`: bytes of the cache at a context and a batch, by kind of layer;
what fits on a GPU.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import typer

from course_lib.costs.cache import (
    cache_bytes,
    cache_bytes_per_token,
    cache_line,
    cached_tokens,
)
from course_lib.costs.mixers.dispatch import token_elements
from course_lib.costs.reserved import reserved_cache
from course_lib.course.cli.built import (
    built_fit,
    built_kv,
    built_model,
    one_device,
    show_built_kv,
)
from course_lib.course.cli.console import JSON, answer, say, table
from course_lib.course.cli.describe import alike, mixer_kind, mixer_text
from course_lib.course.cli.lookup import (
    MOST_REQUESTS,
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
    context_of,
    find_gpu,
    find_model,
    plain,
)
from course_lib.course.cli.node import gpu_facts, gpu_text, node_of, split_notes
from course_lib.kit.units import bytes_text, count_text, plural, share_text
from course_lib.specs.records import ModelSpec, window_of


def kv(
    model: Model = None,
    context: Context = None,
    batch: Annotated[
        int, typer.Option("--batch", "-b", min=1, max=MOST_REQUESTS, help="Requests.")
    ] = 1,
    bits: Bits = 16,
    gpu: Gpu = None,
    devices: Devices = 1,
    split: Split = SplitName.heads,
    weight_bits: WeightBits = None,
    as_json: JSON = False,
) -> None:
    """Bytes of a model's cache, by the formula of `course_lib.costs.cache`; of a model
    that no family reads, as `transformers` builds it.
    """
    built = built_model(model)
    if built is not None:
        one_device(devices)
        facts = built_kv(built, context, batch, bits)
        facts["gpu"] = (
            built_fit(built, find_gpu(gpu), context, bits, weight_bits) if gpu else None
        )
        return answer(facts, as_json, show_built_kv)
    spec, device = find_model(model), find_gpu(gpu) if gpu else None
    facts = kv_facts(spec, context_of(spec, context), batch, bits)
    node = node_of(spec, devices, split, bits, weight_bits)
    facts["gpu"] = (
        gpu_facts(spec, device, facts["context_tokens"], node) if device else None
    )
    return answer(facts, as_json, show)


def kv_facts(spec: ModelSpec, context: int, batch: int, bits: float) -> dict[str, Any]:
    """The cache of `batch` requests of `context` tokens; an encoder's input is as long
    as the context.
    """
    width = bytes_of(bits)

    def held(tokens: int, part: ModelSpec = spec, requests: int = 1) -> int | float:
        options = {"bytes_per_element": width, "source_tokens": context}
        return cache_bytes(part, batch=requests, tokens=tokens, **options)

    kinds = []
    for (mixer, cross), indices in alike(
        spec.layers, lambda layer: (layer.mixer, layer.cross)
    ).items():
        part = replace(spec, layers=tuple(spec.layers[i] for i in indices))
        elements = token_elements(mixer) if spec.head == "lm" else 0
        kinds.append(
            {
                "kind": mixer_kind(mixer) + (" + cross-attention" if cross else ""),
                "shape": mixer_text(mixer),
                "layers": len(indices),
                "window_tokens": window_of(mixer),
                "elements_per_token_and_layer": elements,
                "cached_tokens": cached_tokens(mixer, context) if elements else 0,
                "bytes_per_request": held(context, part),
            }
        )
    line = cache_line(spec, bytes_per_element=width, source_tokens=context)
    pages = reserved_cache(
        spec, batch=1, tokens=context, bytes_per_element=width, source_tokens=context
    )
    return {
        "model": spec.name,
        "counted": spec.counted,
        "writes_tokens": spec.head == "lm",
        "context_tokens": context,
        "model_context_tokens": spec.context,
        "batch_requests": batch,
        "bits_per_element": plain(bits),
        "bytes_per_token": cache_bytes_per_token(spec, bytes_per_element=width),
        "bytes_of_next_token": held(context + 1) - held(context),
        "bytes_per_request": held(context),
        "total_bytes": held(context, requests=batch),
        "fixed_bytes_per_request": line.fixed_bytes,
        "further_bytes_per_token": line.bytes_per_token,
        "line_from_tokens": line.from_tokens,
        "reserved_bytes_per_request": pages.reserved_bytes,
        "reserved_added_share": pages.added_share,
        "kinds": kinds,
    }


def show(facts: Mapping[str, Any]) -> None:
    """Print the tables of `kv`."""
    tokens, batch = count_text(facts["context_tokens"]), facts["batch_requests"]
    windows = any(kind["window_tokens"] for kind in facts["kinds"])
    rows = [
        (
            kind["layers"],
            kind["kind"],
            kind["shape"],
            count_text(kind["elements_per_token_and_layer"]),
            count_text(kind["cached_tokens"]),
            bytes_text(kind["bytes_per_request"]),
        )
        for kind in facts["kinds"]
    ]
    head = ("#layers", "kind", "shape", "#numbers/token", "#tokens held", "#a request")
    table(
        head,
        rows,
        title=f"{facts['model']}: cache at {tokens} tokens, "
        f"{bits_text(facts['bits_per_element'])} bits",
    )
    totals = [
        (
            "one token" + ", while every window has room" * windows,
            bytes_text(facts["bytes_per_token"]),
        ),
        ("the next token at this context", bytes_text(facts["bytes_of_next_token"])),
        ("one request", bytes_text(facts["bytes_per_request"])),
        *[(plural(batch, "request"), bytes_text(facts["total_bytes"]))] * (batch > 1),
        *line_rows(facts),
    ]
    table(("what", "#cache"), totals)
    for note in notes(facts):
        say(note)


def line_rows(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The two numbers of a long request, and what pages of one size reserve."""
    start = facts["line_from_tokens"]
    long = f", from {count_text(start)} tokens on" if start > 1 else ""
    rows = [
        ("fixed, a request" + long, bytes_text(facts["fixed_bytes_per_request"])),
        ("each further token" + long, bytes_text(facts["further_bytes_per_token"])),
    ]
    if facts["reserved_added_share"]:
        added = share_text(facts["reserved_added_share"])
        reserved = bytes_text(facts["reserved_bytes_per_request"])
        rows.append(
            (f"one request in pages of one size ({added} of it added)", reserved)
        )
    return rows


def notes(facts: Mapping[str, Any]) -> list[str]:
    """What a reader of the tables should know."""
    found = []
    if facts["gpu"]:
        found.append(gpu_text(facts["gpu"], facts["context_tokens"]))
        found += split_notes(facts["gpu"])
    if facts["counted"]:
        found.append(f"Counted as {facts['counted']}.")
    if facts["reserved_added_share"]:
        found.append(
            "An engine with pages of one size for all layers reserves the whole "
            "context for windowed layers too; one with a pool for each kind does not."
        )
    if not facts["writes_tokens"]:
        found.append(
            "It keeps no cache: it writes no tokens, so nothing is decoded step by "
            "step."
        )
    elif not facts["total_bytes"]:
        found.append(
            "It keeps no cache: every token sees the whole input, so nothing is "
            "decoded step by step."
        )
    if any(kind["window_tokens"] for kind in facts["kinds"]):
        found.append(
            "Between steps a window of w holds w - 1 tokens; a ring buffer holds w."
        )
    return found + context_notes(facts)


def context_notes(facts: Mapping[str, Any]) -> list[str]:
    """A warning where the context is beyond what the model was made for."""
    limit = facts["model_context_tokens"]
    if limit is None or facts["context_tokens"] <= limit:
        return []
    return [
        f"Note: {count_text(facts['context_tokens'])} tokens are more than its own "
        f"{count_text(limit)}."
    ]
