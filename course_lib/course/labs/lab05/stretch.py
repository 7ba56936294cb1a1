"""Lab 5, stretch task: a scan in log2(t) rounds.

Symbols: b batch, t tokens; a step h -> decay h + x is the pair (decay, x).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab05 import probing, reference
from course_lib.course.labs.lab05.probing import numbers, shares
from course_lib.course.labs.lending import helped, strided

HINTS = {
    "pair": "Return (decay, x) of the one step that does both.",
    "order": "The first step is taken first: its x decays by the second one's decay.",
    "decays": "Decays are multiplied.",
    "late": "The second step's own x does not decay.",
    "states": "Return the states [b t ...] from a start of zeros.",
    "rounds": "log2(t) rounds, each a few operations on all tokens at once: a loop "
    "over tokens takes t.",
    "reach": "Each round doubles how far back a pair reaches: 1, 2, 4, ... Tokens that "
    "have nothing so far back stay as they are.",
}
CHECK = Checker("Stretch", HINTS)


def combine(first: tuple, second: tuple) -> tuple[Tensor, Tensor]:
    """The step that does `first`, then `second`."""
    return second[0] * first[0], second[0] * first[1] + second[1]


def check(combine_of: Callable, parallel_scan: Callable, seed: int = 0) -> str:
    """Check `combine(first, second) -> (decay, x)` and `parallel_scan(decay, x) ->
    states`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while a part is
        missing.
    """
    rng, size = random_sizes(seed, b=(2, 3), t=(5, 13), n=(2, 3))
    b, t, n = size.values()
    for shape in ((b, t, n), (1, 1, 1)):
        first, second = ((shares(rng, *shape), numbers(rng, *shape)) for _ in range(2))
        told = f"combine of {list(shape)}"
        got = CHECK.call(combine_of, first, second, what=told, fresh=True)
        decay, x = probing.results(CHECK, got, 2, "pair", told)
        right = combine(first, second)
        wrong = {
            "order": combine(second, first)[1],
            "late": second[0] * (first[1] + second[1]),
        }
        CHECK.close(decay, right[0], "decays", f"decay of {told}")
        CHECK.close(x, right[1], "compare", f"x of {told}", wrong, "pair")
    helped(
        lambda: _check_scan(parallel_scan, rng, b, n), parallel_scan, combine=combine
    )
    return "Stretch: t tokens in log2(t) rounds."


def _check_scan(parallel_scan: Callable, rng: torch.Generator, b: int, n: int) -> None:
    for t in (1, 2, 3, 8, 13, 21):
        decay, x = shares(rng, b, t, n), numbers(rng, b, t, n)
        told = f"parallel_scan of {t} tokens"
        got = CHECK.call(
            parallel_scan, strided(decay), strided(x), what=told, crash="reach"
        )
        right = reference.scan(decay, x, torch.zeros(b, n).double())
        CHECK.close(got, right, "reach", told, None, "states")
    few, many = (
        probing.written(
            lambda t=t: parallel_scan(shares(rng, 1, t, 1), numbers(rng, 1, t, 1))
        )[1]
        for t in (16, 64)
    )
    told = "operations for 64 tokens, by those for 16"
    seen = f"{many / few:.1f} times"
    CHECK.true(many < 2.2 * few, "rounds", told, "about 1.5 times", seen)
