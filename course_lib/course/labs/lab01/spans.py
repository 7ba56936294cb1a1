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
    "edges": "A span (start, length) hides the tokens start to start + length - 1.",
    "rest": "What is not hidden stays in the inputs, in order; "
    "what follows the last hole too.",
    "restore": "Replace each sentinel of the inputs by what stands behind the same "
    "sentinel in the targets.",
    "output": "Return (inputs, targets), two lists.",
}
CHECK = Checker("Exercise 5", HINTS)
Pair = tuple[list[int], list[int]]


def check_corrupt(corrupt, seed: int = 0) -> str:
    """Check `corrupt(tokens, spans, sentinels) -> (inputs, targets)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    for tokens, spans, sentinels in _texts(seed):
        what = f"corrupt of {len(tokens)} tokens with spans {spans}"
        got = CHECK.call(corrupt, tokens, spans, sentinels, what=what, fresh=True)
        pair = isinstance(got, tuple) and len(got) == 2
        CHECK.true(pair, "output", what, "(inputs, targets)", type(got).__name__)
        right = _corrupted(tokens, spans, sentinels)
        for place, name in enumerate(("inputs", "targets")):
            kind = isinstance(got[place], list)
            told = f"{name}, {what}"
            CHECK.true(kind, "output", told, "a list", type(got[place]).__name__)
            mistakes = {}
            for hint, slip in [*SLIPS.items(), *MORE_SLIPS]:
                wrong = _corrupted(tokens, spans, sentinels, **slip)[place]
                if got[place] == wrong != right[place]:
                    mistakes.setdefault(hint, wrong)
            CHECK.equal(got[place], right[place], "compare", told, mistakes)
    return "Exercise 5: the holes are numbered."


def check_restore(restore, seed: int = 0) -> str:
    """Check `restore(inputs, targets, sentinels) -> tokens`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    for tokens, spans, sentinels in _texts(seed):
        what = f"restore of {len(tokens)} tokens with spans {spans}"
        lists = _corrupted(tokens, spans, sentinels)
        given = *lists, sentinels
        got = CHECK.call(restore, *given, what=what, crash="named", fresh=True)
        CHECK.true(isinstance(got, list), "restore", what, "a list", type(got).__name__)
        left, used = set(got) & set(sentinels), set(lists[0]) & set(sentinels)
        small = left and used - left and max(left) < min(used - left)
        CHECK.equal(got, tokens, "named" if small else "restore", what)
    return "Exercise 5: the text comes back."


def _texts(seed: int) -> list[tuple[list[int], list, list[int]]]:
    """Tokens, spans and sentinels: holes at both ends, one, none, everything; tokens
    that occur twice, sentinels that rise, fall and lie among the tokens.
    """
    rng, size = random_sizes(seed, n=(14, 20), first=(1, 3), gap=(2, 3))
    n, start = size["n"], size["first"]
    second = start + 2 + size["gap"]
    tokens = torch.randint(100, 120, (n,), generator=rng).tolist()
    holes = [(start, 2), (second, 3)]
    return [
        (tokens, holes, [900, 20, 901, 10]),
        (tokens, [(0, 1), (n - 2, 2)], [900, 20, 901, 10]),
        (tokens, [(0, 2), (3, 1), (n - 4, 3)], [99, 98, 97, 96, 95]),
        (tokens, holes, [5, 300, 7]),
        (tokens, [(second, 1)], [200, 201, 202]),
        (tokens, [(0, n)], [1, 2]),
        (tokens, [], [1, 2]),
        ([], [], [3]),
    ]


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
