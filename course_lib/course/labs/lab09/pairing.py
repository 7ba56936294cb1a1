"""Lab 9, exercise 2: the paired difference of two runs, with its interval.

Symbols: n seeds.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from math import sqrt
from statistics import mean, stdev, variance

from course_lib.course.labs.checking import Checker
from course_lib.course.labs.lab09.asking import real
from course_lib.course.labs.lab09.matching import random_run
from course_lib.evaluate.student_t import t_quantile

HINTS = {
    "three": "Return three floats: the mean, the lower and the upper end.",
    "order": "The mean comes first, then the lower and the upper end.",
    "rounded": "Return numbers as they are: a report rounds, a function does not.",
    "variance": "s is the standard deviation, the root of the variance.",
    "number": "Each of the three is a plain float.",
    "best": "The best of n seeds is luck, and the more seeds the more of it: take the "
    "mean of all.",
    "sign": "first minus second, in this order.",
    "by_place": "Pair by seed: the two dicts may list their seeds in different orders.",
    "median": "The mean of the differences, not their median.",
    "mean": "The mean of first minus second over all seeds.",
    "unpaired": "Take the difference of each seed first, then one standard deviation: "
    "what the seed does to both drops out.",
    "deviation": "A standard deviation says how single runs scatter. The mean of n "
    "scatters by sqrt(n) less: divide.",
    "divided": "The standard error is s over sqrt(n), not over n.",
    "normal": "1.96 is for many runs. s is itself estimated from n: take "
    "t_quantile(0.975, n - 1), at n = 5 that is 2.78.",
    "population": "Divide the squares by n - 1: the mean was taken from the same n.",
    "one_sided": "95 % between both ends leaves 2.5 % on each side: p = 0.975.",
    "freedom": "n differences have n - 1 degrees of freedom.",
    "no_t": "Multiply the standard error by t_quantile(0.975, n - 1).",
    "range": "The extremes of n runs lie further out the more runs there are; an "
    "interval of the mean gets narrower.",
    "ends": "mean -+ t s / sqrt(n), with s the standard deviation of the differences.",
    "seeds": "If the two have not the same seeds, raise ValueError.",
    "few": "One seed has no scatter: below two raise ValueError; two are enough.",
}
CHECK = Checker("Exercise 2", HINTS)
Losses = Mapping[int, float]
quantile = cache(t_quantile)


def differences(first: Losses, second: Losses, slip: str = "") -> list[float]:
    """first - second, seed by seed."""
    if slip == "by_size":
        pairs = zip(sorted(first.values()), sorted(second.values()), strict=True)
        return [a - b for a, b in pairs]
    if slip == "by_place":
        pairs = zip(first.values(), second.values(), strict=True)
        return [a - b for a, b in pairs]
    return [first[seed] - second[seed] for seed in first]


def paired(first: Losses, second: Losses, slip: str = "") -> tuple[float, float, float]:
    """The truth, or what a slip gives."""
    if set(first) != set(second) or len(first) < 2:
        raise ValueError("allowed are the same seeds, at least two")
    found = differences(first, second, slip)
    n, middle, spread = len(found), mean(found), stdev(found)
    error = spread / sqrt(n)
    t = quantile(0.975, n - 1)
    if slip == "best":
        middle = min(first.values()) - min(second.values())
    if slip == "median":
        middle = sorted(found)[n // 2]
    if slip == "unpaired":
        both = [variance(list(x.values())) / n for x in (first, second)]
        a, b = both
        error = sqrt(a + b)
        t = quantile(0.975, (a + b) ** 2 / ((a * a + b * b) / (n - 1)))
    if slip == "pooled":
        error = sqrt(sum(variance(list(x.values())) / n for x in (first, second)))
        t = quantile(0.975, 2 * n - 2)
    if slip == "apart":
        error = sqrt(sum(variance(list(x.values())) / n for x in (first, second)))
    error, t = {
        "deviation": (spread, t),
        "divided": (spread / n, t),
        "normal": (error, 1.96),
        "population": (error * sqrt((n - 1) / n), t),
        "one_sided": (error, quantile(0.95, n - 1)),
        "freedom": (error, quantile(0.975, n)),
        "no_t": (error, 1.0),
        "variance": (spread**2 / sqrt(n), t),
    }.get(slip, (error, t))
    if slip == "range":
        return middle, min(found), max(found)
    middle = -middle if slip == "sign" else middle
    if slip == "order":
        return middle - t * error, middle, middle + t * error
    return middle, middle - t * error, middle + t * error


SLIPS = (
    "sign", "best", "by_place", "median", "unpaired", "pooled", "apart",
    "deviation", "divided", "normal", "population", "one_sided", "freedom", "no_t",
    "range", "by_size", "variance", "order"
)  # fmt: skip
CALLED = {"pooled": "unpaired", "apart": "unpaired", "by_size": "by_place"}


def check_paired(paired_of: Callable, seed: int = 0) -> str:
    """Check `paired(first, second) -> (mean, low, high)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    for n in (5, 8, 2):
        first, second = (random_run(seed + i, n)["losses"] for i in (1, 2))
        shared = random_run(seed + 3, n)["losses"]  # what a seed does to both
        first = {key: loss + 10 * shared[key] for key, loss in first.items()}
        second = {key: second[key] + 10 * shared[key] for key in list(first)[::-1]}
        what = f"paired difference of {n} seeds"
        crash = "few" if n == 2 else "crash"
        got = CHECK.call(paired_of, first, second, what=what, crash=crash)
        formed = isinstance(got, tuple | list) and len(got) == 3
        seen = f"{len(got)} of them" if hasattr(got, "__len__") else type(got).__name__
        CHECK.true(formed, "three", what, "three floats", seen)
        right = paired(first, second)
        slips = {slip: paired(first, second, slip) for slip in SLIPS}
        for place, name in enumerate(("mean", "lower end", "upper end")):
            wrong = [
                (CALLED.get(slip, slip), one[place])
                for slip, one in slips.items()
                if abs(one[place] - right[place]) > 1e-9
            ]
            told, default = f"{name} of the {what}", "ends" if place else "mean"
            real(CHECK, got[place], right[place], wrong, default, told, "number")
    moved = {key + 1: loss for key, loss in first.items()}
    more = first | {99: 1.0}
    for kind, one, other, hint in (
        ("other seeds", moved, first, "seeds"),
        ("a seed more in the first", more, first, "seeds"),
        ("a seed more in the second", first, more, "seeds"),
        ("one seed", {3: 1.0}, {3: 1.1}, "few"),
    ):
        call = partial(paired_of, dict(one), dict(other))
        CHECK.refuses(call, hint, f"paired difference with {kind}")
    return "Exercise 2: a difference, seed by seed, and how sure it is."
