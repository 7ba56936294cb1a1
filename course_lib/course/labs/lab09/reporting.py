"""Lab 9, exercise 5: the numbers of a report, and a report of which each number is
recomputed.

Symbols: n seeds.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from statistics import mean
from typing import Any

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab09.asking import near
from course_lib.course.labs.lab09.pairing import paired
from course_lib.course.labs.lending import helped

HINTS = {
    "rows": "Return a dict from each name, in the order of first appearance and base "
    "among them, to its row: a dict with loss, params, flops, gap, low, high, verdict.",
    "best": "The loss of a design is the mean over its seeds, not its best seed.",
    "last": "The loss of a design is the mean over *all* of its runs.",
    "loss": "loss is the mean of the design's losses.",
    "sign": "gap is the design minus the base: below 0 is better.",
    "by_place": "Runs stand in any order: gather those of one name from wherever they "
    "stand, and pair them by seed.",
    "rounded": "Return numbers as they are: the report rounds them, later.",
    "gap": "gap, low and high are paired(losses of the design, losses of the base).",
    "own_gap": "The base's gap to itself is 0, and so are both ends.",
    "cost": "params and flops are those of the design's own runs.",
    "turned": "Losses: an interval wholly *below* 0 is better, wholly above it worse.",
    "too_sure": "An interval that holds 0 says neither: the verdict is 'cannot tell'.",
    "verdict": "verdict is 'better' if high < 0, 'worse' if low > 0, else 'cannot "
    "tell'.",
    "seeds": "A design whose seeds are not the base's is not compared: ValueError.",
    "tokens": "A design of which any run saw more tokens than the base, or fewer, is "
    "not compared: ValueError.",
    "no_base": "Without runs named 'base' there is no measure: ValueError.",
    "text": "Return one text.",
    "line": "Each design but the base has a line of its own that begins with its name "
    "and a colon.",
    "missing": "The line of a design says its loss, gap, low and high with three "
    "decimals, and its params and flops as they are.",
    "invented": "Every number of the report must come from the runs: this one does "
    "not.",
    "ends": "low stands before high: an interval is read from its lower end.",
    "verdict_line": "The line of a design says its verdict in the words of numbers().",
    "n": "Say how many seeds stand behind the numbers: 'N seeds' in the first line.",
}
CHECK = Checker("Exercise 5", HINTS)
ROW = ("loss", "params", "flops", "gap", "low", "high", "verdict")
NUMBER = re.compile(r"(?:(?<!\d)[-+\u2212])?\d[\d,_]*(?:\.\d+)?")


def numbers(runs: Sequence[dict], slip: str = "") -> dict[str, dict[str, Any]]:
    """The truth, or what a slip gives."""
    order = list(dict.fromkeys(one["name"] for one in runs))
    groups = {name: [one for one in runs if one["name"] == name] for name in order}
    if "base" not in groups:
        raise ValueError("no runs of the base")
    base, rows = groups["base"], {}
    for name, group in groups.items():
        if {one["tokens"] for one in group} != {one["tokens"] for one in base}:
            raise ValueError(f"{name} saw other numbers of tokens than the base")
        mine, theirs = ({one["seed"]: one["loss"] for one in x} for x in (group, base))
        if slip == "by_place":
            theirs = dict(zip(mine, theirs.values(), strict=True))
        gap, low, high = paired(mine, theirs)
        if slip == "sign":
            gap, low, high = -gap, -high, -low
        verdict = "better" if high < 0 else "worse" if low > 0 else "cannot tell"
        if slip == "turned":
            verdict = {"better": "worse", "worse": "better"}.get(verdict, verdict)
        if slip == "too_sure":
            verdict = "better" if gap < 0 else "worse"
        losses = [one["loss"] for one in group]
        loss = {"best": min(losses), "last": losses[-1]}.get(slip, mean(losses))
        costs = base[0] if slip == "cost" else group[0]
        values = loss, costs["params"], costs["flops"], gap, low, high, verdict
        rows[name] = dict(zip(ROW, values, strict=True))
    return rows


def random_runs(seed: int) -> list[dict]:
    """Runs of a base, one clear win, one clear loss and two that cannot be told."""
    _, size = random_sizes(seed, n=(5, 8), first=(1, 30))
    random, seeds = Random(seed), [size["first"] + 2 * i for i in range(size["n"])]
    shared = {one: random.gauss(0, 0.4) for one in seeds}
    runs = []
    for name, gap in (
        ("base", 0.0),
        ("whole", -0.6),
        ("without memory", 0.02),
        ("without gate", -0.03),
        ("with positions", 0.5),
    ):
        costs = random.randrange(10**4, 10**6), random.randrange(10**4, 10**6)
        for one in seeds:
            loss = 2 + shared[one] + gap + random.gauss(0, 0.1)
            runs.append(
                {
                    "name": name,
                    "seed": one,
                    "loss": loss,
                    "params": costs[0],
                    "flops": costs[1],
                    "tokens": 46080,
                }
            )
    head, rest = runs[:1], runs[1:]
    random.shuffle(rest)
    return rest + head


def check_numbers(
    numbers_of: Callable, seed: int = 0, runs: Sequence[dict] | None = None
) -> str:
    """Check `numbers(runs) -> rows`, with the lab's own `paired` beside it, or else
    with the student's; on random runs, and on `runs`, the student's own, too.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing. So do all checks of this module.
    """
    helped(lambda: _check_numbers(numbers_of, seed, runs), numbers_of, paired=paired)
    return "Exercise 5: the numbers, from the runs alone."


def _check_numbers(numbers_of: Callable, seed: int, own: Sequence[dict] | None) -> None:
    cases = [("random runs", random_runs(seed))]
    cases += [("your runs", list(own))] if own else []
    for kind, runs in cases:
        what = f"numbers of {kind}"
        got = CHECK.call(numbers_of, runs, what=what, crash="by_place")
        right = numbers(runs)
        formed = type(got) is dict and list(got) == list(right)
        formed = formed and all(
            type(row) is dict and set(row) == set(ROW) for row in got.values()
        )
        seen = list(got) if type(got) is dict else type(got).__name__
        CHECK.true(formed, "rows", what, list(right), seen)
        slips = ["best", "last", "sign", "by_place", "cost", "turned", "too_sure"]
        wrong = {slip: numbers(runs, slip) for slip in slips}
        fitting = [s for s, rows in wrong.items() if _same_rows(got, rows)]
        wrong = {slip: wrong[slip] for slip in fitting or wrong}
        for name, row in right.items():
            _same_row(
                got[name], row, {s: r[name] for s, r in wrong.items()}, name, what
            )
    runs = random_runs(seed)
    less = [one for i, one in enumerate(runs) if one["name"] != "whole" or i % 2]
    moved = [one | {"seed": one["seed"] + 1} if one["name"] == "whole" else one
             for one in runs]  # fmt: skip
    long = [one | {"tokens": 99} if one["name"] == "whole" else one for one in runs]
    places = [i for i, one in enumerate(runs) if one["name"] == "whole"]
    swap = {places[0]: 9, places[-1]: -9}
    mixed = [one | {"tokens": one["tokens"] + swap.get(i, 0)}
             for i, one in enumerate(runs)]  # fmt: skip
    once = [one | {"tokens": 99} if i == places[1] else one
            for i, one in enumerate(runs)]  # fmt: skip
    orphan = [one for one in runs if one["name"] != "base"]
    for kind, given, hint in (
        ("a design that lacks seeds", less, "seeds"),
        ("a design with other seeds", moved, "seeds"),
        ("a design that saw more tokens", long, "tokens"),
        ("a design of which two runs saw more and fewer tokens", mixed, "tokens"),
        ("a design of which one run saw fewer tokens", once, "tokens"),
        ("no base", orphan, "no_base"),
    ):
        call = partial(numbers_of, [dict(one) for one in given])
        CHECK.refuses(call, hint, f"numbers of runs with {kind}")


def _same(a: Any, b: Any) -> bool:
    return a == b if isinstance(b, str) else near(a, b)


def _same_rows(got: dict, rows: dict) -> bool:
    return all(_same(got[name][key], rows[name][key]) for name in rows for key in ROW)


def _same_row(got: dict, right: dict, wrong: dict, name: str, what: str) -> None:
    for key, value in right.items():
        told = f"{key} of {name!r} in the {what}"
        counted = key in ("params", "flops")
        whole = not counted or type(got[key]) is int
        CHECK.true(whole, "whole_number", told, value, got[key])
        if _same(got[key], value):
            continue
        real = type(value) is float and type(got[key]) is float
        if real and got[key] in [round(value, places) for places in range(1, 7)]:
            CHECK.fail("rounded", told, value, got[key])
        default = {"params": "cost", "flops": "cost", "low": "gap", "high": "gap"}
        hint = default.get(key, key)
        hint = "own_gap" if name == "base" and hint == "gap" else hint
        found = (
            s
            for s, row in wrong.items()
            if _same(got[key], row[key]) and not _same(value, row[key])
        )
        CHECK.fail(next(found, hint), told, value, got[key])


def check_report(
    report_of: Callable, seed: int = 0, runs: Sequence[dict] | None = None
) -> str:
    """Check `report(runs) -> text`, with the lab's own `numbers` beside it, or else
    with the student's: every number of the text is recomputed.
    """
    own = {"numbers": numbers, "paired": paired}
    helped(lambda: _check_report(report_of, seed, runs), report_of, **own)
    return "Exercise 5: a report of which every number was recomputed."


def _check_report(report_of: Callable, seed: int, own: Sequence[dict] | None) -> None:
    cases = [("random runs", random_runs(seed)), ("others", random_runs(seed + 1))]
    cases += [("your runs", list(own))] if own else []
    for kind, runs in cases:
        what = f"report of {kind}"
        text = CHECK.call(report_of, runs, what=what)
        CHECK.true(type(text) is str, "text", what, "a text", type(text).__name__)
        right = numbers(runs)
        seeds = len({one["seed"] for one in runs})
        top = text.strip().splitlines()[0] if text.strip() else ""
        found = re.search(rf"(?<!\d){seeds} seeds", top) is not None
        CHECK.true(found, "n", f"first line of the {what}", f"{seeds} seeds", top)
        starts = [line.strip().partition(":")[0] for line in text.splitlines()]
        for name in right:
            if name != "base":
                told = f"lines that begin with {name!r} and a colon, {what}"
                CHECK.true(starts.count(name) == 1, "line", told, 1, starts.count(name))
        shared = [seeds, 95, runs[0]["tokens"]]
        base = [x for x in right["base"].values() if not isinstance(x, str)]
        for line in text.splitlines():
            name = next((n for n in right if line.strip().startswith(f"{n}:")), None)
            row = right[name] if name else {}
            values = [x for x in row.values() if not isinstance(x, str)]
            more = [row[key] - right["base"][key] for key in ("params", "flops") if row]
            more += [-one for one in more]  # how much more, or less, than the base
            _known(line, name, [*shared, *values, *base, *more], what)
        for name, row in right.items():
            if name != "base":
                _complete(text, name, row, what)


def read_numbers(text: str) -> list[tuple[float, int]]:
    """Every number of a text with how many decimals it shows.

    >>> read_numbers("gap -0.051 [-0.1, 0.02], 1,680 parameters")
    [(-0.051, 3), (-0.1, 1), (0.02, 2), (1680.0, 0)]
    """
    found = []
    for one in NUMBER.findall(text):
        plain = one.replace(",", "").replace("_", "").replace("\u2212", "-")
        found.append((float(plain), len(plain.partition(".")[2])))
    return found


def _shows(said: tuple[float, int], value: float) -> bool:
    """Whether a number in a text is this value, rounded as it is shown."""
    return abs(said[0] - value) <= 0.5000001 * 10 ** -said[1]


def _known(line: str, name: str | None, values: list[float], what: str) -> None:
    rest = line.strip()[len(name) + 1 :] if name else line
    for said in read_numbers(rest):
        known = any(_shows(said, value) for value in values)
        where = f"the line of {name!r}" if name else "a line of no design"
        told = f"a number in {where} of the {what}"
        CHECK.true(known, "invented", told, "one of the runs' numbers", said[0])


def _complete(text: str, name: str, row: dict, what: str) -> None:
    lines = [x.strip() for x in text.splitlines() if x.strip().startswith(f"{name}:")]
    said = read_numbers(lines[0][len(name) + 1 :])
    for key, value in row.items():
        if key == "verdict":
            continue
        decimals = 0 if key in ("params", "flops") else 3
        shown = any(_shows(one, value) and one[1] >= decimals for one in said)
        told = f"{key} in the line of {name!r}, {what}"
        form = f"{value:.{decimals}f}"
        CHECK.true(shown, "missing", told, form, lines[0])
    low, high = ([i for i, one in enumerate(said) if _shows(one, row[key])]
                 for key in ("low", "high"))  # fmt: skip
    told = f"low and high in the line of {name!r}, {what}"
    CHECK.true(low[0] <= high[-1], "ends", told, "low first", lines[0])
    others = {"better", "worse", "cannot tell"} - {row["verdict"]}
    right = row["verdict"] in lines[0] and not any(x in lines[0] for x in others)
    told = f"verdict of {name!r} in the {what}"
    CHECK.true(right, "verdict_line", told, row["verdict"], lines[0])
