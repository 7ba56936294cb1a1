"""Lab 5, exercise 7: what a memory recalls of a text of names.

Symbols: t tokens, m names, d width of their codes.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab05.probing import numbers
from course_lib.course.labs.lending import strided

HINTS = {
    "number": "Return a float between 0 and 1.",
    "leak": "At place t the token after it is not known yet: the newest pair is (token "
    "t - 1, token t). With the pair (token t, token t + 1) the memory is handed the "
    "answer.",
    "all": "Only places count whose token came before: of a new one nothing can be "
    "recalled.",
    "past": "Look for the token in tokens[:t]: all of the tokens before it, the one "
    "just before included.",
    "query": "The query is the code of the current token: what came after *it*?",
    "swapped": "The key is the earlier token, the value the later one.",
    "nearest": "The guess is the name whose code has the largest product with what was "
    "recalled.",
    "shifted": "The answer at place t is token t + 1.",
    "none": "If no token came twice there is nothing to count: 0.0.",
    "memory": "Hand memory all places at once: q, k, v, each [places d].",
}
CHECK = Checker("Exercise 7", HINTS)


def softmax_memory(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention over pairs, sharp and without positions."""
    seen = torch.ones(len(q), len(q), dtype=torch.bool).tril()
    scores = (12.0 * q @ k.mT).masked_fill(~seen, -torch.inf)
    return scores.softmax(-1) @ v


def latest_memory(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The value of the latest key that fits."""
    seen = torch.ones(len(q), len(q), dtype=torch.bool).tril()
    fits = ((q @ k.mT) > 1 - 1e-9) & seen
    place = torch.arange(len(q)).mul(fits).amax(1)
    return v[place] * fits.any(1)[:, None]


def successors(
    memory: Callable, tokens: Tensor, codes: Tensor, slip: str = ""
) -> float:
    """The truth, or what a slip gives."""
    at = tokens[1:-1]
    keys, values, queries, answers = (
        codes[tokens[:-2]],
        codes[at],
        codes[at],
        tokens[2:],
    )
    if slip == "leak":
        keys, values = codes[at], codes[answers]
    if slip == "query":
        queries = keys
    if slip == "swapped":
        keys, values = values, keys
    read = memory(queries, keys, values)
    guess = (read @ codes.mT).argmax(1)
    if slip == "nearest":
        guess = (read @ codes.mT).argmin(1)
    answers = at if slip == "shifted" else answers
    known = torch.tensor(
        [bool((tokens[:t] == tokens[t]).any()) for t in range(1, len(tokens) - 1)]
    )
    if slip == "past":
        known = torch.tensor(
            [
                bool((tokens[: t - 1] == tokens[t]).any())
                for t in range(1, len(tokens) - 1)
            ]
        )
    if slip == "all":
        known = torch.ones_like(known)
    right = (guess == answers) & known
    return float(right.sum() / known.sum().double()) if known.any() else 0.0


def check_successors(successors_of: Callable, seed: int = 0) -> str:
    """Check `successors(memory, tokens, codes) -> float`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = random_sizes(seed, t=(60, 90), m=(9, 14), d=(8, 12))
    t, m, d = size.values()
    codes = torch.nn.functional.normalize(numbers(rng, m, d), dim=1)
    walk = torch.randint(3, (t,), generator=rng).cumsum(0) % m
    few = torch.tensor([0, 1, 0, 1, 1, 2, 0])
    for told, tokens in (
        ("a walk over names", walk),
        ("seven tokens", few),
        ("tokens that never come again", torch.arange(m)),
        ("one name, three times", torch.zeros(3, dtype=torch.int64)),
    ):
        for name, memory in (
            ("attention", softmax_memory),
            ("the latest", latest_memory),
        ):
            what = f"successors in {told} by a memory of {name}"
            lent = strided(tokens), strided(codes)
            got = CHECK.call(
                successors_of, _asked(memory, len(tokens) - 2, d), *lent, what=what
            )
            right = successors(memory, tokens, codes)
            CHECK.true(
                type(got) is float, "number", what, "a float", type(got).__name__
            )
            slips = ("leak", "all", "past", "query", "swapped", "nearest", "shifted")
            wrong = {one: successors(memory, tokens, codes, one) for one in slips}
            default = "compare" if right else "none"
            _number(got, right, default, what, wrong)
    return "Exercise 7: what came after this name last time, without reading ahead."


def _asked(memory: Callable, places: int, d: int) -> Callable:
    """The memory, which first looks at what it is given."""

    def ask(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        for one in (q, k, v):
            seen = tuple(getattr(one, "shape", ()))
            CHECK.true(
                seen == (places, d), "memory", "what memory is given", (places, d), seen
            )
        return memory(q, k, v)

    return ask


def _number(
    got: float, right: float, default: str, what: str, wrong: dict[str, float]
) -> None:
    named = {hint: one for hint, one in wrong.items() if abs(one - right) > 1e-9}
    if right:
        CHECK.near(got, right, default, what, named)
    else:
        CHECK.equal(got, 0.0, default, what, named)
