"""Load of routed experts (MoE): capacity, padding and dropped picks, replicas, and the
memory price at which a sparse model beats a dense one.

Symbols: n tokens, e experts, k experts of a token, c capacity factor, C capacity. A
pick is one token at one of its experts; a batch has n k of them, n k / e an expert.

With a router that picks evenly and each token by itself, the load of an expert is
binomial, of n tokens with chance k / e. Loads of two experts depend on each other, but
their means do not, so the expected drops are exact. Real routers pick less evenly and
drop more: `simulate.experts`.

How many experts a batch touches is `feed_forward.moe.expected_active_experts`; what it
sends between machines is in `expert_exchange`.

Source: Lepikhin et al. 2020, arXiv 2006.16668, section 2.2 (capacity); Fedus et al.
    2021, arXiv 2101.03961, section 2.2 (capacity factor).

Terms:
    expected drops, padding of experts: the picks that find an expert full, and the
        slots that stay empty, under even routing -> expected_drops, expected_padding
    expert replica, redundant expert: a further copy of an expert that gets much of the
        traffic -> copies_needed, replicas_needed, zipf_replicas
    memory price, cost of idle parameters: what a byte may cost before a dense model is
        cheaper than a mixture -> memory_price
"""

from collections.abc import Sequence

from course_lib.costs.arithmetic import (
    Number,
    check_at_most,
    check_count,
    check_not_negative,
    check_positive,
    is_symbol,
    larger,
    round_up,
)
from course_lib.costs.binomial import expected_excess


def capacity(tokens: Number, experts: Number, top_k: Number, factor: Number) -> Number:
    """Slots of each expert: the most tokens that it takes from a batch.

    *Equation*: C = ceil(c n k / e).

    Args: counts of tokens, experts and experts of a token; `factor` c, 1 for room that
        even routing would just fill.
    Returns: a count of slots.
    Raises: ValueError if a count is no whole number of at least 1, `top_k` is above
        `experts`, or `factor` is not above 0.
    Differs from source: some routers round down, or count the picks of k = 1 only.

    >>> capacity(4096, experts=8, top_k=2, factor=1.25)
    1280
    """
    _check(tokens, experts, top_k)
    check_positive(factor=factor)
    return round_up(factor * tokens * top_k / experts)


def expected_drops(
    tokens: Number, experts: Number, top_k: Number, slots: Number
) -> Number:
    """Expected share of the picks that find their expert full, under even routing.

    *Equation*: e E max(0, X - C) / (n k), X binomial of n with chance k / e.

    Args: as in `capacity`; `slots` C of each expert.
    Returns: a share of the n k picks, exact.
    Raises: as `capacity`; ValueError if `slots` is no whole number of at least 0.

    >>> round(expected_drops(512, experts=64, top_k=8, slots=80), 5)
    0.00084
    """
    _check(tokens, experts, top_k)
    check_count(least=0, slots=slots)
    over = expected_excess(tokens, top_k / experts, slots)
    return experts * over / (tokens * top_k)


def expected_padding(
    tokens: Number, experts: Number, top_k: Number, slots: Number, drops: Number
) -> Number:
    """Share of the e C slots that stay empty, where the share `drops` of the picks is
    dropped.

    *Equation*: 1 - n k (1 - drops) / (e C).

    Returns: a share of the slots; at least 0.
    Raises: as `capacity`; ValueError if `slots` is no whole number of at least 1.

    >>> expected_padding(4096, experts=8, top_k=2, slots=1280, drops=0)
    0.19999999999999996
    """
    _check(tokens, experts, top_k)
    check_count(slots=slots)
    check_not_negative(drops=drops)
    return larger(0, 1 - tokens * top_k * (1 - drops) / (experts * slots))


def _check(tokens: Number, experts: Number, top_k: Number) -> None:
    check_count(tokens=tokens, experts=experts, top_k=top_k)
    check_at_most("experts", experts, top_k=top_k)


