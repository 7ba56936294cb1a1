"""Calculators of routed experts: active parameters, capacity, and the experts that a
batch touches.
"""

from collections.abc import Mapping

import sympy

from course_lib.costs.experts import (
    capacity,
    expected_drops,
    expected_padding,
)
from course_lib.costs.feed_forward.moe import expected_active_experts
from course_lib.costs.params import param_count
from course_lib.costs.roofline import weights_read
from course_lib.course.calculators.definition import (
    Calculator,
    Crossing,
    Finding,
    Line,
    Plot,
    Series,
    Symbols,
)
from course_lib.course.calculators.symbolic import SymbolicModel
from course_lib.specs.records import ModelSpec


def active_lines(model: SymbolicModel, s: Symbols) -> tuple[Line, ...]:
    """Parameters in all, in routed and shared experts, active for a token, and read by
    a batch.
    """
    count = param_count(model.spec)
    total, idle = sympy.Symbol("total", positive=True), count.total - count.active
    found = {
        "total": (r"P_{\text{total}}", "All parameters", count.total),
        "routed": (
            r"P_{\text{routed}}",
            "In routed experts",
            count.by_part.get("experts", 0),
        ),
        "shared": (
            r"P_{\text{shared}}",
            "In shared experts",
            count.by_part.get("shared_experts", 0),
        ),
        "active": (r"P_{\text{active}}", "Active for a token", total - idle),
        "met": (
            r"W_{B}",
            "Weights that a step of the batch reads",
            weights_read(model.spec, batch=s["batch"]),
        ),
    }
    return tuple(
        Line(
            name=name,
            letter=letter,
            value=sympy.sympify(value),
            unit="weights",
            label=label,
        )
        for name, (letter, label, value) in found.items()
    )


def active_parameters(spec: ModelSpec, v: Mapping[str, float]) -> float:
    """Parameters that work on one token, by `param_count`."""
    return param_count(spec).active


ACTIVE_PARAMETERS = Calculator(
    name="active-parameters",
    title="Active, shared and all parameters",
    question="How many parameters work on a token, and how many does a batch read?",
    model="deepseek-v3",
    inputs=("batch",),
    lines=active_lines,
    by_function=active_parameters,
    answer="active",
    plot=Plot(
        x="batch",
        low=1,
        high=4096,
        series=(
            Series("met", "read by a step"),
            Series("active", "active for a token"),
            Series("total", "all"),
        ),
        caption="Weights that a decode step reads against requests at once",
    ),
    findings=(
        Finding(
            text="A token uses {active} of {total} parameters; with {batch} at once, a "
            "step reads {met}."
        ),
    ),
    worked=(
        {},
        {"model": "mixtral-8x7b"},
        {"model": "deepseek-v2"},
        {"model": "llama-3.1-70b"},
    ),
)


def capacity_lines(model: None, s: Symbols) -> tuple[Line, ...]:
    """The slots of an expert, the share of picks that are dropped, and of slots that
    stay empty.
    """
    sizes = s["batch_tokens"], s["experts"], s["top_k"]
    slots = Line(
        name="slots",
        letter="C",
        value=capacity(*sizes, s["capacity_factor"]),
        unit="count",
        label="Capacity of an expert",
    )
    drops = Line(
        name="drops",
        letter=r"\text{dropped}",
        value=expected_drops(*sizes, slots.symbol),
        unit="share",
        label="Picks dropped",
    )
    padding = Line(
        name="padding",
        letter=r"\text{padding}",
        value=expected_padding(*sizes, slots.symbol, drops.symbol),
        unit="share",
        label="Slots that stay empty",
    )
    return slots, drops, padding


def dropped_share(spec: None, v: Mapping[str, float]) -> float:
    """The share of picks dropped, by `expected_drops`."""
    sizes = v["batch_tokens"], v["experts"], v["top_k"]
    return expected_drops(*sizes, capacity(*sizes, v["capacity_factor"]))


EXPERT_CAPACITY = Calculator(
    name="expert-capacity",
    title="Capacity of an expert",
    question="How much room does each expert need, and what is dropped or left empty?",
    inputs=("batch_tokens", "experts", "top_k", "capacity_factor"),
    defaults={"batch_tokens": 512, "experts": 256, "top_k": 8},
    lines=capacity_lines,
    by_function=dropped_share,
    answer="drops",
    plot=Plot(
        x="capacity_factor",
        low=0.5,
        high=2,
        series=(Series("drops", "picks dropped"), Series("padding", "slots empty")),
        caption="Dropped picks and empty slots against the capacity factor, if the "
        "router picks evenly",
    ),
    findings=(
        Finding(
            text="Each expert has {slots} slots. Even an even router drops {drops} of "
            "the picks on average, and {padding} of the slots stay empty."
        ),
    ),
    worked=(
        {},
        {"capacity_factor": 1},
        {"capacity_factor": 2},
        {"batch_tokens": 4096},
        {"experts": 8, "top_k": 2},
        {"experts": 8, "top_k": 2, "capacity_factor": 1},
    ),
)


def touched_lines(model: None, s: Symbols) -> tuple[Line, ...]:
    """Experts that a batch touches, their share, and the tokens of each."""
    touched = Line(
        name="touched",
        letter="E_B",
        value=expected_active_experts(s["experts"], s["top_k"], s["batch"]),
        unit="number",
        label="Experts touched",
    )
    return (
        touched,
        Line(
            name="share",
            letter=r"\text{share}",
            value=touched.symbol / s["experts"],
            unit="share",
            label="Share of the experts",
        ),
        Line(
            name="each",
            letter="n_E",
            value=s["batch"] * s["top_k"] / touched.symbol,
            unit="number",
            label="Tokens of a touched expert",
        ),
        Line(
            name="whole",
            letter="E",
            value=s["experts"],
            unit="number",
            printed=False,
        ),
        Line(
            name="most",
            letter="",
            value=sympy.Rational(9, 10),
            unit="share",
            printed=False,
        ),
    )


def experts_touched(spec: None, v: Mapping[str, float]) -> float:
    """Experts touched, by `expected_active_experts`."""
    return expected_active_experts(v["experts"], v["top_k"], v["batch"])


EXPERTS_TOUCHED = Calculator(
    name="experts-touched",
    title="Experts that a batch touches",
    question="How many experts does a step read, and how many tokens share each?",
    inputs=("batch", "experts", "top_k"),
    defaults={"batch": 16, "experts": 256, "top_k": 8},
    lines=touched_lines,
    by_function=experts_touched,
    answer="touched",
    plot=Plot(
        x="batch",
        low=1,
        high=4096,
        series=(
            Series("touched", "experts touched"),
            Series("each", "tokens of each"),
            Series("whole", "all experts"),
        ),
        caption="Experts touched, and tokens of each, against the batch",
        crossing=Crossing(
            a="share",
            b="most",
            label="nine in ten",
            found="From {x} tokens on, a step reads more than 90 % of the experts.",
            never="Up to {high} tokens a step reads at most 90 % of the experts.",
            always="Any step reads more than 90 % of the experts.",
        ),
    ),
    findings=(
        Finding(
            text="{batch} tokens touch {touched} of {experts} experts: {share}. Each "
            "of those works on {each} tokens on average."
        ),
    ),
    worked=(
        {},
        {"batch": 1},
        {"batch": 64},
        {"experts": 8, "top_k": 2, "batch": 16},
        {"experts": 8, "top_k": 2, "batch": 1},
    ),
)
