"""Student's t: how far the mean of few values strays, counted in standard errors.

The standard error of n values is itself estimated from them. For 3 values a 95 %
interval therefore reaches 4.3 standard errors to each side, not the 1.96 of a normal
distribution; for 30 values 2.05.

Symbols: t deviation of a mean, divided by its standard error; v degrees of freedom.

Source: Student 1908, Biometrika 6.

Terms:
    Student's t distribution, t quantile: deviations of a mean in estimated standard
        errors -> t_quantile
    noncentral t: how often an interval leaves out 0 when it should -> t_power
"""

from math import atan, exp, inf, isfinite, lgamma, pi, sqrt, tan
from statistics import NormalDist

import numpy as np

NODES, WEIGHTS = np.polynomial.legendre.leggauss(128)
HALVINGS = 60


def t_cdf(t: float, v: float) -> float:
    """Return the probability of a deviation of at most t.

    *Equation*: with t = sqrt(v) tan(u), 1/2 + c integral_0^u cos(x)^(v - 1) dx, c =
    Gamma((v + 1) / 2) / (sqrt(pi) Gamma(v / 2)); by Gauss-Legendre with 128 nodes.

    Raises:
        ValueError: v is below 1 or not finite.

    >>> round(t_cdf(2.0, 10), 6)
    0.963306
    """
    if not 1 <= v < inf:
        raise ValueError(f"v={v}: allowed is a finite number of at least 1")
    return 0.5 + _scale(v) * _power_of_cosine(atan(t / sqrt(v)), v)


def t_quantile(p: float, v: float) -> float:
    """Return the t that a share p of all deviations stays below.

    Args:
        p: above 0 and below 1.
        v: degrees of freedom, at least 1; need not be whole (Welch).

    Raises:
        ValueError: p or v is out of range.

    >>> round(t_quantile(0.975, 2), 3), round(t_quantile(0.975, 4), 4)
    (4.303, 2.7764)
    """
    if not 0 < p < 1:
        raise ValueError(f"p={p}: allowed is above 0 and below 1")
    t_cdf(0.0, v)
    wanted = (abs(p - 0.5)) / _scale(v)
    low, high = 0.0, pi / 2
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below = _power_of_cosine(middle, v) < wanted
        low, high = (middle, high) if below else (low, middle)
    t = sqrt(v) * tan((low + high) / 2)
    return t if p >= 0.5 else -t


def t_power(shift: float, v: float, confidence: float) -> float:
    """Return how often a mean is told apart from 0 by its t-interval.

    The share of samples whose interval leaves 0 out (on either side), if the true mean
    lies `shift` standard errors from 0: the noncentral t distribution.

    *Equation*: with s the estimated standard error over the true one, the mean over s
    of Phi(shift - t s) + Phi(-shift - t s), where v s^2 is chi-square with v degrees.

    Raises:
        ValueError: v or the confidence is out of range, or the shift not finite.

    >>> round(t_power(0.0, 9, 0.95), 6)
    0.05
    """
    if not isfinite(shift) or not 0 < confidence < 1:
        raise ValueError(
            f"shift={shift}, confidence={confidence}: allowed are a finite number and "
            "0 < confidence < 1"
        )
    t, spread, normal = (
        t_quantile((1 + confidence) / 2, v),
        9 / sqrt(2 * v),
        NormalDist(),
    )
    low, high = max(0.0, 1 - spread), 1 + spread
    s = low + (high - low) * (NODES + 1) / 2
    start = np.log(2) + v / 2 * np.log(v / 2) - lgamma(v / 2)
    density = np.exp(start + (v - 1) * np.log(s) - v * s**2 / 2)
    told = [normal.cdf(shift - t * x) + normal.cdf(-shift - t * x) for x in s]
    return float((WEIGHTS * density * told).sum() * (high - low) / 2)


def _scale(v: float) -> float:
    return exp(lgamma((v + 1) / 2) - lgamma(v / 2)) / sqrt(pi)


def _power_of_cosine(u: float, v: float) -> float:
    """Return the integral of cos(x)^(v - 1) from 0 to u."""
    return float((WEIGHTS * np.cos(u * (NODES + 1) / 2) ** (v - 1)).sum() * u / 2)
