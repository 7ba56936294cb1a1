"""The objective of a choice: its arithmetic, its ties, its limits, and what it cannot pick."""

import itertools
from dataclasses import asdict, astuple, replace
from fractions import Fraction

import pytest
import sympy

from course_lib.decide.selection import (
    PRICE_OF,
    Criteria,
    Weights,
    objective,
    pareto_front,
    score,
    tie_weight,
    winner,
    within,
)

ENCODER = Criteria(error=0.10, latency_s=0.05, cost_usd=0.0001, risk=1e-6)
DECODER = Criteria(error=0.08, latency_s=2.0, cost_usd=0.02, risk=3e-6)
BOTH = {"encoder": ENCODER, "decoder": DECODER}
PRICES = Weights(usd_per_error=0.5, usd_per_second=0.002, usd_per_usd=1, usd_per_incident=100)
TERMS = asdict(ENCODER) | asdict(PRICES)


def test_every_term_has_its_own_price():
    terms = [a * b for a, b in zip(astuple(DECODER), astuple(PRICES), strict=True)]
    assert score(DECODER, PRICES) == pytest.approx(sum(terms), rel=1e-15)
    for name, price in PRICE_OF.items():
        alone = Weights(**{p: int(p == price) for p in PRICE_OF.values()})
        assert score(DECODER, alone) == getattr(DECODER, name)


def test_the_page_prints_the_function_itself():
    names = ["error", "latency_s", "cost_usd", "risk", *PRICE_OF.values()]
    symbols = {name: sympy.Symbol(name, positive=True) for name in names}
    expression = objective(**symbols)
    assert expression.free_symbols == set(symbols.values())
    pairs = [symbols[name] * symbols[price] for name, price in PRICE_OF.items()]
    assert sympy.simplify(expression - sum(pairs)) == 0


def test_at_the_tie_the_winner_flips():
    price = tie_weight(ENCODER, DECODER, PRICES, "error")
    at = {side: replace(PRICES, usd_per_error=price * side) for side in (0.99, 1, 1.01)}
    assert score(ENCODER, at[1]) == pytest.approx(score(DECODER, at[1]), rel=1e-12)
    assert [winner(BOTH, at[side]) for side in (0.99, 1.01)] == ["encoder", "decoder"]
    assert tie_weight(DECODER, ENCODER, PRICES, "error") == pytest.approx(price, rel=1e-12)


def test_a_tie_at_no_price_is_a_tie():
    assert tie_weight(ENCODER, replace(ENCODER, error=0.2), replace(PRICES, usd_per_error=9), "error") == 0


def test_no_price_makes_a_tie_where_one_is_better_anyway():
    assert tie_weight(ENCODER, DECODER, replace(PRICES, usd_per_error=0), "latency_s") is None
    assert tie_weight(ENCODER, replace(ENCODER, cost_usd=1), PRICES, "error") is None


def test_limits_come_before_prices():
    dear = replace(PRICES, usd_per_error=100)
    assert winner(BOTH, dear) == "decoder"
    assert winner(BOTH, dear, {"latency_s": 1.0}) == "encoder"
    assert winner(BOTH, dear, {"latency_s": 0.01}) is None
    assert within(DECODER, {"latency_s": 2.0}), "a limit is met by its own value"


def test_the_front_is_what_no_other_beats():
    useless = replace(DECODER, cost_usd=0.03)
    assert pareto_front({**BOTH, "useless": useless, "copy": DECODER}) == ("encoder", "decoder", "copy")
    assert pareto_front({"useless": useless, **BOTH}) == ("encoder", "decoder")


def test_a_winner_with_prices_above_zero_is_on_the_front():
    shares = [Fraction(i, 4) for i in range(5)]
    points = [
        Criteria(error=e, latency_s=1 - e * t, cost_usd=t, risk=0)
        for e, t in itertools.product(shares, shares)
    ]
    candidates = {str(i): point for i, point in enumerate(points)}
    front = pareto_front(candidates)
    assert 1 < len(front) < len(points)
    for a, b in itertools.product((1, 2, 5), (1, 3)):
        assert winner(candidates, Weights(usd_per_error=a, usd_per_second=b, usd_per_incident=1)) in front


def test_a_point_in_a_dent_of_the_front_never_wins():
    """It lies above the segment between its neighbours, so one of them is cheaper at every price."""
    line = {name: (error, cost) for name, error, cost in (("a", 0, 10), ("dent", 5, 6), ("b", 9, 0))}
    points = {name: Criteria(error=e, latency_s=0, cost_usd=c, risk=0) for name, (e, c) in line.items()}
    assert pareto_front(points) == ("a", "dent", "b")
    won = {winner(points, Weights(usd_per_error=Fraction(i, 100), usd_per_second=0)) for i in range(1, 1000)}
    assert won == {"a", "b"}
    assert winner(points, Weights(usd_per_error=1, usd_per_second=0), {"error": 5, "cost_usd": 6}) == "dent"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Criteria(error=-0.1, latency_s=1, cost_usd=1, risk=0), "error=-0.1"),
        (lambda: Criteria(error=0.1, latency_s=float("inf"), cost_usd=1, risk=0), "latency_s=inf"),
        (lambda: Weights(usd_per_error=True, usd_per_second=0), "usd_per_error=True"),
        (lambda: objective(**TERMS | {"risk": -1}), "risk=-1"),
        (lambda: objective(**TERMS | {"usd_per_second": -1}), "usd_per_second=-1"),
        (lambda: objective(**TERMS | {"usd_per_incident": float("nan")}), "usd_per_incident=nan"),
        (lambda: tie_weight(ENCODER, DECODER, PRICES, "speed"), "criterion='speed'"),
        (lambda: within(ENCODER, {"speed": 1}), r"limits=\['speed'\]"),
        (lambda: winner({}, PRICES), "candidates"),
    ],
)
def test_what_is_refused_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
