"""Traffic of routed experts: how popular each expert is, step by step, and the picks of
a batch drawn from it.

Symbols: n tokens, e experts, k picks of a token; p [e] popularity, which sums to 1.

Picks are drawn by Gumbel's trick: the k largest of log p + noise are k experts drawn
without putting any back. Popularity in the place of a router leaves out what a real
one adds: that tokens of one text pick alike.

Terms:
    expert popularity, traffic skew: the share of the picks that an expert gets in the
        long run -> popularity
    traffic drift, hot topic: popularity that changes from step to step, or at once ->
        steady, drifting, hot_topic
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from course_lib.costs.experts import zipf_loads

Popularity = Float[np.ndarray, " e"]


def popularity(e: int, skew: float = 0.0, rng: np.random.Generator | None = None):
    """Popularity by Zipf's law, in a random order where there is an `rng`.

    Returns: shares [e] that sum to 1.
    Raises: ValueError if `e` is below 1 or `skew` is negative.
    """
    shares = np.array(zipf_loads(e, skew))
    return shares if rng is None else rng.permutation(shares)


def steady(shares: Popularity, steps: int) -> Iterator[Popularity]:
    """The same popularity in every step."""
    for _ in range(steps):
        yield shares


def drifting(
    shares: Popularity, steps: int, rate: float, rng: np.random.Generator
) -> Iterator[Popularity]:
    """Popularity that wanders: in each step, with chance `rate` for every expert, it
    changes places with another one. How skewed the traffic is stays the same.

    Raises: ValueError if `rate` is outside [0, 1].
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"rate={rate}: a number from 0 to 1 is allowed")
    shares = shares.copy()
    for _ in range(steps):
        yield shares.copy()
        for one in np.flatnonzero(rng.random(len(shares)) < rate):
            other = rng.integers(len(shares))
            shares[[one, other]] = shares[[other, one]]


def hot_topic(
    shares: Popularity, steps: int, *, start: int, experts: list[int], heat: float
) -> Iterator[Popularity]:
    """From step `start` on, some experts are `heat` times as popular as before.

    Raises: ValueError if `heat` is not above 0.
    """
    if heat <= 0:
        raise ValueError(f"heat={heat}: a number above 0 is allowed")
    hot = shares.copy()
    hot[experts] *= heat
    hot /= hot.sum()
    for step in range(steps):
        yield hot if step >= start else shares


def route(
    shares: Popularity,
    tokens: int,
    k: int,
    rng: np.random.Generator,
    *,
    groups: int = 1,
    top_groups: int = 1,
) -> Int[np.ndarray, "n k"]:
    """Each token's k different experts, best first; from its `top_groups` best groups
    of neighbours only (those with the best pick), where there are more.

    Raises: ValueError if the groups do not divide e, or have fewer than k experts.

    >>> route(np.array([0.5, 0.5]), 3, 2, np.random.default_rng(0)).shape
    (3, 2)
    """
    e = len(shares)
    if e % groups or not 1 <= top_groups <= groups or k > e // groups * top_groups:
        raise ValueError(
            f"k={k}, groups={groups}, top_groups={top_groups}: allowed are equal "
            f"groups of {e} experts, and k of those in the best ones"
        )
    with np.errstate(divide="ignore"):
        scores = np.log(shares) + rng.gumbel(size=(tokens, e))
    if top_groups < groups:
        best = scores.reshape(tokens, groups, -1).max(-1)
        kept = np.zeros_like(best, dtype=bool)
        np.put_along_axis(kept, np.argsort(-best, -1)[:, :top_groups], True, -1)
        scores = np.where(np.repeat(kept, e // groups, 1), scores, -np.inf)
    some = np.argpartition(-scores, k - 1, -1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, some, -1), -1)
    return np.take_along_axis(some, order, -1)
