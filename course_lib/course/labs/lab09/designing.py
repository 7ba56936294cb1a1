"""Lab 9, exercise 1: which limits a price breaks, and the most attention that fits.

Symbols: A of L layers attend.
"""

from collections.abc import Callable
from typing import Any

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab09.pricing import Sizes, price, random_stack
from course_lib.course.labs.lending import helped

HINTS = {
    "names": "Return a list of the names of all limits that are broken, in the order "
    "of the budget.",
    "equal": "A price that just reaches its limit keeps it.",
    "no_limit": "None is no limit: pass it over and go on. A name that the budget does "
    "not hold is none either.",
    "zero": "0 is a limit, the tightest of all; only None is none: `is not None`.",
    "first_only": "All broken limits are named, not just the first.",
    "inverted": "Named are the limits that are broken, not those that are kept.",
    "most": "As many layers as possible attend, within *all* limits.",
    "climbed": "Prices need not rise with each layer that attends: here attention has "
    "fewer parameters than a state. Try every count, from all layers down.",
    "spread": "Of L layers, A attend: layer i (from 0) does if (i + 1) A // L is "
    "above i A // L.",
    "shifted": "With A = 1 of 4 the *last* layer attends: compare (i + 1) A // L with "
    "i A // L.",
    "letters": "Return a text of as many letters as layers, each a or d.",
    "none_fits": "If not even one of these stacks fits, raise ValueError.",
    "no_attention": "A stack without any attention may be the only one that fits.",
}
CHECK = Checker("Exercise 1", HINTS)


def exceeded(price: dict[str, int], budget: dict[str, int | None]) -> list[str]:
    """The truth."""
    return [
        name
        for name, limit in budget.items()
        if limit is not None and price[name] > limit
    ]


def check_exceeded(exceeded_of: Callable, seed: int = 0) -> str:
    """Check `exceeded(price, budget) -> list of names`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing. So do all checks of this module.
    """
    _, n = random_sizes(seed, p=(100, 900), f=(100, 900), c=(100, 900))
    has = {"params": n["p"], "flops": n["f"], "cache_bytes": n["c"]}
    for kind, budget, default in (
        ("a price far below", {name: 2 * v for name, v in has.items()}, "inverted"),
        ("a price far above", {name: v // 2 for name, v in has.items()}, "first_only"),
        ("a price on its limits", dict(has), "equal"),
        ("one byte too many", has | {"cache_bytes": n["c"] - 1}, "equal"),
        ("no limit on FLOPs", {"params": n["p"] - 1, "flops": None}, "no_limit"),
        ("another order", {"flops": 1, "params": 1}, "names"),
        ("no limits", {}, "no_limit"),
        ("a limit of 0", {"params": n["p"], "flops": 0}, "zero"),
        ("no limit and then a tight one", {"params": None, "flops": 1}, "no_limit"),
    ):
        what = f"limits broken by {kind}"
        crash = "no_limit" if default == "no_limit" else "names"
        with CHECK.doing(crash, what):
            try:
                got = CHECK.call(exceeded_of, has, budget, what=what, crash=crash)
            except TypeError as error:
                CHECK.fail("no_limit", what, "a list", f"TypeError: {error}")
        right = exceeded(has, budget)
        kept = [name for name in budget if name not in right]
        wrong: dict[str, Any] = {"inverted": kept, "first_only": right[:1]}
        wrong = {} if default == "equal" else wrong
        CHECK.true(type(got) is list, "names", what, right, got)
        wrong = {hint: one for hint, one in wrong.items() if one != right}
        default = "names" if sorted(got) == sorted(right) else default
        CHECK.equal(got, right, default, what, wrong)
    return "Exercise 1: limits that are broken, by name."


def spread(layers: int, attending: int, slip: str = "") -> str:
    """A pattern in which so many of the layers attend, at equal distances."""
    if slip == "spread":
        return "d" * (layers - attending) + "a" * attending
    if slip == "shifted":
        return (
            "".join(
                "a" if i % -(-layers // attending) == 0 and attending else "d"
                for i in range(layers)
            )
            if attending
            else "d" * layers
        )
    return "".join(
        "a" if (i + 1) * attending // layers > i * attending // layers else "d"
        for i in range(layers)
    )


def design(
    sizes: Sizes, layers: int, context: int, budget: dict, slip: str = ""
) -> str:
    """The truth, or what a slip gives."""
    shape = slip if slip in ("spread", "shifted") else ""
    patterns = [spread(layers, count, shape) for count in range(layers + 1)]
    fitting = [p for p in patterns if not exceeded(price(p, sizes, context), budget)]
    if slip == "climbed":
        found = []
        for pattern in patterns:
            if pattern not in fitting:
                break
            found.append(pattern)
        return found[-1] if found else ""
    if not fitting and slip:
        return ""
    if not fitting:
        raise ValueError("no stack fits")
    return fitting[0] if slip == "most" else fitting[-1]


def check_design(design_of: Callable, seed: int = 0) -> str:
    """Check `design(sizes, layers, context, budget) -> pattern`, with the lab's own
    `price` and `exceeded` beside it, or else with the student's.
    """
    own = {"price": price, "exceeded": exceeded}
    helped(lambda: _check_design(design_of, seed), design_of, **own)
    return "Exercise 1: as much attention as the budget holds."


def _check_design(design_of: Callable, seed: int) -> None:
    _, sizes, _ = random_stack(seed)
    layers, context = 8, 4096
    costs = {n: price(spread(layers, n), sizes, context) for n in range(layers + 1)}
    # One attention layer saves parameters and adds FLOPs and bytes.
    for kind, budget, default in (
        ("no limit", {}, "most"),
        ("bytes for three", {"cache_bytes": costs[3]["cache_bytes"]}, "spread"),
        ("FLOPs for five", {"flops": costs[6]["flops"] - 1}, "most"),
        (
            "parameters of five, bytes for six",
            {"params": costs[5]["params"], "cache_bytes": costs[6]["cache_bytes"]},
            "climbed",
        ),
        ("bytes for none", {"cache_bytes": costs[0]["cache_bytes"]}, "no_attention"),
        ("bytes for one", {"cache_bytes": costs[1]["cache_bytes"]}, "shifted"),
    ):
        what = f"design of {layers} layers, {kind}"
        crash = default if default in ("no_attention", "climbed") else "crash"
        given = sizes, layers, context, budget
        got = CHECK.call(design_of, *given, what=what, crash=crash)
        right = design(*given)
        formed = type(got) is str and len(got) == layers and set(got) <= {"a", "d"}
        CHECK.true(formed, "letters", what, repr(right), repr(got))
        wrong = {s: design(*given, s) for s in ("climbed", "most", "spread", "shifted")}
        wrong = {hint: one for hint, one in wrong.items() if one != right}
        counts = got.count("a"), right.count("a")
        if counts[0] != counts[1] and default in ("spread", "shifted"):
            default = "most"
        CHECK.equal(got, right, default, what, wrong)
    tight = {"cache_bytes": costs[0]["cache_bytes"] - 1}
    call = lambda: design_of(sizes, layers, context, tight)  # noqa: E731
    CHECK.refuses(call, "none_fits", "design within fewer bytes than the states take")