def copies_needed(loads: Sequence[float], target: float) -> list[int]:
    """Copies of each expert so that no copy gets more than `target` times the mean load
    of an expert.

    *Equation*: r_i = ceil(load_i e / (target sum of loads)), at least 1.

    Args: `loads` of the e experts, in any unit; `target` max/mean, above 0.
    Raises: ValueError if a load is negative, all are 0, or `target` is not above 0.

    >>> copies_needed([5, 1, 1, 1], target=1.25)
    [2, 1, 1, 1]
    """
    check_positive(target=target, sum_of_loads=sum(loads))
    check_not_negative(**{f"loads[{i}]": load for i, load in enumerate(loads)})
    mean = sum(loads) / len(loads)
    return [max(1, round_up(load / (target * mean))) for load in loads]


def replicas_needed(loads: Sequence[float], target: float) -> int:
    """Copies beyond the first of each expert: the sum of r_i - 1.

    >>> replicas_needed([5, 1, 1, 1], target=1.25)
    1
    """
    return sum(copies_needed(loads, target)) - len(loads)


def zipf_loads(experts: int, skew: float) -> list[float]:
    """Popularity by Zipf's law: the i-th expert gets a share as i^-skew; 0 is even.

    Returns: shares that sum to 1, the most popular first.
    Raises: ValueError if `experts` is no whole number of at least 1, or `skew` is
        negative.

    >>> [round(share, 3) for share in zipf_loads(4, skew=1)]
    [0.48, 0.24, 0.16, 0.12]
    """
    check_count(experts=experts)
    check_not_negative(skew=skew)
    weights = [(i + 1) ** -skew for i in range(experts)]
    whole = sum(weights)
    return [weight / whole for weight in weights]


def zipf_hottest(experts: Number, skew: Number) -> Number:
    """Max/mean of the loads of `zipf_loads`: e over the sum of i^-skew.

    >>> round(zipf_hottest(4, skew=1), 3)
    1.92
    """
    if is_symbol(experts) or is_symbol(skew):
        from sympy import Function

        return Function("zipf_hottest")(experts, skew)
    return experts * zipf_loads(experts, skew)[0]


def zipf_replicas(experts: Number, skew: Number, target: Number) -> Number:
    """Replicas that popularity by Zipf's law needs: `replicas_needed` of `zipf_loads`.

    >>> zipf_replicas(256, skew=0.4, target=1.5)
    32
    """
    if any(map(is_symbol, (experts, skew, target))):
        from sympy import Function

        return Function("zipf_replicas")(experts, skew, target)
    return replicas_needed(zipf_loads(experts, skew), target)


def usd_per_flop(
    usd_per_hour: Number, peak_flops: Number, utilisation: Number = 1
) -> Number:
    """Price of an operation on a device that is rented by the hour.

    *Equation*: usd_per_hour / (3600 peak utilisation).
    """
    return usd_per_hour / (3600 * peak_flops * utilisation)


def memory_price(
    *,
    total: Number,
    active: Number,
    dense: Number,
    tokens_per_hour: Number,
    flop_usd: Number,
    bytes_per_weight: Number = 2,
) -> Number:
    """Price of a byte for an hour at which a mixture and a dense model cost the same.
    Below it the mixture is cheaper: it computes less and holds more.

    *Equation*: 2 (dense - active) tokens_per_hour flop_usd / (bytes_per_weight (total -
        dense)).

    Args: parameters of the mixture, `total` and `active` for a token, and of the
        `dense` model of equal quality, which the caller has to know;
        `tokens_per_hour` that one copy of the model serves; `flop_usd` from
        `usd_per_flop`; `bytes_per_weight` as stored.
    Returns: USD per byte and hour; infinite if the mixture is no larger, 0 if it
        computes no less.

    Only weights and their two operations a token are counted: no cache, no traffic.
    """
    saved = 2 * larger(0, dense - active) * tokens_per_hour * flop_usd
    more = bytes_per_weight * larger(0, total - dense)
    if not is_symbol(more) and more == 0:
        return float("inf")
    return saved / more
