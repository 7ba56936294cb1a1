"""Lab 5, exercise 5: RWKV-4's mean over the past, stable for keys of any size.

Symbols: b batch, t tokens, d channels; k keys (exponents), v values, g the log decay
    below 0, u the bonus of the current token.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab05 import memories, probing
from course_lib.course.labs.lab05.probing import numbers
from course_lib.course.labs.lending import strided

HINTS = {
    "pair": "Return (y, state).",
    "output": "One row of y for each token: [b t d], as v.",
    "sum": "A mean: divide the sum of weighted values by the sum of weights.",
    "bonus": "The bonus is for the current token alone: it is read with the weight "
    "e^(u + k) and kept with e^k. With the bonus on every token, or on none, it "
    "cancels out of the mean.",
    "den_bonus": "The bonus stands in both sums: above and below the line.",
    "decay_first": "Read first, then let the sums decay, then add the token: the one "
    "just before has not decayed yet when it is read (its exponent is 0 times g).",
    "no_decay": "The sums decay by e^g at every step.",
    "sign": "g is below 0 already: e^g, not e^-g.",
    "raw_decay": "g is the logarithm of the decay as it is: no exponential of it.",
    "past_only": "The current token belongs to its own mean.",
    "state": "Go on from the state that is given.",
    "maximum": "e^k of a large key is infinite, and a sum of very small ones is 0: "
    "keep both sums divided by e to the largest exponent so far, and carry that "
    "exponent along. It decays by g, and a very negative key must not meet a maximum "
    "that starts at 0.",
    "bounded": "The state has a fixed size: two sums and a maximum for each channel, "
    "[b d] each, and not the tokens of the past.",
    "pieces": "In pieces as in one: the state holds all that the next piece needs, the "
    "maximum too.",
    "gradient": "Gradients reach k, v, the decay and the bonus: no detach of the "
    "weights.",
    "dtype": "float32 goes in and float32 comes out.",
}
CHECK = Checker("Exercise 5", HINTS)
SLIPS = (
    "sum",
    "bonus",
    "den_bonus",
    "decay_first",
    "no_decay",
    "sign",
    "raw_decay",
    "past_only",
)


def check_wkv(wkv: Callable, seed: int = 0) -> str:
    """Check `wkv(k, v, log_decay, bonus, state) -> (y, state)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = random_sizes(seed, b=(2, 3), t=(5, 8), d=(3, 5))
    b, t, d = size.values()
    for rows, length, shift, spread, steep in (
        (b, t, 0.0, 1.0, 1.0),
        (1, 1, 0.0, 1.0, 1.0),
        (1, 2, 0.0, 1.0, 1.0),
        (b, t, 900.0, 1.0, 1.0),
        (b, t, -900.0, 1.0, 1.0),
        (b, t, 0.0, 800.0, 1.0),
        (b, t, 0.0, 800.0, 600.0),
    ):
        k, v = (
            numbers(rng, rows, length, d) * spread + shift,
            numbers(rng, rows, length, d),
        )
        given = k, v, steep * (-numbers(rng, d).abs() - 0.1), numbers(rng, d)
        told = f"wkv of {length} tokens" + (
            ", keys near " + f"{shift:.0f}" if shift else ""
        )
        told += ", keys from far below to far above 0" * (spread > 1)
        told += ", strong decays" * (steep > 1)
        lent = [strided(one) for one in given]
        got = CHECK.call(wkv, *lent, None, what=told, fresh=True)
        y, state = probing.results(CHECK, got, 2, "pair", told)
        of = partial(memories.wkv, *given, None)
        default = "maximum" if shift or spread > 1 else "compare"
        if default == "compare" and isinstance(y, Tensor) and y.isnan().any():
            default = "past_only"
        wrong = probing.slip_of(of, SLIPS, y, 0)
        CHECK.close(y, of("")[0], default, f"y of {told}", wrong, "output")
        _bounded(state, rows * d, told)
    probing.low(CHECK, wkv, (*given, None), told)
    _check_state(wkv, rng, b, d)
    _check_pieces(wkv, rng, b, d)
    return "Exercise 5: a mean that decays, for keys of any size."


def _bounded(state: object, channels: int, told: str) -> None:
    """Fail unless the state is three tensors of one number a channel."""
    parts = probing.results(CHECK, state, 3, "bounded", f"the state of {told}")
    for part in parts:
        fits = isinstance(part, Tensor) and part.numel() == channels
        seen = tuple(part.shape) if isinstance(part, Tensor) else type(part).__name__
        what = f"numbers in each part of the state of {told}"
        CHECK.true(fits, "bounded", what, channels, seen)


def _check_state(wkv: Callable, rng: torch.Generator, b: int, d: int) -> None:
    """One piece after another, beside a state that is ignored."""
    fixed = -numbers(rng, d).abs() - 0.1, numbers(rng, d)
    (k, v), cut = (numbers(rng, b, 6, d) for _ in range(2)), 4
    told = f"wkv of {cut} tokens"
    _, state = CHECK.call(wkv, k[:, :cut], v[:, :cut], *fixed, None, what=told)
    told = f"wkv of 2 tokens after {cut}"
    last = k[:, cut:], v[:, cut:], *fixed
    got, _ = CHECK.call(wkv, *last, state, what=told)
    right = memories.wkv(k, v, *fixed, None)[0][:, cut:]
    wrong = {"state": memories.wkv(*last, None)[0]}
    CHECK.close(got, right, "pieces", f"y of {told}", wrong, "output")


def _check_pieces(wkv: Callable, rng: torch.Generator, b: int, d: int) -> None:
    fixed = -numbers(rng, d).abs() - 0.1, numbers(rng, d)
    for loud in (1.0, 300.0):
        rows = [
            torch.cat([loud * numbers(rng, b, 9, d), numbers(rng, b, 9, d)], -1)
            for _ in range(2)
        ]
        wholes = [memories.wkv(*row.chunk(2, -1), *fixed, None)[0] for row in rows]

        def step(piece: Tensor, state: tuple | None) -> tuple:
            k, v = piece.chunk(2, -1)
            return CHECK.call(wkv, k, v, *fixed, state, what="wkv")

        for sizes in ((4, 1, 4), (1,) * 9):
            probing.in_pieces(CHECK, step, rows, wholes, sizes, "wkv")
    k, v = rows[0].chunk(2, -1)
    probing.gradients(
        CHECK,
        lambda *given: wkv(*given, None)[0],
        lambda *given: memories.wkv(*given, None)[0],
        (k / loud, v, *fixed),
        "wkv",
    )
