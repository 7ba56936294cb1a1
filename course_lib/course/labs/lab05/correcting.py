"""Lab 5, exercise 6: the gated delta rule, token by token and in chunks.

Symbols: b batch, t tokens, k key width, v value width, c tokens of a chunk; state S
    [b k v], beta how much of the error is corrected, g the log decay, at most 0.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab05 import memories, probing
from course_lib.course.labs.lab05.probing import numbers, shares
from course_lib.course.labs.lending import strided

HINTS = {
    "pair": "Return (y, state).",
    "output": "y is [b t v], the state [b k v].",
    "state": "Go on from the state that is given; None stands for zeros.",
    "sum": "What the key recalls is taken out before the value is written: v - S^T k. "
    "Without it values of one key pile up, as in linear attention.",
    "beta_value": "beta multiplies the whole error: the value and what is recalled.",
    "beta_recalled": "beta multiplies the whole error: the value and what is recalled.",
    "no_beta": "beta says how much of the error is corrected. In the chunk: the system "
    "has ones on its diagonal, not beta, which would cancel it.",
    "wrong_way": "The error is value minus recalled, not their sum.",
    "no_decay": "The state decays by e^g before anything else.",
    "log_decay": "g is the logarithm of the decay: e^g.",
    "decay_late": "The state decays first; what the token itself writes does not decay "
    "yet.",
    "stale": "The error is measured on the state that has decayed already.",
    "read_before": "The query reads the state after the correction.",
    "key_asked": "The query reads, the key writes.",
    "scaled": "The query reads as it is: no division by the root of its width.",
    "state_values": "Return the state after the last token.",
    "pieces": "In pieces as in one: the state holds all that the next piece needs.",
    "overflow": "e^(G_t) / e^(G_s) overflows where decays are strong: take e to the "
    "difference, and mask the future to minus infinity *before* the exponential "
    "(infinity times 0 is not a number).",
    "no_system": "Within a chunk the earlier corrections are recalled too: solve the "
    "triangular system, do not take the errors against the chunk's start.",
    "system_decay": "In the system, too, an earlier correction has decayed: e^(G_t - "
    "G_s).",
    "inflow": "The state of the chunk's start has decayed by all of the chunk's tokens "
    "up to t, its own included: e^(G_t).",
    "inflow_all": "The state of the chunk's start has decayed by all of the chunk's "
    "tokens up to t, its own included: e^(G_t), in y and in the state that is handed "
    "on.",
    "inflow_none": "The state of the chunk's start decays within the chunk: e^(G_t).",
    "inflow_read": "For the reading, too, the state of the chunk's start has decayed: "
    "e^(G_t).",
    "diagonal": "A token reads its own correction: the mask of the reading has the "
    "diagonal, that of the system has not.",
    "carry": "At the end of the chunk a correction of token s has decayed by the "
    "tokens after it: e^(G_end - G_s), without its own.",
    "carry_none": "A correction decays until the end of the chunk: e^(G_end - G_s).",
    "state_decay": "The state decays through the whole chunk before it is handed on: "
    "e^(G_end).",
    "fixed": "Each chunk starts from the state that the one before left.",
    "rest": "The last chunk may be shorter, and a chunk longer than the text.",
    "loop": "Within a chunk there is no loop over tokens: a chunk is a few matrix "
    "products and one triangular solve, whatever its length.",
    "quadratic": "Twice the length must be twice the work: matrices [c c] of one "
    "chunk, never [t t].",
    "gradient": "Gradients reach q, k, v, beta and the log decay: no detach.",
    "dtype": "float32 goes in and float32 comes out.",
}
CHECK = Checker("Exercise 6", HINTS)
SLIPS = (
    "state",
    "sum",
    "beta_value",
    "beta_recalled",
    "no_beta",
    "wrong_way",
    "no_decay",
    "log_decay",
    "decay_late",
    "stale",
    "read_before",
    "key_asked",
    "scaled",
)
CHUNK_SLIPS = (
    "no_system",
    "system_decay",
    "inflow",
    "inflow_all",
    "inflow_none",
    "inflow_read",
    "diagonal",
    "carry",
    "carry_none",
    "state_decay",
    "fixed",
)
SHORT, LONG, MOST = 24, 48, 3.0


def check_delta(delta: Callable, seed: int = 0) -> str:
    """Check `delta(q, k, v, beta, log_decay, state) -> (y, state)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing. So do all checks of this module.
    """
    rng, size = random_sizes(seed, b=(2, 3), t=(5, 8), k=(3, 4), v=(5, 6))
    b, t, k, v = size.values()
    for rows, length, before in (
        (b, t, False),
        (b, t, True),
        (1, 1, True),
        (1, 2, False),
    ):
        given = _inputs(rng, rows, length, k, v)
        state = numbers(rng, rows, k, v) if before else None
        told = f"delta of {length} tokens" + ", after others" * before
        _compare(delta, memories.delta, (*given, state), SLIPS, "compare", told)
    _last(delta, memories.delta, rng, (b, t, k, v), ())
    return "Exercise 6: what the key recalls goes, the value comes."


def check_delta_chunked(delta_chunked: Callable, seed: int = 0) -> str:
    """Check `delta_chunked(q, k, v, beta, log_decay, state, chunk) -> (y, state)`."""
    rng, size = random_sizes(seed, b=(2, 3), t=(7, 9), k=(3, 4), v=(5, 6))
    b, t, k, v = size.values()
    for rows, length, chunk, before, steep in (
        (b, 8, 4, True, 1.0),
        (b, 8, 4, False, 1.0),
        (b, t + 1, 3, True, 1.0),
        (1, 5, 8, True, 1.0),
        (1, 3, 1, True, 1.0),
        (b, 16, 8, True, 200.0),
    ):
        given = _inputs(rng, rows, length, k, v, steep)
        state = numbers(rng, rows, k, v) if before else None
        told = f"delta_chunked of {length} tokens, chunk {chunk}"
        told += ", strong decays" * (steep > 1)
        default = "overflow" if steep > 1 else "compare"
        if length % chunk and chunk > 1:
            default = "rest"
        slips = CHUNK_SLIPS if steep == 1 else ()
        whole = (*given, state)
        truth = partial(_either, chunk)
        _compare(delta_chunked, truth, whole, (*SLIPS, *slips), default, told, (chunk,))
    _last(delta_chunked, memories.delta, rng, (b, t, k, v), (3,))
    _check_work(delta_chunked, rng)
    return "Exercise 6: chunks of matrix products, equal to the loop."


def _either(chunk: int, *given: Tensor | None, slip: str = "") -> tuple:
    if slip in CHUNK_SLIPS:
        return memories.delta_chunked(*given, chunk, slip)
    return memories.delta(*given, slip)


def _inputs(
    rng: torch.Generator, b: int, t: int, k: int, v: int, steep: float = 1.0
) -> tuple[Tensor, ...]:
    """q, k of length 1, v, beta, and log decays."""
    keys = numbers(rng, b, t, k)
    keys = keys / keys.norm(dim=-1, keepdim=True)
    decays = -steep * shares(rng, b, t)
    return numbers(rng, b, t, k), keys, numbers(rng, b, t, v), shares(rng, b, t), decays


def _compare(
    answer: Callable,
    truth: Callable,
    given: tuple,
    slips: tuple[str, ...],
    default: str,
    told: str,
    more: tuple = (),
) -> None:
    lent = [one if one is None else strided(one) for one in given]
    got = CHECK.call(answer, *lent, *more, what=told, crash=_crash(default), fresh=True)
    got = probing.results(CHECK, got, 2, "pair", told)

    def of(slip: str) -> tuple:
        return truth(*given, slip=slip)

    for place, name in enumerate(("y", "state")):
        wrong = probing.slip_of(of, slips, got[place], place)
        right = of("")[place]
        hint = "state_values" if place and default == "compare" else default
        CHECK.close(got[place], right, hint, f"{name} of {told}", wrong, "output")


def _crash(default: str) -> str:
    return default if default == "rest" else "crash"


def _last(
    answer: Callable, truth: Callable, rng: torch.Generator, sizes: tuple, more: tuple
) -> None:
    """float32, two sequences in pieces, and the gradients."""
    b, t, k, v = sizes
    name = "delta_chunked" if more else "delta"
    given = _inputs(rng, b, t, k, v)
    probing.low(CHECK, answer, (*given, numbers(rng, b, k, v), *more), name)
    rows = [_packed(_inputs(rng, b, 9, k, v)) for _ in range(2)]
    wholes = [truth(*_unpacked(row, k, v), None)[0] for row in rows]

    def step(piece: Tensor, state: Tensor | None) -> tuple:
        return CHECK.call(answer, *_unpacked(piece, k, v), state, *more, what=name)

    for pieces in ((4, 1, 4), (1, 8)):
        probing.in_pieces(CHECK, step, rows, wholes, pieces, name)
    probing.gradients(
        CHECK,
        lambda *given: answer(*given, *more)[0],
        lambda *given: truth(*given)[0],
        (*given, numbers(rng, b, k, v)),
        name,
    )


def _packed(given: tuple[Tensor, ...]) -> Tensor:
    """All inputs of a sequence side by side, so that they are cut together."""
    return torch.cat([*given[:3], *(one[..., None] for one in given[3:])], -1)


def _unpacked(row: Tensor, k: int, v: int) -> tuple[Tensor, ...]:
    q, key, value, beta, decay = row.split((k, k, v, 1, 1), -1)
    return q, key, value, beta[..., 0], decay[..., 0]


def _check_work(delta_chunked: Callable, rng: torch.Generator) -> None:
    """Operations within a chunk, and bytes written over doubled lengths."""
    few, many = (
        probing.written(lambda c=c: delta_chunked(*_inputs(rng, 1, c, 2, 2), None, c))[
            1
        ]
        for c in (4, 16)
    )
    told = "operations for one chunk of 16 tokens, by those for one of 4"
    seen = f"{many / few:.1f} times"
    CHECK.true(many < 1.5 * few, "loop", told, "about as many", seen)
    few, many = (
        probing.written(lambda t=t: delta_chunked(*_inputs(rng, 1, t, 1, 1), None, 4))[
            0
        ]
        for t in (SHORT, LONG)
    )
    told = f"bytes written for {LONG} tokens in chunks of 4, by those for {SHORT}"
    seen = f"{many / few:.1f} times"
    CHECK.true(many < MOST * few, "quadratic", told, "about 2 times", seen)
