"""Lab 9, exercise 2: a fair comparison: equal sizes, and what two runs must share.

Symbols: f FFN width.
"""

from collections.abc import Callable
from dataclasses import replace

import torch

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab09.pricing import Sizes, price, random_stack
from course_lib.course.labs.lending import helped

HINTS = {
    "width": "Return an int: a multiple of `multiple`, at least one of it.",
    "nearest": "Of all multiples take the one whose price lies nearest to the target, "
    "be it below or above.",
    "floored": "The nearest multiple may be the one above.",
    "ceiled": "The nearest multiple may be the one below.",
    "unmatched": "As it stands the stack does not have the target's price: that is the "
    "mismatch to be mended.",
    "other_price": "Match the price that `what` names: FLOPs do not follow parameters.",
    "one_ffn": "Every layer has a feed-forward network: a step of f changes all.",
    "scaled": "Only the feed-forward networks grow with f, not the whole stack: the "
    "price is a + b f. Take it at two widths.",
    "one_short": "The price that you start from is that at one `multiple`, not at 0: "
    "the steps above it come on top of that one.",
    "slope": "A weight costs two FLOPs and is one parameter: take the slope from two "
    "prices of the kind that `what` names.",
    "smallest": "If even the smallest width is too dear, return that one: one "
    "`multiple`.",
    "names": "Return a list of names, in the order params, flops, tokens, data, seeds.",
    "one_price": "Parameters *and* FLOPs: stacks of equal parameters may differ in "
    "FLOPs by a factor.",
    "within": "Sizes differ if the larger is more than (1 + within) times the smaller.",
    "exactly": "A difference of up to `within` of the smaller one is no mismatch.",
    "either_way": "It is a mismatch whichever of the two is larger.",
    "tokens": "A model that saw more tokens is ahead for that reason: here any "
    "difference counts.",
    "data": "Other data is another experiment.",
    "seeds": "Both need the same seeds: losses are paired by seed. The order of the "
    "seeds does not matter.",
    "few": "Below five seeds no interval is worth printing: name seeds, too.",
    "smaller": "`within` is a share of the smaller of the two, whichever run it is.",
    "equal": "Equal values may be two objects: compare with ==, not with `is`.",
    "losses": "Losses are what is compared, and may differ; their seeds must not.",
    "counted": "As many seeds are not the same seeds.",
}
CHECK = Checker("Exercise 2", HINTS)
SLIPS = ("floored", "ceiled", "other_price", "one_ffn", "scaled", "unmatched",
         "one_short", "slope")  # fmt: skip


