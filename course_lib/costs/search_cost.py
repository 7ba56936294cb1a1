"""Cost of a search for an architecture: trainings, tokens and FLOPs; and the luck of
the best one, by which it looks better than it is.

Symbols: N designs, k seeds of each, K of the best that are trained again with k' fresh
seeds, U updates of n tokens, P parameters, σ scatter of a score between seeds.

    trainings  R = N k + K k'
    FLOPs      6 P R U n, forward and backward
    luck       σ e_N / sqrt(k), with e_N the expected largest of N standard normal
               numbers

The luck is that of designs which are all equally good. Where they differ it is less;
and it is no bound, for one search may be luckier.

Source: Kaplan et al. 2020, arXiv:2001.08361, section 2.1, for six FLOPs per parameter
    and token.

Terms:
    cost of a search: trainings that a search for an architecture takes, and their FLOPs
        -> search_runs, training_flops
    expected largest of N, expected maximum of normal scores: how far the best of N
        equal designs lies above their mean, in standard deviations -> expected_largest
"""

from statistics import NormalDist

from course_lib.costs.arithmetic import (
    Number,
    check_at_most,
    check_count,
    check_positive,
    is_symbol,
    square_root,
)

REACH, STEPS = 9, 288
"""The numbers that are summed over: so far to both sides of 0, in so many steps."""


def search_runs(
    designs: Number, seeds: Number = 1, *, kept: Number = 1, fresh_seeds: Number = 0
) -> Number:
    """Trainings of a search whose best designs are trained again.

    *Equation*: R = N k + K k'.

    Args: `designs` that are scored, with so many `seeds` each; `kept` of the best, with
        so many `fresh_seeds`.
    Raises: ValueError if a count is no whole number, or more are kept than scored.

    >>> search_runs(100, 1, kept=10, fresh_seeds=5)
    150
    """
    check_count(designs=designs, seeds=seeds, kept=kept)
    check_count(least=0, fresh_seeds=fresh_seeds)
    check_at_most("designs", designs, kept=kept)
    return designs * seeds + kept * fresh_seeds


def training_flops(params: Number, tokens: Number) -> Number:
    """FLOPs of training on so many tokens: 6 P n, without the pairs of attention.

    >>> training_flops(1e6, 1e9) / 1e15
    6.0
    """
    check_positive(params=params, tokens=tokens)
    return 6 * params * tokens


def luck(designs: Number, scatter: Number, seeds: Number = 1) -> Number:
    """By how much the best of equal designs looks better than it is.

    *Equation*: σ e_N / sqrt(k).

    >>> round(luck(100, 0.02), 3), round(luck(100, 0.02, seeds=5), 3)
    (0.05, 0.022)
    """
    check_count(seeds=seeds)
    check_positive(scatter=scatter)
    return scatter * expected_largest(designs) / square_root(seeds)


def expected_largest(count: Number) -> Number:
    """The expected largest of `count` independent standard normal numbers.

    *Equation*: e_N = ∫ x N φ(x) Φ(x)^(N - 1) dx, summed by the trapezoid rule, which is
        exact to rounding for a curve that vanishes at both ends.

    >>> [round(expected_largest(n), 2) for n in (1, 2, 40, 100)]
    [0.0, 0.56, 2.16, 2.51]
    """
    if is_symbol(count):
        from sympy import Function

        return Function("expected_largest")(count)
    check_count(count=count)
    normal, step = NormalDist(), 2 * REACH / STEPS
    places = (i * step - REACH for i in range(STEPS + 1))
    return step * sum(
        x * count * normal.pdf(x) * normal.cdf(x) ** (count - 1) for x in places
    )
