"""Lab 5, exercise 3: a short causal convolution that remembers its last inputs.

Symbols: b batch, t tokens, d channels, w tokens under the filter.
"""

from collections.abc import Callable
from functools import partial

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lab05 import probing, reference
from course_lib.course.labs.lab05.probing import numbers
from course_lib.course.labs.lending import strided

HINTS = {
    "pair": "Return (y, kept).",
    "output": "One row of y for each token of x: [b t d].",
    "kept_shape": "kept holds the last w - 1 inputs, [b w-1 d]: w is one too many, and "
    "after a piece shorter than that some of the old ones stay. With w = 1 nothing is "
    "kept; x[:, -0:] is everything.",
    "kept_values": "kept holds the last w - 1 *inputs* of all pieces so far, oldest "
    "first: not outputs, and not this piece alone.",
    "zeros": "Before the first token there are zeros, and not the first token again.",
    "behind": "What is kept came before x: it stands in front, not behind.",
    "kept": "The inputs before this piece are in `kept`: they stand in front of x.",
    "flipped": "weight[:, w - 1] belongs to the token itself and weight[:, 0] to the "
    "oldest one: torch.nn.functional.conv1d has this order, do not turn it.",
    "future": "A token sees itself and the w - 1 before it, none after it: all of the "
    "padding stands in front.",
    "late": "The token itself is under the filter too.",
    "bias": "Add the bias of each channel.",
    "pieces": "In pieces as in one: what the next piece needs is in `kept`, and "
    "nowhere else.",
    "gradient": "Gradients reach x, weight, bias and kept: no detach.",
    "dtype": "float32 goes in and float32 comes out: make zeros like x.",
    "products": "Each channel has its own filter of w numbers: w products a number, "
    "not a matrix of d by d (groups=d).",
}
CHECK = Checker("Exercise 3", HINTS)
SLIPS = ("kept", "zeros", "behind", "flipped", "future", "late", "bias")


def check_short_conv(short_conv: Callable, seed: int = 0) -> str:
    """Check `short_conv(x, weight, bias, kept) -> (y, kept)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = random_sizes(seed, b=(2, 3), t=(6, 9), d=(3, 5), w=(3, 5))
    b, t, d, w = size.values()
    for rows, length, width, before in (
        (b, t, w, False),
        (b, t, w, True),
        (1, 1, w, True),
        (1, 1, w, False),
        (b, 2, w + 1, True),
        (b, t, 1, True),
        (b, t, 2, False),
    ):
        x, weight = numbers(rng, rows, length, d), numbers(rng, d, width)
        bias = numbers(rng, d)
        kept = numbers(rng, rows, width - 1, d) if before else None
        given = x, weight, bias, kept
        told = f"short_conv of {length} tokens, w = {width}" + (
            ", after others" if before else ""
        )
        lent = [one if one is None else strided(one) for one in given]
        got = CHECK.call(short_conv, *lent, what=told, fresh=True)
        y, after = probing.results(CHECK, got, 2, "pair", told)
        of = partial(reference.short_conv, *given)
        wrong = probing.slip_of(of, SLIPS, y, 0)
        CHECK.close(y, of("")[0], "compare", f"y of {told}", wrong, "output")
        right = of("")[1]
        told = f"kept of {told}"
        CHECK.close(after, right, "kept_values", told, None, "kept_shape")
    probing.low(CHECK, short_conv, given, told)
    _check_pieces(short_conv, seed)
    return "Exercise 3: causal, and the same in pieces as in one."


def _check_pieces(short_conv: Callable, seed: int) -> None:
    rng, size = random_sizes(seed, b=(2, 3), d=(3, 5), w=(3, 5))
    b, d, w = size.values()
    weight, bias = numbers(rng, d, w), numbers(rng, d)
    rows = [numbers(rng, b, 11, d) for _ in range(2)]
    truth = partial(_whole, weight=weight, bias=bias)

    def step(piece, kept):
        return CHECK.call(short_conv, piece, weight, bias, kept, what="short_conv")

    wholes = [truth(row) for row in rows]
    for sizes in ((4, 1, 1, 5), (1, 2, 8), (1,) * 11):
        probing.in_pieces(CHECK, step, rows, wholes, sizes, "short_conv")
    given = rows[0], weight, bias, numbers(rng, b, w - 1, d)
    probing.gradients(
        CHECK,
        lambda *given: short_conv(*given)[0],
        lambda *given: reference.short_conv(*given)[0],
        given,
        "short_conv",
    )
    wide = numbers(rng, 1, 8, 40), numbers(rng, 40, 3), numbers(rng, 40), None
    nbytes, _, _ = probing.written(lambda: short_conv(*wide))
    most = 16 * wide[0].nbytes  # a matrix of 40 x 40 x 3 alone has 15 times x
    told = "bytes that short_conv of 8 tokens with 40 channels writes"
    CHECK.true(nbytes < most, "products", told, f"less than {most:,}", f"{nbytes:,}")


def _whole(x, weight, bias):
    return reference.short_conv(x, weight, bias, None)[0]
