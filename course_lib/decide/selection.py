"""Choosing among architectures: the objective J (a weighted sum of costs), hard limits,
and the Pareto front.

The sum adds up only in one unit. Here it is US dollars per request, so that each
weight is a price somebody can name: of a wrong answer, of a second of waiting, of a
dollar of spending, of an incident.

Symbols: J the objective; lambda_q, lambda_l, lambda_c, lambda_r its weights (q quality,
l latency, c cost, r risk).

A weighted sum is a convention. It cannot express a limit, and it never picks a
candidate in a dent of the Pareto front; `winner` takes limits apart from weights, and
`pareto_front` shows what is there to be picked.

Terms:
    objective J, weighted sum, utility: error, latency, cost and risk of a candidate in
        one unit, dollars per request -> objective
    hard limit, constraint: a bound that no weight can trade away -> within, winner
"""

from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass

from course_lib.costs.arithmetic import Number, check_not_negative, is_symbol
from course_lib.decide.pareto import pareto_front as front_of_points


@dataclass(frozen=True, kw_only=True)
class Criteria:
    """What one candidate does, a request: less is better in each.

    `error` wrong answers a request, a share between 0 and 1; `latency_s` seconds until
    the answer is there; `cost_usd` dollars spent on it, training shared out; `risk`
    incidents a request, as an expected number.
    """

    error: Number
    latency_s: Number
    cost_usd: Number
    risk: Number

    def __post_init__(self) -> None:
        check_not_negative(**asdict(self))


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The prices. `usd_per_usd` above 1 says that a dollar of the budget is scarcer
    than a dollar.
    """

    usd_per_error: Number
    usd_per_second: Number
    usd_per_usd: Number = 1
    usd_per_incident: Number = 0

    def __post_init__(self) -> None:
        check_not_negative(**asdict(self))


PRICE_OF = {
    "error": "usd_per_error",
    "latency_s": "usd_per_second",
    "cost_usd": "usd_per_usd",
    "risk": "usd_per_incident",
}
"""The weight that belongs to each criterion."""


def objective(
    *,
    error: Number,
    latency_s: Number,
    cost_usd: Number,
    risk: Number,
    usd_per_error: Number,
    usd_per_second: Number,
    usd_per_usd: Number,
    usd_per_incident: Number,
) -> Number:
    """J: what one request costs when every criterion has a price.

    *Equation*: lambda_q Err + lambda_l Latency + lambda_c Cost + lambda_r Risk.

    Args: `error`, `latency_s`, `cost_usd`, `risk` as in `Criteria`; `usd_per_error`
        lambda_q, `usd_per_second` lambda_l, `usd_per_usd` lambda_c (a pure number),
        `usd_per_incident` lambda_r. Symbols are welcome.
    Returns: US dollars a request.
    Raises: ValueError if an argument is not a finite number of at least 0.
    Source: for what a weighted sum cannot reach, Messac et al. 2000, Optimization and
        Engineering 1, 171-188.

    >>> prices = {"usd_per_error": 2, "usd_per_second": 0.01}
    >>> prices |= {"usd_per_usd": 1, "usd_per_incident": 1000}
    >>> objective(error=0.05, latency_s=3, cost_usd=0.02, risk=0.00001, **prices)
    0.16
    """
    check_not_negative(error=error, latency_s=latency_s, cost_usd=cost_usd, risk=risk)
    check_not_negative(usd_per_error=usd_per_error, usd_per_second=usd_per_second)
    check_not_negative(usd_per_usd=usd_per_usd, usd_per_incident=usd_per_incident)
    spent = usd_per_error * error + usd_per_second * latency_s
    return spent + usd_per_usd * cost_usd + usd_per_incident * risk


def score(criteria: Criteria, weights: Weights) -> Number:
    """J of one candidate, US dollars a request (see `objective`)."""
    return objective(**asdict(criteria), **asdict(weights))


def tie_weight(
    a: Criteria, b: Criteria, weights: Weights, criterion: str
) -> Number | None:
    """The price of one criterion at which two candidates have the same J, the other
    prices held.

    *Equation*: J is linear in each weight, so lambda* = (J_b - J_a without the
        criterion) / (x_a - x_b).

    Args: `a`, `b` candidates; `weights` the other prices; `criterion` a field of
        `Criteria`. Symbols are welcome.
    Returns: the price, in dollars a unit of the criterion; None where no price of at
        least 0 makes a tie. With symbols, the quotient: below 0 or not finite where
        there is none.
    Raises: ValueError if `criterion` is no field of `Criteria`.

    >>> careful = Criteria(error=0.02, latency_s=1, cost_usd=0.05, risk=0)
    >>> cheap = Criteria(error=0.04, latency_s=1, cost_usd=0.01, risk=0)
    >>> weights = Weights(usd_per_error=0, usd_per_second=0)
    >>> round(tie_weight(careful, cheap, weights, "error"), 9)
    2.0
    """
    if criterion not in PRICE_OF:
        raise ValueError(
            f"criterion={criterion!r}: one of {', '.join(PRICE_OF)} is allowed"
        )
    others = Weights(**{**asdict(weights), PRICE_OF[criterion]: 0})
    behind = score(b, others) - score(a, others)
    ahead = getattr(a, criterion) - getattr(b, criterion)
    if is_symbol(behind) or is_symbol(ahead):
        return behind / ahead
    if not ahead or behind / ahead < 0:
        return None
    return behind / ahead


def within(criteria: Criteria, limits: Mapping[str, float]) -> bool:
    """Whether a candidate keeps every hard limit, `{"latency_s": 0.5}`: at most that,
    at any price.

    Raises: ValueError if a limit names no field of `Criteria`.
    """
    unknown = sorted(set(limits) - set(PRICE_OF))
    if unknown:
        raise ValueError(f"limits={unknown}: of {', '.join(PRICE_OF)} are allowed")
    return all(getattr(criteria, name) <= limit for name, limit in limits.items())


def winner(
    candidates: Mapping[str, Criteria],
    weights: Weights,
    limits: Mapping[str, float] | None = None,
) -> str | None:
    """Name of the candidate with the least J among those that keep the limits; None if
    none keeps them.

    A tie goes to the first named.

    Raises: ValueError if there are no candidates, or a limit names no field of
        `Criteria`.

    >>> fast = Criteria(error=0.10, latency_s=0.2, cost_usd=0.001, risk=0)
    >>> right = Criteria(error=0.02, latency_s=4.0, cost_usd=0.050, risk=0)
    >>> both = {"fast": fast, "right": right}
    >>> winner(both, Weights(usd_per_error=0.1, usd_per_second=0.001))
    'fast'
    >>> dear_errors = Weights(usd_per_error=1.0, usd_per_second=0.001)
    >>> winner(both, dear_errors), winner(both, dear_errors, {"latency_s": 1.0})
    ('right', 'fast')
    """
    if not candidates:
        raise ValueError("candidates={}: one or more are allowed")
    allowed = {
        name: each for name, each in candidates.items() if within(each, limits or {})
    }
    return min(allowed, key=lambda name: score(allowed[name], weights), default=None)


def pareto_front(candidates: Mapping[str, Criteria]) -> tuple[str, ...]:
    """Names of the candidates that none of the others dominates in the four criteria,
    in their order.
    """
    return front_of_points({name: astuple(each) for name, each in candidates.items()})