def matched_ffn(
    pattern: str,
    sizes: Sizes,
    context: int,
    what: str,
    target: float,
    multiple: int = 8,
    slip: str = "",
) -> int:
    """The truth, or what a slip gives."""
    named = what
    if slip == "other_price":
        named = "flops" if what == "params" else "params"
    if slip == "unmatched":
        return sizes.ffn
    low, high = (
        price(pattern, replace(sizes, ffn=f), context)[named]
        for f in (multiple, 2 * multiple)
    )
    steps = (target - low) / (high - low)
    if slip == "slope":
        steps *= 2 if what == "flops" else 0.5
    if slip == "one_short":
        steps -= 1
    if slip == "one_ffn":
        steps *= len(pattern)
    if slip == "scaled":
        here = price(pattern, sizes, context)[named]
        steps = sizes.ffn * target / here / multiple - 1
    if slip in ("floored", "ceiled"):
        return multiple * max(1, int(steps // 1) + 1 + (slip == "ceiled"))
    return multiple * max(1, round(1 + steps))


def check_matched_ffn(matched_of: Callable, seed: int = 0) -> str:
    """Check `matched_ffn(pattern, sizes, context, what, target, multiple) -> f`, with
    the lab's own `price` beside it, or else with the student's.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing. So do all checks of this module.
    """
    helped(lambda: _check_matched(matched_of, seed), matched_of, price=price)
    return "Exercise 2: two stacks of one size."


def _check_matched(matched_of: Callable, seed: int) -> None:
    _, sizes, context = random_stack(seed)
    base, step = "aaaa", len("ddda") * 3 * sizes.width * 8
    large = replace(sizes, ffn=30 * sizes.ffn)
    for pattern, what in (("ddda", "params"), ("ddda", "flops"), ("cwcw", "params")):
        here = price(base, large, 64 * context)[what]
        unit = step if what == "params" else 2 * step
        grid = price(pattern, replace(sizes, ffn=8), 64 * context)[what]
        whole = (here - grid) // unit * unit + grid  # a multiple's own price
        for kind, target in (
            ("a price that a width has", whole),
            ("a little above one", whole + 0.3 * unit),
            ("a little below one", whole - 0.3 * unit),
            ("far below all of them", 10.0),
        ):
            told = f"width of {pattern!r} for {what} of {kind}"
            given = pattern, sizes, 64 * context, what, target, 8
            got = CHECK.call(matched_of, *given, what=told)
            right = matched_ffn(*given)
            default = "smallest" if target == 10.0 else "nearest"
            formed = type(got) is int and got % 8 == 0 and got > 0
            wrong = {slip: matched_ffn(*given, slip) for slip in SLIPS}
            wrong = {slip: one for slip, one in wrong.items() if one != right}
            hint = "unmatched" if got == sizes.ffn else "width"
            hint = "smallest" if target == 10.0 and type(got) is int else hint
            CHECK.true(formed, hint, told, right, got)
            CHECK.equal(got, right, default, told, wrong)
    given = "ddda", sizes, context, "params", price("ddda", large, context)["params"]
    got = CHECK.call(matched_of, *given, 24, what="width in multiples of 24")
    CHECK.equal(got, matched_ffn(*given, 24), "width", "width in multiples of 24")


def mismatches(first: dict, second: dict, within: float = 0.02) -> list[str]:
    """The truth."""
    found = [
        name
        for name in ("params", "flops")
        if max(first[name], second[name])
        > (1 + within) * min(first[name], second[name])
    ]
    found += [name for name in ("tokens", "data") if first[name] != second[name]]
    one, other = set(first["losses"]), set(second["losses"])
    return found + (["seeds"] if one != other or len(one) < 5 else [])


def random_run(seed: int, seeds: int = 6) -> dict:
    """A run with so many seeds."""
    rng, n = random_sizes(seed, p=(2000, 9000), f=(30, 90), t=(4, 9))
    losses = (1.5 + 0.1 * torch.rand(seeds, generator=rng).double()).tolist()
    return {
        "params": 100 * n["p"],
        "flops": 10_000 * n["f"],
        "tokens": 2**14 * n["t"],
        "data": "source code",
        "losses": {7 * i + 3: loss for i, loss in enumerate(losses)},
    }


def check_mismatches(mismatches_of: Callable, seed: int = 0) -> str:
    """Check `mismatches(first, second, within) -> list of names`."""
    base = random_run(seed)
    few = dict(list(base["losses"].items())[:4])
    reverse = dict(list(base["losses"].items())[::-1])
    moved = {seed + 1: loss for seed, loss in base["losses"].items()}
    for kind, changed, default in (
        ("the same", {}, "names"),
        ("1.9 % more parameters", {"params": base["params"] * 1019 // 1000}, "exactly"),
        ("2.1 % more parameters", {"params": base["params"] * 1021 // 1000}, "within"),
        ("three times the FLOPs", {"flops": 3 * base["flops"]}, "one_price"),
        ("a third of the FLOPs", {"flops": base["flops"] // 3}, "either_way"),
        ("twice the tokens", {"tokens": 2 * base["tokens"]}, "tokens"),
        ("other data", {"data": "pictures"}, "data"),
        ("other seeds", {"losses": moved}, "counted"),
        ("its seeds in another order", {"losses": reverse}, "seeds"),
        ("fewer seeds", {"losses": few}, "seeds"),
        ("a seed more", {"losses": base["losses"] | {1: 1.5}}, "seeds"),
        ("other losses", {"losses": dict.fromkeys(base["losses"], 1.5)}, "losses"),
        ("1 % more tokens", {"tokens": base["tokens"] * 101 // 100}, "tokens"),
        (
            "the same, read from a file",
            {"tokens": int(str(base["tokens"])), "data": "".join(["source", " code"])},
            "equal",
        ),
        (
            "everything else",
            {"params": 1, "flops": 1, "tokens": 1, "data": "", "losses": {}},
            "names",
        ),
    ):
        other = base | changed
        what = f"mismatches of a run and one with {kind}"
        for first, second in ((base, other), (other, base)):
            got = CHECK.call(mismatches_of, first, second, 0.02, what=what)
            CHECK.true(type(got) is list, "names", what, "a list", type(got).__name__)
            right = mismatches(first, second)
            size = default in ("within", "one_price")
            hint = "either_way" if first is other and size else default
            CHECK.equal(got, right, hint, what)
    both = base | {"losses": few}
    what = "mismatches of two runs with the same four seeds"
    got = CHECK.call(mismatches_of, both, both, 0.02, what=what)
    CHECK.equal(got, ["seeds"], "few", what)
    for times, hint in ((7 / 5, "within"), (3 / 2, "exactly")):
        what = f"mismatches of a run and one {times} times as large, within 50 %"
        far = base | {"params": round(base["params"] * times)}
        got = CHECK.call(mismatches_of, base, far, 0.5, what=what)
        CHECK.equal(got, [], hint, what)
    far = base | {"params": round(base["params"] * 9 / 5)}
    for first, second in ((base, far), (far, base)):
        what = "mismatches of two runs, one 1.8 times as large, within 50 %"
        got = CHECK.call(mismatches_of, first, second, 0.5, what=what)
        CHECK.equal(got, ["params"], "smaller", what)
    five = base | {"losses": dict(list(base["losses"].items())[:5])}
    what = "mismatches of two runs with the same five seeds"
    CHECK.equal(CHECK.call(mismatches_of, five, five, 0.02, what=what), [], "few", what)
    return "Exercise 2: what two runs must share before they are compared."
