"""Calculator of a decode step's time; the lines that the work of any pass is written
in.
"""

from collections.abc import Mapping

import sympy

from course_lib.costs.devices import SPLITS
from course_lib.costs.hardware import Hardware
from course_lib.costs.roofline import decode_step_time, decode_work
from course_lib.costs.work import RooflineTime, Work
from course_lib.course.calculators.against import against_context
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

OPTIONS = ("batch", "devices", "split", "bytes_per_weight", "bytes_per_element")


def machine_of(s: Mapping) -> Hardware:
    """The device with these symbols or numbers for peak and bandwidth; its memory is
    not asked for.
    """
    return Hardware(
        "any",
        peak_flops=s["peak_flops"],
        bandwidth_bytes_per_s=s["bandwidth"],
        memory_bytes=1,
    )


def options_of(s: Mapping) -> dict:
    """The options that a pass takes from the inputs."""
    return {name: s[name] for name in OPTIONS}


def work_lines(
    work: Work, tag: str, of: str, along: sympy.Symbol | None = None
) -> tuple[Line, ...]:
    """The three lines of a pass's work; `tag` begins their names, `of` ends the letters
    ("" or "(t)").
    """
    small = rf"_{{\text{{{tag}}}}}" if tag else ""
    start = f"{tag}_" if tag else ""
    flops = Line(
        name=f"{start}flops",
        letter=rf"\text{{FLOPs}}{small}{of}",
        value=work.flops,
        unit="flops",
        along=along,
    )
    read = Line(
        name=f"{start}read",
        letter=rf"\text{{weights}}{small}",
        value=work.weights_read,
        unit="weights",
    )
    cache = Line(
        name=f"{start}cache",
        letter=rf"\text{{cache}}{small}{of}",
        value=work.cache_bytes,
        unit="bytes",
        along=along,
    )
    return flops, read, cache


def times(work: tuple[Line, ...], s: Symbols) -> RooflineTime:
    """The times of a pass whose work stands in three lines."""
    flops, read, cache = (line.symbol for line in work)
    pass_ = Work(flops=flops, weights_read=read, cache_bytes=cache)
    return pass_.on(machine_of(s), bytes_per_weight=s["bytes_per_weight"])


def decode_lines(model: SymbolicModel, s: Symbols) -> tuple[Line, ...]:
    """Work and time of a decode step, and the shares of weights and cache in its
    bytes.
    """
    work = decode_work(
        model.spec,
        batch=s["batch"],
        context=s["tokens"],
        devices=s["devices"],
        split=model.split,
        bytes_per_element=s["bytes_per_element"],
    )
    lines = work_lines(work, "", "")
    step = times(lines, s)
    _, read, cache = lines
    compute = Line(
        name="compute",
        letter=r"T_{\text{compute}}",
        value=step.compute_s,
        unit="seconds",
        label="Arithmetic",
    )
    memory = Line(
        name="memory",
        letter=r"T_{\text{memory}}",
        value=step.memory_s,
        unit="seconds",
        label="Memory traffic",
    )
    weights_s, cache_s = (
        Line(
            name=f"{name}_s",
            letter=rf"T_{{\text{{{name}}}}}",
            value=step.memory_s.subs(other.symbol, 0),
            unit="seconds",
            label=f"Reading the {name}",
            printed=False,
        )
        for name, other in (("weights", cache), ("cache", read))
    )
    total = RooflineTime(compute_s=compute.symbol, memory_s=memory.symbol).time_s
    step_s = Line(
        name="step",
        letter=r"T_{\text{step}}",
        value=total,
        unit="seconds",
        label="Step",
    )
    rate = Line(
        name="rate",
        letter=r"\text{rate}",
        value=s["batch"] / step_s.symbol,
        unit="per second",
        label="Tokens of all requests",
        printed=False,
    )
    return *lines, compute, memory, weights_s, cache_s, step_s, rate


def step_seconds(spec: ModelSpec, v: Mapping[str, float]) -> float:
    """The time of a step, by `decode_step_time`."""
    return decode_step_time(spec, machine_of(v), context=v["tokens"], **options_of(v))


DECODE_STEP = Calculator(
    name="decode-step",
    title="Time of a decode step",
    question="How long does one step take, and what does it wait for?",
    model="llama-3.1-70b",
    machine="H100-SXM",
    inputs=(
        "batch",
        "tokens",
        "bytes_per_element",
        "bytes_per_weight",
        "devices",
        "bandwidth",
        "peak_flops",
    ),
    defaults={"devices": 8, "batch": 8},
    splits=SPLITS,
    lines=decode_lines,
    by_function=step_seconds,
    answer="step",
    plot=against_context(
        Series("step", "step"),
        Series("weights_s", "reading the weights"),
        Series("cache_s", "reading the caches"),
        Series("compute", "arithmetic"),
        caption="Time of a step against context",
        crossing=Crossing(
            a="cache_s",
            b="weights_s",
            label="caches = weights",
            found="From {x} tokens on, a step reads more cache than weights.",
            never="Up to {high} tokens a step reads more weights than cache.",
            always="At every context shown a step reads more cache than weights.",
        ),
    ),
    findings=(
        Finding(
            text="A step takes at least {step} {arithmetic}: it waits for arithmetic; "
            "reading weights of {weight_bits} bits and caches of {cache_bits} takes "
            "{memory}.",
            a="compute",
            b="memory",
        ),
        Finding(
            text="A step takes at least {step} {arithmetic}: it waits for memory, "
            "{weights_s} for weights of {weight_bits} bits and {cache_s} for caches of "
            "{cache_bits}; arithmetic takes {compute}."
        ),
    ),
    worked=(
        {},
        {"tokens": 131_072},
        {"batch": 256, "tokens": 2048},
        {"model": "mixtral-8x7b", "devices": 1, "batch": 1},
        {"model": "mixtral-8x7b", "devices": 1, "batch": 16},
        {"bytes_per_weight": 8, "batch": 512, "tokens": 2048},
        {"model": "deepseek-v3", "devices": 16, "tokens": 131_072},
        {
            "model": "deepseek-v3",
            "devices": 16,
            "tokens": 131_072,
            "split": "requests",
        },
    ),
)
