"""Lab 1, exercise 5: T5's span corruption, and its inverse.

Symbols: tokens a list of ints; spans a list of (start, length), in order and apart.
    Sentinel j marks hole j.
"""

import torch

from course_lib.course.labs.checking import Checker, random_sizes

HINTS = {
    "one_a_span": "A hole gets one sentinel, however long it is.",
    "order": "Sentinels are used in order: hole 0 gets sentinels[0], hole 1 "
    "sentinels[1].",
    "target_sentinel": "In the target every span stands behind "
    "the sentinel of its hole.",
    "last_sentinel": "The target ends with one more sentinel, the "
    "next one, as the end mark.",
    "named": "A token is a sentinel if it stands in `sentinels`. Its size says "
    "nothing: T5 counts down.",
    "hidden": "A hidden token leaves the inputs: behind a "
    "hole go on at start + length.",
    "same": "Do not change the lists that are given.",
    "edges": "A span (start, length) hides the tokens start to start + length - 1.",
    "rest": "What is not hidden stays in the inputs, in order; "
    "what follows the last hole too.",
    "restore": "Replace each sentinel of the inputs by what stands behind the same "
    "sentinel in the targets.",
    "output": "Return (inputs, targets), two lists.",
}
CHECK = Checker("Exercise 5", HINTS)
Pair = tuple[list[int], list[int]]


def check(corrupt, restore, seed: int = 0) -> str:
    """Check exercise 5: `corrupt(tokens, spans, sentinels) -> (inputs, targets)` and
    `restore(inputs, targets, sentinels) -> tokens`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while a part is
        missing.
    """
    rng, size = random_sizes(seed, n=(14, 20), first=(1, 3), gap=(2, 3))
    tokens = torch.randint(100, 200, (size["n"],), generator=rng).tolist()
    start = size["first"]
    second = start + 2 + size["gap"]
    sentinels = [900, 20, 901, 10]
    for spans in (
        [(start, 2), (second, 3)],
        [(0, 1), (size["n"] - 2, 2)],
        [(second, 1)],
        [],
    ):
        what = f"corrupt of {size['n']} tokens with spans {spans}"
        given = list(tokens), list(spans), list(sentinels)
        with CHECK.doing("edges", what):
            got = corrupt(*given)
        CHECK.true(
            given == (tokens, spans, sentinels),
            "same",
            what,
            "its lists unchanged",
            "one changed",
        )
        CHECK.true(
            isinstance(got, tuple) and len(got) == 2,
            "output",
            what,
            "(inputs, targets)",
            type(got).__name__,
        )
        right = _corrupted(tokens, spans, sentinels)
        slips = {
            hint: _corrupted(tokens, spans, sentinels, **slip)
            for hint, slip in SLIPS.items()
        }
        for place, (name, default) in enumerate(
            (("inputs", "rest"), ("targets", "target_sentinel"))
        ):
            mistakes = {
                h: pair[place]
                for h, pair in slips.items()
                if pair[place] != right[place]
            }
            for hint, slip in MORE_SLIPS:
                if (
                    list(got[place])
                    == _corrupted(tokens, spans, sentinels, **slip)[place]
                    != right[place]
                ):
                    mistakes[hint] = list(got[place])
            CHECK.equal(
                list(got[place]), right[place], default, f"{name}, {what}", mistakes
            )
        lists = *map(list, right), list(sentinels)
        with CHECK.doing("named", f"restore after {what}"):
            back = restore(*lists)
        CHECK.true(
            lists == (*right, sentinels),
            "same",
            f"restore after {what}",
            "its lists unchanged",
            lists,
        )
        CHECK.equal(list(back), tokens, "restore", f"restore after {what}")
    return "Exercise 5: the holes are numbered, and the text comes back."


def _corrupted(
    tokens: list[int],
    spans: list[tuple[int, int]],
    sentinels: list[int],
    *,
    each: bool = False,
    backwards: bool = False,
    named: bool = True,
    closed: bool = True,
    longer: int = 0,
    tail: bool = True,
    hidden: bool = True,
    name_all: bool = False,
    as_end: bool = False,
    last: bool = False,
) -> Pair:
    """The corruption, right by default; each option is a place for one slip."""
    inputs, targets, at = [], [], 0
    names = sentinels[: len(spans)][::-1] if backwards else sentinels
    for (start, length), sentinel in zip(spans, names, strict=False):
        sentinel = sentinels[0] if name_all else sentinel
        end = length if as_end else start + length + longer
        inputs += tokens[at:start] + [sentinel] * (length if each else 1)
        targets += [sentinel] * named + tokens[start:end]
        at = (start + length + longer) if hidden else start
    inputs += tokens[at:] if tail else []
    return inputs, targets + [sentinels[-1 if last else len(spans)]] * closed


SLIPS = {
    "one_a_span": {"each": True},
    "order": {"backwards": True},
    "target_sentinel": {"named": False},
    "last_sentinel": {"closed": False},
    "edges": {"longer": 1},
    "rest": {"tail": False},
    "hidden": {"hidden": False},
}
MORE_SLIPS = [  # further ways to the same hints
    ("order", {"name_all": True}),
    ("last_sentinel", {"last": True}),
    ("edges", {"as_end": True}),
]
