"""The calculator of J: who wins and where two tie, as `selection` says; it starts as notebook 00/01 does."""

import math
import random
from dataclasses import replace
from itertools import combinations

import pytest

from course_lib.course.calculators.choice import (
    CANDIDATES,
    NUMBERS,
    OBJECTIVE,
    criteria_of,
    name_winner,
    prices_of,
    winner_of,
)
from course_lib.course.calculators.emit import script, variants
from course_lib.course.calculators.presets import setting
from course_lib.decide.rerankers import PRICES, rerankers
from course_lib.decide.selection import score, tie_weight, winner
from tests.javascript import CALCULATOR, run, static

SCRIPTS = (static("calculator-maths.js"), script(["objective-j"]), *map(static, CALCULATOR))
NAMES = list(CANDIDATES)


def drawn(chance: random.Random) -> dict[str, float]:
    """Numbers over the ranges that a reader may enter; two candidates are alike now and then."""
    values = {}
    for entry in variants("objective-j")[0].inputs:
        high = {"error": 1, "risk": 1e-3}.get(entry.name.rpartition("_")[0], 100)
        values[entry.name] = high * 10 ** -chance.uniform(0, 3)
    if chance.random() < 0.2:
        values["error_2"] = values["error_1"]
    if chance.random() < 0.1:
        values |= {f"{name}_4": values[f"{name}_3"] for name in ("error", "latency_s", "cost_usd", "risk")}
    return values


def test_it_starts_with_the_notebooks_candidates_and_prices():
    values = setting(OBJECTIVE).values
    assert prices_of(values) == PRICES
    for number, each in zip(NUMBERS, rerankers().values(), strict=True):
        given = criteria_of(values, number)
        assert score(given, PRICES) == pytest.approx(score(each, PRICES), rel=1e-5)
    tie = tie_weight(criteria_of(values, 1), criteria_of(values, 3), PRICES, "error")
    assert tie == pytest.approx(
        tie_weight(*(rerankers()[name] for name in (NAMES[0], NAMES[2])), PRICES, "error"), rel=1e-5
    )


def test_ties_are_those_of_the_library():
    chance = random.Random(3)
    cases = [drawn(chance) for _ in range(300)]
    body = """const { tie } = globalThis.calculatorChoice;
        const made = new globalThis.calculatorCore.Calculation("objective-j");
        const options = made.about.choice.options;
        return data.map(({ values, pairs }) => pairs.map(([a, b]) =>
            tie(made.about.choice, made.results(values), options[b - 1], options[a - 1])));"""
    pairs = list(combinations(NUMBERS, 2))
    found = run(body, [{"values": values, "pairs": pairs} for values in cases], *SCRIPTS)
    none = 0
    for values, ties in zip(cases, found, strict=True):
        for (a, b), tie in zip(pairs, ties, strict=True):
            expected = tie_weight(criteria_of(values, a), criteria_of(values, b), prices_of(values), "error")
            none += expected is None
            assert tie == (None if expected is None else pytest.approx(expected, rel=1e-9))
    assert 0 < none < len(cases) * len(pairs)


def test_who_wins_at_which_price_is_what_winner_says():
    """Between its marks, the candidate that the page names is `winner`'s, at random prices."""
    chance = random.Random(4)
    cases = [drawn(chance) for _ in range(400)]
    body = """const made = new globalThis.calculatorCore.Calculation("objective-j");
        const { reigns, winner } = globalThis.calculatorChoice;
        const { choice } = made.about;
        return data.map((values) => {
            const there = (at) => made.results({ ...values, usd_per_error: at });
            const name = (option) => option ? option.name : null;
            return { wins: name(winner(choice, made.results(values))),
                     reigns: reigns(choice, made.results(values), there)
                        .map(({ at, option }) => [at, option.name]) }; });"""
    seen = set()
    for values, found in zip(cases, run(body, cases, *SCRIPTS), strict=True):
        candidates = {name: criteria_of(values, number) for number, name in zip(NUMBERS, NAMES, strict=True)}
        prices, limit = prices_of(values), {"latency_s": values["latency_limit"]}
        assert found["wins"] == winner(candidates, prices, limit)
        assert (found["wins"] or "none") == name_winner(OBJECTIVE, values)
        starts = [at for at, _ in found["reigns"]]
        seen.add(len(starts))
        ends = [*starts[1:], math.inf] if starts else []
        for (start, name), end in zip(found["reigns"], ends, strict=True):
            price = start + (min(end, 2 * start + 10) - start) * chance.uniform(0.001, 0.999)
            assert winner(candidates, replace(prices, usd_per_error=price), limit) == name
    assert {0, 1, 2, 3} <= seen


def test_it_says_the_winner_its_price_and_where_another_wins():
    body = """const made = new globalThis.calculatorCore.Calculation("objective-j");
        Object.assign(made.entered, data);
        const results = made.results();
        return [made.finding(results), made.marks(results).text, made.facts(results)];"""
    says, marks, facts = run(body, {}, *SCRIPTS)
    assert says == "encoder, one pass wins: a request costs 0.00605 USD, all told."
    assert marks == (
        "encoder, one pass wins up to 0.335 USD a wrong answer, 70B, one pass up to 0.916 USD,"
        " 70B, 20 tokens above."
    )
    assert [name for name, _ in facts] == NAMES
    assert facts[2][1] == "0.0117 USD, ties with the winner at 0.335 USD a wrong answer"
    says, marks, facts = run(body, {"latency_limit": "0.25", "usd_per_error": "2"}, *SCRIPTS)
    assert says.startswith("8B, one pass wins")
    assert [text.endswith("too slow") for _, text in facts] == [False, False, True, True]
    says, marks, _ = run(body, {"latency_limit": "0.001"}, *SCRIPTS)
    assert (says, marks) == ("No candidate answers within 1 ms.", "No candidate keeps the limit.")


def test_no_candidate_inside_the_limit_is_no_winner():
    values = {**setting(OBJECTIVE).values, "latency_limit": 0.001}
    assert winner_of(values) is None
    assert name_winner(OBJECTIVE, values) == "none"
    assert OBJECTIVE.by_function(None, values) == math.inf
