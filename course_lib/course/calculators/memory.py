"""Calculator of memory: the cache of a batch of requests."""

from collections.abc import Mapping
from typing import Any

from course_lib.costs.arithmetic import Number
from course_lib.costs.cache import cache_bytes
from course_lib.costs.devices import (
    SPLITS,
    busiest_batch,
    on_one_device,
)
from course_lib.course.calculators.against import (
    against_memory,
    device_line,
)
from course_lib.course.calculators.definition import (
    Calculator,
    Finding,
    Line,
    Symbols,
)
from course_lib.course.calculators.symbolic import SymbolicModel
from course_lib.specs.records import ModelSpec


def held_cache(model: SymbolicModel, s: Symbols, batch: Number) -> Number:
    """Bytes of the caches of a batch on the busiest device."""
    split = model.split
    return cache_bytes(
        on_one_device(model.spec, s["devices"] if split == "heads" else 1),
        batch=busiest_batch(batch, s["devices"], split),
        tokens=s["tokens"],
        bytes_per_element=s["bytes_per_element"],
    )


def kv_lines(model: SymbolicModel, s: Symbols) -> tuple[Line, ...]:
    """The cache of a batch, what a device keeps of it, and the memory that this is held
    against.
    """
    one = cache_bytes(
        model.spec,
        batch=s["batch"],
        tokens=s["tokens"],
        bytes_per_element=s["bytes_per_element"],
    )
    cache = Line(
        name="cache", letter=r"\text{cache}", value=one, unit="bytes", label="Cache"
    )
    held = Line(
        name="held",
        letter=r"\text{cache}_{D}",
        value=held_cache(model, s, s["batch"]),
        unit="bytes",
        label="On a device",
    )
    node = device_line(s)
    share = Line(
        name="share",
        letter=r"\text{share}",
        value=held.symbol / node.symbol,
        unit="share",
        label="As a share of its memory",
        printed=False,
    )
    return cache, held, node, share


def kv_bytes(spec: ModelSpec, v: Mapping[str, Any]) -> float:
    """The cache of a batch, by `cache_bytes`."""
    return cache_bytes(
        spec,
        batch=v["batch"],
        tokens=v["tokens"],
        bytes_per_element=v["bytes_per_element"],
    )


KV_BUDGET = Calculator(
    name="kv-budget",
    title="Cache of a batch",
    question="How much memory do the caches of these requests take?",
    model="llama-3.1-70b",
    machine="H100-SXM",
    splits=SPLITS,
    inputs=("batch", "tokens", "bytes_per_element", "devices", "memory_bytes"),
    lines=kv_lines,
    by_function=kv_bytes,
    answer="cache",
    plot=against_memory(
        "held",
        "cache on a device",
        caption="Cache on a device against context",
        found="On a device the caches alone outgrow {node} at {x} tokens.",
        never="Up to {high} tokens the caches on a device stay below {node}.",
        always="On a device the caches alone are more than {node} at any context "
        "shown.",
        limit="memory of a device",
    ),
    findings=(
        Finding(
            text="{batch} × {tokens} tokens keep {cache} in {cache_bits} bits. Each of "
            "{devices} holds {held}: more than {node}.",
            a="held",
            b="node",
        ),
        Finding(
            text="{batch} × {tokens} tokens keep {cache} in {cache_bits} bits. Each of "
            "{devices} holds {held}: {share} of {node}."
        ),
    ),
    worked=(
        {},
        {"tokens": 131_072},
        {"tokens": 131_072, "batch": 8},
        {"model": "gemma-3-27b", "tokens": 131_072},
        {"model": "deepseek-v3", "tokens": 131_072},
        {"model": "deepseek-v3", "tokens": 131_072, "bytes_per_element": 8},
        {"model": "mamba-2.8b", "tokens": 131_072},
    ),
)
