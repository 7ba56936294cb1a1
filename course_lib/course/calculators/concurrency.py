"""Calculator of the requests that fit beside the weights, device by device."""

from collections.abc import Mapping
from typing import Any

import sympy

from course_lib.costs.arithmetic import Number
from course_lib.costs.cache import cache_bytes
from course_lib.costs.devices import SPLITS, extra_params
from course_lib.costs.hardware import Hardware
from course_lib.costs.params import param_count
from course_lib.costs.serving import concurrent_requests, max_concurrency
from course_lib.course.calculators.against import against_context, device_line
from course_lib.course.calculators.definition import (
    Calculator,
    Crossing,
    Finding,
    Line,
    Series,
    Symbols,
)
from course_lib.course.calculators.memory import held_cache
from course_lib.course.calculators.symbolic import SymbolicModel
from course_lib.specs.records import ModelSpec


def concurrency_lines(model: SymbolicModel, s: Symbols) -> tuple[Line, ...]:
    """Weights and the cache of one request on a device, the requests that fit beside
    the weights, and what is held twice.
    """
    extra = sum(extra_params(model.spec, s["devices"], split=model.split).values())
    again = Line(
        name="again",
        letter=r"P_{\text{again}}",
        value=sympy.sympify(extra),
        unit="weights",
        label="Parameters beyond one copy",
    )
    total = param_count(model.spec).total
    weights = Line(
        name="weights",
        letter=r"\text{weights}_{D}",
        value=s["bytes_per_weight"] * (total + again.symbol) / s["devices"],
        unit="bytes",
        label="Weights on a device",
    )
    cache = Line(
        name="cache",
        letter=r"\text{cache}_{D}",
        value=held_cache(model, s, 1)
        if model.split == "heads"
        else one_cache(model, s),
        unit="bytes",
        label="Cache of a request on a device",
    )
    node = device_line(s)
    usable = Line(
        name="usable",
        letter=r"\text{usable}",
        value=node.symbol * (1 - s["reserve"]),
        unit="bytes",
        label="Usable of it",
        printed=False,
    )
    least = Line(
        name="least",
        letter=r"\text{least}",
        value=weights.symbol + cache.symbol,
        unit="bytes",
        label="Weights and one cache",
        printed=False,
    )
    return (
        again,
        weights,
        cache,
        node,
        usable,
        least,
        *fitting(model, s, weights, cache),
    )


def one_cache(model: SymbolicModel, s: Symbols) -> Number:
    """Bytes of one request's whole cache."""
    return cache_bytes(
        model.spec,
        batch=1,
        tokens=s["tokens"],
        bytes_per_element=s["bytes_per_element"],
    )


def fitting(
    model: SymbolicModel, s: Symbols, weights: Line, cache: Line
) -> tuple[Line, ...]:
    """The requests that fit, tokens of all of them, and copies of each cache."""
    groups = s["devices"] if model.split == "requests" else 1
    each = concurrent_requests(
        memory_bytes=s["memory_bytes"],
        weight_bytes=weights.symbol,
        cache_bytes_per_request=cache.symbol,
        reserve=s["reserve"],
    )
    requests = Line(
        name="requests",
        letter=r"\text{requests}",
        value=groups * each,
        unit="count",
        label="Requests that fit",
    )
    room = s["memory_bytes"] * (1 - s["reserve"]) - weights.symbol
    tokens = Line(
        name="in_all",
        letter=r"\text{tokens}",
        value=groups * sympy.Max(sympy.floor(s["tokens"] * room / cache.symbol), 0),
        unit="count",
        label="Tokens in all",
        printed=False,
    )
    copies = Line(
        name="copies",
        letter=r"\text{copies}",
        value=(s["devices"] if model.split == "heads" else 1)
        * cache.symbol
        / one_cache(model, s),
        unit="times",
        label="Copies of each cache",
        printed=False,
    )
    return requests, tokens, copies


def requests_that_fit(spec: ModelSpec, v: Mapping[str, Any]) -> int:
    """The requests that fit, by `max_concurrency`."""
    return max_concurrency(
        spec,
        Hardware(
            "any", peak_flops=1, bandwidth_bytes_per_s=1, memory_bytes=v["memory_bytes"]
        ),
        v["tokens"],
        devices=v["devices"],
        split=v["split"],
        bytes_per_weight=v["bytes_per_weight"],
        bytes_per_element=v["bytes_per_element"],
        reserve=v["reserve"],
    )


EIGHT_H200 = {"machine": "H200-SXM", "devices": 8, "bytes_per_weight": 8}


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
    splits=SPLITS,
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
            text="No request fits: weights of {weight_bits} bits take {weights} a "
            "device, and {usable} of it can be used.",
            a="weights",
            b="usable",
        ),
        Finding(
            text="No request fits: one of {tokens} tokens keeps {cache} on a device, "
            "more than the weights leave.",
            a="least",
            b="usable",
        ),
        Finding(
            text="{requests} × {tokens} tokens fit, {in_all} tokens in all. A device "
            "holds {weights} of weights in {weight_bits} bits, and {cache} of each "
            "request that it serves in {cache_bits} bits; all devices hold {copies} of "
            "each cache."
        ),
    ),
    worked=(
        {},
        {"tokens": 131_072},
        {"tokens": 131_072, "machine": "H200-SXM"},
        {"model": "llama-3.1-8b", "devices": 1},
        {"model": "gpt-oss-120b", "devices": 8, "tokens": 131_072},
        {"model": "deepseek-v3", **EIGHT_H200},
        {"model": "deepseek-v3", **EIGHT_H200, "split": "requests"},
        {"model": "qwen2.5-7b", **EIGHT_H200},
    ),
)
