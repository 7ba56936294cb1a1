"""Student's t against mpmath and printed tables; intervals that cover as often as they say."""

import math

import mpmath
import pytest
import torch

from course_lib.evaluate.intervals import paired_interval, student_interval, unpaired_interval
from course_lib.evaluate.student_t import t_cdf, t_power, t_quantile


def exact_cdf(t, v):
    """By the incomplete beta function, to 30 digits."""
    mpmath.mp.dps = 30
    tail = mpmath.betainc(mpmath.mpf(v) / 2, 0.5, 0, v / (v + mpmath.mpf(t) ** 2), regularized=True) / 2
    return float(1 - tail if t > 0 else tail)


@pytest.mark.parametrize("v", [1, 1.37, 2, 3, 4.5, 10, 99, 2000])
@pytest.mark.parametrize("t", [-3.0, -0.4, 0.7, 2.0, 8.0])
def test_the_distribution_equals_the_incomplete_beta_function(t, v):
    assert t_cdf(t, v) == pytest.approx(exact_cdf(t, v), abs=1e-12)


@pytest.mark.parametrize(
    ("v", "p", "printed"),
    [
        (1, 0.975, 12.706),
        (2, 0.975, 4.303),
        (3, 0.975, 3.182),
        (4, 0.975, 2.776),
        (5, 0.975, 2.571),
        (10, 0.95, 1.812),
        (30, 0.995, 2.750),
        (120, 0.975, 1.980),
    ],
)
def test_quantiles_are_those_of_the_printed_tables(v, p, printed):
    assert round(t_quantile(p, v), 3) == printed
    assert t_quantile(1 - p, v) == pytest.approx(-t_quantile(p, v), rel=1e-12)


@pytest.mark.parametrize("v", [1, 2, 2.7, 17, 500])
@pytest.mark.parametrize("p", [0.02, 0.5, 0.8, 0.9995])
def test_the_quantile_inverts_the_distribution(p, v):
    assert t_cdf(t_quantile(p, v), v) == pytest.approx(p, abs=1e-12)


def test_two_degrees_have_a_closed_form():
    p = 0.975
    assert t_quantile(p, 2) == pytest.approx((2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p))), rel=1e-12)


@pytest.mark.parametrize(("shift", "v"), [(0.0, 2), (1.5, 2), (-1.5, 2), (2.9, 9), (2.0, 63)])
def test_the_power_is_how_often_the_interval_leaves_zero_out(shift, v):
    """200,000 trials; 5 binomial deviations."""
    draw, trials = torch.Generator().manual_seed(0), 200_000
    z = torch.randn(trials, generator=draw, dtype=torch.float64) + shift
    spread = torch.randn(trials, v, generator=draw, dtype=torch.float64).square().mean(1).sqrt()
    seen = ((z / spread).abs() > t_quantile(0.975, v)).double().mean().item()
    found = t_power(shift, v, 0.95)
    assert abs(found - seen) < 5 * math.sqrt(seen * (1 - seen) / trials)
    if shift == 0:
        assert found == pytest.approx(0.05, abs=1e-9)


def test_the_t_interval_of_three_by_hand():
    """Mean 2, deviation 1, standard error 1/sqrt(3), t = 0.95 sqrt(2 / 0.0975) = 4.3027."""
    found = student_interval([1.0, 2.0, 3.0])
    assert (found.mean, found.count, found.confidence) == (2.0, 3, 0.95)
    assert found.half == pytest.approx(0.95 * math.sqrt(2 / 0.0975) / math.sqrt(3), rel=1e-12)
    assert found.plus_minus == (found.mean, found.half)
    assert found.high - found.mean == pytest.approx(found.mean - found.low, rel=1e-12)


def test_t_intervals_cover_as_often_as_they_say():
    """95 % intervals of 3 normal numbers, 4000 trials: within 4 deviations of 3800."""
    runs = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    covered = sum(0.0 in student_interval(row) for row in runs)
    assert abs(covered - 3800) < 4 * math.sqrt(4000 * 0.05 * 0.95)


def test_a_pair_drops_what_both_share():
    first, second = [5.1, 1.2, 9.0], [5.0, 1.0, 8.7]
    found = paired_interval(first, second)
    assert found == student_interval([a - b for a, b in zip(first, second, strict=True)])
    assert found.half < 0.3 < unpaired_interval(first, second).half


def test_welch_by_hand():
    """Variances 1 and 4 over 3 and 2 runs: error sqrt(1/3 + 2), freedom (7/3)^2 / (1/18 + 4)."""
    first, second = [1.0, 2.0, 3.0], [4.0 - math.sqrt(2), 4.0 + math.sqrt(2)]
    freedom = (7 / 3) ** 2 / (1 / 18 + 4)
    found = unpaired_interval(first, second, confidence=0.9)
    assert found.mean == pytest.approx(-2.0) and found.count == 5
    assert found.half == pytest.approx(t_quantile(0.95, freedom) * math.sqrt(7 / 3), rel=1e-12)


def test_runs_without_spread_have_a_point():
    assert unpaired_interval([2.0, 2.0], [1.0, 1.0]).half == student_interval([3.0, 3.0]).half == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: student_interval([1.0]), "samples has 1"),
        (lambda: student_interval([1.0, math.nan]), "finite"),
        (lambda: student_interval([1.0, 2.0], confidence=0.0), "confidence=0.0"),
        (lambda: paired_interval([1.0, 2.0], [1.0]), "first has 2 values, second 1"),
        (lambda: unpaired_interval([1.0, 2.0], [1.0]), "second has 1"),
        (lambda: t_cdf(1.0, 0.5), "v=0.5"),
        (lambda: t_quantile(0.5, math.inf), "v=inf"),
        (lambda: t_quantile(1.0, 3), "p=1.0"),
        (lambda: t_power(math.nan, 3, 0.95), "shift=nan"),
        (lambda: t_power(1.0, 3, 1.0), "confidence=1.0"),
    ],
)
def test_bad_input_names_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
