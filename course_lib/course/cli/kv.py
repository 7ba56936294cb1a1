"""`course kv MODEL`: bytes of the cache at a context and a batch, by kind of layer;
what fits on a GPU.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Annotated, Any

import typer

from course_lib.costs.cache import (
    cache_bytes,
    cache_bytes_per_token,
    cache_line,
    cached_tokens,
)
from course_lib.costs.devices import held_again, uneven_heads
from course_lib.costs.hardware import Hardware
from course_lib.costs.mixers.dispatch import token_elements
from course_lib.costs.reserved import reserved_cache
from course_lib.costs.serving import (
    device_request_bytes,
    device_weight_bytes,
    max_concurrency,
    tokens_in_all,
    weight_bytes,
)
from course_lib.costs.stored import bytes_by_part
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
    precision_text,
    weight_bits_of,
)
from course_lib.kit.units import bytes_text, count_text, plural, share_text
from course_lib.specs.records import ModelSpec, window_of

RESERVE = 0.1


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
    """Bytes of a model's cache, by the formula of `course_lib.costs.cache`."""
    spec, device = find_model(model), find_gpu(gpu) if gpu else None
    facts = kv_facts(spec, context_of(spec, context), batch, bits)
    node = node_of(spec, devices, split, bits, weight_bits)
    facts["gpu"] = (
        gpu_facts(spec, device, facts["context_tokens"], node) if device else None
    )
    answer(facts, as_json, show)


@dataclass(frozen=True)
class Node:
    """Devices that serve one copy of a model, and the bits of its numbers: `precision`
    says where the weights' come from, `own` gives a file's bytes by part.
    """

    devices: int
    split: str
    bits: float
    weight_bits: float
    precision: str
    own: Mapping[str, Fraction] | None = None

    @property
    def weights(self) -> float | Mapping[str, Fraction]:
        """Bytes of a weight: one number, or the file's own by part."""
        return bytes_of(self.weight_bits) if self.own is None else self.own

    def width(self, part: str) -> float | Fraction:
        """Bytes of a weight of one part of `param_count`."""
        return self.weights[part] if self.own else self.weights

    @property
    def where(self) -> dict[str, Any]:
        """How the model is split, as the functions of `costs` take it."""
        return {"devices": self.devices, "split": self.split}

    @property
    def widths(self) -> dict[str, float]:
        """Bytes of weights and cached numbers, as they take them."""
        return {
            "bytes_per_weight": bytes_of(self.weight_bits),
            "bytes_per_element": bytes_of(self.bits),
        }


def node_of(
    spec: ModelSpec,
    devices: int,
    split: SplitName,
    bits: float,
    weight_bits: float | None,
) -> Node:
    """The devices as they are asked for; without bits, a file's own."""
    own = bytes_by_part(spec, spec.quantisation) if weight_bits is None else None
    return Node(
        devices,
        split.value,
        bits,
        weight_bits_of(spec, weight_bits),
        precision_text(spec, weight_bits),
        own if spec.quantisation else None,
    )


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
        elements = token_elements(mixer)
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


def gpu_facts(
    spec: ModelSpec, device: Hardware, context: int, node: Node
) -> dict[str, Any]:
    """How many such requests fit beside the weights, device by device."""
    where, weights = node.where, {"bytes_per_weight": node.weights}
    cached = {"bytes_per_element": bytes_of(node.bits)}
    widths = weights | cached
    return {
        "name": device.name,
        **where,
        "memory_bytes": node.devices * device.memory_bytes,
        "reserve_share": RESERVE,
        "precision": node.precision,
        "bits_per_weight": plain(node.weight_bits),
        "weight_bytes": weight_bytes(spec, **weights),
        "device_memory_bytes": device.memory_bytes,
        "device_weight_bytes": device_weight_bytes(spec, **where, **weights),
        "device_cache_bytes_per_request": device_request_bytes(
            spec, context, **where, **cached
        ),
        "held_again": [
            {
                "what": held.what,
                "copies": held.copies,
                "bytes_per_copy": float(held.params * node.width(held.part)),
            }
            for held in held_again(spec, **where)
        ],
        "heads_not_divided": list(uneven_heads(spec, **where)),
        "max_concurrency_requests": max_concurrency(
            spec, device, context, reserve=RESERVE, **where, **widths
        ),
        "tokens_in_all": tokens_in_all(
            spec, device, context, reserve=RESERVE, **where, **widths
        ),
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
    if facts["reserved_added_share"]:
        found.append(
            "An engine with pages of one size for all layers reserves the whole "
            "context for windowed layers too; one with a pool for each kind does not."
        )
    if not facts["total_bytes"]:
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


def gpu_text(gpu: Mapping[str, Any], context: int) -> str:
    """One sentence on what fits."""
    memory = bytes_text(gpu["device_memory_bytes"])
    weights = bytes_text(gpu["device_weight_bytes"])
    cache = bytes_text(gpu["device_cache_bytes_per_request"])
    requests = plural(gpu["max_concurrency_requests"], "request")
    return (
        f"On {gpu['devices']} x {gpu['name']}{split_text(gpu)} ({memory} a device, "
        f"{gpu['reserve_share']:.0%} kept back): {gpu['precision']}, {weights} a "
        f"device; a request {cache}. There is room for {requests} of "
        f"{count_text(context)} tokens, and for {count_text(gpu['tokens_in_all'])} "
        "tokens in all."
    )


def split_text(gpu: Mapping[str, Any]) -> str:
    """How several devices share the model, in words."""
    return f", {gpu['split']} split" if gpu["devices"] > 1 else ""


def split_notes(gpu: Mapping[str, Any]) -> list[str]:
    """What is held twice, and which heads an engine would refuse."""
    devices, found = gpu["devices"], []
    held = [
        f"{one['what']} on {'all ' * (one['copies'] == devices)}{one['copies']}"
        + (
            f" ({bytes_text(one['bytes_per_copy'])} each)"
            if one["bytes_per_copy"]
            else ""
        )
        for one in gpu["held_again"]
    ]
    if held:
        found.append(f"Held more than once, by devices: {', '.join(held)}.")
    if any(one["what"] == "recurrent states" for one in gpu["held_again"]):
        found.append(
            "Recurrent states are counted whole on every device; vLLM and SGLang cut "
            "them too, and keep less."
        )
    if gpu["heads_not_divided"]:
        heads = " and ".join(map(str, gpu["heads_not_divided"]))
        found.append(
            f"{devices} devices do not divide {heads} query heads: vLLM and SGLang "
            "refuse this. The bytes are counted as if they did."
        )
    return found
