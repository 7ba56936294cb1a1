"""Devices that serve one copy of a model: what each holds, how many requests fit, and
what stands twice, for `course kv` and `course fit`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from course_lib.costs.hardware import Hardware
from course_lib.costs.held import held_again, uneven_heads
from course_lib.costs.serving import (
    device_request_bytes,
    device_weight_bytes,
    max_concurrency,
    tokens_in_all,
    weight_bytes,
)
from course_lib.costs.stored import fewest_bits
from course_lib.costs.stored_reads import bits_per_weight_read, bytes_by_part
from course_lib.course.cli.lookup import (
    SplitName,
    bytes_of,
    plain,
    precision_text,
    weight_bits_of,
)
from course_lib.kit.units import bytes_text, count_text, plural
from course_lib.specs.records import ModelSpec

RESERVE = 0.1


@dataclass(frozen=True)
class Node:
    """Devices that serve one copy of a model, and the bits of its numbers: `precision`
    says where the weights' come from, `own` gives a file's bytes by part;
    `multiplied_bits` are the fewest in which weights may be multiplied.
    """

    devices: int
    split: str
    bits: float
    weight_bits: float
    precision: str
    own: Mapping[str, Fraction] | None = None
    multiplied_bits: float = 16

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
        fewest_bits(spec) if weight_bits is None else weight_bits,
    )


def read_bits(spec: ModelSpec, node: Node, tokens: int) -> float:
    """Bits of a weight on average among those that a pass of `tokens` reads."""
    if node.own is None:
        return node.weight_bits
    return bits_per_weight_read(spec, tokens=tokens, **node.where)


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
