"""Calculator of a search for an architecture: its trainings, its hours, and the luck of
its best design.
"""

from collections.abc import Mapping

import sympy

from course_lib.costs.search_cost import luck, search_runs, training_flops
from course_lib.course.calculators.definition import (
    Calculator,
    Crossing,
    Finding,
    Line,
    Plot,
    Series,
    Symbols,
)

HOUR_S = 3600


def runs_of(v: Mapping) -> sympy.Expr | int:
    """Trainings, as a symbol or a number."""
    again = {"kept": v["kept_designs"], "fresh_seeds": v["fresh_seeds"]}
    return search_runs(v["designs"], v["seeds"], **again)


def search_lines(model: None, s: Symbols) -> tuple[Line, ...]:
    """Trainings, tokens, FLOPs, hours and price; and the luck of the best design."""
    runs = Line(
        name="runs",
        letter="R",
        value=runs_of(s),
        unit="count",
        label="Trainings",
    )
    tokens = Line(
        name="all_tokens",
        letter="D",
        value=runs.symbol * s["updates"] * s["update_tokens"],
        unit="weights",
        label="Tokens of all trainings",
    )
    flops = Line(
        name="flops",
        letter=r"\text{FLOPs}",
        value=training_flops(s["trained_params"], tokens.symbol),
        unit="flops",
        label="FLOPs of all trainings",
    )
    hours = Line(
        name="hours",
        letter="T",
        value=flops.symbol / (HOUR_S * s["utilisation"] * s["peak_flops"]),
        unit="number",
        label="Hours of one device",
    )
    again = Line(
        name="again",
        letter="",
        value=s["kept_designs"] * s["fresh_seeds"] / runs.symbol,
        unit="share",
        label="Of that, training the best again",
        printed=False,
    )
    price = Line(
        name="price",
        letter="C",
        value=s["usd_per_hour"] * hours.symbol,
        unit="USD",
        label="Price",
        printed=False,
    )
    excess = Line(
        name="luck",
        letter=r"\Delta",
        value=luck(s["designs"], s["scatter"], s["seeds"]),
        unit="number",
        label="Luck of the best, if all are equal",
    )
    least = Line(name="least", letter="", value=s["gap"], unit="number", printed=False)
    return runs, tokens, flops, hours, again, price, excess, least


def search_hours(spec: None, v: Mapping[str, float]) -> float:
    """Hours of one device, by `search_runs` and `training_flops`."""
    tokens = runs_of(v) * v["updates"] * v["update_tokens"]
    flops = training_flops(v["trained_params"], tokens)
    return flops / (HOUR_S * v["peak_flops"] * v["utilisation"])


SEARCH_COST = Calculator(
    name="search-cost",
    title="Cost and luck of a search",
    question="What does a search for a stack cost, and how lucky is its best design?",
    machine="H100-SXM",
    inputs=(
        "designs",
        "seeds",
        "kept_designs",
        "fresh_seeds",
        "updates",
        "update_tokens",
        "trained_params",
        "scatter",
        "gap",
        "peak_flops",
        "utilisation",
        "usd_per_hour",
    ),
    defaults={
        "designs": 100,
        "seeds": 1,
        "kept_designs": 10,
        "fresh_seeds": 5,
        "updates": 200,
        "update_tokens": 524_288,
        "trained_params": 350,
        "scatter": 0.02,
        "gap": 0.05,
        "usd_per_hour": 2.5,
    },
    lines=search_lines,
    by_function=search_hours,
    answer="hours",
    plot=Plot(
        x="designs",
        low=2,
        high=10_000,
        series=(
            Series("luck", "luck of the best"),
            Series("least", "difference that matters"),
        ),
        point="luck",
        caption="By how much the best of equal designs looks better than it is, "
        "against the designs that are scored",
        crossing=Crossing(
            a="luck",
            b="least",
            label="luck outweighs",
            found="From {x} equal designs on, luck alone makes the best one look "
            "{least} better.",
            never="Even of {high} equal designs the best one looks less than {least} "
            "better.",
            always="Luck alone makes the better of two equal designs look {least} "
            "better.",
        ),
    ),
    findings=(
        Finding(
            text="{runs} trainings take {hours} hours of one device, {price}. If all "
            "designs were equal, the best would look {luck} better than it is: more "
            "than what matters. Only the fresh seeds can say whether it is.",
            a="luck",
            b="least",
        ),
        Finding(
            text="{runs} trainings take {hours} hours of one device, {price}. If all "
            "designs were equal, the best would look {luck} better than it is."
        ),
    ),
    worked=(
        {},
        {"seeds": 5},
        {"seeds": 5, "fresh_seeds": 0},
        {"designs": 40, "kept_designs": 5},
        {"updates": 2000},
    ),
)
