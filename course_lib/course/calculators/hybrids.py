"""Calculator of a hybrid's cache: keys and values of the layers that attend, states of
the others, and attention in every layer beside them.
"""

from collections.abc import Mapping

from course_lib.costs.cache import cache_bytes
from course_lib.costs.hybrid_cache import (
    attending_bytes,
    attending_layers,
    everywhere_bytes,
)
from course_lib.costs.state_or_cache import state_bytes, state_layers
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


def is_a_hybrid(spec: ModelSpec) -> bool:
    """Whether some layer of a model attends and some layer keeps a state."""
    return bool(attending_layers(spec)) and bool(state_layers(spec))


def hybrid_lines(model: SymbolicModel, s: Symbols) -> tuple[Line, ...]:
    """Keys and values, states, both, and what attention in every layer would keep."""
    text = {name: s[name] for name in ("batch", "tokens", "bytes_per_element")}
    keys = Line(
        name="keys",
        letter=r"M_a",
        value=attending_bytes(model.spec, **text),
        unit="bytes",
        label="Of layers that attend",
    )
    states = Line(
        name="states",
        letter=r"M_s",
        value=state_bytes(
            model.spec,
            batch=s["batch"],
            bytes_per_element=s["bytes_per_element"],
            state_bytes_per_element=s["state_bytes"],
        ),
        unit="bytes",
        label="States of the others",
    )
    total = Line(
        name="total",
        letter="M",
        value=keys.symbol + states.symbol,
        unit="bytes",
        label="Cache",
    )
    every = Line(
        name="every",
        letter=r"M_{\text{all}}",
        value=everywhere_bytes(model.spec, **text),
        unit="bytes",
        label="If every layer attended",
    )
    times = Line(
        name="times",
        letter="",
        value=every.symbol / total.symbol,
        unit="number",
        printed=False,
    )
    return keys, states, total, every, times


def hybrid_bytes(spec: ModelSpec, v: Mapping[str, float]) -> float:
    """The cache of a hybrid, by `cache_bytes`."""
    return cache_bytes(
        spec,
        batch=v["batch"],
        tokens=v["tokens"],
        bytes_per_element=v["bytes_per_element"],
        state_bytes_per_element=v["state_bytes"],
    )


HYBRID_CACHE = Calculator(
    name="hybrid-cache",
    title="Cache of a hybrid",
    question="What does a text take, if a few layers attend and the others keep a "
    "state?",
    model="qwen3.5-35b-a3b",
    offers=is_a_hybrid,
    inputs=("batch", "tokens", "bytes_per_element", "state_bytes"),
    defaults={"tokens": 262_144},
    lines=hybrid_lines,
    by_function=hybrid_bytes,
    answer="total",
    plot=against_context(
        Series("total", "the hybrid"),
        Series("states", "its states"),
        Series("every", "if every layer attended"),
        caption="Cache of a hybrid, its states, and attention in every layer, against "
        "context",
        crossing=Crossing(
            a="keys",
            b="states",
            label="keys outweigh states",
            found="From {x} tokens on, keys and values take as much as the states, and "
            "more.",
            never="Up to {high} tokens the states take more than keys and values.",
            always="Keys and values take more than the states at any context shown.",
        ),
    ),
    findings=(
        Finding(
            text="{batch} × {tokens} tokens take {total}: {keys} where layers attend, "
            "{states} in states. If every layer attended it would be {every}, {times} "
            "times as much."
        ),
    ),
    worked=(
        {},
        {"model": "jamba-v0.1"},
        {"model": "jamba-v0.1", "tokens": 4096},
        {"model": "nemotron-h-56b"},
        {"model": "kimi-linear-48b-a3b"},
        {"batch": 64, "tokens": 4096},
    ),
)
