"""What a binomial count is beyond a limit, on average: the tokens that an expert gets
beyond its capacity.

Symbols: X the count, n trials, p their chance, c the limit.

Python and the pages' JavaScript do the same steps, so that both give the same digits:
`expectedExcess` in calculator-maths.js is this file once more. Probabilities begin at
one exact term and go on by ratios.

Source: C. Loader, Fast and Accurate Computation of Binomial Probabilities, 2000 (the
    term by its deviance, which stays exact where factorials cancel).

Terms:
    expected overflow, binomial load: how many of a batch's tokens an expert gets beyond
        a limit, on average -> expected_excess
"""

import math

from course_lib.costs.arithmetic import (
    Number,
    check_at_most,
    check_count,
    check_not_negative,
    is_symbol,
)

FAR = 60.0
"""A deviance beyond which a term counts as none: e^-60 is 1e-26."""
# log(n!) minus Stirling's first terms, for n = 0 .. 15.
STIRLING = (
    0.0,
    0.08106146679532726,
    0.0413406959554093,
    0.02767792568499834,
    0.02079067210376509,
    0.01664469118982119,
    0.01387612882307075,
    0.01189670994589177,
    0.01041126526197210,
    0.009255462182712733,
    0.008330563433362871,
    0.007573675487951841,
    0.006942840107209530,
    0.006408994188004207,
    0.005951370112758848,
    0.005554733551962801,
)


def expected_excess(trials: Number, chance: Number, limit: Number) -> Number:
    """Expected amount by which a binomial count is above a limit.

    *Equation*: E max(0, X - c) = sum over x > c of (x - c) P(X = x).

    Args: `trials` n, `chance` p, `limit` c, a whole number.
    Returns: a count of trials; below 1e-26 of one it is 0. With a symbol, the
        expression.
    Raises: ValueError if `trials` or `limit` is no whole number, or p is outside
        [0, 1].
    Cost: the terms within some ten standard deviations.

    >>> expected_excess(2, 0.5, 1), round(expected_excess(1024, 0.125, 160), 6)
    (0.25, 0.005376)
    """
    if any(map(is_symbol, (trials, chance, limit))):
        from sympy import Function

        return Function("expected_excess")(trials, chance, limit)
    check_count(trials=trials)
    check_count(least=0, limit=limit)
    check_not_negative(chance=chance)
    check_at_most("all", 1, chance=chance)
    mean = trials * chance
    if chance == 0 or chance == 1 or limit >= trials:
        return max(0.0, mean - limit)
    if limit < mean:  # the few below the limit, in place of the many above
        return mean - limit + _tail(trials, chance, limit, -1)
    return _tail(trials, chance, limit, 1)


def _tail(trials: int, chance: float, limit: int, way: int) -> float:
    """The sum of |x - c| P(X = x) on one side of the limit, from the limit outwards."""
    odds, total, x, away = chance / (1 - chance), 0.0, limit + way, 1
    term = binomial_term(trials, chance, x) if 0 <= x <= trials else 0.0
    while term > 1e-18 * total and 0 <= x <= trials:
        total += away * term
        if way > 0:
            term *= (trials - x) / (x + 1) * odds
        else:
            term *= x / (trials - x + 1) / odds
        x, away = x + way, away + 1
    return total


def binomial_term(trials: int, chance: float, x: int) -> float:
    """P(X = x), for 0 < p < 1 and 0 <= x <= n; 0 where it is below 1e-26.

    >>> binomial_term(4, 0.5, 2)
    0.375
    """
    rest = trials - x
    if x in (0, trials):
        deviance = -trials * math.log1p(-chance if x == 0 else chance - 1)
        return 0.0 if deviance > FAR else math.exp(-deviance)
    deviance = (
        _stirling_rest(x)
        + _stirling_rest(rest)
        - _stirling_rest(trials)
        + _deviance(x, trials * chance)
        + _deviance(rest, trials * (1 - chance))
    )
    if deviance > FAR:
        return 0.0
    return math.exp(-deviance) * math.sqrt(trials / (2 * math.pi * x * rest))


def _stirling_rest(n: int) -> float:
    """log(n!) - log(sqrt(2 pi n) (n / e)^n)."""
    if n < len(STIRLING):
        return STIRLING[n]
    square = n * n
    return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680) / square) / square) / square) / n


def _deviance(x: float, mean: float) -> float:
    """x log(x / mean) + mean - x, by a series where the two are close."""
    apart, whole = x - mean, x + mean
    if abs(apart) >= 0.1 * whole:
        return x * math.log(x / mean) + mean - x
    ratio = apart / whole
    found, term, odd = apart * ratio, 2 * x * ratio, 1
    for _ in range(1000):
        term *= ratio * ratio
        odd += 2
        longer = found + term / odd
        if longer == found:
            break
        found = longer
    return found
