"""Lab 4b's questions: metrics, a plan, an alert, placement, quality by slice."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from prometheus_client import CollectorRegistry

from course_lib.course.labs.lab04_operations import placing, planning, reference
from course_lib.course.labs.lab04_operations.slices import KINDS, periods
from course_lib.course.labs.lending import helped
from course_lib.course.labs.witness import Question
from course_lib.course.labs.witnesses.draw import normal, size, whole

Names = Mapping[str, Any]
BOUNDS = (0.001, 0.002, 0.004, 0.008)


def exercise_1(rng: torch.Generator, names: Names) -> Iterator[Question]:
    e, steps = size(rng, 3, 6), whole(rng, 40, 5, 6)

    def scraped() -> list:
        registry = CollectorRegistry()
        metrics = names["StepMetrics"](registry, e, BOUNDS)
        for row in steps.tolist():
            metrics.observe(row[:e], row[0], row[-1] / 4096)
        read = registry.get_sample_value
        buckets = [{"le": str(bound)} for bound in BOUNDS]
        return [
            [read("moe_expert_tokens_total", {"expert": str(i)}) for i in range(e)],
            read("moe_dropped_tokens_total"),
            [read("moe_step_seconds_bucket", labels) for labels in buckets],
            read("moe_step_seconds_sum"),
        ]

    yield "StepMetrics", scraped
    heights = (whole(rng, 30, 2, 5) + 1).cumsum(1).tolist()
    found = [dict(zip((*BOUNDS, math.inf), row, strict=True)) for row in heights]
    for q in (0.25, 0.5, 0.99):
        yield "quantile", lambda q=q: names["quantile"]([dict(x) for x in found], q)


def exercise_2(rng: torch.Generator, names: Names) -> Iterator[Question]:
    s, e = size(rng, 20, 40), 3 * size(rng, 2, 4)
    counts, placed = planning.day(rng, s, e), planning.rank_of(e, 3, rng)
    balance, own = names["balance"], {"rank_ratio": reference.rank_ratio}
    yield "rank_ratio", lambda: names["rank_ratio"](counts, placed)
    yield "balance", lambda: helped(lambda: balance(counts, placed), balance, **own)
    yield "places", lambda: names["places"](counts, 0.03125)
    yield "stability", lambda: names["stability"](counts, 6)
    given = size(rng, 20, 90), 7, 20, size(rng, 50, 90)
    yield "ranks_needed", lambda: names["ranks_needed"](*given)


def exercise_3(rng: torch.Generator, names: Names) -> Iterator[Question]:
    scores, placed = torch.rand(4, 20, 12, generator=rng), torch.arange(12) % 3
    ratios = 1.25 + 0.125 * normal(rng, 90)
    calm, given = 1.25 + 0.125 * normal(rng, 3, 90), (1.25, 0.125, 0.5)
    null, choose = names["null_ratios"], names["choose_limit"]
    limits = [0.5 * i for i in range(1, 30)]
    own = {"rank_ratio": reference.rank_ratio}
    yield "null_ratios", lambda: helped(lambda: null(scores, 2, placed), null, **own)
    yield "alarms", lambda: names["alarms"](ratios, *given, 1.5)
    yield (
        "choose_limit",
        lambda: helped(
            lambda: choose(calm, *given, limits, 3), choose, alarms=reference.alarms
        ),
    )


def exercise_4(rng: torch.Generator, names: Names) -> Iterator[Question]:
    load = whole(rng, 90, 12) + 1

    def evened() -> bool:
        """No worse than the greedy placement: better ones are right too."""
        found = names["place"](load, 3)
        held = torch.bincount(found, minlength=3).tolist()
        greedy = placing.held(load, reference.place(load, 3), 3)[-1]
        return held == [4, 4, 4] and placing.held(load, found, 3)[-1] <= greedy

    def largest() -> list:
        number = names["copies"](load, 5)
        return [int(number.sum()), float((load / number).max())]

    yield "place", evened
    yield "copies", largest


def exercise_5(rng: torch.Generator, names: Names) -> Iterator[Question]:
    tokens, losses = whole(rng, 90, 5, 3) + 1, normal(rng, 5, 3).exp()
    slots, placed = whole(rng, 50, 3, 9) + 1, torch.arange(9) % 3
    yield "quality", lambda: names["quality"](losses * tokens, tokens)
    yield "load_by_slice", lambda: names["load_by_slice"](slots, placed)
    for kind in KINDS:
        pair = periods(kind, rng)
        yield (
            "post_mortem",
            lambda pair=pair: list(names["post_mortem"](*pair, 0.125)),
        )
