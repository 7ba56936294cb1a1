"""Seeds: how many runs a comparison needs, and when two models count as equal.

An interval that holds 0 says that a difference was not seen, not that there is none.
`equivalence` says whether the difference is small; `detectable_difference` says what so
many seeds can see at all; `seeds_needed` turns that round.

Source: two one-sided tests, Schuirmann 1987, Journal of Pharmacokinetics and
    Biopharmaceutics 15; power, Cohen 1988, chapter 2.

Terms:
    equivalence test, TOST, two one-sided tests: equal within a margin -> equivalence
    statistical power, power analysis, sample size: the seeds that a difference needs
        -> seeds_needed
    minimum detectable effect: the smallest difference that so many seeds see
        -> detectable_difference
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, sqrt

from jaxtyping import Float
from torch import Tensor

from course_lib.evaluate.intervals import Interval, paired_interval
from course_lib.evaluate.student_t import t_power

MOST = 100_000
HALVINGS = 60


@dataclass(frozen=True)
class Equivalence:
    """A difference held against the largest one that does not matter.

    Attributes:
        difference: its mean and interval.
        margin: differences from -margin to margin do not matter.
    """

    difference: Interval
    margin: float

    @property
    def holds(self) -> bool:
        """Return whether the whole interval lies inside the margin."""
        return -self.margin < self.difference.low and self.difference.high < self.margin

    @property
    def verdict(self) -> str:
        """Return "equivalent", "different" (all of it outside), or "undecided"."""
        low, high = self.difference.low, self.difference.high
        if self.holds:
            return "equivalent"
        outside = low > self.margin or high < -self.margin
        return "different" if outside else "undecided"


def equivalence(
    first: Float[Tensor, " n"] | Sequence[float],
    second: Float[Tensor, " n"] | Sequence[float],
    margin: float,
    *,
    confidence: float = 0.95,
) -> Equivalence:
    """Test whether two models are equal within a margin, pair by pair.

    Two one-sided t-tests, each with this confidence: the difference is above -margin,
    and below margin. That is the same as an interval of confidence 2 c - 1 (90 % for
    95 %) that lies inside the margin.

    Args:
        first, second: one number a seed, in the same order of seeds.
        margin: largest difference that does not matter, chosen before the runs.
        confidence: of each test, above 0.5 and below 1.

    Raises:
        ValueError: the margin is not above 0, the confidence out of range; and what
        `paired_interval` raises.

    >>> found = equivalence([1.01, 1.22, 1.39], [1.00, 1.20, 1.40], margin=0.05)
    >>> found.verdict, found.difference.confidence
    ('equivalent', 0.9)
    """
    if not margin > 0 or not 0.5 < confidence < 1:
        raise ValueError(
            f"margin={margin}, confidence={confidence}: allowed are margin > 0, "
            "0.5 < confidence < 1"
        )
    inner = round(2 * confidence - 1, 12)
    return Equivalence(paired_interval(first, second, confidence=inner), margin)


def chance_to_see(
    effect: float,
    std: float,
    seeds: int,
    *,
    paired: bool = True,
    confidence: float = 0.95,
) -> float:
    """Return the power: how often the t-interval of a true difference leaves out 0.

    Args:
        effect: the true difference of the means.
        std: standard deviation of the differences (paired), or of the runs of either
            model (not paired); above 0.
        seeds: of each model, at least 2.
        paired: whether both models run on the same seeds.
        confidence: of the interval.

    Raises:
        ValueError: a number is out of range.

    >>> round(chance_to_see(0.5, 1.0, 34), 3)
    0.808
    """
    if not isfinite(effect) or not std > 0 or not isfinite(std) or seeds < 2:
        raise ValueError(
            f"effect={effect}, std={std}, seeds={seeds}: allowed are finite numbers, "
            "std > 0, seeds >= 2"
        )
    error = std * sqrt((1 if paired else 2) / seeds)
    freedom = (seeds - 1) * (1 if paired else 2)
    return t_power(effect / error, freedom, confidence)


def seeds_needed(
    std: float,
    effect: float,
    *,
    power: float = 0.8,
    paired: bool = True,
    confidence: float = 0.95,
) -> int:
    """Return the fewest seeds, of each model, that see an effect with this power.

    Args:
        std, effect, paired, confidence: as for `chance_to_see`; effect not 0.
        power: above 0 and below 1.

    Raises:
        ValueError: a number is out of range, or 100,000 seeds are not enough.

    >>> seeds_needed(std=0.02, effect=0.01), seeds_needed(0.02, 0.01, paired=False)
    (34, 64)
    """
    _check_power(power)

    def enough(seeds: int) -> bool:
        options = {"paired": paired, "confidence": confidence}
        return chance_to_see(effect, std, seeds, **options) >= power

    if effect == 0 or not enough(MOST):
        raise ValueError(
            f"effect={effect}, std={std}: allowed is an effect that {MOST:,} seeds see"
        )
    few, many = 1, 2
    while not enough(many):
        few, many = many, min(2 * many, MOST)
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many


def detectable_difference(
    std: float,
    seeds: int,
    *,
    power: float = 0.8,
    paired: bool = True,
    confidence: float = 0.95,
) -> float:
    """Return the smallest true difference that so many seeds see with this power.

    Args:
        std, seeds, paired, confidence: as for `chance_to_see`.
        power: above 1 - confidence and below 1.

    Raises:
        ValueError: a number is out of range.

    >>> round(detectable_difference(std=0.02, seeds=3), 3)
    0.065
    """
    _check_power(power)
    options = {"paired": paired, "confidence": confidence}
    if power <= 1 - confidence:
        raise ValueError(
            f"power={power}: allowed is above {1 - confidence:g}, the share of false "
            "alarms"
        )
    low, high = 0.0, std
    while chance_to_see(high, std, seeds, **options) < power:
        low, high = high, 2 * high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        seen = chance_to_see(middle, std, seeds, **options) >= power
        low, high = (low, middle) if seen else (middle, high)
    return high


def _check_power(power: float) -> None:
    if not 0 < power < 1:
        raise ValueError(f"power={power}: allowed is above 0 and below 1")
