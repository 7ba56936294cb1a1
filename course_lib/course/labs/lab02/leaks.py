"""Lab 2, exercise 6: a test that finds out who reads whom, whatever the layer's code
says.

Symbols: t output positions, s input positions. A leak is a pair (t, s) with s > t: the
output at t changes when the input at s does.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.layers.attention.forms import attend
from course_lib.layers.attention.layer import Attention
from course_lib.layers.masks import causal_mask
from course_lib.layers.positions.rope import Rope

HINTS = {
    "later": "Only inputs after the output count: s > t. Reading s <= t is what a "
    "causal layer does.",
    "every_input": "Change every position in turn. A layer may "
    "leak from one place only.",
    "every_output": "Look at every output before the changed input, not just the "
    "first or the one beside it.",
    "small": "A leak may be small: anything above the rounding of float64 counts "
    "(1e-9 is a fair line).",
    "features": "Change all d numbers of a token, and look at all d of an output, "
    "without summing them.",
    "same_shift": "LayerNorm undoes x + c and 2 x. Change each number of a token by "
    "its own random amount.",
    "rows": "Look at all rows of the batch: a leak may show in one row only.",
    "noise": "Rounding is no leak: batches and shapes may move a number by 1e-16 or "
    "so. Only what is above 1e-9 or so counts.",
    "zeros": "A token of zeros is already 0, and c times x is 0 as well: put other "
    "numbers there.",
    "pairs": "Return a set of pairs (t, s) of ints.",
}
CHECK = Checker("Exercise 6", HINTS)
Layer = Read = Callable[[Tensor], Tensor]


def check(leaks, seed: int = 0) -> str:
    """Check exercise 6: `leaks(layer, x) -> {(t, s), ...}` of a function `layer` from
    [b n d] to [b n d].

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = random_sizes(seed, n=(5, 7), d=(4, 6))
    n, x = size["n"], torch.randn(2, size["n"], size["d"], generator=rng).double()
    for name, layer, expected, hint in _layers(n, size["d"], rng):
        got = CHECK.call(partial(leaks, layer), x, what=f"leaks of {name}")
        CHECK.true(
            isinstance(got, set)
            and all(
                isinstance(p, tuple) and list(map(type, p)) == [int] * 2 for p in got
            ),
            "pairs",
            f"what leaks returns for {name}",
            "a set of pairs",
            type(got).__name__,
        )
        fitting = "later" if any(s <= t for t, s in got) else hint
        if fitting == "later" and hint == "noise":
            fitting = "noise"
        if (
            fitting == "every_output"
            and {s for _, s in got} < {s for _, s in expected}
            and len(expected) > 1
        ):
            fitting = "every_input"
        CHECK.equal(sorted(got), sorted(expected), fitting, f"leaks of {name}")
    name, layer, expected, _ = _layers(n, size["d"], rng)[2]
    what = f"leaks of {name} whose input is 0"
    got = CHECK.call(partial(leaks, layer), torch.zeros_like(x), what=what)
    CHECK.equal(sorted(got), sorted(expected), "zeros", what)
    return "Exercise 6: the test finds every leak, and no leak where there is none."


def _layers(
    n: int, d: int, rng: torch.Generator
) -> list[tuple[str, Layer, set[tuple[int, int]], str]]:
    """Layers with known leaks: (name, layer, leaks, the hint for a test that gets them
    wrong).
    """
    attention = _attention(d, rng)
    everything = {(t, s) for t in range(n) for s in range(t + 1, n)}
    near, far = (1, 2), (0, n - 1)
    last = torch.zeros(d, dtype=torch.float64)
    last[-1] = 1.0
    apart = last - last.roll(1)

    def causal(x: Tensor) -> Tensor:
        return attention(x, torch.arange(n).expand(x.shape[:2]))

    def leaking(pair: tuple[int, int], read: Read, rows: slice = slice(None)) -> Layer:
        t, s = pair

        def layer(x: Tensor) -> Tensor:
            y = causal(x).clone()
            y[rows, t] += read(x[rows, s])
            return y

        return layer

    def bidirectional(x: Tensor) -> Tensor:
        q, k, v = attention.project(x, torch.arange(n).expand(x.shape[:2]))
        seen = torch.ones(x.shape[0], n, n, dtype=torch.bool)
        return attention.wo(attend(q, k, v, seen)[0].flatten(2))

    def one_ahead(x: Tensor) -> Tensor:
        places = torch.arange(n).expand(x.shape[:2])
        q, k, v = attention.project(x, places)
        return attention.wo(
            attend(q, k, v, causal_mask(places + 1, places))[0].flatten(2)
        )

    little, second_row = (
        leaking(far, lambda x: 1e-5 * x.tanh()),
        leaking(far, torch.tanh, slice(1, 2)),
    )
    shaken = torch.Generator().manual_seed(1)

    def noisy(x: Tensor) -> Tensor:
        noise = torch.randn(x.shape, generator=shaken, dtype=torch.float64)
        return causal(x) + 1e-14 * noise

    return [
        ("a causal layer", causal, set(), "later"),
        ("a causal layer with the noise of rounding", noisy, set(), "noise"),
        ("a bidirectional layer", bidirectional, everything, "every_output"),
        (
            "a mask that is off by one",
            one_ahead,
            {(t, t + 1) for t in range(n - 1)},
            "every_input",
        ),
        (
            f"a layer whose output {far[0]} reads input {far[1]}",
            leaking(far, torch.tanh),
            {far},
            "every_output",
        ),
        (
            f"a layer whose output {near[0]} reads input {near[1]}",
            leaking(near, torch.tanh),
            {near},
            "every_input",
        ),
        (
            f"a layer whose output {far[0]} reads input {far[1]} a little",
            little,
            {far},
            "small",
        ),
        (f"a layer that leaks {far} in its second row", second_row, {far}, "rows"),
        (
            f"a layer that leaks {far} in its last number",
            leaking(far, lambda x: x * last),
            {far},
            "features",
        ),
        (
            f"a layer whose leak {far} sums to 0",
            leaking(far, lambda x: x[..., :1] * apart),
            {far},
            "features",
        ),
        (
            f"a layer that leaks {far} behind a LayerNorm",
            leaking(far, _normed),
            {far},
            "same_shift",
        ),
    ]


def _normed(x: Tensor) -> Tensor:
    return torch.nn.functional.layer_norm(x, x.shape[-1:], eps=1e-12)


def _attention(d: int, rng: torch.Generator) -> Attention:
    layer = (
        Attention(d, heads=2, kv_heads=2, head_dim=4, rope=Rope(dim=4))
        .double()
        .requires_grad_(False)
    )
    for weight in layer.parameters():
        weight.copy_(torch.randn(weight.shape, generator=rng))
    return layer
