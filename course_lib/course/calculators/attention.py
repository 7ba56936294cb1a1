"""Calculators of attention: its score matrices, and its share of a prompt's
arithmetic.
"""

from collections.abc import Mapping

import sympy

from course_lib.costs.cache import score_matrix_bytes
from course_lib.costs.flops import prefill_flops_split
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

SCORES = ("tokens", "bytes_per_element", "heads", "batch")


def score_lines(model: SymbolicModel | None, s: Symbols) -> tuple[Line, ...]:
    """The score matrices of one layer, and the memory that they would be held in."""
    held = score_matrix_bytes(**{name: s[name] for name in SCORES})
    scores = Line(
        name="scores",
        letter=r"\text{scores}",
        value=held,
        unit="bytes",
        label="Scores of a layer",
    )
    return scores, memory_line(s)


def score_bytes(spec: None, v: Mapping[str, float]) -> float:
    """The score matrices, by `score_matrix_bytes`."""
    return score_matrix_bytes(**{name: v[name] for name in SCORES})


SCORE_MATRIX = Calculator(
    name="score-matrix",
    title="Score matrices of a layer",
    question="How much memory would the scores of one layer take, if they were "
    "written out?",
    machine="H100-SXM",
    inputs=("batch", "tokens", "heads", "bytes_per_element", "devices", "memory_bytes"),
    defaults={"heads": 64},
    lines=score_lines,
    by_function=score_bytes,
    answer="scores",
    plot=against_memory(
        "scores",
        "scores of a layer",
        caption="Score matrices against context",
        found="From {x} tokens on, the scores of one layer are more than {node}.",
        never="Up to {high} tokens the scores of one layer stay below {node}.",
        always="The scores of one layer are more than {node} at any context shown.",
    ),
    findings=(
        Finding(
            text="{batch} × {heads} matrices of {tokens} × "
            "{tokens} scores take {scores}."
        ),
    ),
    worked=({}, {"tokens": 131_072}, {"tokens": 131_072, "heads": 1}),
)


def share_lines(model: SymbolicModel, s: Symbols) -> tuple[Line, ...]:
    """FLOPs of a prompt that grow with its tokens, those that grow with pairs of
    tokens, and the share.
    """
    split = prefill_flops_split(model.spec, s["tokens"])
    linear = Line(
        name="linear",
        letter=r"\text{FLOPs}_{\text{linear}}",
        value=sympy.sympify(split.linear),
        unit="flops",
        label="Matrices",
    )
    attention = Line(
        name="attention",
        letter=r"\text{FLOPs}_{\text{attention}}",
        value=sympy.sympify(split.attention),
        unit="flops",
        label="Attention",
    )
    share = Line(
        name="share",
        letter=r"\text{share}",
        value=attention.symbol / (linear.symbol + attention.symbol),
        unit="share",
        label="Share of attention",
    )
    return linear, attention, share


def share_of_attention(spec: ModelSpec, v: Mapping[str, float]) -> float:
    """The share, by `prefill_flops_split`."""
    return prefill_flops_split(spec, v["tokens"]).attention_share


ATTENTION_SHARE = Calculator(
    name="attention-share",
    title="Attention's share of a prompt",
    question="Which part of a prompt's FLOPs is attention over pairs of tokens?",
    model="llama-3.1-70b",
    inputs=("tokens",),
    lines=share_lines,
    by_function=share_of_attention,
    answer="share",
    plot=against_context(
        Series("share", "share of attention"),
        caption="Attention's share of the FLOPs against the prompt",
        crossing=Crossing(
            a="attention",
            b="linear",
            label="half",
            found="From {x} tokens on, attention is more than half of the arithmetic.",
            never="Up to {high} tokens attention is less than half of the arithmetic.",
            always="At every length shown, attention is more "
            "than half of the arithmetic.",
        ),
    ),
    findings=(
        Finding(
            text="Of a prompt of {tokens} tokens, {attention} are attention: {share}."
        ),
    ),
    worked=(
        {},
        {"tokens": 4096},
        {"tokens": 131_072},
        {"model": "gemma-3-27b", "tokens": 131_072},
        {"model": "deepseek-v3", "tokens": 131_072},
    ),
)
