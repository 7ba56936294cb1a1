"""Lab 1, exercise 6: what a chat costs when its prefix is bidirectional.

Symbols: turns a list of (user tokens, assistant tokens). A token pass is one token
    through all layers.
"""

from functools import partial

import torch

from course_lib.course.labs.checking import Checker, random_sizes

HINTS = {
    "causal": "Under a causal mask every token is computed once: "
    "what was read never changes.",
    "history": "A new user message joins the prefix, and every old token may read it: "
    "all of them change.",
    "first": "The first turn has no history: its prompt and "
    "its answer, each token once.",
    "again": "History is computed when a user message arrives: what is new in this "
    "turn is not in it.",
    "own_answer": "The assistant's answer of this turn is "
    "generated token by token, once each.",
    "old_answers": "Earlier answers are part of the prefix now: "
    "they are computed again too.",
    "kind": "Allowed kinds are 'causal' and 'prefix', letter for letter; anything else "
    "is a ValueError, with turns or without.",
}
CHECK = Checker("Exercise 6", HINTS)
Turns = list[tuple[int, int]]


def check(token_passes, seed: int = 0) -> str:
    """Check exercise 6: `token_passes(kind, turns) -> int`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = random_sizes(seed, turns=(3, 5))
    drawn = torch.randint(5, 90, (size["turns"], 2), generator=rng).tolist()
    for turns in (
        [(10, 5)],
        [(10, 5), (20, 7)],
        [(user, assistant) for user, assistant in drawn],
        [(3, 0), (0, 4), (5, 6)],
        [],
    ):
        for kind in ("causal", "prefix"):
            what = f"token_passes({kind!r}, {turns})"
            got = CHECK.call(token_passes, kind, turns, what=what)
            right = _passes(kind, turns)
            mistakes = {
                hint: make(turns)
                for hint, make in SLIPS[kind].items()
                if make(turns) != right
            }
            default = "first" if len(turns) == 1 else "compare"
            CHECK.equal(got, right, default, what, mistakes)
    for turns in ([(1, 1)], []):
        for kind in (
            "encoder",
            "Prefix",
            "CAUSAL",
            "causal ",
            "pre",
            "",
            "causal prefix",
        ):
            what = f"token_passes({kind!r}, {turns}), an unknown kind"
            CHECK.refuses(partial(token_passes, kind, list(turns)), "kind", what)
    return "Exercise 6: an open prefix is read again at every turn."


def _passes(kind: str, turns: Turns) -> int:
    total = held = 0
    for user, assistant in turns:
        total += user + assistant + (held if kind == "prefix" else 0)
        held += user + assistant
    return total


def _users_only(turns: Turns) -> int:
    """Old answers are thought to stay."""
    users = [user for user, _ in turns]
    return sum(sum(users[: i + 1]) for i in range(len(users))) + sum(
        answer for _, answer in turns
    )


def _after_the_turn(turns: Turns) -> int:
    """The history is thought to hold this turn's own tokens."""
    return _passes("prefix", turns) + sum(map(sum, turns))


def _answers_again(turns: Turns) -> int:
    """Each answer is thought to be computed once more when it ends."""
    return _passes("prefix", turns) + sum(answer for _, answer in turns)


SLIPS = {
    "causal": {"causal": lambda turns: _passes("prefix", turns)},
    "prefix": {
        "history": lambda turns: _passes("causal", turns),
        "old_answers": _users_only,
        "own_answer": _answers_again,
        "again": _after_the_turn,
    },
}
