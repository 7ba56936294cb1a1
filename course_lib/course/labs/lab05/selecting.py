"""Lab 5, exercise 4: a Mamba block, whose step size, input and output depend on the
token.

Symbols: b batch, t tokens, d model width, i inner channels, n state, r rank of the step
    size, w tokens under the convolution; dt step size, A decay rates, B and C input and
    output, D the skip.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab05 import probing, reference
from course_lib.course.labs.lab05.probing import numbers
from course_lib.course.labs.lending import helped, strided

HINTS = {
    "triple": "Return (dt, b, c): [b t i], [b t n], [b t n].",
    "order": "The rows of `select` make the step's r numbers first, then B, then C.",
    "swapped": "B comes before C.",
    "linear": "A step size is positive: softplus of what the projection gives.",
    "twice": "softplus once.",
    "outside": "The offset is inside of softplus.",
    "offset": "Add the offset before softplus: it is where the step sizes start.",
    "exp": "softplus and not exp: it grows like its argument, not like its "
    "exponential.",
    "relu": "softplus and not relu: a step of exactly 0 gets no gradient.",
    "stable": "log(1 + exp) overflows: torch.nn.functional.softplus does not.",
    "pair": "Return (y, (kept, state)).",
    "output": "y is [b t d], as x.",
    "halves": "The first half of what `in` gives goes through the convolution, the "
    "second half is the gate.",
    "conv_silu": "silu after the convolution.",
    "positive": "A = -exp(a_log) is below 0: without the minus the state grows.",
    "raw": "A = -exp(a_log), not a_log.",
    "minus_log": "A = -exp(a_log), not -a_log.",
    "no_dt": "The decay is exp(dt A): each token's own step.",
    "input_dt": "What is written is dt u B: a token with a small step writes little.",
    "exact_b": "Mamba's rule for the input is dt B (Euler), not zero-order hold.",
    "early": "C reads the state *after* the token's own input.",
    "skip": "Add D u: the skip past the state.",
    "skip_before": "D multiplies u after convolution and silu.",
    "skip_after": "The gate multiplies y + D u, not y alone.",
    "gate": "The gate silu(z) multiplies y + D u before the projection back.",
    "gate_plain": "silu of the gate.",
    "gate_sigmoid": "The gate is silu(z), not sigmoid(z).",
    "cache_shape": "The cache is (kept [b w-1 i], state [b i n]), both after the last "
    "token.",
    "conv_cache": "The convolution goes on from the inputs in the cache.",
    "state_cache": "The scan starts from the state in the cache.",
    "no_cache": "Go on from the cache, also where a piece has more than one token.",
    "kept_values": "kept holds the last w - 1 inputs of the convolution: before it, "
    "and before silu.",
    "state_values": "The state to keep is h after the last token, with its input.",
    "pieces": "In pieces as in one: the cache holds all that the next piece needs.",
    "dtype": "float32 goes in and float32 comes out.",
    "gradient": "Gradients reach x and every weight: no detach.",
}
CHECK = Checker("Exercise 4", HINTS)
STEPS = ("linear", "twice", "outside", "offset", "exp", "relu", "order")
SLIPS = (
    "halves",
    "conv_silu",
    "swapped",
    "positive",
    "raw",
    "twice",
    "minus_log",
    "no_dt",
    "input_dt",
    "exact_b",
    "early",
    "skip",
    "skip_before",
    "skip_after",
    "gate",
    "gate_plain",
    "gate_sigmoid",
    "conv_cache",
    "state_cache",
    "no_cache",
)
OWN = {
    "scan": reference.scan,
    "short_conv": reference.short_conv,
    "select": reference.select,
}


def weights(rng: torch.Generator, d: int, i: int, n: int, r: int, w: int) -> dict:
    """Random weights of a block, by name."""
    return {
        "in": numbers(rng, 2 * i, d) / d**0.5,
        "conv": numbers(rng, i, w) / w**0.5,
        "conv_bias": 0.3 * numbers(rng, i),
        "select": numbers(rng, r + 2 * n, i) / i**0.5,
        "step": numbers(rng, i, r) / r**0.5,
        "offset": numbers(rng, i) - 0.5,
        "a_log": 0.5 * numbers(rng, i, n),
        "skip": numbers(rng, i),
        "out": numbers(rng, d, i) / i**0.5,
    }


def check_select(select: Callable, seed: int = 0) -> str:
    """Check `select(u, weights) -> (dt, b, c)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing. So do all checks of this module.
    """
    rng, size = random_sizes(seed, i=(4, 6), n=(2, 4), r=(1, 3), t=(3, 6))
    i, n, r, t = size.values()
    for rows, length, loud in ((2, t, 1.0), (1, 1, 1.0), (2, t, 9000.0)):
        named = weights(rng, 3, i, n, r if n != r else r + 1, 3)
        u = loud * numbers(rng, rows, length, i)
        told = f"select of {length} tokens" + ", large" * (loud > 1)
        got = CHECK.call(select, strided(u), named, what=told, fresh=True)
        got = probing.results(CHECK, got, 3, "triple", told)
        of = partial(reference.select, u, named)
        default = "stable" if loud > 1 else "compare"
        for place, name in enumerate(("dt", "b", "c")):
            slips = ("order", "swapped") if place else STEPS
            wrong = probing.slip_of(of, slips, got[place], place)
            hint = "compare" if place else default
            what = f"{name} of {told}"
            CHECK.close(got[place], of("")[place], hint, what, wrong, "triple")
    probing.low(CHECK, select, (u, named), told)
    names = list(named)
    probing.gradients(
        CHECK,
        lambda *given: _joined(select, given, names),
        lambda *given: _joined(reference.select, given, names),
        (numbers(rng, 2, t, i), *named.values()),
        "select",
    )
    return "Exercise 4: each token chooses its step, what it writes and what it reads."


def _joined(select: Callable, given: tuple, names: list[str]) -> Tensor:
    u, *parts = given
    dt, b, c = select(u, dict(zip(names, parts, strict=True)))
    return torch.cat([dt, b, 2 * c], -1)


def check_block(block: Callable, seed: int = 0) -> str:
    """Check `block(x, weights, cache) -> (y, cache)`, with the lab's own `scan`,
    `short_conv` and `select` beside it, or else with the student's.
    """
    helped(lambda: _check_block(block, seed), block, **OWN)
    return "Exercise 4: a selective block, the same in pieces as in one."


def _check_block(block: Callable, seed: int) -> None:
    rng, size = random_sizes(seed, b=(2, 3), t=(5, 8), d=(3, 4), i=(4, 6), n=(2, 3))
    b, t, d, i, n = size.values()
    for rows, length, before in (
        (b, t, False),
        (b, t, True),
        (1, 1, True),
        (1, 3, False),
    ):
        named = weights(rng, d, i, n, 4, 3)
        x = numbers(rng, rows, length, d)
        cache = (numbers(rng, rows, 2, i), numbers(rng, rows, i, n)) if before else None
        told = f"block of {length} tokens" + ", after others" * before
        got = CHECK.call(block, strided(x), named, cache, what=told, fresh=True)
        y, after = probing.results(CHECK, got, 2, "pair", told)
        of = partial(reference.block, x, named, cache)
        wrong = probing.slip_of(of, SLIPS, y, 0)
        right, (kept, state) = of("")
        CHECK.close(y, right, "compare", f"y of {told}", wrong, "output")
        after = probing.results(CHECK, after, 2, "cache_shape", f"the cache of {told}")
        told = f"the cache of {told}"
        CHECK.close(after[0], kept, "kept_values", told, None, "cache_shape")
        CHECK.close(after[1], state, "state_values", told, None, "cache_shape")
    probing.low(CHECK, block, (x, named, cache), told)
    _check_pieces(block, named, rng, b, d)


def _check_pieces(
    block: Callable, named: dict, rng: torch.Generator, b: int, d: int
) -> None:
    rows = [numbers(rng, b, 9, d) for _ in range(2)]
    wholes = [reference.block(row, named, None)[0] for row in rows]

    def step(piece: Tensor, cache: tuple | None) -> tuple:
        return CHECK.call(block, piece, named, cache, what="block")

    for sizes in ((4, 1, 4), (1,) * 9):
        probing.in_pieces(CHECK, step, rows, wholes, sizes, "block")
    names = list(named)
    probing.gradients(
        CHECK,
        lambda x, *parts: block(x, dict(zip(names, parts, strict=True)), None)[0],
        lambda x, *parts: reference.block(
            x, dict(zip(names, parts, strict=True)), None
        )[0],
        (rows[0][:, :5], *named.values()),
        "block",
    )
