"""Calculator of the objective: the priced sum of each candidate, who wins, and where
two of them tie.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from itertools import combinations

import sympy

from course_lib.course.calculators.definition import (
    Calculator,
    Choice,
    Finding,
    Line,
    Option,
    Plot,
    Series,
    Symbols,
)
from course_lib.course.calculators.printing import LeastWithin
from course_lib.decide.rerankers import PRICES, rerankers
from course_lib.decide.selection import Criteria, Weights, score, tie_weight, winner
from course_lib.specs.records import ModelSpec

CANDIDATES = rerankers()
NUMBERS = range(1, len(CANDIDATES) + 1)
CRITERIA, WEIGHTS = (
    [field.name for field in fields(record)] for record in (Criteria, Weights)
)


def criteria_of(v: Mapping, number: int) -> Criteria:
    """A candidate's symbols or numbers."""
    return Criteria(**{name: v[f"{name}_{number}"] for name in CRITERIA})


def prices_of(v: Mapping) -> Weights:
    """The prices, as symbols or numbers."""
    return Weights(**{name: v[name] for name in WEIGHTS})


def choice_lines(model: None, s: Symbols) -> tuple[Line, ...]:
    """J of each candidate, the price of an error at which each two tie, and the least J
    inside the limit.
    """
    criteria, prices = (
        {number: criteria_of(s, number) for number in NUMBERS},
        prices_of(s),
    )
    sums = [
        Line(
            name=f"j_{number}",
            letter=rf"\mathcal{{J}}_{number}",
            value=score(each, prices),
            unit="USD",
            printed=number == 1,
        )
        for number, each in criteria.items()
    ]
    ties = [
        Line(
            name=f"tie_{a}_{b}",
            letter=rf"\lambda_q^{{*}}({a}, {b})",
            value=tie_weight(criteria[a], criteria[b], prices, "error"),
            unit="USD",
            printed=(a, b) == (1, 2),
            may_be_none=True,
        )
        for a, b in combinations(NUMBERS, 2)
    ]
    limit, latencies = (
        s["latency_limit"],
        [each.latency_s for each in criteria.values()],
    )
    pairs = zip((line.symbol for line in sums), latencies, strict=True)
    best = LeastWithin(limit, *(part for pair in pairs for part in pair))
    return (
        *sums,
        *ties,
        Line(name="limit", letter="", value=limit, unit="seconds", printed=False),
        Line(
            name="fastest",
            letter="",
            value=sympy.Min(*latencies),
            unit="seconds",
            printed=False,
        ),
        Line(
            name="best",
            letter="",
            value=best,
            unit="USD",
            label="J of the winner",
            printed=False,
            may_be_none=True,
        ),
    )


def winner_of(v: Mapping[str, float]) -> str | None:
    """The number of the candidate that wins, by `winner`; None where no candidate keeps
    the limit.
    """
    candidates = {str(number): criteria_of(v, number) for number in NUMBERS}
    return winner(candidates, prices_of(v), {"latency_s": v["latency_limit"]})


def least_objective(spec: ModelSpec | None, v: Mapping[str, float]) -> float:
    """J of the winner, by `score`; infinite where no candidate keeps the limit."""
    number = winner_of(v)
    return (
        math.inf if number is None else score(criteria_of(v, int(number)), prices_of(v))
    )


def name_winner(calculator: Calculator, v: Mapping[str, float]) -> str:
    """The name of the candidate that wins, or "none"."""
    number = winner_of(v)
    return "none" if number is None else calculator.choice.options[int(number) - 1].name


OBJECTIVE = Calculator(
    name="objective-j",
    title="J of the candidates",
    question="What does a request cost with each candidate, all told, and who wins?",
    inputs=(
        *WEIGHTS,
        "latency_limit",
        *(f"{name}_{number}" for number in NUMBERS for name in CRITERIA),
    ),
    defaults=asdict(PRICES)
    | {
        f"{name}_{number}": float(f"{value:.6g}")
        for number, each in zip(NUMBERS, CANDIDATES.values(), strict=True)
        for name, value in asdict(each).items()
    },
    lines=choice_lines,
    by_function=least_objective,
    answer="best",
    choice=Choice(
        options=tuple(
            Option(
                name=name,
                value=f"j_{number}",
                kept=f"latency_s_{number}",
                inputs=tuple(f"{criterion}_{number}" for criterion in CRITERIA),
            )
            for number, name in zip(NUMBERS, CANDIDATES, strict=True)
        ),
        limit="latency_limit",
        ties={f"{a} {b}": f"tie_{a}_{b}" for a, b in combinations(NUMBERS, 2)},
        words={
            "wins": "the winner",
            "out": "too slow",
            "ties": "ties with the winner at {at} a wrong answer",
            "never": "ties with the winner at no price of a wrong answer",
            "first": "{name} wins up to {at} a wrong answer",
            "then": "{name} up to {at}",
            "last": "{name} above",
            "always": "{name} wins at any price of a wrong answer.",
            "none": "No candidate keeps the limit.",
        },
    ),
    plot=Plot(
        x="usd_per_error",
        low=0.01,
        high=100,
        series=tuple(
            Series(f"j_{number}", name)
            for number, name in zip(NUMBERS, CANDIDATES, strict=True)
        ),
        caption="J of each candidate divided by the first one's, against the price of "
        "a wrong answer",
        over="j_1",
    ),
    findings=(
        Finding(text="No candidate answers within {limit}.", a="fastest", b="limit"),
        Finding(text="{winner} wins: a request costs {best}, all told."),
    ),
    worked=(
        {},
        {"usd_per_error": 0.5},
        {"usd_per_error": 2},
        {"usd_per_error": 2, "latency_limit": 1.9},
        {"usd_per_error": 2, "latency_limit": 0.25},
    ),
)
