"""Confidence intervals: Student's t for few runs, the bootstrap for many queries,
Wilson's interval for a share.

Three seeds of a model: `student_interval`, or `paired_interval` for two models on the
same seeds. It takes runs as normal, which three cannot show (see `evaluate.seeds`).

The bootstrap draws n of the n values with replacement, again and again, and looks how
the mean moves. It says nothing about another seed or corpus: those are not in them. Of
40 values that are all 0, every resample is 0 too, and the bootstrap is sure of it.
Wilson's interval is not: it is made for counts, and holds at none and at all.

Source: Student 1908; unequal variances, Welch 1947, Biometrika 34; Efron 1979;
    percentile interval, Efron and Tibshirani 1993, chapter 13; Wilson 1927.

Terms:
    t interval, Student's t: the interval of a mean of few runs -> student_interval
    paired t interval: of the difference, seed by seed -> paired_interval
    Welch's t interval: of runs that share no seed -> unpaired_interval
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

from course_lib.evaluate.student_t import t_quantile


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

    @property
    def half(self) -> float:
        """Return half the width: what stands behind the plus-minus sign."""
        return (self.high - self.low) / 2

    @property
    def plus_minus(self) -> tuple[float, float]:
        """Return (mean, half the width), as a table prints them."""
        return self.mean, self.half

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def student_interval(
    samples: Float[Tensor, " n"] | Sequence[float], *, confidence: float = 0.95
) -> Interval:
    """Return the mean of a few runs with its t-interval.

    *Equation*: mean +- t s / sqrt(n), with s the standard deviation (divided by n - 1)
    and t the quantile (1 + confidence) / 2 of Student's t with n - 1 degrees of
    freedom.

    Raises:
        ValueError: fewer than 2 values, one that is not finite, or the confidence is
        out of range.

    >>> print(student_interval([1.0, 2.0, 3.0]))
    2.000 [-0.484, 4.484]
    """
    samples = _as_values("samples", samples, confidence)
    error = samples.std().item() / sqrt(len(samples))
    return _around(samples.mean().item(), error, len(samples) - 1, samples, confidence)


def paired_interval(
    first: Float[Tensor, " n"] | Sequence[float],
    second: Float[Tensor, " n"] | Sequence[float],
    *,
    confidence: float = 0.95,
) -> Interval:
    """Return the mean of `first - second` with its t-interval, seed by seed.

    What a seed does to both, such as the order of the data, drops out.

    Raises:
        ValueError: unlike lengths, or what `student_interval` raises.

    >>> print(paired_interval([1.1, 2.1, 3.2], [1.0, 2.0, 3.0]))
    0.133 [-0.010, 0.277]
    """
    return student_interval(_differences(first, second), confidence=confidence)


def unpaired_interval(
    first: Float[Tensor, " n"] | Sequence[float],
    second: Float[Tensor, " m"] | Sequence[float],
    *,
    confidence: float = 0.95,
) -> Interval:
    """Return mean(first) - mean(second) with Welch's t-interval: runs that share no
    seed.

    *Equation*: the standard error is sqrt(a + b) with a = s1^2 / n1 and b = s2^2 / n2,
    and the degrees of freedom are (a + b)^2 / (a^2 / (n1 - 1) + b^2 / (n2 - 1)). The
    variances may differ, and so may the numbers of runs; `count` is their sum.

    Raises:
        ValueError: as for `student_interval`.

    >>> print(unpaired_interval([1.1, 2.1, 3.2], [1.0, 2.0, 3.0]))
    0.133 [-2.194, 2.460]
    """
    first = _as_values("first", first, confidence)
    second = _as_values("second", second, confidence)
    a, b = (values.var().item() / len(values) for values in (first, second))
    spread = a**2 / (len(first) - 1) + b**2 / (len(second) - 1)
    freedom = (a + b) ** 2 / spread if spread else len(first) + len(second) - 2
    mean, both = (first.mean() - second.mean()).item(), torch.cat([first, second])
    return _around(mean, sqrt(a + b), freedom, both, confidence)


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
    values = _as_values("values", values, confidence)
    if resamples < 1:
        raise ValueError(f"resamples={resamples}: allowed is 1 or more")
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

    Pairs are drawn together, so what makes a query hard for both drops out. The
    difference is clear if 0 lies outside.

    Raises:
        ValueError: the two have unlike lengths; and what `bootstrap` raises.

    >>> 0.0 in paired_difference([0.9, 0.2, 0.5, 0.7], [0.8, 0.1, 0.4, 0.6])
    False
    """
    return bootstrap(
        _differences(first, second),
        confidence=confidence,
        resamples=resamples,
        seed=seed,
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


def _as_values(
    name: str, values: Float[Tensor, " n"] | Sequence[float], confidence: float
) -> Float[Tensor, " n"]:
    """Return the values in float64, checked."""
    values = torch.as_tensor(values, dtype=torch.float64)
    if len(values) < 2 or not bool(values.isfinite().all()):
        raise ValueError(
            f"{name} has {len(values)} numbers: allowed are 2 or more, all finite"
        )
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence}: allowed is above 0 and below 1")
    return values


def _differences(
    first: Float[Tensor, " n"] | Sequence[float],
    second: Float[Tensor, " n"] | Sequence[float],
) -> Float[Tensor, " n"]:
    first, second = (
        torch.as_tensor(values, dtype=torch.float64) for values in (first, second)
    )
    if first.shape != second.shape:
        raise ValueError(
            f"first has {len(first)} values, second "
            f"{len(second)}: allowed is the same number"
        )
    return first - second


def _around(
    mean: float, error: float, freedom: float, values: Tensor, confidence: float
) -> Interval:
    """Return the t-interval around a mean, from its standard error."""
    half = t_quantile((1 + confidence) / 2, freedom) * error
    return Interval(mean, mean - half, mean + half, len(values), confidence)
