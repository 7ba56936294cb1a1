"""Calculator of a request's time, from its prompt to its last token."""

from collections.abc import Mapping

import sympy

from course_lib.costs.devices import SPLITS
from course_lib.costs.latency import request_latency, sum_of_steps
from course_lib.costs.roofline import decode_work, prefill_work
from course_lib.course.calculators.definition import (
    Calculator,
    Crossing,
    Finding,
    Line,
    Plot,
    Series,
    Symbols,
)
from course_lib.course.calculators.seconds import (
    machine_of,
    options_of,
    times,
    work_lines,
)
from course_lib.course.calculators.symbolic import SymbolicModel
from course_lib.specs.records import ModelSpec


def request_lines(model: SymbolicModel, s: Symbols) -> tuple[Line, ...]:
    """Prefill, the steps at a growing context, and their sum."""
    names = ("batch", "devices", "bytes_per_element")
    widths = {name: s[name] for name in names} | {"split": model.split}
    prompt = work_lines(
        prefill_work(model.spec, s["tokens_in"], **widths), "prefill", ""
    )
    prefill = Line(
        name="prefill",
        letter=r"T_{\text{prefill}}",
        value=times(prompt, s).time_s,
        unit="seconds",
        label="Until the first token",
    )
    t = sympy.Symbol("t", positive=True, integer=True)
    step = work_lines(
        decode_work(model.spec, context=t, **widths), "step", "(t)", along=t
    )
    steps = sum_of_steps(
        lambda context: times(step, s),
        s["tokens_in"] + 1,
        s["tokens_in"] + s["tokens_out"] - 1,
    )
    decode = Line(
        name="decode",
        letter=r"T_{\text{decode}}",
        value=steps,
        unit="seconds",
        label="All later tokens",
    )
    total = Line(
        name="total",
        letter=r"T_{\text{req}}",
        value=prefill.symbol + decode.symbol,
        unit="seconds",
        label="Request",
    )
    return *prompt, prefill, *step, decode, total


def request_seconds(spec: ModelSpec, v: Mapping[str, float]) -> float:
    """The time of a request, by `request_latency`."""
    return request_latency(
        spec,
        machine_of(v),
        tokens_in=v["tokens_in"],
        tokens_out=v["tokens_out"],
        **options_of(v),
    )


REQUEST = Calculator(
    name="request-latency",
    title="Time of a request",
    question="How long from the prompt to the last token?",
    model="llama-3.1-70b",
    machine="H100-SXM",
    inputs=(
        "tokens_in",
        "tokens_out",
        "batch",
        "bytes_per_element",
        "bytes_per_weight",
        "devices",
        "bandwidth",
        "peak_flops",
    ),
    defaults={"devices": 8},
    splits=SPLITS,
    lines=request_lines,
    by_function=request_seconds,
    answer="total",
    plot=Plot(
        x="tokens_in",
        low=128,
        high=1_048_576,
        series=(
            Series("total", "request"),
            Series("prefill", "until the first token"),
            Series("decode", "all later tokens"),
        ),
        caption="Time of a request against its prompt",
        crossing=Crossing(
            a="prefill",
            b="decode",
            label="prefill = decode",
            found="From prompts of {x} tokens on, the first token "
            "takes longer than all others.",
            never="For prompts up to {high} tokens, the first token takes less time "
            "than all others.",
            always="For every prompt shown, the first token "
            "takes longer than all others.",
        ),
    ),
    findings=(
        Finding(
            text="At least {total} {arithmetic}: {prefill} until the first token, then "
            "{decode} for the others, with weights of {weight_bits} bits and a cache "
            "of {cache_bits}."
        ),
    ),
    worked=(
        {},
        {"tokens_in": 131_072},
        {"tokens_in": 131_072, "tokens_out": 4096},
        {"model": "llama-3.1-8b", "devices": 1},
        {"model": "llama-3.1-8b", "devices": 1, "bytes_per_weight": 8},
        {"model": "gemma-3-27b", "devices": 1, "tokens_in": 131_072},
        {"model": "deepseek-v3", "devices": 16, "tokens_in": 131_072},
    ),
)
