"""Lab 3, stretch task: int8 keys and values with a scale for each token and head, and a
bound on the error.

Symbols: x numbers of one head [k], s its step (the scale), c its codes: x is about c *
    s.
"""

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lending import strided
from course_lib.course.labs.writes import MadeNaN

HINTS = {
    "codes": "Codes are int8, between -127 and 127.",
    "range": "The largest number of a head must become code 127: step = amax / 127.",
    "each_head": "Every token and head has a step of its own: amax over the last axis "
    "only, kept as [... 1].",
    "round": "Round to the nearest code before you convert; a plain conversion cuts "
    "towards zero.",
    "zeros": "A head of zeros has step 0. Divide by 1 there "
    "instead, and get zeros back.",
    "bound": "Rounding moves a number by at most half a step.",
    "decode": "A number comes back as code * step, in float.",
}
CHECK = Checker("Stretch", HINTS)


def check(encode, decode, error_bound, seed: int = 0) -> str:
    """Check the stretch task: `encode(x) -> (codes, steps)`, `decode(codes, steps)`,
    `error_bound(steps)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while a part is
        missing.
    """
    rng, size = random_sizes(seed, b=(1, 2), s=(3, 6), g=(2, 3), k=(5, 9))
    x = torch.randn(size["b"], size["s"], size["g"], size["k"], generator=rng).double()
    x *= 10.0 ** torch.randint(
        -2, 3, (size["b"], size["s"], size["g"], 1), generator=rng
    )
    got = CHECK.call(encode, strided(x), what="encode")
    pair = isinstance(got, tuple) and len(got) == 2
    CHECK.true(pair, "codes", "encode", "(codes, steps)", type(got).__name__)
    codes, steps = got
    CHECK.true(
        codes.dtype == torch.int8 and codes.shape == x.shape,
        "codes",
        "the codes",
        f"int8 {tuple(x.shape)}",
        f"{codes.dtype} {tuple(codes.shape)}",
    )
    CHECK.true(
        steps.shape == (*x.shape[:-1], 1),
        "each_head",
        "shape of the steps",
        (*x.shape[:-1], 1),
        tuple(steps.shape),
    )
    amax = x.abs().amax(-1, keepdim=True)
    CHECK.close(
        steps,
        amax / 127,
        "range",
        "steps",
        {"each_head": torch.full_like(steps, float(amax.max() / 127))},
    )
    _check_codes(codes, x, steps)
    back = CHECK.call(decode, codes, steps, what="decode")
    CHECK.close(back, codes.double() * steps, "decode", "decoded numbers")
    bound = CHECK.call(error_bound, steps, what="error_bound")
    CHECK.close(bound, steps / 2, "bound", "error_bound")
    x[0, 0, 0] = 0.0
    with MadeNaN() as numbers:
        zeros = CHECK.call(encode, x, what="encode of a head of zeros", crash="zeros")
    told = "encode of a head of zeros, on its way"
    CHECK.true(not numbers.found, "zeros", told, "no NaN", "NaN")
    back = CHECK.call(decode, *zeros, what="decode of a head of zeros")
    nothing = torch.zeros_like(x[0, 0, 0])
    told = "a head of zeros among others, encoded and decoded"
    CHECK.close(back[0, 0, 0], nothing, "zeros", told)
    CHECK.close(zeros[1][0, 0, 0], nothing[:1], "zeros", "the step of a head of zeros")
    return "Stretch: every number comes back within half a step."


def _check_codes(codes: Tensor, x: Tensor, steps: Tensor) -> None:
    nearest = (x / steps).round().to(torch.int8)
    cut = {"round": (x / steps).to(torch.int8)}
    CHECK.close(codes, nearest, "round", "codes", cut)
