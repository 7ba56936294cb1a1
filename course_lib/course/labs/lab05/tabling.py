"""Lab 5, exercise 7: how a cost grows, and the table beside attention.

Symbols: p the exponent with which a cost grows over lengths.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lending import helped
from course_lib.course.labs.values import right_digits, told

HINTS = {
    "slope": "The slope of a straight line through all points: log of the cost over "
    "log of the length, by least squares.",
    "ends": "All lengths count: a line through the first and the last point alone "
    "hangs on two measurements.",
    "plain": "Growth is a power: take the logarithm of both before the slope.",
    "half_log": "The logarithm of the lengths too.",
    "upside": "Cost over length, not length over cost.",
    "factor": "The exponent, not the factor for a doubling: linear is 1.0.",
    "type": "Return a Python float: float(...) turns numpy's and torch's into one.",
    "rows": "Return a list of dicts with task, mixer, gap, time and memory, in the "
    "order of the results.",
    "sign": "Where lower is better (a loss), the gap is attention's number minus the "
    "mixer's: above 0 is better everywhere.",
    "other_task": "The gap is to attention *of the same task*.",
    "first": "Compare with the row whose mixer is attention, wherever it stands.",
    "absolute": "A gap has a sign: below 0 is worse than attention.",
    "relative": "The gap is a difference, not a share of attention's quality.",
    "against": "The gap is the mixer's quality minus attention's: above 0 is better.",
    "ratio": "The gap is a difference, not a quotient.",
    "swapped_growth": "time grows with the seconds, memory with the bytes.",
    "missing": "Without attention in a task there is nothing to compare with: "
    "ValueError.",
}
CHECK = Checker("Exercise 7", HINTS)


def growth(lengths: Sequence[float], costs: Sequence[float]) -> float:
    """The slope of log cost over log length by least squares."""
    x, y = ([math.log(one) for one in row] for row in (lengths, costs))
    return _slope(x, y)


def _slope(x: list[float], y: list[float]) -> float:
    middle = sum(x) / len(x)
    above = sum((a - middle) * b for a, b in zip(x, y, strict=True))
    return above / sum((a - middle) ** 2 for a in x)


def table(results: Sequence[dict], slip: str = "") -> list[dict]:
    """The truth, or what a slip gives."""
    rows = []
    for one in results:
        same = [r for r in results if slip == "other_task" or r["task"] == one["task"]]
        base = next(r for r in same if slip == "first" or r["mixer"] == "attention")
        gap = one["quality"] - base["quality"]
        gap = {
            "ratio": one["quality"] / base["quality"],
            "relative": gap / base["quality"],
            "absolute": abs(gap),
        }.get(slip, gap)
        turned = one["better"] == "lower" and slip not in ("sign", "absolute")
        turned = not turned if slip == "against" else turned
        grown = [growth(one["lengths"], one[name]) for name in ("seconds", "bytes")]
        time, memory = grown[::-1] if slip == "swapped_growth" else grown
        rows.append(
            {
                "task": one["task"],
                "mixer": one["mixer"],
                "gap": -gap if turned else gap,
                "time": time,
                "memory": memory,
            }
        )
    return rows


def check_growth(growth_of: Callable, seed: int = 0) -> str:
    """Check `growth(lengths, costs) -> float`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing. So do all checks of this module.
    """
    rng, size = random_sizes(seed, n=(4, 6), first=(16, 90))
    lengths = [size["first"] * 2**i for i in range(size["n"])]
    noise = (1 + 0.3 * torch.rand(len(lengths), generator=rng)).tolist()
    for kind, costs in (
        (
            "noisy seconds",
            [1e-6 * a**1.5 * b for a, b in zip(lengths, noise, strict=True)],
        ),
        ("cache bytes", [40 * a for a in lengths]),
        ("a state that does not grow", [4096] * len(lengths)),
        ("a square", [3.0 * a * a for a in lengths]),
    ):
        what = f"growth of {kind} over {lengths}"
        got = CHECK.call(growth_of, list(lengths), list(costs), what=what)
        CHECK.true(type(got) is float, "type", what, "a float", type(got).__name__)
        right = growth(lengths, costs)
        logs = [[math.log(one) for one in row] for row in (lengths, costs)]
        ends = (logs[1][-1] - logs[1][0]) / (logs[0][-1] - logs[0][0])
        wrong = {
            "ends": ends,
            "plain": _slope(list(lengths), list(costs)),
            "half_log": _slope(list(lengths), logs[1]),
            "factor": 2**right,
        }
        if abs(right) > 0.1:
            wrong["upside"] = _slope(logs[1], logs[0])
        named = {hint: one for hint, one in wrong.items() if abs(one - right) > 1e-6}
        if abs(got - right) > 1e-9 * max(1.0, abs(right)):
            found = (h for h, w in named.items() if abs(got - w) <= 1e-9 * abs(w))
            digits = right_digits(got, right)
            hint = "digits" if digits >= 5 else next(found, "slope")
            CHECK.fail(hint, what, *told(right, got), digits=digits)
    return "Exercise 7: an exponent: 0 stays, 1 is linear, 2 is the square."


def check_table(table_of: Callable, seed: int = 0) -> str:
    """Check `table(results) -> rows`, with the lab's own `growth` beside it, or else
    with the student's.
    """
    helped(lambda: _check_table(table_of, seed), table_of, growth=growth)
    return "Exercise 7: three tasks, beside attention."


def _check_table(table_of: Callable, seed: int) -> None:
    rng, _ = random_sizes(seed)
    results = random_results(rng)
    for kind, given in (
        ("three tasks", results),
        ("three tasks, in another order", results[::-1]),
        ("one task", results[:2]),
    ):
        what = f"table of {kind}"
        got = CHECK.call(table_of, given, what=what)
        right = table(given)
        formed = isinstance(got, list) and all(type(row) is dict for row in got)
        seen = [sorted(row) for row in got] if formed else type(got).__name__
        names = [sorted(row) for row in right]
        CHECK.true(formed and seen == names, "rows", what, names, seen)
        slips = (
            "sign",
            "against",
            "ratio",
            "relative",
            "absolute",
            "other_task",
            "first",
            "swapped_growth",
        )
        wrong = {slip: table(given, slip) for slip in slips}
        _same_rows(got, right, wrong, what)
    alone = [
        one for one in results if one["task"] != "text" or one["mixer"] != "attention"
    ]
    call = lambda: table_of([dict(one) for one in alone])  # noqa: E731
    CHECK.refuses(call, "missing", "table of a task without attention")


def random_results(rng: torch.Generator) -> list[dict]:
    """Results of eight mixers on three tasks, with costs that are noisy powers."""
    rows = []
    for task, better in (("text", "lower"), ("names", "higher"), ("signal", "higher")):
        mixers = (
            ["delta", "attention", "wkv"] if task != "names" else ["attention", "sum"]
        )
        for mixer in mixers:
            costs = torch.rand(8, generator=rng).double().add(0.5).tolist()
            power = 2 if mixer == "attention" else 1
            lengths = [64, 128, 256, 512]
            rows.append(
                {
                    "task": task,
                    "mixer": mixer,
                    "better": better,
                    "quality": 0.5 + float(torch.rand(1, generator=rng).double()),
                    "lengths": lengths,
                    "seconds": [
                        a**power * b for a, b in zip(lengths, costs, strict=False)
                    ],
                    "bytes": [8 * a ** (power - 1) for a in lengths],
                }
            )
    return rows


def _same_rows(got: list[dict], right: list[dict], wrong: dict, what: str) -> None:
    def near(a: Any, b: Any) -> bool:
        if isinstance(b, str):
            return a == b
        return type(a) in (int, float) and abs(a - b) <= 1e-9 * max(1.0, abs(b))

    def same(rows: list[dict]) -> bool:
        pairs = zip(got, rows, strict=True)
        return len(got) == len(rows) and all(
            near(a[name], b[name]) for a, b in pairs for name in b
        )

    if same(right):
        return
    hint = next((slip for slip, rows in wrong.items() if same(rows)), "compare")
    pairs = zip(got, right, strict=True)
    place = next(
        (i, name)
        for i, (a, b) in enumerate(pairs)
        for name in b
        if not near(a[name], b[name])
    )
    where = f"{what}, row {place[0]}, {place[1]}"
    CHECK.fail(hint, where, right[place[0]][place[1]], got[place[0]][place[1]])
