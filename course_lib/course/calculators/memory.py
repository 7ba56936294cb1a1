"""Calculators of memory: the cache of a batch of requests, and how many requests
fit.
"""

from collections.abc import Mapping

from course_lib.costs.cache import cache_bytes
from course_lib.costs.hardware import Hardware
from course_lib.costs.serving import concurrent_requests, max_concurrency, weight_bytes
from course_lib.course.calculators.against import (
    against_context,
    against_memory,
    memory_line,
)
from course_lib.course.calculators.definition import (
    Calculator,
    Crossing,
    Finding,
    Line,
    Series,
    Symbols,
)
from course_lib.course.calculators.symbolic import SymbolicModel
from course_lib.specs.records import ModelSpec


def kv_lines(model: SymbolicModel, s: Symbols) -> tuple[Line, ...]:
    """The cache of a batch, and the memory that it is held against."""
    held = cache_bytes(
        model.spec,
        batch=s["batch"],
        tokens=s["tokens"],
        bytes_per_element=s["bytes_per_element"],
    )
    cache = Line(
        name="cache", letter=r"\text{cache}", value=held, unit="bytes", label="Cache"
    )
    node = memory_line(s)
    share = Line(
        name="share",
        letter=r"\text{share}",
        value=cache.symbol / node.symbol,
        unit="share",
        label="Cache as a share of it",
        printed=False,
    )
    return cache, node, share


def kv_bytes(spec: ModelSpec, v: Mapping[str, float]) -> float:
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
    inputs=("batch", "tokens", "bytes_per_element", "devices", "memory_bytes"),
    lines=kv_lines,
    by_function=kv_bytes,
    answer="cache",
    plot=against_memory(
        "cache",
        "cache",
        caption="Cache against context",
        found="The caches alone outgrow {node} at {x} tokens.",
        never="Up to {high} tokens the caches stay below {node}.",
        always="The caches alone are more than {node} at any context shown.",
    ),
    findings=(
        Finding(
            text="{batch} × {tokens} tokens keep {cache}: more than {node}.",
            a="cache",
            b="node",
        ),
        Finding(text="{batch} × {tokens} tokens keep {cache}: {share} of {node}."),
    ),
    worked=(
        {},
        {"tokens": 131_072},
        {"tokens": 131_072, "batch": 8},
        {"model": "gemma-3-27b", "tokens": 131_072},
        {"model": "deepseek-v3", "tokens": 131_072},
        {"model": "mamba-2.8b", "tokens": 131_072},
    ),
)


def concurrency_lines(model: SymbolicModel, s: Symbols) -> tuple[Line, ...]:
    """Weights, the cache of one request, and the requests that fit beside the
    weights.
    """
    one = cache_bytes(
        model.spec,
        batch=1,
        tokens=s["tokens"],
        bytes_per_element=s["bytes_per_element"],
    )
    cache = Line(
        name="cache",
        letter=r"\text{cache}",
        value=one,
        unit="bytes",
        label="Cache of a request",
    )
    weights = Line(
        name="weights",
        letter=r"\text{weights}",
        value=weight_bytes(model.spec, s["bytes_per_weight"]),
        unit="bytes",
        label="Weights",
    )
    node = memory_line(s, printed=True)
    usable = Line(
        name="usable",
        letter=r"\text{usable}",
        value=node.symbol * (1 - s["reserve"]),
        unit="bytes",
        label="Usable of it",
        printed=False,
    )
    requests = Line(
        name="requests",
        letter=r"\text{requests}",
        value=concurrent_requests(
            memory_bytes=node.symbol,
            weight_bytes=weights.symbol,
            cache_bytes_per_request=cache.symbol,
            reserve=s["reserve"],
        ),
        unit="count",
        label="Requests that fit",
    )
    least = Line(
        name="least",
        letter=r"\text{least}",
        value=weights.symbol + cache.symbol,
        unit="bytes",
        label="Weights and one cache",
        printed=False,
    )
    return node, usable, weights, cache, least, requests


def requests_that_fit(spec: ModelSpec, v: Mapping[str, float]) -> int:
    """The requests that fit, by `max_concurrency`."""
    return max_concurrency(
        spec,
        Hardware(
            "any", peak_flops=1, bandwidth_bytes_per_s=1, memory_bytes=v["memory_bytes"]
        ),
        v["tokens"],
        devices=v["devices"],
        bytes_per_weight=v["bytes_per_weight"],
        bytes_per_element=v["bytes_per_element"],
        reserve=v["reserve"],
    )


CONCURRENCY = Calculator(
    name="concurrency",
    title="Requests that fit",
    question="How many requests of this context can be held "
    "at once beside the weights?",
    model="llama-3.1-70b",
    machine="H100-SXM",
    inputs=(
        "tokens",
        "bytes_per_element",
        "bytes_per_weight",
        "devices",
        "memory_bytes",
        "reserve",
    ),
    defaults={"devices": 8},
    lines=concurrency_lines,
    by_function=requests_that_fit,
    answer="requests",
    plot=against_context(
        Series("requests", "requests that fit"),
        caption="Requests that fit against context",
        crossing=Crossing(
            a="least",
            b="usable",
            label="none fits",
            found="From {x} tokens on, not one request fits.",
            never="Up to {high} tokens at least one request fits.",
            always="At none of the contexts shown does a request fit.",
        ),
    ),
    findings=(
        Finding(
            text="No request fits: the weights take {weights}, "
            "and {usable} can be used.",
            a="weights",
            b="usable",
        ),
        Finding(
            text="No request fits: one of {tokens} tokens keeps {cache}, more than "
            "the weights leave.",
            a="least",
            b="usable",
        ),
        Finding(
            text="{requests} × {tokens} tokens fit beside {weights} of weights; each "
            "keeps {cache}."
        ),
    ),
    worked=(
        {},
        {"tokens": 131_072},
        {"tokens": 131_072, "machine": "H200-SXM"},
        {"model": "llama-3.1-8b", "devices": 1},
        {"model": "gpt-oss-120b", "devices": 8, "tokens": 131_072},
        {
            "model": "deepseek-v3",
            "machine": "H200-SXM",
            "devices": 16,
            "tokens": 131_072,
        },
    ),
)
