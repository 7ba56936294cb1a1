"""Lab 4, exercise 6: skip slots, keep fewer experts, and choose with quality held.

Symbols: n tokens, k picks, e experts. `threshold` is a share of a token's largest
    weight, `share` one of all slots.
"""

from collections.abc import Callable
from typing import Any

import torch

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab04 import reference
from course_lib.course.labs.lending import strided

HINTS = {
    "absolute": "The threshold is a share of the token's own largest weight.",
    "edge": "A weight that equals the limit stays: only those below it go.",
    "sum": "What stays takes over what went: the weights of a token sum to what they "
    "summed to before.",
    "one": "The sum need not be 1 (DeepSeek-V3 scales its weights): keep the sum that "
    "was there.",
    "shape": "Return weights [n k]: 0 for a slot that is skipped.",
    "least": "Keep the experts that serve most.",
    "number": "`share` is a share of the slots that are served, not of the experts.",
    "enough": "Take experts until those kept serve at least `share` of all slots, and "
    "no more.",
    "order": "Return the experts' numbers in ascending order.",
    "numbers": "Return an int64 tensor of experts' numbers.",
    "limit": "Quality is held if loss <= base + margin, margin itself included.",
    "compute": "Of those that hold the quality take the one with the fewest slots a "
    "token.",
    "memory": "At equal compute take the one with fewer experts, at equal memory the "
    "one with the smaller loss.",
    "none": "If no option holds the quality, raise ValueError: do not ship the least "
    "bad one.",
    "empty": "Without options there is nothing to choose: ValueError.",
}
CHECK = Checker("Exercise 6", HINTS)


def check_skip(skip: Callable, seed: int = 0) -> str:
    """Check `skip(weights, threshold) -> [n k]`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing. So do all checks of this module.
    """
    rng, size = random_sizes(seed, n=(6, 9), k=(3, 5))
    for n, k, threshold, scale in (
        (size["n"], size["k"], 0.5, 1.0),
        (size["n"], size["k"], 0.5, 2.5),
        (size["n"], 1, 0.75, 0.4),
        (1, 2, 0.25, 1.0),
        (size["n"], size["k"], 0.0, 1.0),
        (size["n"], size["k"], 1.0, 2.5),
    ):
        weights = torch.rand(n, k, generator=rng).double() + 0.05
        weights[:, 0] += 0.6
        if n > 1 and k > 2:
            weights[0, :3] = torch.tensor([0.5, 1.0, 0.25]).double()  # one at the limit
            weights[0, 3:] = 0.0625
        weights = scale * weights / (weights.sum(1, keepdim=True) if n == 1 else 1.0)
        told = f"skip of {n} tokens, k = {k}, threshold {threshold}"
        got = CHECK.call(skip, strided(weights), threshold, what=told)
        right = reference.skip(weights, threshold)
        slips = ("absolute", "edge", "sum", "one")
        wrong = {slip: reference.skip(weights, threshold, slip) for slip in slips}
        named = {s: w for s, w in wrong.items() if not torch.allclose(w, right)}
        CHECK.close(got, right, "compare", told, named, "shape")
    return "Exercise 6: small weights are skipped, the sum stays."


def check_keep_experts(keep_experts: Callable, seed: int = 0) -> str:
    """Check `keep_experts(counts, share) -> int64 [kept]`."""
    rng, size = random_sizes(seed, e=(6, 10))
    random = torch.randint(1, 50, (size["e"],), generator=rng)
    for counts, share in (
        (torch.tensor([4, 1, 8, 0, 2, 1]), 0.75),  # 12 of 16: exactly enough
        (torch.tensor([1, 1, 1, 0, 1]), 0.5),  # ties
        (random, 0.875),
        (random, 0.25),
        (torch.tensor([5, 0, 3, 0]), 1.0),
        (torch.tensor([7]), 0.5),
        (torch.ones(40, dtype=torch.int64), 0.5),  # ties that a plain sort mixes up
    ):
        told = f"keep_experts of {counts.tolist()}, share {share}"
        got = CHECK.call(keep_experts, strided(counts), share, what=told)
        right = reference.keep_experts(counts, share)
        slips = ("least", "number", "order", "edge", "one_less")
        wrong = {
            {"edge": "enough", "one_less": "enough "}.get(slip, slip): (
                reference.keep_experts(counts, share, slip)
            )
            for slip in slips
        }
        same = isinstance(got, torch.Tensor) and (
            got.dtype == torch.int64 and got.shape == wrong["enough "].shape
        )
        if same and torch.equal(got, wrong["enough "]):
            wrong["enough"] = wrong["enough "]
        named = {
            s: w for s, w in wrong.items() if s[-1] != " " and not _equal(w, right)
        }
        formed = isinstance(got, torch.Tensor) and got.dtype == torch.int64
        seen = getattr(got, "dtype", type(got).__name__)
        CHECK.true(formed, "numbers", told, "int64", seen)
        CHECK.equal(
            got.tolist(),
            right.tolist(),
            "enough",
            told,
            {s: w.tolist() for s, w in named.items()},
        )
    return "Exercise 6: the fewest experts that serve the share."


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b)


def check_choose(choose: Callable, seed: int = 0) -> str:
    """Check `choose(options, base, margin)`, options as dicts with loss, slots and
    experts.
    """
    _, size = random_sizes(seed, shift=(1, 64))
    base = size["shift"] / 8
    rows = (
        (base, 2.0, 8),
        (base + 0.125, 1.5, 6),
        (base + 0.125, 1.5, 5),
        (base + 0.0625, 1.5, 5),
        (base + 0.25, 1.25, 7),
        (base + 0.5, 1.0, 2),
        (base - 0.25, 1.75, 4),
        (base - 0.125, 1.625, 6),
    )
    options = [
        {"name": f"option {i}", "loss": loss, "slots": slots, "experts": experts}
        for i, (loss, slots, experts) in enumerate(rows)
    ]
    for order in (options, options[::-1], options[3:] + options[:3]):
        for margin, right in ((0.125, 3), (0.25, 4), (0.0, 7), (1.0, 5), (0.1875, 3)):
            told = f"choose with a margin of {margin}"
            got = CHECK.call(choose, order, base, margin, what=told)
            _chosen(got, options, right, (base, margin), told)
    told = "choose with a margin of -0.5"
    CHECK.refuses(lambda: choose(list(options), base, -0.5), "none", told)
    CHECK.refuses(lambda: choose([], base, 0.5), "empty", "choose without options")
    return "Exercise 6: the cheapest that holds the quality, or none."


def _chosen(
    got: Any, options: list[dict], right: int, limits: tuple, told: str
) -> None:
    if got == options[right] and type(got) is dict:
        return
    known = type(got) is dict and got in options
    hint = "compare"
    if known:
        best = options[right]
        hint = "memory" if got["slots"] == best["slots"] else "compute"
        base, margin = limits
        if got["loss"] > base + margin or got == options[7]:  # best without a margin
            hint = "limit"
        if best["loss"] == base + margin and got["slots"] > best["slots"]:
            hint = "limit"
    shown = got["name"] if known else type(got).__name__
    CHECK.fail(hint, told, options[right]["name"], shown)
