"""Lab 4, exercise 3: how many slots an expert takes, which ones, and what is wasted.

Symbols: n tokens, k picks of a token, e experts, C capacity (slots an expert takes), c
    capacity factor: C = ceil(c k n / e).
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab04 import reference
from course_lib.course.labs.lending import strided

HINTS = {
    "ceil": "Round up: with the part after the point cut off, even a perfectly even "
    "batch loses slots.",
    "whole": "Round up, and leave what is whole already: ceil, not + 1.",
    "picks": "Each token brings k slots: C = factor * k * tokens / experts.",
    "experts": "The slots are shared out over the experts: divide by e.",
    "factor": "The capacity factor multiplies the even share.",
    "mask": "Return a bool tensor [n k]: True where a slot finds a place.",
    "later": "First come, first served: the slots of earlier tokens win.",
    "choices_first": "Count row by row: all picks of token 0, then those of token 1.",
    "padding": "A padded token takes no place, and none of its slots is kept.",
    "off_by_one": "An expert takes C slots, not C + 1: compare the number of earlier "
    "slots, which starts at 0.",
    "one_less": "An expert takes C slots: the last place is a place too.",
    "each_choice": "An expert has one queue for all choices, first and second alike.",
    "dropped": "Dropped over all slots of real tokens: k times their number.",
    "empty": "Empty places over all places: e * C.",
    "real_only": "Padding is not dropped: it asked for no place.",
    "order": "Return (dropped, empty), in that order.",
    "none": "Without a real token nothing is dropped: 0.0, not a division by zero.",
    "floats": "Return two floats of Python, not tensors.",
}
CHECK = Checker("Exercise 3", HINTS)


def check_capacity(capacity: Callable, seed: int = 0) -> str:
    """Check `capacity(tokens, k, experts, factor) -> int`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    _, size = random_sizes(seed, n=(3, 90), e=(3, 40), k=(1, 8))
    for n, k, e, factor in (
        (4096, 2, 8, 1.25),
        (100, 1, 8, 1.0),
        (7, 2, 8, 1.0),
        (4096, 8, 256, 1.0),
        (size["n"], size["k"], size["e"], 1.5),
        (1, 1, 64, 1.0),
    ):
        exact = factor * k * n / e
        right = math.ceil(exact)
        told = f"capacity({n}, k={k}, experts={e}, factor={factor})"
        got = CHECK.call(capacity, n, k, e, factor, what=told)
        others = {
            "whole": math.floor(exact) + 1,
            "ceil": math.floor(exact),
            "picks": math.ceil(factor * n / e),
            "experts": math.ceil(factor * k * n),
            "factor": math.ceil(k * n / e),
        }
        rounded = {
            round(exact),
            math.ceil(factor * (k * n // e)),
            k * math.ceil(factor * n // e),
        }
        mistakes = {h: w for h, w in others.items() if w != right}
        if type(got) is int and got in rounded:
            mistakes.setdefault("ceil", got)
        CHECK.equal(got, right, "compare", told, mistakes)
    return "Exercise 3: an even share, times the factor, rounded up."


def check_within_capacity(within_capacity: Callable, seed: int = 0) -> str:
    """Check `within_capacity(picks, real, experts, capacity) -> bool [n k]`."""
    rng, size = random_sizes(seed, n=(14, 20), e=(4, 5), k=(2, 3), C=(3, 4))
    n, e, k = size["n"], size["e"], size["k"]
    for rows, padded, C in (
        (n, 0, size["C"]),
        (n, 4, size["C"]),
        (n, 0, 1),
        (n, 3, n),
        (1, 0, 1),
        (3, 3, 2),
        (n, 0, 0),
    ):
        scores = torch.rand(rows, e, generator=rng) + torch.linspace(0, 0.7, e)
        picks = scores.topk(k, dim=1).indices
        # in front of, among, behind the real ones
        real = torch.rand(rows, generator=rng).argsort() >= padded
        told = f"within_capacity of {rows} tokens, {padded} of them padding, C = {C}"
        lent = strided(picks), real, e, C
        got = CHECK.call(within_capacity, *lent, what=told)
        right = reference.within_capacity(picks, real, e, C)
        formed = (
            isinstance(got, Tensor)
            and got.shape == right.shape
            and got.dtype == torch.bool
        )
        seen = (
            getattr(got, "dtype", type(got).__name__),
            tuple(getattr(got, "shape", ())),
        )
        CHECK.true(formed, "mask", told, f"bool {tuple(right.shape)}", seen)
        others = {
            slip: reference.within_capacity(picks, real, e, C, slip)
            for slip in (
                "padding",
                "off_by_one",
                "one_less",
                "later",
                "choices_first",
                "each_choice",
            )
        }
        others["padding "] = got & real[:, None]
        wrong = {s.strip(): w for s, w in others.items() if s != "padding "}
        if not torch.equal(got, right) and torch.equal(others["padding "], right):
            wrong = {"padding": got}
        named = {s: w.long() for s, w in wrong.items() if not torch.equal(w, right)}
        named |= {"mask": (~right).long()}
        CHECK.close(got.long(), right.long(), "compare", told, named)
    return "Exercise 3: early tokens find a place, padding takes none."


def check_waste(waste: Callable, seed: int = 0) -> str:
    """Check `waste(kept, real, experts, capacity) -> (dropped, empty)`."""
    rng, size = random_sizes(seed, n=(9, 14), e=(4, 5), k=(2, 3), C=(2, 3))
    n, e, k, C = (size[name] for name in "nekC")
    for rows, padded in ((n, 0), (n, 3), (1, 0), (2, 2)):
        picks = torch.rand(rows, e, generator=rng).topk(k, dim=1).indices
        real = torch.arange(rows) >= padded
        kept = reference.within_capacity(picks, real, e, C)
        told = f"waste of {rows} tokens, {padded} of them padding"
        crash = "none" if padded == rows else "crash"
        given = strided(kept), real, e, C
        got = CHECK.call(waste, *given, what=told, crash=crash)
        _shares(got, kept, real, e, C, told)
    return "Exercise 3: dropped slots and empty places."


def _shares(got: Any, kept: Tensor, real: Tensor, e: int, C: int, told: str) -> None:
    pair = isinstance(got, tuple | list) and len(got) == 2
    CHECK.true(pair, "order", told, "(dropped, empty)", type(got).__name__)
    numbers = all(type(part) in (int, float) for part in got)
    seen = [type(part).__name__ for part in got]
    CHECK.true(numbers, "floats", told, ["float", "float"], seen)
    slots, used = kept.shape[1] * int(real.sum()), int(kept.sum())
    dropped = 1 - used / slots if slots else 0.0
    empty = 1 - used / (e * C)
    mistakes = {
        "real_only": 1 - used / kept.numel(),
        "order": empty,
        "dropped": used / max(slots, 1),
    }
    mistakes = mistakes if slots else {}
    default = "dropped" if slots else "none"
    _near(got[0], dropped, default, f"dropped, {told}", mistakes)
    mistakes = {"order": dropped}
    _near(got[1], empty, "empty", f"empty, {told}", mistakes)


def _near(got: float, right: float, hint: str, told: str, mistakes: dict) -> None:
    named = {h: w for h, w in mistakes.items() if abs(w - right) > 1e-9}
    if abs(got - right) > 1e-9:
        fitting = (h for h, w in named.items() if abs(got - w) < 1e-9)
        CHECK.fail(next(fitting, hint), told, f"{right:.6g}", f"{got:.6g}")
    CHECK.true(got == got, hint, told, f"{right:.6g}", got)
