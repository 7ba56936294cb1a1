"""Confidence intervals: the bootstrap of a mean, and Wilson's interval for a share.

A score measured on n queries would come out otherwise on n others. The bootstrap draws
n of the measured values with replacement, again and again, and looks at how the mean
moves. It says nothing about another training seed, another corpus or a biased sample:
those are not in the values.

Of 40 values that are all 0, every resample is 0 too, and the bootstrap is sure of it.
Wilson's interval is not: it is made for counts, and holds at none and at all.

Source: Efron 1979; percentile interval, Efron and Tibshirani 1993, chapter 13; Wilson
    1927.

Terms:
    bootstrap interval, bootstrap, confidence interval: how far a mean moves when the
        measured values are drawn again, with replacement -> bootstrap
    paired difference, paired bootstrap: the interval of the difference between two
        systems on the same items -> paired_difference
    Wilson interval: an interval for a share, which holds at none and at all -> wilson
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Interval:
    """A mean and the range that covers it with the confidence asked for.

    Attributes:
        mean: of the values.
        low, high: ends of the interval.
        count: number of values.
        confidence: such as 0.95.
    """

    mean: float
    low: float
    high: float
    count: int
    confidence: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap(
    values: Float[Tensor, " n"] | Sequence[float],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Return the mean of `values` with its percentile bootstrap interval.

    Args:
        values: one number a query, at least two.
        confidence: share of the resampled means that lie inside, above 0 and below 1.
        resamples: how often to draw.
        seed: of the draws.

    Raises:
        ValueError: fewer than 2 values, one that is not finite, or a setting out of
        range.

    *Cost*: resamples x n draws.

    >>> print(bootstrap([0.0, 1.0, 1.0, 1.0] * 25))
    0.750 [0.670, 0.830]
    """
    values = torch.as_tensor(values, dtype=torch.float64)
    if len(values) < 2 or not bool(values.isfinite().all()):
        raise ValueError(
            f"values has {len(values)} numbers: allowed are 2 or more, all finite"
        )
    if not 0 < confidence < 1 or resamples < 1:
        raise ValueError(
            f"confidence={confidence}, resamples={resamples}: allowed are 0 < "
            "confidence < 1, resamples >= 1"
        )
    generator = torch.Generator().manual_seed(seed)
    means = torch.stack(
        [
            values[torch.randint(len(values), values.shape, generator=generator)].mean()
            for _ in range(resamples)
        ]
    )
    tail = (1 - confidence) / 2
    low, high = means.quantile(
        torch.tensor([tail, 1 - tail], dtype=torch.float64)
    ).tolist()
    return Interval(values.mean().item(), low, high, len(values), confidence)


def paired_difference(
    first: Float[Tensor, " n"] | Sequence[float],
    second: Float[Tensor, " n"] | Sequence[float],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Return the mean of `first - second` with its interval: two models on the same
    queries.

    Pairs are drawn together, so what makes a query hard for both drops out; the
    interval is narrower than the two single ones suggest. The difference is clear if 0
    lies outside.

    Raises:
        ValueError: the two have unlike lengths; and what `bootstrap` raises.

    >>> 0.0 in paired_difference([0.9, 0.2, 0.5, 0.7], [0.8, 0.1, 0.4, 0.6])
    False
    """
    first, second = (
        torch.as_tensor(values, dtype=torch.float64) for values in (first, second)
    )
    if first.shape != second.shape:
        raise ValueError(
            f"first has {len(first)} values, second "
            f"{len(second)}: allowed is the same number"
        )
    return bootstrap(
        first - second, confidence=confidence, resamples=resamples, seed=seed
    )


def wilson(successes: int, trials: int, *, confidence: float = 0.95) -> Interval:
    """Return the share of successes with Wilson's score interval.

    *Equation*: the ends are the shares p at which the measured share lies z standard
    errors away, (k / n - p)^2 = z^2 p (1 - p) / n.

    Args:
        successes: k, from 0 to n.
        trials: n independent trials, at least 1.
        confidence: above 0 and below 1.

    Raises:
        ValueError: not 0 <= successes <= trials with trials >= 1, or the confidence is
        out of range.

    *Source*: Wilson 1927, Journal of the American Statistical Association 22; Brown,
    Cai and DasGupta 2001 recommend it for small n.

    >>> print(wilson(0, 40), wilson(30, 40))
    0.000 [0.000, 0.088] 0.750 [0.598, 0.858]
    """
    if trials < 1 or not 0 <= successes <= trials or not 0 < confidence < 1:
        raise ValueError(
            f"successes={successes}, trials={trials}, confidence={confidence}: "
            "allowed are 0 <= successes <= trials, trials >= 1, 0 < confidence < 1"
        )
    share, z = successes / trials, NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = (
        z
        * sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
        / (1 + z * z / trials)
    )
    low = 0.0 if successes == 0 else middle - half
    high = 1.0 if successes == trials else middle + half
    return Interval(share, low, high, trials, confidence)
