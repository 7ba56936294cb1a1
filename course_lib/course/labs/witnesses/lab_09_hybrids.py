"""Lab 9's questions: price, compare, search, remember, fire, retrieve, report."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from course_lib.course.labs.lab09 import (
    ablating,
    choosing,
    designing,
    matching,
    pairing,
    pricing,
    remembering,
    reporting,
    retrieving,
    searching,
)
from course_lib.course.labs.lending import helped
from course_lib.course.labs.witness import Question
from course_lib.course.labs.witnesses.draw import normal, size

Names = Mapping[str, Any]


def exercise_1(rng: torch.Generator, names: Names) -> Iterator[Question]:
    _, sizes, context = pricing.random_stack(size(rng, 0, 10**6))
    own = {"price": pricing.price, "exceeded": designing.exceeded}
    costs = pricing.price("dda", sizes, context)
    budget = {"cache_bytes": 3 * costs["cache_bytes"], "flops": None, "params": 1}
    fits = {"cache_bytes": 3 * costs["cache_bytes"]}
    for pattern in ("a", "dcwa"):
        yield (
            "price",
            lambda pattern=pattern: [
                names["price"](pattern, sizes, context)[name] for name in costs
            ],
        )
    yield "exceeded", lambda: names["exceeded"](costs, budget)
    yield (
        "design",
        lambda: helped(
            lambda: names["design"](sizes, 9, context, fits), names["design"], **own
        ),
    )


def exercise_2(rng: torch.Generator, names: Names) -> Iterator[Question]:
    seed = size(rng, 0, 10**6)
    _, sizes, context = pricing.random_stack(seed)
    target = 3.3 * pricing.price("aa", sizes, context)["flops"]
    given = "dda", sizes, context, "flops", target, 8
    matched, own = names["matched_ffn"], {"price": pricing.price}
    yield "matched_ffn", lambda: helped(lambda: matched(*given), matched, **own)
    one, other = (matching.random_run(seed + i) for i in (1, 2))
    yield "mismatches", lambda: names["mismatches"](one, other, 0.05)
    losses = [run["losses"] for run in (one, other)]
    yield "paired", lambda: names["paired"](*losses)


def exercise_3(rng: torch.Generator, names: Names) -> Iterator[Question]:
    seed = size(rng, 0, 10**6)
    points = searching.random_points(seed, 2)
    yield "front", lambda: names["front"](points)

    def found() -> list:
        trial = searching.Trial(seed, "adc", 4, 90, 9)
        parts = trial.draw, trial.fits, trial.score
        return [list(one) for one in names["random_search"](*parts, 9, 90).items()]

    def choice() -> list:
        bench = choosing.Bench(seed, 12, 4, [1, 2, 3])
        given = bench.found, bench.again, bench.test, 4, [1, 2, 3]
        got = names["chosen"](*given)
        return [got[one] for one in ("winner", "searched", "fresh", "test", "curse")]

    yield "random_search", found
    yield "chosen", choice


def exercise_4(rng: torch.Generator, names: Names) -> Iterator[Question]:
    """The variant has no right values: its checks ask what it keeps."""
    b, t, d = size(rng, 1, 3), size(rng, 3, 6), size(rng, 4, 6)
    weights = remembering.random_weights(rng, d)
    x, memory = normal(rng, b, t, d), normal(rng, b, 2, d)
    attention, seed = names["memory_attention"], size(rng, 0, 10**6)
    yield "memory_attention", lambda: attention(x, memory, weights, 4)
    steps = normal(rng, b, 20, d)
    yield "fire", lambda: names["fire"](steps, 0.7, 1.1)
    codes, spans, query, asked = retrieving.random_index(seed)
    yield "retrieve", lambda: names["retrieve"](codes, spans, query, asked, 5)
    parts, ablate = ("one", "two", "three"), names["ablate"]

    def rows() -> list:
        run = ablating.Runs(seed, parts, [3, 5, 8])
        own = {"paired": pairing.paired}
        got = helped(lambda: ablate(parts, run, [3, 5, 8]), ablate, **own)
        return [list(got[part]) for part in parts]

    yield "ablate", rows


def exercise_5(rng: torch.Generator, names: Names) -> Iterator[Question]:
    """A report may have any words: its lines' numbers are asked for."""
    runs = reporting.random_runs(size(rng, 0, 10**6))
    own = {"paired": pairing.paired, "numbers": reporting.numbers}

    def rows() -> list:
        function = names["numbers"]
        got = helped(lambda: function(runs), function, paired=pairing.paired)
        return [[row[key] for key in reporting.ROW] for row in got.values()]

    def said() -> list:
        function = names["report"]
        text = helped(lambda: function(runs), function, **own)
        lines = [line.strip() for line in text.splitlines()]
        told = [line for line in lines if line.startswith(("whole:", "without gate:"))]
        values = {number for line in told for number, _ in reporting.read_numbers(line)}
        right = reporting.numbers(runs)
        shown = [right[name] for name in ("whole", "without gate")]
        numbers = [round(row[key], 3) for row in shown for key in reporting.ROW[:6]]
        return [any(abs(a - b) < 6e-4 for a in values) for b in numbers]

    yield "numbers", rows
    yield "report", said
